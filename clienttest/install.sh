#!/usr/bin/env bash
# Installs the pinned clients: Python's into .venv and, of Semantic Kernel, .kernel;
# Node's into node/node_modules, and what drives the browser into browser/node_modules.
# Does nothing where the stamp beside them already names the lock file they came from.
# Meanwhile it builds the OpenTelemetry Collector that takes the gateway's spans.
set -euo pipefail
cd "$(dirname "$0")"

go build -C collector -trimpath -tags grpcnotrace -ldflags "-s -w" -o ../../.tools/collector . &
collector=$!

# stamp LOCK PROGRAM prints what an installation depends on: the lock and the interpreter.
stamp() { printf '%s %s\n' "$(cksum <"$1")" "$("$2" --version)"; }

# current FILE WANT tells whether an earlier run already installed exactly this.
current() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# environment FOLDER LOCK makes an environment of Python with just what the lock pins.
environment() {
	local want
	want=$(stamp "$2" python3)
	if ! current "$1/lock.stamp" "$want"; then
		rm -rf "$1"
		python3 -m venv "$1"
		"$1/bin/python" -m pip install --quiet --disable-pip-version-check \
			--require-hashes --no-deps -r "$2"
		printf '%s\n' "$want" >"$1/lock.stamp"
	fi
}

environment .venv python/requirements.lock
environment .kernel python/kernel.lock

for folder in node browser; do
	want=$(stamp "$folder/package-lock.json" node)
	if ! current "$folder/node_modules/lock.stamp" "$want"; then
		(cd "$folder" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error)
		printf '%s\n' "$want" >"$folder/node_modules/lock.stamp"
	fi
done

wait "$collector"
