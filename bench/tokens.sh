#!/bin/sh
# Compares the speed of our counter with that of OpenAI's tiktoken, on the texts of
# tokens/testdata/oracle/run.sh, which must have run with the same WORK.
set -eu
cd "$(dirname "$0")/.."
: "${WORK:?names the folder that tokens/testdata/oracle/run.sh has filled}"
go build -o "$WORK/counter" bench/tokens.go
exec "$WORK/venv/bin/python" bench/tokens.py "$(go list -m -f '{{.Dir}}' github.com/pkoukk/tiktoken-go-loader)/assets" \
	"$WORK/texts" "$WORK/counter" "$(go env GOROOT)"
