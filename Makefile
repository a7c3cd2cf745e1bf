# Every target does its own set-up: only Python 3.11 or newer and make are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev

.PHONY: help setup demo test test-all lint clean

help:
	@echo "make demo      pretrain, evaluate and export on built-in images (minutes, CPU)"
	@echo "make test      the test suite"
	@echo "make test-all  the test suite with the slow tests"
	@echo "make lint      ruff"
	@echo "make clean     remove the virtual environment and runs/"

setup: $(READY)

$(READY): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements.txt
	@touch $@

$(READY_DEV): $(READY) tests/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r tests/requirements.txt
	@touch $@

demo: $(READY)
	$(BIN)/python -m tools.demo --workdir=runs/demo

test: $(READY_DEV)
	$(BIN)/python -m pytest -q -m "not slow" --durations=10

test-all: $(READY_DEV)
	$(BIN)/python -m pytest -q --durations=20

lint: $(READY_DEV)
	$(BIN)/ruff check .

clean:
	rm -rf $(VENV) runs
