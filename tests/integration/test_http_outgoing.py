"""Requests that a serving guest would like to make: it can build them, and learns why not."""

from pathlib import Path

import pytest

from tests.support import http_guest
from tests.support.http_server import body_of, serving

pytestmark = pytest.mark.root


def test_a_request_is_built_and_refused(tmp_path: Path) -> None:
    with serving(tmp_path, http_guest.component()) as one:
        answer = one.get("/u")
        wanted = b"a component that serves HTTP cannot make requests of its own"
        assert body_of(answer) == wanted, one.log
