"""The names of the services that a gateway serves, and its word to who made it.

Rules: no I/O; stdlib only.
"""

READY = b"\1"
"""Sent when the gateway listens."""

SERVICES = ("containerd.task.v2.Task", "containerd.task.v3.Task")
HEALTH = "grpc.health.v1.Health"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection"


def split_method(path: str) -> tuple[str, str]:
    """The service and the method of an HTTP/2 path, `/SERVICE/METHOD`; empty where it is none."""
    _, service, method = path.split("/") if path.count("/") == 2 else ("", "", "")
    return service, method


def is_introspection(path: str) -> bool:
    """Whether this method is of health or reflection."""
    return split_method(path)[0] in {HEALTH, REFLECTION}
