# make quick: a real benchmark, a minute once it is installed.  make test: every check, the same as CI.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quick test lint types tests docs bench clean

quick: $(VENV)/ready
	$(BIN)/sparsebench run quick

test: lint types tests

lint: $(VENV)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/ready
	$(BIN)/pyright

tests: $(VENV)/ready
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadscope

docs: $(VENV)/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

bench: $(VENV)/ready
	$(BIN)/python benchmarks/mask_update.py
	$(BIN)/python benchmarks/step_time.py
	$(BIN)/python benchmarks/bare_loop.py

# A marker inside the environment, so that an interrupted installation is done again.
$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("sparsebench needs Python 3.11 or newer: make PYTHON=python3.11 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all,test,docs]'
	touch $@

clean:
	rm -rf $(VENV)
