# The commands of the project; `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
CLUSTER ?= local
IMAGE ?=
PUSH ?=
PLATFORM ?=
GPU ?=

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Train the digits demo on a local cluster (CLUSTER=current IMAGE=ref: on yours; GPU=1: on GPUs)
	CLUSTER=$(CLUSTER) IMAGE=$(IMAGE) GPU=$(GPU) e2e/demo/run

.PHONY: test
test: ## Run every test, end-to-end tests on a local cluster included
	scripts/test all

.PHONY: chaos
chaos: ## Every fault at every write of a run, on an API server (make test takes a sample)
	CHAOS=all cargo test --locked -p e2e --test chaos -- --nocapture

.PHONY: check
check: ## Run the quick tests: no cluster
	scripts/test quick

.PHONY: generate
generate: ## Rebuild every generated file: CRDs, API reference, chart copies
	scripts/generate

.PHONY: wheel
wheel: ## Build the wheel: the binary and the Python packages, for pip (PLATFORM=linux/arm64: for another)
	scripts/wheel $(PLATFORM)

.PHONY: image
image: ## Build the operator's image (IMAGE=ref PUSH=1: push it, for amd64 and arm64)
	@result=$$(PUSH=$(PUSH) scripts/image $(IMAGE) | tail -n 1) && [ "$$result" ] && \
	  scripts/after-image "$(or $(IMAGE),localhost/curriculum-operator:dev)" "$$result"

.PHONY: release
release: ## Build, push and sign a release (REPOSITORY=registry/path COSIGN_KEY=file)
	scripts/release $(REPOSITORY)

.PHONY: up
up: ## Start the local cluster
	e2e/cluster/cluster install
	e2e/cluster/cluster build
	e2e/cluster/cluster up

.PHONY: down
down: ## Stop the local cluster and leave nothing behind
	e2e/cluster/cluster down

.PHONY: bench
bench: ## Compare the sampler with others, into docs/benchmarks.md
	scripts/bench

.PHONY: bench-rows
bench-rows: ## Compare reading rows by number with pyarrow and others, as tables for docs/trainers.md
	"$$(scripts/environment "$${CURRICULUM_CACHE:-$$HOME/.cache/curriculum-operator}/frameworks" python3 python/tests/frameworks/requirements.txt)" \
	  benches/rivals/rows_by_number.py

.PHONY: bench-likelihood
bench-likelihood: ## Compare the scorer perplexity with plain loops, for scorers/perplexity/README.md
	"$$(scripts/environment "$${CURRICULUM_CACHE:-$$HOME/.cache/curriculum-operator}/frameworks" python3 python/tests/frameworks/requirements.txt)" \
	  benches/rivals/likelihood.py

.PHONY: bench-in-process
bench-in-process: ## Compare batches drawn in a trainer's process with HTTP and PyTorch, into docs/benchmarks.md
	scripts/bench-in-process

.PHONY: bench-tokens
bench-tokens: ## Compare batches bound by tokens with batches of rows and with numpy, as a table for docs/curricula/tokens.md
	scripts/bench-tokens

.PHONY: bench-stores
bench-stores: ## Compare batches with scores in Redis with lookups there, into docs/benchmarks.md
	scripts/bench-stores

.PHONY: bench-scale
bench-scale: ## Compare the operator with JobSet at 500 and 10,000 objects, into docs/benchmarks.md
	scripts/bench-scale
