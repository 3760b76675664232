"""What a forked instance must not keep of the process that forked it."""

from collections.abc import Iterable


def drop_inherited(keep_fds: Iterable[int]) -> None:
    """Close every file descriptor that is not in `keep_fds` and empty the environment."""
    raise NotImplementedError
