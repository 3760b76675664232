"""How an installer fails: one class per kind, each with the exit status that a Job sees.

Rules: texts are lower case, name the object and the way out. `status` is part of the interface (the
table is in the package's docstring), `changed` says whether the node may differ from before.
"""

from typing import ClassVar

from shim.errdefs import ShimError


class InstallerError(ShimError):
    """Base; raised itself for a fault of the installer's own."""

    status: ClassVar[int] = 1


class NodeError(InstallerError):
    """The node is not one that we can change: no containerd, an unusable configuration, no room."""

    status = 3


class BundleError(InstallerError):
    """The bundle is not whole, or not for this machine."""

    status = 4


class HostError(InstallerError):
    """The node does not let us write, or has no room left."""

    status = 5


class RestartError(InstallerError):
    """containerd did not come back, or does not offer the handler."""

    status = 6


class RollbackError(InstallerError):
    """What was changed could not be changed back: somebody has to look at the node."""

    status = 7


class PodsRunError(InstallerError):
    """Pods of Tandem's run, so nothing is taken away from below them."""

    status = 8


class ProofError(InstallerError):
    """containerd has the handler, and yet no guest runs."""

    status = 9


class LabelError(InstallerError):
    """The node could not be labelled, or its label not be removed."""

    status = 10


class BusyError(InstallerError):
    """Another installer is at work on this node."""

    status = 11


class StoppedError(InstallerError):
    """SIGTERM came; the next call goes on from here."""

    status = 143
