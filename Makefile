# `make help` lists what there is to make.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# What may be set on the command line.
FUZZTIME ?= 20s
COVERAGE ?= 90
BENCH    ?= .
DOCKER   ?= docker

LINT_VERSION := v2.15.0
GOLANGCI     ?= $(CURDIR)/.tools/$(LINT_VERSION)/golangci-lint

# The packages whose statements must be covered, and the tests that cover them.
COVERED := openai policy proxy quota upstream
comma   := ,
empty   :=
space   := $(empty) $(empty)

.PHONY: help build lint test fuzz cover bench generate screenshots tokens-oracle models prices llama image clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the static binary ./weir
	CGO_ENABLED=0 go build -buildvcs=auto -trimpath -tags grpcnotrace -ldflags "-s -w" -o weir .

lint: $(GOLANGCI) ## find what is wrong, unformatted or untidy
	$(GOLANGCI) run
	$(GOLANGCI) fmt --diff
	go mod tidy -diff

$(GOLANGCI):
	GOBIN=$(@D) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

test: ## run all tests, the official clients among them
	.ci/install
	clienttest/install.sh
	go vet ./...
	go test -race -shuffle=on ./...

fuzz: ## fuzz every target for FUZZTIME
	@log=$$(mktemp); trap 'rm -f "$$log"' EXIT; go test -list '^Fuzz' ./... | \
	awk '/^Fuzz/ { target[++n] = $$1 } /^ok/ { for (i = 1; i <= n; i++) print $$2, target[i]; n = 0 }' | \
	while read -r package target; do \
		echo "fuzzing $$package $$target for $(FUZZTIME)"; \
		for try in 1 2; do \
			if go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x "$$package" </dev/null 2>&1 | tee "$$log"; then break; fi; \
			if [ $$try = 2 ] || ! grep -q 'context deadline exceeded' "$$log" || grep -q 'Failing input written' "$$log"; then exit 1; fi; \
			echo "the fuzzer was interrupted by its own end, and found nothing: once more"; \
		done; \
	done

cover: ## say how much is covered, and fail below COVERAGE percent
	go test -coverprofile=coverage.txt -coverpkg=$(subst $(space),$(comma),$(COVERED:%=weir/%)) . ./command $(COVERED:%=./%)
	@awk 'NR > 1 { split($$1, at, ":"); dir = at[1]; sub("/[^/]*$$", "", dir); size[$$1] = $$2; of[$$1] = dir; if ($$3) hit[$$1] = 1 } \
	END { for (b in size) { all[of[b]] += size[b]; if (b in hit) met[of[b]] += size[b] } \
	for (d in all) { part = 100 * met[d] / all[d]; low = low || part < $(COVERAGE); printf "%-15s %5.1f %% of %4d statements\n", d, part, all[d] } \
	if (low) print "below $(COVERAGE) %" > "/dev/stderr"; exit low }' coverage.txt | sort

bench: ## run the benchmarks that BENCH matches
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

tokens-oracle: ## compare counts with OpenAI's own tiktoken on 108 MB of text
	tokens/testdata/oracle/run.sh

models: ## compare the model table with the newest list that is published
	@mkdir -p .tools/models
	@cp tokens/list_models.mjs .tools/models/
	@cd .tools/models && npm init -y >/dev/null && npm install --silent --no-save --no-audit --no-fund gpt-tokenizer@latest
	@node .tools/models/list_models.mjs | go run tokens/compare_models.go

llama: ## talk to a real model through the gateway; the first time this compiles for ten minutes
	clienttest/llama/run.sh

prices: ## compare the price table with the newest list that is published
	@rm -rf .tools/prices
	@python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest .tools/prices litellm
	@python3 -m zipfile -e .tools/prices/litellm-*.whl .tools/prices
	@go run usage/compare_prices.go <.tools/prices/litellm/model_prices_and_context_window_backup.json

generate: ## write the schema and the reference of the configuration
	go generate ./...

screenshots: ## take the pictures of docs/dashboard.md in a browser
	.ci/install
	clienttest/install.sh
	SCREENSHOTS=$(CURDIR)/docs/screenshots go test -count=1 ./clienttest/browser

image: ## build the container image
	$(DOCKER) build -t weir .

clean: ## remove what was made
	rm -rf weir coverage.txt .tools clienttest/.venv clienttest/.kernel clienttest/llama/.venv clienttest/node/node_modules clienttest/browser/node_modules
