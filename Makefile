# SynergAI. `make demo` and `make test` install what they need themselves: Python 3.11 or newer is all a machine must have.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip install --python $(BIN)/python --quiet --compile-bytecode --constraint constraints.txt
TRAIN_CONFIG ?= training/configs/default.yaml
# Real kubelets need root, Linux and gcc; elsewhere their tests are skipped.
MACHINES = $(shell [ "$$(uname)" = Linux ] && [ "$$(id -u)" = 0 ] && command -v gcc >/dev/null && echo machines)

# Files of tests run two at a time, but on a cluster of yours one at a time, as each binds what it finds there.
AT_ONCE := $(if $(KUBECONFIG),0,2)

# Hundreds of processes are started here, each of which would compile all that it imports.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo demo-real kubernetes machines cluster test contract-1.34 test-fast check bench bench-kubernetes bench-jobs train install clean constraints

help:  ## this list
	@grep -hE '^[a-z0-9.-]+:.*##' Makefile | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "SynergAI needs Python 3.11 or newer; '$(PYTHON)' is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv

$(VENV)/.base: pyproject.toml constraints.txt | $(BIN)/uv
	$(UV) --editable .
	@touch $@

$(VENV)/.all: pyproject.toml constraints.txt | $(BIN)/uv
	$(UV) --editable '.[train,engines,models,scale,dev]'
	@touch $@ $(VENV)/.base

install: $(VENV)/.all  ## everything, with torch and the developers' tools, into .venv

demo: $(VENV)/.base  ## the released policy schedules pods on an embedded cluster, beside three rules
	$(BIN)/synergai demo

demo-real: machines  ## measure, schedule and run real engines in pods of three real kubelets; as root, on Linux
	$(BIN)/python -m tests.e2e.real --quick --models magika,ppocr-rec --batches 1 --jobs 12 --calibrate 12 --job-s 5 --load 0.9

test: $(VENV)/.all  ## every test, end-to-end ones included
	@[ -n "$$KUBECONFIG$$KUBEBUILDER_ASSETS" ] || tests/e2e/cluster/build.sh kube-scheduler $(MACHINES) >/dev/null || [ "$$SYNERGAI_E2E" != require ]
	$(BIN)/python -m pytest -m "not alone" -n $(AT_ONCE) --dist loadfile --no-loadscope-reorder; most=$$?; $(BIN)/python -m pytest -m alone && exit $$most

contract-1.34: $(VENV)/.all  ## the contract suite and the end-to-end tests on Kubernetes 1.34 (builds it once)
	K8S_VERSION=1.34.4 tests/e2e/cluster/build.sh $(MACHINES) >/dev/null
	K8S_VERSION=1.34.4 SYNERGAI_E2E=require $(BIN)/python -m pytest tests/contract tests/e2e

test-fast: $(VENV)/.all  ## the tests that need seconds
	$(BIN)/python -m pytest -m "not slow and not e2e"

check: $(VENV)/.all  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

kubernetes: $(VENV)/.all  ## build the API server that end-to-end tests run on, once, from Go modules
	tests/e2e/cluster/build.sh

machines: $(VENV)/.all  ## the same, and what real nodes need: kubelet, containerd, runc, CNI plugins
	tests/e2e/cluster/build.sh machines

cluster: kubernetes  ## run that API server until Ctrl-C; its kubeconfig is out/kubeconfig
	@mkdir -p out
	$(BIN)/python -m tests.e2e.cluster --kubeconfig out/kubeconfig

train: $(VENV)/.all  ## train a policy with $(TRAIN_CONFIG) into runs/
	$(BIN)/synergai train --config $(TRAIN_CONFIG) --out runs/default

bench: $(VENV)/.all  ## every figure of speed, one JSON line each
	$(BIN)/synergai bench all

bench-kubernetes: kubernetes  ## the bridge beside kube-scheduler on a real API server, some minutes
	tests/e2e/cluster/build.sh kube-scheduler >/dev/null
	for size in "--pods 1000 --nodes 100" "--pods 5000 --nodes 100" "--pods 1000 --nodes 1000" "--pods 5000 --nodes 1000" \
	  "--pods 1000 --nodes 100 --arrive 100" "--pods 1000 --nodes 1000 --arrive 100"; do \
	  $(BIN)/python -m tests.e2e.cluster --bare -- $(BIN)/synergai bench beside_kube_scheduler $$size || exit 1; done

bench-jobs: kubernetes  ## InferenceJobs beside batch/v1 Jobs on a real API server, some minutes
	for size in "--jobs 1000 --nodes 100 --repeats 3" "--jobs 1000 --nodes 1000" "--jobs 1000 --nodes 100 --arrive 50"; do \
	  $(BIN)/python -m tests.e2e.cluster --bare -- $(BIN)/synergai bench jobs_beside_kubernetes $$size || exit 1; done

constraints: | $(BIN)/uv  ## pin the newest versions of everything
	$(BIN)/uv pip compile --quiet --universal --no-emit-index-url --all-extras --python-version 3.11 --upgrade pyproject.toml --output-file constraints.txt

clean:  ## remove what was installed and made here
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis out
