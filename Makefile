PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test check lint types floors bench clean

demo: $(VENV)/.installed  ## The whole job on embedded defaults: no key, no GPU, no hub.
	$(BIN)/curate run pipelines/demo.yaml

test: $(VENV)/.installed-dev  ## All tests.
	$(BIN)/python -m pytest

check: lint types floors test  ## What must be green before a change lands.

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

floors: $(VENV)/.installed-dev
	$(BIN)/lint-imports

bench: $(VENV)/.installed-dev  ## Benchmarks; writes tests/bench/results.json.
	$(BIN)/python tests/bench/run.py

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "curate needs Python 3.11 or newer; run: make demo PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "installing into $(VENV) (about two minutes)"
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable ".[dev]"
	@touch $(VENV)/.installed $@

clean:
	rm -rf $(VENV) runs .mypy_cache .pytest_cache .ruff_cache build *.egg-info tests/bench/results.json
