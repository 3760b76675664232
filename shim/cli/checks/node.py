"""What is Tandem's own on this node: its configuration, daemon, cache, engine and OCI runtime."""

import hashlib
import importlib.metadata
import os
import shutil
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

import shim
from shim import sockets
from shim.cli.checks.check import Check, fail, ok, skip, version_of, warn
from shim.cli.checks.containerd_config import BINARY
from shim.config import DEFAULT_PATH, PATH_VARIABLE, Config, load_config
from shim.errdefs import ShimError
from shim.rundir import RunDir

_TIMEOUT_S = 10.0
_LITTLE_ROOM = 1 << 30
_RUNC_WITH_RNODEV = (1, 1)


def check_node(env: Mapping[str, str], binary: str) -> list[Check]:
    """Every check of what is ours; `binary` is our shim, or empty where it was not found."""
    path = Path(env.get(PATH_VARIABLE) or DEFAULT_PATH)
    try:
        config = load_config(path)
        checks = [ok("configuration", str(path) if path.exists() else f"defaults, no {path}")]
    except ShimError as error:
        config = Config()
        checks = [fail("configuration", str(error), "mend the file")]
    return [
        *checks,
        _check_user(),
        check_daemon(env, binary),
        check_directory("cache", Path(config.cache.directory)),
        check_directory("image store", Path(config.images.directory)),
        check_oci_runtime(config.linux.runtime, env.get("PATH", os.defpath)),
        *check_engine(),
    ]


def _check_user() -> Check:
    if os.geteuid() == 0:
        return ok("user", "root")
    return warn("user", f"user {os.geteuid()}: much cannot be told", "ask again as root")


def check_daemon(env: Mapping[str, str], binary: str) -> Check:
    """Whether a daemon runs, and is of this version."""
    try:
        run_dir = RunDir.from_env(env)
    except ShimError as error:
        return fail("daemon", str(error), "correct TANDEM_SOCKET")
    if not sockets.is_alive(run_dir.socket):
        return ok("daemon", "does not run; the first pod starts it")
    if not binary:
        return skip("daemon", f"runs at {run_dir.socket}; of which version cannot be asked")
    try:
        done = subprocess.run(
            [binary, "-v"],
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
            env={"TANDEM_SOCKET": str(run_dir.socket), "PATH": env.get("PATH", os.defpath)},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return fail("daemon", f"does not answer: {error}", _restart(run_dir))
    version = done.stdout.decode(errors="replace").rpartition("Version: ")[2].strip()
    if version != shim.__version__:
        found = f"is of version {version[:40] or 'unknown'}, and this is {shim.__version__}"
        return fail("daemon", found, _restart(run_dir))
    return ok("daemon", f"runs at {run_dir.socket}, version {version}")


def _restart(run_dir: RunDir) -> str:
    return f"end it (kill $(cat {run_dir.daemon_pid})): pods run on, the next one starts another"


def check_directory(name: str, path: Path) -> Check:
    """Owner, mode and room of a directory of ours."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return ok(name, f"{path} is made when it is needed")
    except OSError as error:
        return skip(name, f"{path}: {error.strerror}")
    if not stat.S_ISDIR(status.st_mode):
        return fail(name, f"{path} is not a directory", "remove it")
    if status.st_uid not in {0, os.geteuid()} or status.st_mode & 0o022:
        found = f"{path} belongs to user {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}"
        return fail(name, found, f"chown root {path}; chmod 0700 {path}")
    disk = os.statvfs(path)
    free = disk.f_bavail * disk.f_frsize
    if free < _LITTLE_ROOM:
        return warn(name, f"{path} has room for {free >> 20} MiB", "make room, or move it")
    return ok(name, f"{path}, room for {free >> 30} GiB")


def check_oci_runtime(runtime: str, path: str) -> Check:
    """The program that runs Linux containers."""
    found = shutil.which(runtime, path=f"{path}:/usr/local/sbin:/usr/sbin:/sbin")
    if found is None:
        mend = "install runc or crun, or correct [linux] runtime"
        return fail("OCI runtime", f"{runtime} is not installed: no sidecars", mend)
    try:
        done = subprocess.run(
            [found, "--version"], capture_output=True, timeout=_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return fail("OCI runtime", f"{found} does not answer: {error}", "install it anew")
    line = done.stdout.decode(errors="replace").partition("\n")[0][:80]
    if line.startswith("runc") and version_of(line) < _RUNC_WITH_RNODEV:
        text = f"{line}: too old for Linux programs executed in Wasm containers"
        return warn("OCI runtime", text, "use runc 1.1 or later")
    return ok("OCI runtime", f"{found}, {line}")


def check_engine() -> list[Check]:
    """wasmtime, what it cannot do here, and for which processor it compiles."""
    from shim.engine.config import compatibility_key

    key = compatibility_key()
    features = len(key.split()) - len(key.split(maxsplit=4)[:4])
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    return [
        ok("wasmtime", importlib.metadata.version("wasmtime")),
        ok("wasi:http", "outgoing requests, and serving by components: yes"),
        ok("wasi:sockets", "no: wasmtime 50's C API denies every socket, whatever is configured"),
        ok("WASI 0.3", "no: the C API has none of it"),
        ok("processor", f"{features} features; its part of the cache is {name}"),
    ]


def find_shim(checks: list[Check]) -> str:
    """Our executable, where the checks of containerd found it, or beside this program."""
    for check in checks:
        if check.name == "shim binary" and Path(check.found).is_file():
            return check.found
    return shutil.which(BINARY) or ""
