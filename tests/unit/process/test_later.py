"""Descriptors are closed soon, and not now."""

import asyncio
import os

import pytest

from shim.process import later


def test_descriptor_is_closed_after_the_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(later, "_DELAY_S", 0.02)

    async def scenario() -> None:
        fd = os.open(os.devnull, os.O_RDONLY)
        later.close_later(fd)
        await asyncio.sleep(0)
        os.fstat(fd)
        await asyncio.sleep(0.1)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)

    asyncio.run(scenario())
