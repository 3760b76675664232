"""Control groups of a container: v1, v1 beside v2 ("hybrid") and v2, behind one class."""

from shim.cgroup.group import Cgroup, locate

__all__ = ["Cgroup", "locate"]
