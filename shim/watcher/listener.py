"""The listener: a leaf of the watcher's that speaks gRPC, and tells what images containerd has.

Rules: it has threads, so it never forks; an event says only that something has changed, and the
images are asked for anew, so that none is missed whatever was lost. Whatever goes wrong ends it:
the watcher makes another.
"""

import os
import signal
import sys
import threading
import time
from typing import NoReturn

from shim.errdefs import ShimError
from shim.jail.inherited import drop_inherited
from shim.kernel.constants import PR_SET_PDEATHSIG
from shim.kernel.libc import LINUX
from shim.watcher.wire import Image, Look, encode_look

# After the last event: an image that is pulled anew is removed and made again, and its content
# arrives bit by bit.
_SETTLE_S = 1.0
_LONGEST_SETTLE_S = 10.0
# For what no event has told.
_REPEAT_S = 600.0


def run_listener(address: str, to: int) -> NoReturn:
    """Be the listener: called in a forked child that has one thread, ends the process.

    Args:
        address: of containerd's gRPC socket.
        to: where the lines go, see `shim.watcher.wire`.
    """
    parent = os.getppid()
    LINUX.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    try:
        drop_inherited([2, to])
        for _ in range(2):
            os.open(os.devnull, os.O_RDWR)
        # The daemon keeps it out (shim/daemon/unneeded.py); here its absence would be an error.
        sys.modules.pop("ssl", None)
        _listen(address, to)
    except ShimError as error:
        os.write(2, f"tandemd: images: {error}\n".encode())
    finally:
        os._exit(1)


def _listen(address: str, to: int) -> NoReturn:
    from shim.content.client import Client  # noqa: PLC0415 (gRPC is for leaves alone)
    from shim.content.survey import Surveyor  # noqa: PLC0415

    surveyor = Surveyor(address)
    changed = threading.Event()

    def follow() -> None:
        try:
            with Client(address, "default") as client:
                for _topic in client.image_events():
                    changed.set()
        except ShimError as error:
            os.write(2, f"tandemd: images: {error}\n".encode())
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    changed.set()
    while True:
        changed.wait(_REPEAT_S)
        _settle(changed)
        taken_ns = time.time_ns()
        survey = surveyor.look()
        images = [
            Image(
                image.namespace,
                image.target.image,
                image.target.descriptor.media_type,
                image.target.descriptor.digest,
                image.target.descriptor.size,
                image.modules,
            )
            for image in survey.wasm
        ]
        data = encode_look(Look(taken_ns, survey.alive, tuple(images)))
        while data:
            data = data[os.write(to, data) :]


def _settle(changed: threading.Event) -> None:
    """Return when nothing has changed for a while, or it goes on for too long."""
    give_up = time.monotonic() + _LONGEST_SETTLE_S
    while True:
        changed.clear()
        if not changed.wait(_SETTLE_S) or time.monotonic() > give_up:
            changed.clear()
            return
