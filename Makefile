# What a person does here: `make run` to see it reign, `make test` and `make lint` before a commit. `make` alone lists all.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.installed-run
DEV_STAMP := $(VENV)/.installed-dev
BENCH_STAMP := $(VENV)/.installed-bench
PEERS_VENV := .venv-peers
PEERS_STAMP := $(PEERS_VENV)/.installed

# Debian packages that the tests need: the real uWSGI to compare with, a compiler for the test vassal and for LDAP's driver,
# tools to look into processes and to cut networks, the servers, a browser, and shells to complete in. The tests start
# those privately.
PACKAGES := gcc libc6-dev python3-dev strace util-linux iptables openssl \
	uwsgi-core uwsgi-plugin-emperor-pg \
	postgresql rabbitmq-server zookeeper slapd ldap-utils libldap2-dev libsasl2-dev \
	chromium prometheus systemd zsh fish tmux
# Those that the benchmarks compare with, beside the tests' uWSGI.
BENCH_PACKAGES := s6 runit
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

# Three workers for two processors: tests of outages wait most of the time.
PYTEST_ARGS ?= --numprocesses 3 --dist loadscope
BENCH_ARGS ?=
BENCH_FIGURES := docs/benchmarks/figures.json

INSTALL := -m pip install --quiet --disable-pip-version-check
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --custom-compile-command 'make lock'

.DEFAULT_GOAL := help
.PHONY: help run test bench bench-full lint format lock packages bench-packages clean

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(RUN_STAMP) ## Start the emperor on examples/vassals: four real web applications on loopback
	@exec $(BIN)/python examples/run.py

test: $(DEV_STAMP) ## Run all tests (installs Debian packages that they need)
	$(BIN)/pytest $(PYTEST_ARGS)

bench: BENCH_LENGTH :=
bench: ## Measure us beside the others, in under 15 minutes (BENCH_ARGS=--quick: a short look); writes plots and pages
bench-full: BENCH_LENGTH := --full
bench-full: ## The same at length: every size, more repetitions

# Where a run failed, what was measured is shown all the same.
bench bench-full: $(DEV_STAMP) $(BENCH_STAMP) $(PEERS_STAMP) | bench-packages
	@mkdir -p $(dir $(BENCH_FIGURES))
	$(BIN)/python -m benchmarks $(BENCH_LENGTH) $(BENCH_ARGS) --json $(BENCH_FIGURES); measured=$$?; \
	$(BIN)/python -m benchmarks.page $(BENCH_FIGURES) && exit $$measured

lint: $(DEV_STAMP) ## Check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" pyright --verifytypes emperor_trio --ignoreexternal

format: $(DEV_STAMP) ## Put the code into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: $(DEV_STAMP) ## Pin the newest versions of all dependencies, with their hashes, in requirements/
	$(LOCK) pyproject.toml --upgrade --extra all --extra ldap --group dev --output-file requirements/dev.txt
	$(LOCK) pyproject.toml --extra uwsgi --group run --constraint requirements/dev.txt --output-file requirements/run.txt
	$(LOCK) --upgrade --group bench --constraint requirements/dev.txt --output-file requirements/bench.txt
	$(LOCK) --upgrade --group peers --output-file requirements/peers.txt

# Debian starts what it installs unless a policy-rc.d says otherwise: ours says so for as long as that takes.
packages: WANTED = $(PACKAGES)
bench-packages: WANTED = $(BENCH_PACKAGES)
bench-packages: | packages
packages bench-packages:
	@missing=$$(for package in $(WANTED); do \
		dpkg-query --show --showformat='$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || echo $$package; done); \
	if [ -n "$$missing" ]; then \
		policy=/usr/sbin/policy-rc.d; \
		if [ ! -e $$policy ]; then \
			printf '#!/bin/sh\nexit 101\n' | $(SUDO) tee $$policy >/dev/null && $(SUDO) chmod 755 $$policy; \
			trap "$(SUDO) rm -f $$policy" EXIT; \
		fi; \
		$(SUDO) apt-get update -qq && \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $$missing; \
	fi

clean: ## Remove the virtual environments and what tools left behind
	rm -rf $(VENV) $(PEERS_VENV) src/emperor_trio/processes/tether examples/log/*.log \
		.coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(PEERS_VENV)/bin/python:
	$(PYTHON) -m venv $(PEERS_VENV)

# A stamp says that this lock and this project's metadata were installed, and its native part compiled, so that the next
# run starts at once.
NATIVE := hatch_build.py src/emperor_trio/processes/tether.c
$(RUN_STAMP): requirements/run.txt pyproject.toml $(NATIVE) | $(BIN)/python
$(DEV_STAMP): requirements/dev.txt pyproject.toml $(NATIVE) | packages $(BIN)/python

$(RUN_STAMP) $(DEV_STAMP):
	$(BIN)/python $(INSTALL) --require-hashes -r $<
	$(BIN)/python $(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

# Only packages: what draws the plots, and the peers that are written in Python.
$(BENCH_STAMP): requirements/bench.txt | $(DEV_STAMP)
$(PEERS_STAMP): requirements/peers.txt | $(PEERS_VENV)/bin/python

$(BENCH_STAMP) $(PEERS_STAMP):
	$(@D)/bin/python $(INSTALL) --require-hashes -r $<
	@touch $@
