# What a newcomer needs: `make demo`, `make test`. Everything is installed into .venv, nothing outside it. For another
# Python beside it: `make test VENV=.venv-3.13 PYTHON=python3.13`.

VENV := .venv
BIN := $(VENV)/bin
PYTHONS := 3.11 3.12 3.13 3.14
# The first of these that runs and is new enough; a shim may be there and not run.
PYTHON ?= $(shell for python in $(PYTHONS:%=python%) python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
PLATFORMS := any manylinux2014_x86_64 manylinux_2_17_x86_64 manylinux_2_28_x86_64
PIP := $(BIN)/pip --disable-pip-version-check --no-input --quiet install --require-hashes --no-build-isolation

# Python keeps what it compiled, whatever the environment says: each process of the tests would compile all of it anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test test-fast mutants servers chaos lint pythons format bench bench-mail client schemas templates dependencies lock clean

help:  ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

$(VENV)/.runs: pyproject.toml constraints.txt
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Rollcall needs 3.11 or newer, and $(or $(PYTHON),python3) is $$($(or $(PYTHON),python3) --version 2>&1):" \
		"name another, as in make PYTHON=/usr/bin/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --only-binary :all: -r constraints.txt
	$(BIN)/pip --disable-pip-version-check --no-input --quiet install --no-deps --no-build-isolation --no-index --editable .
	@touch $@

$(VENV)/.installed: $(VENV)/.runs constraints-dev.txt
	$(PIP) -r constraints-dev.txt
	@touch $@

demo: $(VENV)/.runs  ## the main job on a sample organisation, told as a story
	@$(BIN)/rollcall demo

# A test that stands still for so long says where, and fails.
STUCK := -o faulthandler_timeout=300 -o faulthandler_exit_on_timeout=true

test: $(VENV)/.installed  ## the whole suite, against real servers it starts itself
	@$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(STUCK)

test-fast: $(VENV)/.installed  ## the tests that need no server, in seconds
	@$(BIN)/pytest -m fast -n 2 -q --hypothesis-profile=fast

mutants: $(VENV)/.installed  ## change what decides, one place at a time: which changes no fast test sees
	@$(BIN)/python -m tests.mutation

servers:  ## Postfix, Dovecot, Exim (root, Debian), Patroni, etcd, HAProxy, PgBouncer, pgBackRest (Debian), an OpenID provider (node)
	@.ci/mail-servers
	@.ci/failover
	@.ci/oidc-provider
	@.ci/pgbouncer
	@.ci/pgbackrest

chaos: $(VENV)/.installed  ## workers killed every two seconds, again and again: what is lost, what is doubled
	@$(BIN)/pytest tests/chaos -q
	@$(BIN)/pytest -m slow -q
	@HISTORIES=200 $(BIN)/pytest tests/model -q  # the suite looks at a few

lint: $(VENV)/.installed  ## ruff, format check, mypy --strict, and squawk for the SQL of migrations
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m migrations.rendering > $(VENV)/migrations.sql && $(BIN)/squawk $(VENV)/migrations.sql

pythons: $(VENV)/.installed  ## what can be checked of every Python without it: types against its library, and wheels
	@for python in $(PYTHONS); do $(BIN)/mypy --python-version $$python && $(BIN)/pip --disable-pip-version-check \
		--no-input --quiet download --require-hashes --no-deps --only-binary :all: --python-version $$python \
		$(PLATFORMS:%=--platform %) --dest .wheels/$$python -r constraints.txt || exit 1; done

format: $(VENV)/.installed  ## put the code in order
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.installed  ## ratios, each beside what it is measured against
	@$(BIN)/python -m bench

bench-mail: $(VENV)/.installed  ## mail beside smtp-source and three peers, which it installs into .bench
	@$(BIN)/python -m bench.mail

client: $(VENV)/.runs .client/.made  ## make a typed Python client from docs/openapi.json, into .client/rollcall-client

# An environment of its own: what makes the client needs an older typer than Rollcall runs on.
.client/.installed: clients/python/constraints.txt
	@$(BIN)/python -m venv --without-pip .client/venv
	@$(BIN)/pip --python .client/venv/bin/python --disable-pip-version-check --no-input --quiet install --no-compile \
		--require-hashes --no-deps --only-binary :all: -r clients/python/constraints.txt
	@touch $@

.client/.made: docs/openapi.json $(wildcard clients/python/*.* clients/python/templates/*/*) .client/.installed
	@PATH="$(CURDIR)/.client/venv/bin:$$PATH" openapi-python-client generate --path docs/openapi.json --meta uv \
		--config clients/python/config.yaml --custom-template-path clients/python/templates \
		--output-path .client/rollcall-client --overwrite --fail-on-warning
	@touch $@

schemas: $(VENV)/.installed  ## write docs/schemas, docs/asyncapi.json and docs/commands.md anew from the types
	@$(BIN)/python -m workers.schemas

templates: $(VENV)/.installed  ## compile the frames of our mail in email_templates/ anew from MJML
	@$(BIN)/python -m email_templates.compiling

dependencies: $(VENV)/.installed  ## write docs/dependencies.md anew: what runs, and under which licence
	@$(BIN)/python -m workers.dependencies

COMPILE := $(BIN)/pip-compile --quiet --strip-extras --allow-unsafe --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-annotate

lock: $(VENV)/.installed  ## resolve constraints.txt, what runs, and constraints-dev.txt, what develops it, anew
	$(COMPILE) --extra embedded --extra build --output-file constraints.txt pyproject.toml
	$(COMPILE) --extra dev --constraint constraints.txt --output-file constraints-dev.txt pyproject.toml
	$(COMPILE) --output-file clients/python/constraints.txt clients/python/requirements.in

clean:  ## remove the environment and local state
	rm -rf .venv* .wheels .rollcall .bench .servers .failover .oidc-provider .client .pgbouncer .pgbackrest
