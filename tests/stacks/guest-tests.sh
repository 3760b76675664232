#!/usr/bin/env bash
# What of the tests depends on the cgroup hierarchy, on cgroup v2 alone; uml-init.sh runs it in the guest. Every test
# whose name holds a word of these is taken: tests that come later are in it by what they are called.
set -uo pipefail
export TANDEM_TEST_PATIENCE=4
words="memory or cgroup or limit or stats or oom or pause or resume or resize or update or mixed_pod"
failed=0

run() { # PYTEST-ARGUMENTS...
  echo "== pytest $*"
  .venv/bin/python -m pytest --quiet --color no -p no:cacheprovider "$@" || failed=1
}

run tests/unit/cgroup tests/integration/test_cgroup*.py
# Bad input, and many of the same, ask little of the hierarchy and take most of the time.
conformance=(tests/conformance --ignore-glob '*/test_bad_*.py' --ignore-glob '*_many.py'
  --ignore tests/conformance/test_stress.py)
run "${conformance[@]}"
run "${conformance[@]}" --shim .venv/bin/containerd-shim-tandem-v1 --oci-runtime crun \
  -k "linux and not wasm and not leftovers"
run tests/cri --containerd 1.6 -k "$words"
run tests/cri --containerd 2.1 -k "$words"
exit $failed
