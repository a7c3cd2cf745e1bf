# Every target does its own set-up: only Python 3.11, 3.12 or 3.13 and make are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev

# Byte code is written at the first import (pip's own compilation takes longer than that), so it must be allowed.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test test-all lint clean

help:
	@echo "make demo      pretrain, evaluate and export on built-in images (minutes, CPU)"
	@echo "make test      the test suite"
	@echo "make test-all  the test suite with the slow tests"
	@echo "make lint      ruff"
	@echo "make clean     remove the virtual environment and runs/"

setup: $(READY)

$(READY): requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "Python 3.11, 3.12 or 3.13 is needed, and $(PYTHON) is" \
	    "$$($(PYTHON) --version 2>&1): make PYTHON=/path/to/python3.13 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r requirements.txt
	@$(BIN)/python -c 'import ssl_keras, keras_cv, tensorflow_datasets, sklearn.linear_model, tensorboard' 2>/dev/null
	@touch $@

$(READY_DEV): $(READY) tests/requirements.txt requirements-imaging.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -r tests/requirements.txt
	@touch $@

demo: $(READY)
	$(BIN)/python -m tools.demo --workdir=runs/demo

test: $(READY_DEV)
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not slow"

test-all: $(READY_DEV)
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

lint: $(READY_DEV)
	$(BIN)/ruff check .

clean:
	rm -rf $(VENV) runs
