"""Says which module of an artifact a container runs, and what its guest is told.

Rules: pure. One module is taken whatever the entry point says, since Kubernetes makes people write
some command for an image that has none, as runwasi does. Of several, the container's annotation
chooses, then the name in the entry point; nothing is guessed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shim.oci.artifact import Artifact, Module

MODULE_ANNOTATION = "io.containerd.tandem.v1/module"
"""Names the module of an artifact to run: its title, its Spin component's id, or its digest."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The module to run, the function in it (None: its own entry), and the guest's arguments.

    `env` are the artifact's variables (`NAME=value`) that the container does not set itself.
    """

    module: Module
    function: str | None
    args: tuple[str, ...]
    env: tuple[str, ...] = ()


def choose_module(
    artifact: Artifact,
    args: Sequence[str],
    env: Sequence[str],
    annotations: Mapping[str, str],
) -> Choice:
    """Choose by the container's process (its `args` and `env`) and annotations.

    Raises:
        InvalidArgumentError: nothing is chosen, or native code is; the text names the choices.
        UnimplementedError: the chosen component is started by a trigger that Tandem does not have.
    """
    raise NotImplementedError


def check_head(module: Module, head: bytes) -> None:
    """See that a module's first bytes are Wasm.

    Args:
        module: for the error's text.
        head: at least 8 bytes of it, 4 KiB where it may be text.

    Raises:
        InvalidArgumentError: it is native code, which never comes from an image, or nothing at all.
    """
    raise NotImplementedError
