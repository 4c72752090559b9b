# Everyday commands. `make` alone lists them.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := queryfleet actors serve_app cluster
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast check fmt bench chaos lock clean

help: ## List the commands.
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## Make .venv with everything that development needs.

$(STAMP): uv.lock pyproject.toml tools/install.sh
	@PYTHON=$(PYTHON) bash tools/install.sh $(VENV)
	@touch $@

demo: install ## Start the whole service on this machine and ask it a question. ARGS=--once stops it afterwards.
	@$(BIN)/python examples/demo.py $(ARGS)

test: install ## All tests, with a few minutes of killing at the end.
	-@bash tools/mariadb.sh $(VENV)/mariadb
	@$(BIN)/python -m pytest $(ARGS)

test-fast: install ## Tests that start nothing.
	@$(BIN)/python -m pytest tests/unit $(ARGS)

check: install ## Format, lint, types, architecture, docstrings, lock.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/make_blocking.py --check
	@bash tools/uv.sh lock --check

fmt: install ## Format the code.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python tools/make_blocking.py

bench: install ## Benchmarks; see bench/README.md.
	@$(BIN)/python -m bench $(ARGS)

chaos: install ## Kill parts of a whole service under load for longer. MINUTES=10, SEED= repeats a run.
	@$(BIN)/python -m tests.chaos --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED)) $(ARGS)

lock: install ## Renew uv.lock. It must name only the canonical public index.
	@bash tools/uv.sh lock

clean: ## Remove what the commands above made, the demo's data included.
	rm -rf $(VENV) .queryfleet .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
