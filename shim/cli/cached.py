"""Which modules this node's engine finds compiled, told without loading the engine's code."""

import hashlib
from pathlib import Path

from shim.cli.node import node_config
from shim.wasm.binary import Kind


def cached_digests() -> frozenset[str]:
    """The sha256, in hex, of every module with an artefact that fits this node's engine.

    None where there is no cache, or one that only root may see.
    """
    from shim.engine.config import compatibility_key

    key = hashlib.sha256(compatibility_key().encode()).hexdigest()[:16]
    directory = Path(node_config().cache.directory) / key
    suffixes = {f".{kind}" for kind in Kind}
    try:
        return frozenset(path.stem for path in directory.iterdir() if path.suffix in suffixes)
    except OSError:
        return frozenset()
