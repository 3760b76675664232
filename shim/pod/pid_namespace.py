"""Keeps Linux containers out of the node's pid namespace where their spec names it by accident.

A Wasm instance lives in the node's pid namespace, where it can do no harm: it makes no system call.
`kubectl debug --target` on it has CRI write the path of that namespace into the spec of a Linux
container, which could then see and signal every process of the node. Who is to have the node's pid
namespace has no entry for one in its spec. Rules: such a container gets a namespace of its own.
"""

import json
import os
from pathlib import Path

from shim.errdefs import InvalidArgumentError
from shim.oci.spec import Spec

_OWN = "/proc/self/ns/pid"


def is_the_nodes(spec: Spec) -> bool:
    """Whether the spec names, by its path, the pid namespace of this process.

    Raises:
        InvalidArgumentError: the path that it names is gone.
    """
    for namespace in spec.namespaces:
        if namespace.type == "pid" and namespace.path:
            try:
                return os.path.samestat(os.stat(namespace.path), os.stat(_OWN))  # noqa: PTH116
            except OSError as error:
                raise InvalidArgumentError(
                    f"pid namespace {namespace.path[:200]}: {error.strerror}; the container that it"
                    " was of has ended"
                ) from error
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
