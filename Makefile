# What a newcomer needs: `make demo`, `make test`. Everything is installed into .venv, nothing outside it.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: help demo test chaos lint format bench bench-mail schemas lock clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: .venv/.installed  ## the main job on a sample organisation, told as a story
	@$(BIN)/rollcall demo

test: .venv/.installed  ## the whole suite, against real servers it starts itself
	@$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile

chaos: .venv/.installed  ## workers killed every two seconds, again and again: what is lost, what is doubled
	@$(BIN)/pytest tests/chaos -q

lint: .venv/.installed  ## ruff, format check, mypy --strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: .venv/.installed  ## put the code in order
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: .venv/.installed  ## ratios, each beside what it is measured against
	@$(BIN)/python -m bench

bench-mail: .venv/.installed  ## mail beside smtp-source and three peers, which it installs into .bench
	@$(BIN)/python -m bench.mail

schemas: .venv/.installed  ## write docs/schemas and docs/asyncapi.json anew from the types
	@$(BIN)/python -m workers.schemas

lock: pyproject.toml  ## resolve constraints.txt anew
	$(PYTHON) -m venv .lock
	.lock/bin/pip install --quiet --disable-pip-version-check pip-tools
	.lock/bin/pip-compile --quiet --extra embedded --extra dev --strip-extras --allow-unsafe --generate-hashes \
		--no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-annotate \
		--output-file constraints.txt pyproject.toml
	rm -rf .lock

clean:  ## remove the environment and local state
	rm -rf .venv .rollcall .lock .bench
