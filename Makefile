# The menu of the project; `make help` prints it. The pipelines call the same targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

# The first interpreter that runs and is new enough; a name on PATH may be a version manager's stub that does not run.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)

SERVICES := service1-api service2-consumer
DEV := .venvs/dev/bin
STACK := .venvs/local_stack/bin/python -m local_stack
SOURCES := common/src service1-api service2-consumer local_stack e2e_test tests docs

.PHONY: help
help: ## print this menu
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

# ---- environments: one for development, one for each service with its own locked requirements only ----------------

.venvs/dev/.ready: requirements-dev.txt common/pyproject.toml $(SERVICES:%=%/pyproject.toml)
	@$(call environment,dev,requirements-dev.txt,-e ./common $(SERVICES:%=-e ./%))

.venvs/service%/.ready: service%/requirements.txt service%/pyproject.toml common/pyproject.toml
	@$(call environment,service$*,service$*/requirements.txt,-e ./common -e ./service$*)

.venvs/local_stack/.ready: local_stack/requirements.txt
	@$(call environment,local_stack,local_stack/requirements.txt,)

# $(1) name, $(2) locked requirements, $(3) packages of this repository
define environment
if [ -z "$(PYTHON)" ]; then echo "Pillarbox needs Python 3.11 or newer on PATH (or: make PYTHON=/path/to/python3)" >&2; exit 2; fi
echo "setting up .venvs/$(1) with $$($(PYTHON) --version) (a minute the first time)"
rm -rf ".venvs/$(1)"
$(PYTHON) -m venv ".venvs/$(1)" || { echo "Python's venv module is missing; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }
.venvs/$(1)/bin/pip --disable-pip-version-check --quiet install --require-hashes --requirement $(2)
if [ -n "$(3)" ]; then .venvs/$(1)/bin/pip --disable-pip-version-check --quiet install --no-deps $(3); fi
touch $@
endef

.PHONY: setup
setup: .venvs/service1-api/.ready .venvs/service2-consumer/.ready .venvs/local_stack/.ready ## make what `make run` needs

# ---- checking -------------------------------------------------------------------------------------------------------

.PHONY: test
test: setup .venvs/dev/.ready ## run every test that needs only Python
	@$(DEV)/python -m pytest $(ARGS)

.PHONY: check
check: .venvs/dev/.ready ## lint and types
	@$(DEV)/ruff check . && $(DEV)/ruff format --check . && $(DEV)/mypy $(SOURCES)

.PHONY: lock
lock: .venvs/dev/.ready ## resolve the locked requirements again, hashes included (UPGRADE=--upgrade for newer versions)
	@lock() { $(DEV)/uv pip compile --quiet --no-header --universal --python-version 3.11 --generate-hashes \
		--no-annotate $(UPGRADE) "$$@"; }; \
	own="--no-emit-package pillarbox-common --no-emit-package service1-api --no-emit-package service2-consumer"; \
	lock $$own common/pyproject.toml $(SERVICES:%=%/pyproject.toml) --group pyproject.toml:dev -o requirements-dev.txt; \
	for service in $(SERVICES); do \
		lock $$own "$$service/pyproject.toml" -c requirements-dev.txt -o "$$service/requirements.txt"; done; \
	lock local_stack/requirements.in -o local_stack/requirements.txt

.PHONY: clean
clean: ## remove environments, caches and the local stack with its data
	@rm -rf .venvs .local .cache && find . -name __pycache__ -type d -prune -exec rm -rf {} +
