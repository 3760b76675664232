"""What this node's commands share: its configuration and its image store."""

import os
from pathlib import Path

from shim.config import DEFAULT_PATH, PATH_VARIABLE, Config, load_config
from shim.images.store import Store


def node_config() -> Config:
    """The node's configuration.

    Raises:
        InvalidArgumentError: it is unusable.
    """
    return load_config(Path(os.environ.get(PATH_VARIABLE) or DEFAULT_PATH))


def node_store() -> Store:
    """The node's image store.

    Raises:
        PermissionDeniedError: it is somebody else's.
    """
    return Store(Path(node_config().images.directory))
