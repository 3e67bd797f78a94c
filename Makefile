# The commands of this project; `make` lists them. CI calls the same ones (.ci/run).

.DEFAULT_GOAL := help
.PHONY: help train build test test-fast bench bench-compile bench-libraries bench-environment bench-peers compat lint format asan tsan fuzz stubs wheel clean
SHELL := /bin/bash
PYTHON := .venv/bin/python
JOBS ?= $(shell nproc)

help: ## Lists these commands
	@sed -n 's/^\([a-z -]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

# What `train` needs is built first and alone, so that a new user waits for no test.
train: ## Installs what is missing, builds, trains a small GPT (ARGS="--resume" and others are passed on)
	@tools/bootstrap
	@cmake --preset release >/dev/null
	@cmake --build --preset release -j $(JOBS) --target python_links
	@$(PYTHON) examples/train_gpt.py $(ARGS)

build: ## Installs what is missing and builds everything
	@tools/bootstrap --dev
	@cmake --preset release >/dev/null
	@cmake --build --preset release -j $(JOBS)

test: build ## Runs every test
	@$(PYTHON) tools/run_tests

test-fast: build ## Runs the tests that are not slow, in at most two minutes
	@$(PYTHON) tools/run_tests --fast

bench: build bench-peers ## Measures Flambeau and PyTorch in turn and prints the ratios
	@.venv-peers/bin/python bench/run.py $(ARGS)

bench-compile: build bench-peers ## Measures compiled programs (ARGS=--inductor adds PyTorch's compiler, an hour)
	@.venv-peers/bin/python bench/compile.py $(ARGS)

bench-libraries: build bench-peers ## Measures Transformers' and PEFT's own code on Flambeau and on PyTorch
	@.venv-peers/bin/python bench/libraries.py $(ARGS)

bench-environment: wheel ## Prints what a fresh environment downloads and takes on disk (some GB from the network)
	@$(PYTHON) bench/environment.py

compat: build ## Prints how far Transformers' models are from what PyTorch 2.7.1 computes
	@$(PYTHON) -m flambeau tests/compat/compare.py $(ARGS)

bench-peers: .venv-peers/.ready ## Makes .venv-peers with the PyTorch that `make bench` measures

.venv-peers/.ready: requirements-peers.txt
	@tools/bootstrap
	@$(PYTHON) -m venv --clear .venv-peers
	@.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@echo "$(CURDIR)/python" >"$$(.venv-peers/bin/python -c \
	  'import sysconfig; print(sysconfig.get_paths()["purelib"])')/flambeau-checkout.pth"
	@touch $@

lint: build ## Checks format, style, types and layers
	@$(PYTHON) tools/lint

format: ## Rewrites the code in its format
	@tools/bootstrap --dev
	@$(PYTHON) tools/lint --fix clang-format ruff

asan tsan: ## Runs the C++ tests under AddressSanitizer and UBSan, or ThreadSanitizer
	@tools/bootstrap --dev
	@cmake --preset $@ >/dev/null
	@cmake --build --preset $@ -j $(JOBS)
	@$(PYTHON) tools/run_tests --preset $@ --only cpp --fast

fuzz: ## Feeds random input to the readers, each for FUZZ_SECONDS (60)
	@tools/bootstrap --dev
	@cmake --preset fuzz >/dev/null
	@cmake --build --preset fuzz -j $(JOBS)
	@set -e; for target in build/fuzz/bin/*_fuzz; do mkdir -p $$target.corpus; \
	  name=$$(basename $$target); echo "== $$name"; \
	  $$target -max_total_time=$(or $(FUZZ_SECONDS),60) -print_final_stats=0 -verbosity=0 \
	    -artifact_prefix=$$target. $$target.corpus tests/fuzz/seeds/$$name; done

stubs: build ## Writes anew what is generated: C++ functions and type stubs, the lists of what works
	@$(PYTHON) tools/generate_api.py
	@$(PYTHON) tools/write_support.py

wheel: ## Builds a wheel into dist/
	@tools/bootstrap --dev
	@$(PYTHON) -m build --wheel --outdir dist .

clean: ## Removes what was built
	@rm -rf build build-wheel dist python/flambeau/*.so python/flambeau/kernels.pack
