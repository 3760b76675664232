"""The steps into the jail, in order; each failing under its own name."""

from collections.abc import Sequence
from pathlib import Path

from shim.errdefs import InternalError
from shim.jail.plan import JailPlan
from shim.kernel.libc import LINUX, Kernel


class JailError(InternalError):
    """A step into the jail failed; the text names the step, the object and the reason."""


def enter(plan: JailPlan, cgroup_procs: Sequence[Path], kernel: Kernel = LINUX) -> list[str]:
    """Put the calling process, which must have one thread, into the jail for good.

    Returns:
        Warnings: what the machine does not permit and what weakens nothing.
    """
    raise NotImplementedError
