"""Keeps Linux containers out of the node's pid namespace where their spec gets there by a guest.

A Wasm instance lives in the node's pid namespace, where it can do no harm: it makes no system call.
`kubectl debug --target` on it has CRI write the path of its namespace into the spec of a Linux
container, which could then see and signal every process of the node. Rules: such a container gets a
namespace of its own; one that names the namespace of any other process, a pod of the node's own
namespaces among them, gets what it names.
"""

import json
import os
import re
from pathlib import Path

from shim.errdefs import InvalidArgumentError
from shim.oci.spec import Spec

_PATH = re.compile(r"/proc/([0-9]+)/ns/pid")


def is_an_instances(spec: Spec) -> bool:
    """Whether the spec names the pid namespace of a Wasm instance: of a fork of this process.

    Raises:
        InvalidArgumentError: the process that it names is gone.
    """
    for namespace in spec.namespaces:
        found = _PATH.fullmatch(namespace.path) if namespace.type == "pid" else None
        if found is not None:
            try:
                theirs = os.stat(f"/proc/{found[1]}/exe")  # noqa: PTH116 (it is no path to open)
            except OSError as error:
                raise InvalidArgumentError(
                    f"pid namespace {namespace.path[:200]}: {error.strerror}; the container that it"
                    " was of has ended"
                ) from error
            return os.path.samestat(theirs, os.stat("/proc/self/exe"))  # noqa: PTH116
    return False


def make_private(config: Path) -> None:
    """Rewrite a config.json, whole or not at all, so that the container's pid namespace is new."""
    document = json.loads(config.read_bytes())
    for namespace in document["linux"]["namespaces"]:
        if namespace.get("type") == "pid":
            namespace.pop("path", None)
    new = config.with_name(".config.json")
    new.write_text(json.dumps(document))
    new.rename(config)
