"""System call filters: the OCI profile of a container, and our own deny list."""

from collections.abc import Mapping
from typing import Any


def compile_filters(seccomp: Mapping[str, Any] | None) -> tuple[bytes, ...]:
    """BPF programs to load, in order: the spec's profile if it has one, then our deny list."""
    raise NotImplementedError
