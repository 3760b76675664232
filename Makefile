# Everything that a person does with this tree. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3

.PHONY: help
help: ## what can be made
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 20

.PHONY: setup
setup: $(VENV)/.ready $(BIN)/containerd-shim-tandem-v1 ## system packages, .venv from the lock, the launcher

$(VENV)/.ready: requirements.lock pyproject.toml .ci/system-packages.sh
	.ci/system-packages.sh
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(BIN)/containerd-shim-tandem-v1: shim/launcher/launcher.c shim/launcher/install.py $(VENV)/.ready
	$(BIN)/python -m shim.launcher.install $(BIN)

.PHONY: lock
lock: $(VENV)/.ready ## write requirements.lock anew from pyproject.toml
	$(BIN)/python -m piptools compile --quiet --extra dev --extra installer --generate-hashes --no-emit-index-url \
	  --no-emit-trusted-host --no-emit-find-links --allow-unsafe --strip-extras --output-file requirements.lock pyproject.toml

.PHONY: check-locks
check-locks: $(VENV)/.ready ## no locked package asks for a newer Python than Debian 12's
	for lock in requirements.lock tests/manifests/checkov.lock; do \
	  $(BIN)/pip install --quiet --disable-pip-version-check --dry-run --no-deps --require-hashes --only-binary :all: \
	    --python-version 3.11.2 --target build/locked -r $$lock || exit 1; done

.PHONY: protos check-protos
protos: $(VENV)/.ready ## generate shim/api, runtimeclass/api and tests/support/api from proto/
	cd proto && find . -name '*.proto' | sort | xargs ../$(BIN)/python -m grpc_tools.protoc -I . \
	  --python_out=.. --plugin=protoc-gen-mypy=../$(BIN)/protoc-gen-mypy --mypy_out=quiet:..

check-protos: protos ## the generated code is what proto/ says
	git diff --exit-code --stat -- shim/api runtimeclass/api tests/support/api

.PHONY: manifests
manifests: $(VENV)/.ready ## write runtimeclass/*.yaml, kustomize bases and chart templates from runtimeclass/manifests
	$(BIN)/python -m runtimeclass.manifests

.PHONY: fmt check
fmt: $(VENV)/.ready ## format
	$(BIN)/ruff format shim runtimeclass tests bench demo
	$(BIN)/ruff check --fix shim runtimeclass tests bench demo

check: $(VENV)/.ready ## ruff, mypy strict, import directions, spelling
	$(BIN)/ruff format --check shim runtimeclass tests bench demo
	$(BIN)/ruff check shim runtimeclass tests bench demo
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell shim runtimeclass tests bench demo docs README.md CHANGELOG.md

# One process each: a process that has spoken gRPC must not fork, and many of the first ones fork.
.PHONY: test test-unit test-modules test-integration test-conformance test-cri test-artifacts
test: test-unit test-conformance test-cri test-artifacts ## every test that needs no cluster

test-unit: setup ## unit tests, and beside them integration and security tests
	$(MAKE) --no-print-directory --output-sync=target --jobs=2 test-modules test-integration

test-modules: $(VENV)/.ready
	$(BIN)/python -m pytest -o cache_dir=.pytest_cache/modules tests/unit tests/style tests/manifests

test-integration: $(VENV)/.ready
	$(BIN)/python -m pytest -o cache_dir=.pytest_cache/integration tests/integration tests/security

test-conformance: setup ## play containerd's side, against runc's shim and ours
	$(BIN)/python -m pytest tests/conformance

test-cri: setup ## pods through a real containerd
	$(BIN)/python -m pytest tests/cri

test-artifacts: setup ## every packing of Wasm, from a real registry through a real containerd
	$(BIN)/python -m pytest tests/artifacts

# Slower ones. STACKS chooses rows of the matrix: STACKS="1.7-grpc".
.PHONY: stacks test-matrix test-cgroup2 test-conformance-grpc test-load
stacks: ## newer containerds, runc, crun and a cgroup v2 kernel, from newer suites of Debian
	tests/stacks/provision.sh

test-matrix: setup stacks ## pods and packings through containerd 1.6, 1.7 and 2.1, and a table
	$(BIN)/python -m tests.stacks.matrix $(STACKS)

test-conformance-grpc: setup ## the conformance suite against our shim, over gRPC
	$(BIN)/python -m pytest tests/conformance --transport grpc

LOAD_SECONDS ?= 600
test-load: setup ## HTTP functions at full load for ten minutes (LOAD_SECONDS): every body right, nothing grows
	$(BIN)/python -m pytest -s tests/cri/test_http_load.py --load-seconds $(LOAD_SECONDS)

test-cgroup2: setup stacks ## what depends on the cgroup hierarchy, on a kernel with cgroup v2 alone
	$(BIN)/python -m tests.stacks.cgroup2

NODE_IMAGE = build/bundle/tandem-$(VERSION)-amd64.oci.tar
# The first time, test-chart takes two minutes of processor time to build Helm, and test-cluster twelve for Kubernetes.
.PHONY: test-chart test-cluster test-installed test-k8s
test-chart: setup ## the Helm chart, by Helm itself
	tests/k8s/provision.sh helm
	$(BIN)/python -m pytest tests/chart

test-cluster: setup stacks ## the manifests and test-k8s in a Kubernetes of one node, made here
	tests/k8s/provision.sh helm
	tests/k8s/provision.sh cluster
	$(BIN)/python -m pytest tests/k8s

test-installed: setup stacks image ## the same, by the real node image, from a node that has never heard of Tandem and back
	tests/k8s/provision.sh cluster
	$(BIN)/python -m tests.k8s.installed $(NODE_IMAGE)

test-k8s: $(VENV)/.ready ## Tandem in the cluster of the current kubeconfig; see tests/k8s/__main__.py for IMAGE and the like
	$(BIN)/python -m tests.k8s

CHECKOV := .cache/checkov-$(shell sha256sum tests/manifests/checkov.lock | cut -c 1-12)

.PHONY: lint-manifests
lint-manifests: $(CHECKOV)/.ready ## hold manifests and examples to checkov's policies
	$(CHECKOV)/bin/checkov --config-file tests/manifests/checkov.yaml

$(CHECKOV)/.ready:
	$(PYTHON) -m venv $(CHECKOV)
	$(CHECKOV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r tests/manifests/checkov.lock
	touch $@

LINES := 1.6 1.7 2.1
.PHONY: test-node
test-node: setup stacks bundle ## the installer on nodes with a real containerd 1.6, 1.7 and 2.1
	mkdir -p build/node
	printf '%s\n' $(LINES) | xargs -P 3 -I LINE sh -c '$(BIN)/python -m pytest tests/node --containerd LINE \
	  -o cache_dir=.pytest_cache/LINE > build/node/LINE.log 2>&1' || status=$$?; \
	  tail -n +1 $(LINES:%=build/node/%.log); exit $${status:-0}

.PHONY: demo
demo: setup ## a pod with a Wasm and a Linux container, visibly working
	$(BIN)/python -m demo

.PHONY: bench
bench: setup ## compare with runc's shim, in interleaved pairs
	$(BIN)/python -m bench

# ARCH=arm64 needs Debian's gcc-aarch64-linux-gnu and libc6-dev-arm64-cross.
ARCH ?= amd64
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
.PHONY: bundle image
bundle: $(VENV)/.ready ## a directory that runs on any node of ARCH, with its own Python, in build/bundle
	$(BIN)/python -m runtimeclass.bundle --arch $(ARCH)

image: bundle ## the image of the installer, as an archive for `ctr images import`, in build/bundle
	$(BIN)/python -m runtimeclass.bundle --arch $(ARCH) --image

.PHONY: test-bundle
test-bundle: setup image ## the bundle, moved away from here, on a root without a C library and in pods
	$(BIN)/python -m pytest tests/bundle
	$(BIN)/python -m pytest --shim-dir $(CURDIR)/build/bundle/tandem-$(VERSION)-$(ARCH)/bin \
	  tests/cri/test_mixed_pod.py tests/cri/test_http.py tests/cri/test_http_metrics.py tests/cri/test_http_workers.py \
	  tests/cri/test_interfaces.py tests/cri/test_exec_wasm.py

.PHONY: clean
clean: ## remove what the targets above made in this folder
	rm -rf $(VENV) .cache build
