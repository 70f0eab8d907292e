# One verb, one recipe. CI, pre-commit and people call only these.  `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help up down status logs setup setup-dev setup-vllm test test-long test-vllm test-fast check lint types imports fmt lock clean \
	bench-generator bench-gateway bench-retrieval eval-retrieval eval-rag chaos-ingest eval-safety bench-safety bench-training train-reader

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip install --quiet --no-config --python $(VENV) --compile-bytecode
MEMBERS := shared services/gateway services/generator services/retriever services/reranker services/safety-filter training deploy/cli
CODE := shared services training deploy tests
export OMP_NUM_THREADS ?= 1

help: ## list the verbs
	@grep -hE '^[a-z][a-z-]*:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 26

up: setup ## set up, start the platform on this machine, ingest docs/, ask one question
	@$(BIN)/python deploy/llamacpp.py
	@$(BIN)/slipway up

down: ## stop the platform; nothing is left running
	@$(BIN)/slipway down

status: ## what runs, on which port, ready or not, and its memory
	@$(BIN)/slipway status

logs: ## the last log lines of every part
	@$(BIN)/slipway logs

# The environment is two locks: what serves, and what develops and trains. Both name every package with its hashes. llama.cpp is compiled for this CPU.
setup: $(VENV)/.serve $(VENV)/.models ## install what serving needs into .venv
setup-dev: $(VENV)/.dev $(VENV)/.models ## install what developing, testing and training need into .venv

$(BIN)/uv: requirements/bootstrap.lock
	@echo "slipway: creating $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "slipway needs Python 3.11 or newer; set PYTHON=/path/to/python3")'
	@$(PYTHON) -m venv $(VENV) || { echo "slipway: python3 cannot make a virtual environment; on Debian: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.lock
	@touch $@

$(VENV)/.serve: $(BIN)/uv requirements/serve.lock $(wildcard deploy/llamacpp.*) $(MEMBERS:%=%/pyproject.toml)
	@echo "slipway: installing the locked packages (about a minute)"
	@$(BIN)/python deploy/locked.py requirements/serve.lock --without llama-cpp-python > $(VENV)/serve.txt
	@$(UV) --require-hashes --no-deps -r $(VENV)/serve.txt
	@$(UV) --no-build-isolation --no-deps $(MEMBERS:%=-e %)
	@$(BIN)/python deploy/llamacpp.py
	@touch $@

# Two embedded encoders are kept without their word table, which a locked package lends; they come out byte for byte.
$(VENV)/.models: $(VENV)/.serve $(wildcard models/borrowed/*)
	@$(BIN)/python -m slipway_cli.weights
	@touch $@

$(VENV)/.dev: $(VENV)/.serve requirements/all.lock
	@echo "slipway: installing the development and training packages"
	@$(BIN)/python deploy/locked.py requirements/all.lock --without llama-cpp-python > $(VENV)/all.txt
	@$(UV) --require-hashes --no-deps -r $(VENV)/all.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	@touch $@

# The CPU build of vLLM, in a venv of its own, for tests of the real server; on a GPU use vLLM's own package or image (docs/vllm.md).
VLLM := .venv-vllm
setup-vllm: $(VLLM)/.done ## install vLLM's CPU build into .venv-vllm (x86-64, 2.5 GB)
$(VLLM)/.done: $(BIN)/uv requirements/vllm.lock
	@echo "slipway: installing vLLM's CPU build into $(VLLM) (2.5 GB, some minutes)"
	@$(PYTHON) -m venv $(VLLM)
	@$(BIN)/uv pip install --quiet --no-config --python $(VLLM) --require-hashes --no-deps -r requirements/vllm.lock
	@$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps torch==2.13.0
	@touch $@

test-long: setup-dev ## what takes minutes: twenty real kills of a training run, elastic restarts, every form of sharding
	@$(BIN)/pytest -m long

test-vllm: setup-dev setup-vllm ## the tests of the vLLM engine against the real server on this CPU (about 8 minutes)
	@SLIPWAY_GENERATOR_VLLM_PYTHON=$(CURDIR)/$(VLLM)/bin/python $(BIN)/python -m pytest -m vllm tests/generator

# The tests of training keep one core busy for as long as all the others do, so they run beside them; what they print is shown when both have ended.
test: setup-dev check ## lint, types, import rules, then every test (under 20 minutes on 2 cores)
	@$(BIN)/python -m pytest tests/training > $(VENV)/test-training.log 2>&1 & beside=$$!; trap 'kill $$beside; exit 130' INT TERM; \
	$(BIN)/python -m pytest --ignore=tests/training; failed=$$?; \
	wait $$beside || failed=$$?; echo "slipway: the tests of training"; cat $(VENV)/test-training.log; exit $$failed

test-fast: setup-dev ## the tests that start no real platform
	@$(BIN)/python -m pytest -m "not system and not slow and not browser"

check: setup-dev lint types imports ## everything that needs no test run

lint: setup-dev ## ruff: style, imports, complexity, security
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)

types: setup-dev ## pyright, strict
	@$(BIN)/pyright

imports: setup-dev ## the rooms and their walls
	@$(BIN)/lint-imports --no-cache

fmt: setup-dev ## format and fix what can be fixed
	@$(BIN)/ruff format $(CODE)
	@$(BIN)/ruff check --fix $(CODE)

# Measurements: each prints a table and writes its report below .slipway/ where it has one. Pass options with ARGS="...".
bench-generator: setup-dev ## the generator beside llama-server (LLAMA_SERVER=path) on the same GGUF
	@$(BIN)/python -m slipway_generator.bench $(ARGS)

bench-gateway: setup-dev ## the gateway beside LiteLLM and Portkey, by CPU time per request
	@$(BIN)/python services/gateway/bench/bench_gateway.py $(ARGS)

bench-retrieval: setup-dev ## embeddings, reranking and search beside the usual libraries
	@$(BIN)/python -m slipway_retriever.benchmark $(ARGS)

eval-retrieval: setup-dev ## recall, nDCG and MRR with intervals on BEIR-style folders, or on sets made from SLIPWAY_DATA_DIR
	@$(BIN)/python -m slipway_retriever.evaluate $(ARGS)

eval-rag: setup-dev ## answers through the API of a running platform: EM, F1, citations, abstention, time (ARGS="FOLDER --key KEY")
	@$(BIN)/python -m slipway_retriever.evaluate.rag $(ARGS)

chaos-ingest: setup-dev ## kill -9 at KILLS (200) random points of ingestion: nothing lost, nothing doubled, every store readable
	@KILLS=$(or $(KILLS),200) $(BIN)/python -m pytest -q -s tests/retriever/test_crash.py

eval-safety: setup-dev ## the safety filter's red team; fails below the gate
	@$(BIN)/python -m slipway_safety_filter.evaluate $(ARGS)

bench-safety: setup-dev ## the safety filter beside presidio-analyzer (ARGS="--presidio VENV", made there) and torch inference; what guarding a stream costs
	@$(BIN)/python services/safety-filter/bench/bench_safety.py $(ARGS)

bench-training: setup-dev ## training tokens/s at equal loss beside Hugging Face's Trainer, peak memory, MFU (ARGS="--shape 16M --rounds 5")
	@$(BIN)/python training/benchmarks/train_bench.py $(ARGS)

train-reader: setup-dev ## the reader recipe (ARGS=--tiny for a minute's run, --dry-run for the plan)
	@$(BIN)/python -m slipway_training train reader $(ARGS)

lock: $(BIN)/uv ## resolve the floors of pyproject.toml into requirements/*.lock
	@sh requirements/lock.sh

clean: down ## stop, and remove the environment and every local file of the platform
	@rm -rf $(VENV) .slipway
