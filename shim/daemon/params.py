"""containerd's command line for a shim, as data (reference: containerd pkg/shim, Go style flags).

Rules: no I/O. Unknown flags are errors, since a flag that is not understood may change the meaning
of the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from shim.errdefs import InvalidArgumentError


class Action(StrEnum):
    """What containerd, or a person, wants of the shim binary."""

    START = "start"
    DELETE = "delete"
    INFO = "-info"
    VERSION = "-v"


@dataclass(frozen=True, slots=True)
class Params:
    """The flags of one call."""

    action: Action
    namespace: str = ""
    id: str = ""
    address: str = ""
    publish_binary: str = ""
    bundle: str = ""
    debug: bool = False


_TEXT_FLAGS = {
    "namespace": "namespace",
    "id": "id",
    "address": "address",
    "publish-binary": "publish_binary",
    "bundle": "bundle",
}


def parse_params(argv: Sequence[str]) -> Params:
    """Read an argv, its first entry (the binary's name) included.

    Raises:
        InvalidArgumentError: an unknown flag or action, a flag without its value, no namespace or
        id.
    """
    texts: dict[str, str] = {}
    action: Action | None = None
    debug = False
    words = iter(argv[1:])
    for word in words:
        name, separator, inline = word.lstrip("-").partition("=")
        if word in {"-v", "--v", "-version", "--version"}:
            return Params(Action.VERSION)
        if word in {"-info", "--info"}:
            return Params(Action.INFO)
        if not word.startswith("-"):
            if word not in {Action.START, Action.DELETE}:
                raise InvalidArgumentError(f"unknown action {word!r}: use start or delete")
            action = Action(word)
        elif name == "debug":
            debug = inline != "false"
        elif name in _TEXT_FLAGS:
            value = inline if separator else next(words, None)
            if value is None:
                raise InvalidArgumentError(f"flag {word} needs a value")
            texts[_TEXT_FLAGS[name]] = value
        else:
            raise InvalidArgumentError(f"unknown flag {word}")
    return _checked(action, texts, debug=debug)


def _checked(action: Action | None, texts: dict[str, str], *, debug: bool) -> Params:
    if action is None:
        raise InvalidArgumentError("nothing to do: containerd calls this with start or delete")
    for flag in ("namespace", "id"):
        value = texts.get(flag, "")
        # containerd's identifiers hold no separator; ours become parts of file names.
        if value in {"", ".", ".."} or "/" in value:
            raise InvalidArgumentError(f"flag -{flag} is missing or malformed: {value!r}")
    return Params(action=action, debug=debug, **texts)
