"""The form in which `start` tells containerd the shim's address: one row per kind of containerd.

Rules: no I/O. containerd 1.6 reads the output as a bare address; every later line still reads that
form (containerd core/runtime/v2, parseStartResponse), so it is the default row. Version 2 over
ttrpc is read by every containerd since 1.7, also by those that send a BootstrapParams.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

_Form = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class Caller:
    """What a `start` call tells of the containerd behind it."""

    max_shim_version: int | None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Caller":
        """Read MAX_SHIM_VERSION, which containerd sets since 1.7."""
        text = env.get("MAX_SHIM_VERSION", "")
        return cls(int(text) if text.isdecimal() else None)

    @property
    def reads_json(self) -> bool:
        """Whether it is 1.7 or later."""
        return (self.max_shim_version or 0) >= 2


def _bare(address: str) -> bytes:
    return address.encode()


def _json_v2(address: str) -> bytes:
    return json.dumps({"version": 2, "address": address, "protocol": "ttrpc"}).encode()


# First row whose test holds. Newer containerds are more rows above the last.
_FORMS: tuple[tuple[Callable[[Caller], bool], _Form], ...] = (
    (lambda caller: caller.reads_json, _json_v2),
    (lambda _: True, _bare),
)


def encode_address(address: str, caller: Caller) -> bytes:
    """What `start` prints for this caller; `address` is `unix://` and an absolute path."""
    return next(form for applies, form in _FORMS if applies(caller))(address)


def encode_grpc_address(path: Path) -> bytes:
    """What `start` prints for a pod behind gRPC; containerd 1.7 dials a path without a scheme."""
    return json.dumps({"version": 2, "address": str(path), "protocol": "grpc"}).encode()


def decode_address(text: str) -> Path | None:
    """The pod's task socket, given what the bundle's `address` holds; None for nonsense."""
    if not text.startswith("{"):
        return Path(text.removeprefix("unix://"))
    try:
        return Path(json.loads(text)["address"]).with_suffix("")
    except (ValueError, TypeError, KeyError):
        return None
