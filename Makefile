# The menu of the project; `make help` prints it. The pipelines call the same targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory
# The tests start many interpreters; without cached bytecode each one compiles this repository again.
unexport PYTHONDONTWRITEBYTECODE
# Without it, hypothesis imports Trio in each worker; no test uses Trio.
export HYPOTHESIS_NO_PLUGINS := 1

# The first interpreter that runs and is new enough; a name on PATH may be a version manager's stub that does not run.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)

SERVICES := service1-api service2-consumer
PROJECTS := $(SERVICES) ops
IMAGES := $(SERVICES) ops
DEV := .venvs/dev/bin

.PHONY: help
help: ## print this menu
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

# ---- environments: one for development, one for each service with its own locked requirements only ----------------

.venvs/dev/.ready: requirements-dev.txt common/pyproject.toml $(PROJECTS:%=%/pyproject.toml)
	@$(call environment,dev,requirements-dev.txt,-e ./common $(PROJECTS:%=-e ./%))

.venvs/service%/.ready: service%/requirements.txt service%/pyproject.toml common/pyproject.toml
	@$(call environment,service$*,service$*/requirements.txt,-e ./common -e ./service$*)

.venvs/ops/.ready: ops/requirements.txt ops/pyproject.toml common/pyproject.toml
	@$(call environment,ops,ops/requirements.txt,-e ./common -e ./ops)

.venvs/local_stack/.ready: local_stack/requirements.txt
	@$(call environment,local_stack,local_stack/requirements.txt,)

PLACE_service1-api := 1 of 4
PLACE_service2-consumer := 2 of 4
PLACE_local_stack := 3 of 4
PLACE_ops := 4 of 4

# $(1) name, $(2) locked requirements, $(3) packages of this repository. Wheels only: a newcomer has no compiler.
define environment
if ! "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	echo "Pillarbox needs Python 3.11 or newer on PATH (or: make PYTHON=/path/to/python3)" >&2; exit 2; fi
echo "setting up environment $(or $(PLACE_$(1)),for development): .venvs/$(1), $$($(PYTHON) --version), some 15 seconds"
rm -rf ".venvs/$(1)"
$(PYTHON) -m venv ".venvs/$(1)" || { echo "Python's venv module is missing; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }
.venvs/$(1)/bin/pip --disable-pip-version-check --quiet install --only-binary :all: --require-hashes --requirement $(2)
if [ -n "$(3)" ]; then .venvs/$(1)/bin/pip --disable-pip-version-check --quiet install --no-deps $(3); fi
touch $@
endef

.PHONY: setup
setup: .venvs/service1-api/.ready .venvs/service2-consumer/.ready .venvs/local_stack/.ready .venvs/ops/.ready ## make what `make run` needs

.PHONY: ops
ops: .venvs/ops/.ready ## make the operator's command line: .venvs/ops/bin/pillarbox

# ---- running --------------------------------------------------------------------------------------------------------

.PHONY: run
run: setup ## start the whole pipeline here, send one e-mail through it and stay up (PORT=8080, PROMETHEUS=1)
	@.venvs/local_stack/bin/python -m local_stack

# What suits a laptop, unless the environment says otherwise: not reachable from outside, and quick to stop.
.PHONY: run-api
run-api: .venvs/service1-api/.ready ## run service1-api alone against what the environment names
	@export BIND_HOST="$${BIND_HOST:-127.0.0.1}" DRAIN_SECONDS="$${DRAIN_SECONDS:-0}"; \
	export MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=65536; cd service1-api; exec ../.venvs/service1-api/bin/gunicorn --config gunicorn.conf.py service1_api.wsgi:app

.PHONY: run-consumer
run-consumer: .venvs/service2-consumer/.ready ## run service2-consumer alone against what the environment names
	@export BIND_HOST="$${BIND_HOST:-127.0.0.1}" LONG_POLL_SECONDS="$${LONG_POLL_SECONDS:-1}"; \
	export MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=131072; exec .venvs/service2-consumer/bin/python -m service2_consumer

# ---- checking -------------------------------------------------------------------------------------------------------

# One worker runs all tests of a file, because they share processes; files with slow tests come first. There are more
# workers than cores, because many tests wait.
PARALLEL ?= --numprocesses=5 --dist=loadfile --no-loadscope-reorder

# Their programs (browsers, Java, an API server's clients) keep the cores busy.
PARALLEL_SYSTEM ?= --numprocesses=3 --dist=loadfile --no-loadscope-reorder

# These load the machine themselves, so there are as many workers as the smallest runner has cores.
PARALLEL_FAULTS ?= --numprocesses=2 --dist=loadfile --no-loadscope-reorder

.PHONY: test
test: setup .venvs/dev/.ready ## run every test that needs only Python (ARGS="-k name" for some)
	@$(DEV)/python -m pytest $(PARALLEL) $(ARGS)

.PHONY: test-repeat
test-repeat: setup .venvs/dev/.ready ## run `make test` N times, every second time in random order beside a CPU load (N=30)
	@$(DEV)/python -m common.testing.repeat --runs $(or $(N),30)

.PHONY: test-faults
test-faults: setup .venvs/dev/.ready ## kill, cut and overload real processes: minutes
	@$(DEV)/python -m pytest -m faults $(PARALLEL_FAULTS) $(ARGS)

.PHONY: test-system
test-system: setup .venvs/dev/.ready ## run the tests that need kubectl, the aws CLI, Groovy, nginx, haproxy, Prometheus or Chromium
	@$(DEV)/python -m pytest -m system $(PARALLEL_SYSTEM) $(ARGS)

.PHONY: test-images
test-images: setup .venvs/dev/.ready ## run the images of TAG: read-only, no capabilities, one e-mail through, a clean stop
	@CONTAINER_TOOL="$(CONTAINER_TOOL)" IMAGE_TAG="$(TAG)" $(DEV)/python -m pytest -m images $(ARGS) tests

.PHONY: test-cluster
test-cluster: setup .venvs/dev/.ready ## build a Kubernetes control plane once (20 minutes), run manifests and deploy.sh on it
	@tests/cluster/build.sh
	@PATH="$$(tests/cluster/build.sh --path):$$PATH" $(DEV)/python -m pytest -m cluster tests/cluster $(ARGS)

.PHONY: e2e
e2e: setup ## send one e-mail through the running local stack and check its object
	@e2e_test/run_e2e.sh --local

.PHONY: coverage
coverage: setup .venvs/dev/.ready ## run the tests and report the lines and branches that they reach
	@$(DEV)/python -m coverage erase
	@$(DEV)/python -m coverage run -m pytest $(PARALLEL) $(ARGS)
	@$(DEV)/python -m coverage combine --quiet
	@$(DEV)/python -m coverage html --quiet && echo "HTML report: .cache/coverage-html/index.html"
	@$(DEV)/python -m coverage report

.PHONY: check
check: .venvs/dev/.ready ## lint and types: Python, shell, Dockerfiles, CloudFormation
	@$(DEV)/ruff check .
	@$(DEV)/ruff format --check .
	@$(DEV)/mypy conftest.py common local_stack monitoring e2e_test bench tests docs infrastructure
	@for project in $(PROJECTS); do MYPYPATH=$$project $(DEV)/mypy "$$project"; done  # each has a package named tests
	@$(DEV)/shellcheck .ci/run deploy.sh infrastructure/*.sh infrastructure/deploy/*.sh infrastructure/jenkins/*.sh e2e_test/*.sh \
		tests/cluster/*.sh tests/deploy/*.sh
	@$(DEV)/hadolint $(IMAGES:%=%/Dockerfile)
	@$(DEV)/cfn-lint infrastructure/*.yaml

# ---- measuring ------------------------------------------------------------------------------------------------------

.PHONY: bench-latency
bench-latency: setup .venvs/dev/.ready ## time from accepted to stored on an idle stack
	@$(DEV)/python -m bench.latency

.PHONY: bench-api
bench-api: setup .venvs/dev/.ready ## CPU and requests/s of the API beside the usual way to write it
	@$(DEV)/python -m bench.api

.PHONY: bench-soak
bench-soak: setup .venvs/dev/.ready ## memory and open files of both services over 200,000 and 100,000 e-mails
	@$(DEV)/python -m bench.soak

.PHONY: bench-consumer
bench-consumer: setup .venvs/dev/.ready ## CPU and messages/s of the consumer beside the usual loop
	@$(DEV)/python -m bench.consumer

.PHONY: bench-tracing
bench-tracing: setup .venvs/dev/.ready ## CPU of both services with traces off, at 1 % and at 100 %
	@$(DEV)/python -m bench.tracing

.PHONY: bench-files
bench-files: setup .venvs/dev/.ready ## CPU and files/s of the file intake beside boto3 with the standard library
	@$(DEV)/python -m bench.files

# ---- images ---------------------------------------------------------------------------------------------------------

CONTAINER_TOOL ?= docker
TAG ?= $(shell git rev-parse HEAD)
BUILD := CONTAINER_TOOL="$(CONTAINER_TOOL)" PLATFORMS="$(PLATFORMS)" BASE_IMAGE="$(BASE_IMAGE)" TRACING="$(TRACING)" PYTHON="$(PYTHON)" infrastructure/build_images.sh

.PHONY: images
images: ## build the images of both services and of ops (CONTAINER_TOOL=docker, podman or buildah; TAG, PLATFORMS, BASE_IMAGE=name@sha256:…, TRACING=yes)
	@$(BUILD) build "$(TAG)"

.PHONY: sbom
sbom: ## write the list of packages in the images of TAG to .local/sbom-*.json (CycloneDX)
	@mkdir -p .local
	@for image in $(IMAGES); do \
		$(PYTHON) infrastructure/sbom.py --tool "$(CONTAINER_TOOL)" "pillarbox/$$image:$(TAG)" >".local/sbom-$$image-$(TAG).json"; \
		echo ".local/sbom-$$image-$(TAG).json"; done

.PHONY: clean-images
clean-images: ## remove the images of TAG and what their build left behind
	@$(BUILD) prune "$(TAG)"

.PHONY: pin-base
pin-base: ## write the digest that the base image has now to infrastructure/base-image.txt
	@$(BUILD) pin

.PHONY: screenshots
screenshots: setup .venvs/dev/.ready ## make the pictures of the page in docs/images/ again (needs chromium, chromedriver)
	@cd ops && PYTHONPATH=.. ../$(DEV)/python -m tests.ui.screenshots

# ---- upkeep ---------------------------------------------------------------------------------------------------------

.PHONY: docs
docs: .venvs/dev/.ready ## write the generated tables, .env.example files, objectives and dashboards again
	@$(DEV)/python -m docs.tables
	@$(DEV)/python -m monitoring.generate

.PHONY: lock
lock: .venvs/dev/.ready ## resolve the locked requirements again, hashes included (UPGRADE=--upgrade for newer versions)
	@lock() { $(DEV)/uv pip compile --quiet --no-header --universal --python-version 3.11 --generate-hashes \
		--no-annotate $(UPGRADE) "$$@"; }; \
	own="--no-emit-package pillarbox-common --no-emit-package service1-api --no-emit-package service2-consumer"; \
	lock $$own common/pyproject.toml $(PROJECTS:%=%/pyproject.toml) --extra tracing --group pyproject.toml:dev \
		-o requirements-dev.txt; \
	for project in $(PROJECTS); do \
		lock $$own "$$project/pyproject.toml" -c requirements-dev.txt -o "$$project/requirements.txt"; done; \
	for service in $(SERVICES); do \
		lock $$own "$$service/pyproject.toml" --extra tracing -c requirements-dev.txt \
			-o "$$service/requirements-tracing.txt"; done; \
	lock local_stack/requirements.in -o local_stack/requirements.txt

.PHONY: clean
clean: ## remove environments, caches and the local stack with its data
	@rm -rf .venvs .local .cache && find . -name __pycache__ -type d -prune -exec rm -rf {} +
