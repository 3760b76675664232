"""What the configuration says of loaders and of the node's cache, for the command."""

from pathlib import Path

from shim.aot.cache import Cache
from shim.aot.limits import CompileLimits
from shim.config import Config
from shim.engine.config import compatibility_key


def node_cache(config: Config) -> Cache:
    """The node's cache.

    Raises:
        PermissionDeniedError: it is somebody else's.
    """
    return Cache(Path(config.cache.directory), config.cache.max_bytes, compatibility_key())


def compile_limits(config: Config) -> CompileLimits:
    """What the configuration gives a loader."""
    section = config.compile
    return CompileLimits(section.memory_bytes, section.timeout_s, section.parallel)
