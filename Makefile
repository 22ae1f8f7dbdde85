# Everything a person or a CI job types. `make` alone lists it.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := .venv/bin
REPORT ?= toolgauge-report.html
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test check fmt perf perf-tools walks

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/.dev ## Create .venv with toolgauge and the developer tools (compiles llama.cpp once)

demo: .venv/.app ## Measure the bundled model at four quantization levels and print the report
	@$(BIN)/toolgauge run --yes --no-report
	@$(BIN)/toolgauge report --html $(REPORT)

test: check ## Check style and types, then run the tests
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile

check: .venv/.dev ## Lint, formatting and types
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary

fmt: .venv/.dev ## Format the code and fix what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

perf: .venv/.app ## Time our decoding against the binding's and llama.cpp's own tools, on the pinned workload
	@$(BIN)/python -m bench.perf

perf-tools: .venv/.app ## Build llama-bench and llama-batched-bench, which `make perf` compares with
	@$(BIN)/python -m bench.perf.build_tools

walks: export TOOLGAUGE_WALKS ?= 500
walks: .venv/.dev ## Walk every format's grammar at random, on every engine and vocabulary; takes a while, and goes on where it stopped
	@$(BIN)/python -m tests.engine.formats.full_walks
	@$(BIN)/python -m pytest -s tests/engine/formats/test_cuts.py tests/engine/formats/test_fuzz.py tests/engine/formats/test_templates.py

# --- the environment; the stamps make a second call instant -----------------------------------------------------------

.venv/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "toolgauge needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' # the first that reads dependency groups
	@touch $@

.venv/.app: .venv/.python pyproject.toml
	@echo "Installing toolgauge; llama.cpp is compiled if no wheel of it is cached, which takes some minutes." >&2
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/.dev: .venv/.app
	@$(BIN)/python -m pip install --quiet --group dev
	@touch $@
