#!/usr/bin/env bash
# What of the tests depends on the cgroup hierarchy, on cgroup v2 alone; uml-init.sh runs it in the guest. A test is in
# it by what it, or its file, is called: `limits` are a group's files, `lives` is all that makes, fills and removes one.
set -uo pipefail
export TANDEM_TEST_PATIENCE=4
# Not the one of the tree, which tests outside of the guest may have made.
export HYPOTHESIS_STORAGE_DIRECTORY=/run/hypothesis
limits="memory or cgroup or limit or stats or oom or pause or resume or resize or update"
lives="test_start or test_lifecycle or test_leftovers or test_exec_process or test_wasm"
shim=.venv/bin/containerd-shim-tandem-v1
failed=0

run() { # PYTEST-ARGUMENTS...
  echo "== pytest $*"
  .venv/bin/python -m pytest --quiet --color no -p no:cacheprovider "$@" || failed=1
}

run tests/unit/cgroup tests/integration/test_cgroup*.py
run tests/integration/test_run.py tests/integration/test_run_deaths.py -k "memory or dies"
run tests/conformance --ignore-glob '*/test_bad_*.py' -k "$limits or $lives"
run tests/conformance --shim $shim --oci-runtime crun -k "linux and not wasm and ($limits or test_lifecycle)"
run tests/cri --containerd 1.6 -k "$limits or mixed_pod"
run tests/cri --containerd 2.1 -k "$limits or mixed_pod"
exit $failed
