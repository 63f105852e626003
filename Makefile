# Two commands for a new user: `make demo` and `make test`. The rest is for those who change the house.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2

.PHONY: demo test slow check format clean help

help:
	@echo "make demo    create $(VENV), install, run the main job on the embedded example"
	@echo "make test    create $(VENV), install the test extra, run the suite"
	@echo "make slow    the proofs that take longer than the suite should"
	@echo "make check   lint, format, types and floors"
	@echo "             another interpreter: make test PYTHON=python3.13 VENV=.venv313"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "slipstate needs Python >= 3.11; got $$($(PYTHON) --version). Try: make demo PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.test-installed: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@ $(VENV)/.installed

$(VENV)/.dev-installed: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,dev]'
	@touch $@ $(VENV)/.test-installed $(VENV)/.installed

demo: $(VENV)/.installed
	$(BIN)/slipstate watch --out watch-demo

test: $(VENV)/.test-installed
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow"

slow: $(VENV)/.test-installed
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m slow

check: $(VENV)/.dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/basedpyright
	$(BIN)/codespell --skip "./watch-demo,./.venv*,./.git"

format: $(VENV)/.dev-installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist watch-demo .pytest_cache .ruff_cache
