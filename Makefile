# Everything happens in .venv; `make quickstart` and `make test` are all a newcomer needs.
PYTHON ?= python3
RUN := results/quickstart
BIN := .venv/bin

.PHONY: quickstart test test-all check format clean

quickstart: .venv/installed
	@echo '$$ mnas search experiments/quickstart.yaml'
	@$(BIN)/mnas search experiments/quickstart.yaml
	@echo '$$ mnas train $(RUN) --pick best'
	@$(BIN)/mnas train $(RUN) --pick best
	@echo '$$ mnas export $(RUN)'
	@$(BIN)/mnas export $(RUN)

# On several cores, at most four: each process of the tests holds torch, and some start a Ray.
test: .venv/installed
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile

test-all: .venv/installed
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile -m "slow or not slow"

check: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Made anew when what is installed changes; the code itself is installed in place.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mnas needs Python 3.11 or newer; try: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
