"""For every test: it leaves the machine as it found it. The proof is `tests.support.leaks`.

What a session fixture starts before the test is part of the baseline; a fixture that starts
something for the whole session must therefore be named in the test's or a fixture's signature.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import leaks
from tests.support.containerd_config import RELEASES, TRANSPORTS


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--shim",
        metavar="PATH",
        help="run tests/conformance on this shim v2 binary (default: runc's shim and ours)",
    )
    parser.addoption(
        "--oci-runtime",
        metavar="NAME",
        default="runc",
        help="which OCI runtime our shim runs in tests/conformance (default: runc)",
    )
    parser.addoption(
        "--containerd",
        choices=RELEASES,
        default="1.6",
        help="run tests/cri and tests/artifacts on this line (default: 1.6, this Debian's own)",
    )
    parser.addoption(
        "--shim-dir",
        type=Path,
        metavar="DIR",
        help="run tests/cri and tests/artifacts on the executables in DIR, such as a bundle's bin",
    )
    parser.addoption(
        "--transport",
        choices=TRANSPORTS,
        default="ttrpc",
        help="what containerd and our shim speak in those and in tests/conformance",
    )
    parser.addoption(
        "--load-seconds",
        metavar="N",
        default="20",
        help="how long tests/cri/test_http_load.py asks as fast as it can (default: 20)",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let runc's own shim, the reference, lose a race now and then; ours has one try."""
    for item in items:
        words = item.name.partition("[")[2].rstrip("]").split("-")
        if "runc" in words and "tandem" not in words:
            item.add_marker(pytest.mark.flaky(reruns=2))


def pytest_sessionstart() -> None:
    # A shell's background ignores them, and with it whatever is started from here.
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGQUIT, signal.SIG_DFL),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
    leaks.become_subreaper()


@pytest.fixture(autouse=True)
def _leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    before = leaks.Snapshot.take()
    yield
    found = leaks.leaks(before)
    if "containerd" in request.fixturenames:
        # gRPC's channel to a containerd opens and closes descriptors when it likes.
        found = [line for line in found if not line.startswith(("fds: socket", "fds: anon_inode"))]
    if found:
        leaks.clean(before)
        pytest.fail("left behind:\n  " + "\n  ".join(found), pytrace=False)
