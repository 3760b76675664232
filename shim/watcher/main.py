"""The watcher: compiles the Wasm images that containerd pulls, and clears what it removes.

A child of the daemon's, where the configuration asks for it. It forks a listener, which hears of
images, and a loader for each new module, one after the other, so that it needs no interpreter of
its own and pods keep the processors. Rules: one thread, as whoever forks; what it does for an image
is only speed: a pod whose module is not ready yet waits for the same loader, or has its own.
"""

import os
import select
import signal
import time
from functools import partial
from pathlib import Path
from typing import NoReturn

import structlog

from shim.aot.cache import Cache
from shim.aot.inventory import Which, prune
from shim.aot.limits import CompileLimits
from shim.aot.loader import run_loader
from shim.aot.report import Loaded, modules_of, parse_report
from shim.aot.source import ModuleSource
from shim.config import Config
from shim.content.alive import ask_alive
from shim.content.named import NamedImageSource
from shim.content.rootfs import RootfsSource
from shim.content.source import Origin, Target
from shim.errdefs import DeadlineExceededError, ShimError, UnavailableError
from shim.oci.descriptors import Descriptor
from shim.process.forking import fork
from shim.watcher.listener import run_listener
from shim.watcher.wire import Image, LastLine, Look, decode_look

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
_READ_BYTES = 64 << 10
# The loader ends itself first, with better words.
_GRACE_S = 5.0

_log = structlog.get_logger()

_Module = tuple[str, int]


class Watcher:
    """Follows one containerd."""

    def __init__(self, config: Config, compatibility_key: str) -> None:
        self._address = config.containerd.address
        section = config.compile
        self._cache = Cache(Path(config.cache.directory), config.cache.max_bytes, compatibility_key)
        self._limits = CompileLimits(section.memory_bytes, section.timeout_s, section.parallel)
        # The modules of images that are there, and were tried: by the image's digest and number.
        self._tried: set[_Module] = set()
        self._pause_s = _FIRST_PAUSE_S

    def run(self) -> NoReturn:
        """Follow it for ever, whether it is there or not."""
        while True:
            lines, writer = os.pipe2(os.O_CLOEXEC)
            pid = fork()
            if pid == 0:
                run_listener(self._address, writer)
            os.close(writer)
            self._follow(lines)
            os.close(lines)
            os.waitpid(pid, 0)
            time.sleep(self._pause_s)
            self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)

    def _follow(self, lines: int) -> None:
        last, newest = LastLine(), None
        while chunk := os.read(lines, _READ_BYTES):
            newest = last.add(chunk) or newest
            if newest is None or select.select([lines], [], [], 0)[0]:
                continue
            self._pause_s = _FIRST_PAUSE_S
            self._act(decode_look(newest))
            newest = None

    def _act(self, look: Look) -> None:
        removed = prune(self._cache, Which.GONE, look.alive, look.taken_ns)
        for entry in removed:
            _log.info("entry removed: its images are gone", digest=entry.digest)
        # CRI gives an image further names, which say less to whoever reads the log.
        images = sorted(look.images, key=lambda image: "sha256:" in image.name, reverse=True)
        wanted = {
            (image.digest, number): image
            for image in images
            for number in range(max(image.modules, 1))
        }
        self._tried &= wanted.keys()
        for module, image in wanted.items():
            if module not in self._tried:
                self._warm(module, image)

    def _warm(self, module: _Module, image: Image) -> None:
        try:
            loaded = self._load_one(image, module[1])
            # Nobody but a loader has read an ordinary image's table of modules.
            for number in range(1, 1 if image.modules else modules_of(loaded)):
                self._load_one(image, number)
        except UnavailableError as error:
            # the next look tries again
            _log.warning("image not compiled", image=image.name, error=str(error))
            return
        except ShimError as error:
            _log.warning("image not compiled", image=image.name, error=str(error))
        self._tried.add(module)

    def _load_one(self, image: Image, number: int) -> Loaded:
        loaded = self._load(self._source(image, number))
        for reason in loaded.removed:
            _log.warning("artefact not believed and removed", reason=reason)
        if loaded.is_new:
            _log.info("module compiled", digest=loaded.artefact.digest, image=image.name)
        return loaded

    def _source(self, image: Image, number: int) -> ModuleSource:
        target = Target(image.name, Descriptor(image.media_type, image.digest, image.size))
        if not image.modules:
            return RootfsSource(Origin(self._address, image.namespace), target, number)
        return NamedImageSource(
            self._address, image.namespace, image.name, number, self._cache, target
        )

    def _load(self, source: ModuleSource) -> Loaded:
        report, writer = os.pipe2(os.O_CLOEXEC)
        pid = fork()
        if pid == 0:
            alive = partial(ask_alive, self._address)
            run_loader(source, self._cache, self._limits, writer, alive)
        os.close(writer)
        try:
            output = _read_all(report, self._limits.total_s + _GRACE_S)
        except DeadlineExceededError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        finally:
            os.close(report)
        return parse_report(os.waitpid(pid, 0)[1], output)


def _read_all(fd: int, timeout_s: float) -> bytes:
    chunks: list[bytes] = []
    deadline = time.monotonic() + timeout_s
    while select.select([fd], [], [], max(deadline - time.monotonic(), 0))[0]:
        chunk = os.read(fd, _READ_BYTES)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
    raise DeadlineExceededError(f"the loader of the module did not end within {timeout_s:g} s")
