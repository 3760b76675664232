"""What a container's jail is made of, as data; every refusal is made here, before any fork."""

from dataclasses import dataclass
from pathlib import Path

from shim.oci.spec import Spec


@dataclass(frozen=True, slots=True)
class JailPlan:
    """Everything that `enter` needs, checked."""

    rootfs: Path
    pid_namespace: Path | None


def build_plan(spec: Spec, rootfs: Path) -> JailPlan:
    """Turn a spec into a plan.

    Raises:
        InvalidArgumentError: the spec contradicts itself.
        UnimplementedError: the spec asks for what a Wasm container cannot have.
    """
    raise NotImplementedError
