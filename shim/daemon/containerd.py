"""Which containerd calls, asked where the answer matters: only 1.7 can use a shim over gRPC.

Rules: never on ttrpc's path, since asking costs the start of containerd's binary. The environment
tells 1.6 from the later ones, and nothing tells 1.7 from 2.0-2.2 but the binary's own version.
"""

import re
import subprocess

from shim.errdefs import FailedPreconditionError

_TIMEOUT_S = 10.0
_WAY_OUT = 'set [shim] transport = "ttrpc" in the configuration'
# "containerd MODULE VERSION [REVISION]"; packagers add what they like after the number.
_VERSION = re.compile(r"^\S+ \S+ v?(\d{1,4})\.(\d{1,4})\b")

_NO_GRPC = "it has no gRPC for shims"
_DROPS_GRPC = "it drops a shim's gRPC connection at once, a bug of containerd's"


def require_grpc_support(publish_binary: str) -> None:
    """Return if the containerd of this binary can use a shim over gRPC.

    Raises:
        FailedPreconditionError: it cannot, or its version cannot be learned.
    """
    try:
        done = subprocess.run(
            [publish_binary, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise FailedPreconditionError(
            f"containerd's version is not known, {publish_binary!r} --version: {error}; {_WAY_OUT}"
        ) from error
    check_version(done.stdout.decode(errors="replace"), publish_binary)


def check_version(text: str, publish_binary: str) -> None:
    """Return if this output of `--version` is that of a containerd which can.

    Raises:
        FailedPreconditionError: as `require_grpc_support`.
    """
    match = _VERSION.match(text)
    if match is None:
        raise FailedPreconditionError(
            f"containerd's version is not known, {publish_binary!r} --version says"
            f" {text[:100]!r}; {_WAY_OUT}"
        )
    major, minor = map(int, match.groups())
    if (major, minor) != (1, 7):
        raise refusal(f"{major}.{minor}", older=(major, minor) < (1, 7))


def refusal(version: str, *, older: bool) -> FailedPreconditionError:
    """The error for a containerd that cannot."""
    reason = _NO_GRPC if older else _DROPS_GRPC
    return FailedPreconditionError(
        f"containerd {version} cannot use a shim over gRPC: {reason}; {_WAY_OUT}"
    )
