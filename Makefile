PYTHON ?= python3
BIN := .venv/bin
SOURCES := hkflows tests examples benchmarks

.PHONY: install demo test lint format bench docs

# The environment: exact versions from the lock file, then the package itself.
install: .venv/installed

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch .venv/installed

# A real posterior, fitted and compared with long MCMC.
demo: install
	$(BIN)/python examples/eight_schools.py

test: lint
	$(BIN)/python -m pytest -n auto --maxprocesses 8

lint: install
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy

format: install
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

bench: install
	$(BIN)/python benchmarks/sequential.py
	$(BIN)/python benchmarks/splines.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/posteriors.py --targets plain --first
	$(BIN)/python benchmarks/density.py

docs: install
	$(BIN)/mkdocs build --strict
