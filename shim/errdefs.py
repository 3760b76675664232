"""The kinds of error that a caller can meet, named as containerd's errdefs names them.

Rules of this module: one class per kind, no wire codes (`shim.pod.status` holds the one table), no
imports. Texts are lower case, name the object and the way out.
"""


class ShimError(Exception):
    """Base of every error that Tandem raises on purpose."""


class InvalidArgumentError(ShimError):
    """The request, the bundle or the image is wrong, and repeating it changes nothing."""


class NotFoundError(ShimError):
    """The named container, process or file does not exist."""


class AlreadyExistsError(ShimError):
    """The named container or process exists already."""


class FailedPreconditionError(ShimError):
    """The object is in a state that does not allow the request."""


class PermissionDeniedError(ShimError):
    """The caller, or the node's configuration, does not allow it."""


class ResourceExhaustedError(ShimError):
    """A limit was reached: memory, time, size or count."""


class DeadlineExceededError(ShimError):
    """It took longer than it may."""


class UnavailableError(ShimError):
    """Something that is needed is not there at the moment; a retry may help."""


class UnimplementedError(ShimError):
    """Tandem does not do this."""


class InternalError(ShimError):
    """Tandem or the node failed in a way that nobody asked for."""


class StaleArtefactError(FailedPreconditionError):
    """A compiled module does not fit this node's engine: it must be compiled anew."""


class NoArtifactError(NotFoundError):
    """The image, if there is one, holds no module of its own: what it is, its files say."""
