"""The `poststop` hooks of a Wasm container whose pod shim died before it could run them.

Rules: what fails is passed over: the container is gone all the same (runtime-spec runtime.md,
"Lifecycle", step 13).
"""

import contextlib
import os
import subprocess
from pathlib import Path

from shim.errdefs import ShimError
from shim.instance.hooks import state_document
from shim.oci.spec import parse_spec

# containerd gives `delete` 5 s for everything.
_TIMEOUT_S = 2.0


def run_poststop(container_id: str, bundle: Path) -> None:
    """Run them."""
    try:
        spec = parse_spec((bundle / "config.json").read_bytes())
    except (OSError, ShimError):
        return
    state = state_document(spec, container_id, os.fspath(bundle), "stopped")
    for hook in spec.hooks.get("poststop", ()):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(
                hook.args or (hook.path,),
                executable=hook.path,
                env=dict(entry.partition("=")[::2] for entry in hook.env),
                input=state,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=min(hook.timeout_s or _TIMEOUT_S, _TIMEOUT_S),
                check=False,
            )
