"""Whether containerd is there, knows Tandem, and finds it.

Rules: a node without containerd is no error, since `tandem run` needs none; a containerd that will
not find Tandem is one. What is asked over CRI changes nothing (`Status`).
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import psutil

from shim.cli.checks.check import Check, fail, ok, skip, version_of, warn
from shim.cli.checks.containerd_config import (
    BINARY,
    DEFAULT,
    TABLES,
    TYPE,
    Configuration,
    Runtime,
    read_configuration,
)
from shim.errdefs import InvalidArgumentError, ShimError

_DEFAULT_SOCKET = "/run/containerd/containerd.sock"
_PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OLDEST = (1, 6)
# Since when containerd takes a Wasm artifact at once, over CRI.
_ARTIFACTS = (1, 7, 7)
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Place:
    """The containerd to look at: its program, configuration, socket, PATH, and pid if it runs."""

    binary: str = ""
    config: Path = DEFAULT
    address: str = ""
    path: str = _PLACES
    pid: int = 0


def find_containerd(config: Path | None, address: str) -> Place:
    """The containerd that runs, or would; what is given here wins."""
    place = _running(config)
    binary = place.binary or shutil.which("containerd", path=place.path) or ""
    return Place(binary, config or place.config, address or place.address, place.path, place.pid)


def check_containerd(place: Place) -> list[Check]:
    """Every check of containerd."""
    if not place.binary:
        found = "not installed: pods do not run here; `tandem run` does"
        return [warn("containerd", found, "install containerd 1.6 or later")]
    version = _version(place.binary)
    checks = [_check_version(version)]
    try:
        configuration = read_configuration(place.config)
    except InvalidArgumentError as error:
        checks.append(fail("containerd config", str(error), "mend the file"))
        return checks
    checks += check_configuration(configuration, place.config, version)
    checks.append(check_binary(configuration.ours, place))
    checks += _check_socket(place.address or configuration.address or _DEFAULT_SOCKET, version)
    return checks


def check_configuration(
    configuration: Configuration, path: Path, version: tuple[int, ...]
) -> list[Check]:
    """Whether the configuration offers Tandem as a runtime, where this version looks."""
    checks = []
    if any(
        name.endswith((".cri", "cri.v1.runtime")) or name == "cri"
        for name in configuration.disabled
    ):
        found = f"{path} disables the CRI plugin: Kubernetes cannot use this containerd"
        checks.append(warn("containerd CRI", found, "take it out of disabled_plugins"))
    number = 2 if version < (2,) else 3
    plugin, section = TABLES[number]
    quoted = f'plugins."{plugin}".{section}.runtimes.tandem'
    mend = f'add to {path}: [{quoted}] runtime_type = "{TYPE}"; then restart containerd'
    ours = configuration.ours
    # 2.x moves an older file's table to its new place; 1.x does not know the new one.
    usable = [each for each in ours if each.table == plugin or number == 3]
    if not ours:
        checks.append(fail("runtime handler", f"{path} offers no runtime {TYPE}", mend))
    elif not usable:
        found = f"the table is for containerd 2 ({ours[0].table}), and this is 1"
        checks.append(fail("runtime handler", found, mend))
    elif configuration.version == 1:
        found = f"{path} says no version, which makes it one of version 1"
        checks.append(fail("runtime handler", found, f"begin it with `version = {number}`"))
    else:
        handlers = ", ".join(sorted(each.handler for each in usable))
        checks.append(ok("runtime handler", f"{handlers} ({path})"))
    return checks


def check_binary(runtimes: tuple[Runtime, ...], place: Place) -> Check:
    """Whether containerd finds our executable, as it looks for it."""
    given = next((each.path or each.type for each in runtimes if "/" in each.path + each.type), "")
    if given:
        if os.access(given, os.X_OK):
            return ok("shim binary", given)
        return fail("shim binary", f"{given} is no executable", "correct runtime_path")
    beside = str(Path(place.binary).resolve().parent)
    found = shutil.which(BINARY, path=f"{place.path}:{beside}")
    if found:
        return ok("shim binary", found)
    whose = "containerd's PATH" if place.pid else "the PATH that containerd is likely to have"
    mend = f"install it to /usr/local/bin, or link it there; searched: {place.path}"
    return fail("shim binary", f"{BINARY} is not in {whose}", mend)


def _running(config: Path | None) -> Place:
    """What the running containerd, the one with this configuration if it is given, says.

    One in another mount namespace is somebody else's: its paths mean nothing here.
    """
    here = Path("/proc/self/ns/mnt").readlink()
    for process in psutil.process_iter(["name", "pid"]):
        if process.info["name"] != "containerd":
            continue
        try:
            if Path(f"/proc/{process.pid}/ns/mnt").readlink() != here:
                continue
            words = process.cmdline()
            environment, program = process.environ(), process.exe()
        except (OSError, psutil.Error):
            continue
        path = Path(_option(words, "config", "c") or DEFAULT)
        if config is None or path == config:
            address = _option(words, "address", "a")
            return Place(program, path, address, environment.get("PATH", _PLACES), process.pid)
    return Place()


def _option(words: list[str], name: str, letter: str) -> str:
    for index, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag in {f"--{name}", f"-{name}", f"-{letter}"}:
            return value if equals else "".join(words[index + 1 : index + 2])
    return ""


def _version(binary: str) -> tuple[int, ...]:
    try:
        done = subprocess.run(
            [binary, "--version"], capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return version_of(done.stdout.decode(errors="replace"))


def _check_version(version: tuple[int, ...]) -> Check:
    text = ".".join(map(str, version)) or "an unknown version"
    if version and version < _OLDEST:
        return fail("containerd", text, "use containerd 1.6 or later")
    if version and version < _ARTIFACTS:
        return warn(
            "containerd",
            f"{text}: a Wasm artifact comes with the second pull, and `ctr run` runs none",
            "use containerd 1.7.7 or later, or images of `tandem pack --compat`",
        )
    return ok("containerd", text)


def _check_socket(address: str, installed: tuple[int, ...]) -> list[Check]:
    path = address.removeprefix("unix://")
    if not Path(path).is_socket():
        return [
            warn("containerd socket", f"{path} is not there", "start containerd"),
            skip("CRI", "containerd does not run"),
            skip("RuntimeClass", "it is the cluster's: kubectl get runtimeclass"),
        ]
    from shim.cli.checks.cri import cri_handlers

    try:
        handlers = cri_handlers(path, _TIMEOUT_S)
    except ShimError as error:
        checks = [warn("CRI", str(error), "see containerd's journal, or disabled_plugins")]
    else:
        checks = [_check_handlers(handlers)]
    return [
        _check_running(path, installed),
        *checks,
        skip("RuntimeClass", "it is the cluster's: kubectl get runtimeclass"),
    ]


def _check_running(path: str, installed: tuple[int, ...]) -> Check:
    from shim.content.client import Client

    try:
        with Client(path, "default") as client:
            said = client.version()
    except ShimError as error:
        return warn("containerd socket", str(error), "see containerd's journal")
    if installed and version_of(said) != installed:
        found = f"{said} runs at {path}, and the program on the disk is another version"
        return warn("containerd socket", found, "restart containerd")
    return ok("containerd socket", f"{said} runs at {path}")


def _check_handlers(handlers: dict[str, str]) -> Check:
    ours = sorted(name for name, kind in handlers.items() if kind == TYPE or BINARY in kind)
    if ours:
        return ok("CRI", f"offers {', '.join(ours)}")
    names = ", ".join(sorted(handlers)) or "none"
    return fail(
        "CRI",
        f"the running containerd does not offer {TYPE} (it has: {names})",
        "restart containerd after its configuration was changed",
    )
