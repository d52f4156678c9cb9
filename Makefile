# A fresh machine needs python3 and make: `make demo` or `make test`, nothing before them.
#
#   PYTHON=python3.12   the Python that the environment is made with
#   ENGINE=onedl        test with the fork of MMEngine; both write the same files, so each has its own environment
#   TESTS='tests/cli'   what `make test` runs; all of it by default
#   WORKERS=2           processes that `make test` runs at once

PYTHON ?= python3
ENGINE ?= mmengine
VENV := $(if $(filter mmengine,$(ENGINE)),.venv,.venv-$(ENGINE))
BIN := $(VENV)/bin
WORKERS ?= 2
TESTS ?=

# A stamp is as old as the last installation of what setup.cfg and constraints.txt ask for.
INSTALLED := $(VENV)/.karsl-installed
LINTERS := $(VENV)/.karsl-linters
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --no-input -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test lint clean

help:  ## list what make can do here
	@grep -E '^[a-z]+:.*## ' Makefile | awk -F ':.*## ' '{ printf "  make %-6s %s\n", $$1, $$2 }'

demo: $(INSTALLED)  ## make synthetic clips, train on them and show the results, in a few minutes
	@$(BIN)/karsl demo

# One thread a process: WORKERS processes already fill the cores, and more threads slow them all down.
test: $(INSTALLED)  ## run every test, with the examples of docstrings and pages
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) $(TESTS) </dev/null

lint: $(LINTERS)  ## check style and types
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m mypy

clean:  ## remove environments and caches; data and results stay
	@rm -rf .venv .venv-* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "make: $(PYTHON) is missing or older than 3.10; name another one, as in 'make PYTHON=python3.12'" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "make: $(PYTHON) cannot make environments; install its venv package (python3-venv on Debian and Ubuntu)" >&2; exit 1; }
	@echo "[1/3] environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

# Torch comes first: it is the big one, and what is there is not replaced by what the other packages would accept.
$(INSTALLED): setup.cfg constraints.txt | $(BIN)/python
	@pin=$$(sed -n 's/^torch==//p' constraints.txt); \
	if [ "$$(uname -s)" = Linux ] && [ ! -e /dev/nvidiactl ] && ! $(BIN)/python -c 'import torch' 2>/dev/null && \
		! $(BIN)/python -m pip index versions torch 2>/dev/null | grep -qF "$$pin+cpu"; then \
		echo "note: no GPU here, and pip sees no CPU build of torch: the default one brings 2.6 GB of CUDA." \
			"To avoid it, stop and point PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS at a CPU build of torch $$pin."; \
	fi
	@echo "[2/3] torch"
	@if [ -t 1 ]; then quiet=; else quiet=-q; fi; $(PIP) $$quiet torch
	@echo "[3/3] karsl with $(ENGINE) and the libraries for pictures, label sheets and tests"
	@$(PIP) -q -e '.[$(ENGINE),test]'
	@touch $@

$(LINTERS): $(INSTALLED)
	@echo "linters"
	@$(PIP) -q -e '.[lint]'
	@touch $@
