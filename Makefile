# Needs python3 and make; the targets create their environments first.
#
#   PYTHON=python3.12   Python of the environment
#   ENGINE=onedl        use the fork of MMEngine, in an environment of its own, since both write the same files
#   TESTS='tests/cli'   paths for `make test` (default: all tests)
#   WORKERS=2           number of processes of `make test`

PYTHON ?= python3
ENGINE ?= mmengine
VENV := $(if $(filter mmengine,$(ENGINE)),.venv,.venv-$(ENGINE))
SCRIPTS := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
BIN := $(VENV)/$(SCRIPTS)
WORKERS ?= 2
TESTS ?=

# Stamps of the last installation; a newer setup.cfg, setup.py or constraints.txt installs again.
INSTALLED := $(VENV)/.karsl-installed
LINTERS := $(VENV)/.karsl-linters
SITE := $(VENV)/.karsl-site
TSC := $(VENV)/node/node_modules/.bin/tsc
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip install --no-input -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs networks lowest newest bare dist audit clean

help:  ## list the targets
	@grep -E '^[a-z ]+:.*## ' Makefile | awk -F ':.*## ' '{ printf "  make %-13s %s\n", $$1, $$2 }'

demo: $(INSTALLED)  ## make synthetic clips, train on them and show the results, in a few minutes
	@$(BIN)/karsl demo

# One thread per process: WORKERS processes fill the cores, and more threads would slow them down.
test: $(INSTALLED)  ## run every test, with the examples of docstrings and pages
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) $(TESTS) </dev/null

# Tests of extraction that need them are skipped without them.
networks: $(INSTALLED)  ## download the networks of MediaPipe for `karsl extract`, 18 MiB
	@$(BIN)/karsl extract --fetch-models

# Scripts of the browse page are checked if npm is installed and can reach its registry.
lint: $(LINTERS)  ## check style, format and types
	@$(BIN)/python -m ruff check .
	@$(BIN)/python -m ruff format --check .
	@$(BIN)/python -m mypy
	@if ! command -v npm >/dev/null || ! command -v node >/dev/null; then \
		echo "note: npm is not installed, so the types of the scripts are not checked"; \
	elif ! $(MAKE) -s --no-print-directory $(TSC) 2>/dev/null; then \
		echo "note: npm could not install typescript, so the types of the scripts are not checked"; \
	else $(TSC) -p karsl/visualization/page/assets/js/jsconfig.json; fi

docs: $(SITE)  ## build the documentation site in site/; needs Python 3.11 or newer
	@$(BIN)/python -m tools.site.build

# Resolved by uv for this Python, in environments of their own; `make lowest PYTHON=python3.10` is the oldest combination.
lowest: RESOLUTION := lowest-direct
newest: RESOLUTION := highest
lowest newest: | $(BIN)/python  ## run the tests with the lowest or newest versions that setup.cfg permits
	@$(BIN)/python -m pip install -q --no-input uv
	@$(BIN)/uv venv -q --clear --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv-$@
	@$(BIN)/uv pip compile -q setup.cfg --extra $(ENGINE) --extra test --resolution $(RESOLUTION) --python .venv-$@ \
		--index-strategy unsafe-best-match -o .venv-$@/versions.txt
	@$(BIN)/uv pip install -q --python .venv-$@ --index-strategy unsafe-best-match pip setuptools -r .venv-$@/versions.txt
	@$(BIN)/uv pip install -q --python .venv-$@ --no-deps -e .
	@OMP_NUM_THREADS=1 .venv-$@/$(SCRIPTS)/python -m pytest -q -n $(WORKERS) $(TESTS) </dev/null

# Without MMEngine and every extra, clips are read, checked, packed and converted.
bare: CORPUS := .venv-bare/corpus
bare: | $(BIN)/python  ## try karsl without extras
	@$(PYTHON) -m venv --clear .venv-bare
	@PIP_DISABLE_PIP_VERSION_CHECK=1 .venv-bare/$(SCRIPTS)/python -m pip install -q --no-input -c constraints.txt -e .
	@.venv-bare/$(SCRIPTS)/karsl doctor
	@.venv-bare/$(SCRIPTS)/python -c 'from karsl.testing import make_corpus; make_corpus("$(CORPUS)", signs=2, train_clips=2, test_clips=1)'
	@.venv-bare/$(SCRIPTS)/karsl prepare $(CORPUS)
	@.venv-bare/$(SCRIPTS)/karsl pack $(CORPUS) .venv-bare/packed
	@.venv-bare/$(SCRIPTS)/karsl pack --verify .venv-bare/packed
	@.venv-bare/$(SCRIPTS)/karsl convert .venv-bare/packed .venv-bare/tars --to tar

dist: | $(BIN)/python  ## build wheel and source distribution in dist/ and check their metadata
	@$(PIP) -q build twine
	@rm -rf dist
	@$(BIN)/python -m build -q
	@$(BIN)/python -m twine check --strict dist/*

audit: | $(BIN)/python  ## look for known vulnerabilities of the versions in constraints.txt
	@$(PIP) -q pip-audit
	@$(BIN)/python -m pip_audit -r constraints.txt --no-deps --disable-pip --strict

clean:  ## remove environments and caches; data and results stay
	@rm -rf .venv .venv-* build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "make: $(PYTHON) is missing or older than 3.10; name another one, as in 'make PYTHON=python3.12'" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "make: $(PYTHON) cannot make environments; install its venv package (python3-venv on Debian and Ubuntu)" >&2; exit 1; }
	@echo "[1/3] environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

# Torch is installed first, since it is the largest package and the others accept any version.
$(INSTALLED): setup.cfg setup.py constraints.txt | $(BIN)/python
	@pin=$$(sed -n 's/^torch==//p' constraints.txt); \
	if [ "$$(uname -s)" = Linux ] && [ ! -e /dev/nvidiactl ] && ! $(BIN)/python -c 'import torch' 2>/dev/null && \
		! $(BIN)/python -m pip index versions torch 2>/dev/null | grep -qF "$$pin+cpu"; then \
		echo "note: there is no GPU, and pip finds no CPU build of torch; the default build installs 2.6 GB of CUDA." \
			"To avoid it, stop and set PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS to a CPU build of torch $$pin."; \
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

$(SITE): $(INSTALLED)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: zensical, which builds the site, needs Python 3.11; use 'make docs PYTHON=python3.12' without .venv" >&2; \
		exit 1; }
	@echo "site generator"
	@$(PIP) -q -e '.[docs]'
	@touch $@

# One major version, since each adds checks.
$(TSC): | $(BIN)/python
	@echo "typescript"
	@npm install --silent --fetch-retries=1 --no-save --no-package-lock --no-fund --no-audit --prefix $(VENV)/node typescript@5
