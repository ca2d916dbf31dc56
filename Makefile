# Every verb sets up what it needs; nothing has to be done before them.
PYTHON ?= python3
BIN = .venv/bin
SHARE ?= 90

.PHONY: demo test check fix soak bench clean
demo: .setup/run
	$(BIN)/shoal demo

test: .setup/test
	$(BIN)/pytest -q -n 3 --dist loadfile

check: .setup/test
	$(BIN)/ruff check && $(BIN)/ruff format --check && $(BIN)/mypy

fix: .setup/test
	$(BIN)/ruff check --fix ; $(BIN)/ruff format

soak: .setup/test
	flock .setup/measuring $(BIN)/python -m tests.soak

bench: .setup/test
	flock .setup/measuring $(BIN)/python -m bench all

clean:
	rm -rf .venv .setup build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

.setup/run: requirements.txt pyproject.toml
	mkdir -p .setup
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -r requirements.txt
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

.setup/test: .setup/run tests/packages.txt
	@bash tests/packages.sh
	touch $@
