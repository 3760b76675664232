"""tandemd on the node: its unit where systemd is, and its end where it was started by a launcher.

Rules: ending it ends no pod: pods are its children, and live on without it (KillMode=process). The
unit names the bundle's directory, not `current`, so that what runs says which bundle it runs from.
"""

import contextlib
import fcntl
import os
import signal
import socket
import time

from runtimeclass.installer.bundle import TOP
from runtimeclass.installer.changes import Changes
from runtimeclass.installer.errors import HostError
from runtimeclass.installer.files import Content
from runtimeclass.installer.host import Host
from runtimeclass.installer.systemd import Systemd, has_systemd

UNIT = "tandemd.service"
RUN = "/run/tandem"
STEP = "unit"
_PATH = f"/etc/systemd/system/{UNIT}"
_WANTED = f"/etc/systemd/system/multi-user.target.wants/{UNIT}"
_END_S = 10.0
_START_S = 30.0
_POLL_S = 0.1

# A daemon that a launcher started before holds the lock until it ends, and this one then ends with
# 0: hence `always`, and no limit of starts. OOMScoreAdjust is containerd's own; pod shims take that
# of who calls for them.
TEXT = """\
[Unit]
Description=Tandem's node daemon, from which the shims of its pods are forked
StartLimitIntervalSec=0

[Service]
ExecStart={directory}/bin/tandemd
KillMode=process
Restart=always
RestartSec=2
OOMScoreAdjust=-999
LimitNOFILE=1048576
TasksMax=infinity

[Install]
WantedBy=multi-user.target
"""


def install_unit(changes: Changes, name: str) -> str:
    """Have tandemd of the bundle `name` running, or none; what was done, in words.

    Raises:
        HostError: systemd refuses, or it does not start; or another one cannot be ended.
    """
    host = changes.host
    if not has_systemd(host):
        if not _runs_from(host, name):
            end_daemon(host, None)
        return "no systemd here: the first pod starts tandemd"
    text = TEXT.format(directory=f"{TOP}/{name}")
    written = changes.file(_PATH, Content(text.encode()), STEP)
    changes.link(_WANTED, f"../{UNIT}", STEP)
    with Systemd(host) as systemd:
        if written or not _is_served(host, systemd):
            systemd.reload()
            systemd.restart(UNIT)
        _serve(host, systemd)
    return f"{UNIT} runs {TOP}/{name}"


def undo_unit(changes: Changes) -> list[str]:
    """After a failed operation: the unit as it was, running if it was there."""
    return _back(changes, changes.undo(STEP))


def remove_unit(changes: Changes) -> list[str]:
    """For good: no unit, no daemon.

    Raises:
        HostError: systemd refuses, or a daemon cannot be ended.
    """
    host = changes.host
    if has_systemd(host):
        with Systemd(host) as systemd:
            systemd.stop(UNIT)
    return _back(changes, changes.restore(STEP))


def _back(changes: Changes, remarks: list[str]) -> list[str]:
    host = changes.host
    if not has_systemd(host):
        end_daemon(host, None)
        return remarks
    with Systemd(host) as systemd:
        systemd.reload()
        if host.exists(_PATH):
            systemd.restart(UNIT)
            _serve(host, systemd)
        else:
            systemd.stop(UNIT)
            end_daemon(host, systemd)
    return remarks


def _is_served(host: Host, systemd: Systemd) -> bool:
    """Whether the unit's own process is the daemon, and takes calls."""
    pid = systemd.main_pid(UNIT)
    if not pid or pid != _pid(host) or not daemon_runs(host):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            return probe.connect_ex(str(host.path(f"{RUN}/tandemd.sock"))) == 0
        except OSError:
            # Below a root whose path is too long for an address.
            return True


def _serve(host: Host, systemd: Systemd) -> None:
    """Wait until the unit serves. A pod that started meanwhile has brought up a daemon, which is
    ended, since it would keep the unit's from its place for ever."""
    deadline = time.monotonic() + _START_S
    while not _is_served(host, systemd):
        if time.monotonic() > deadline:
            raise HostError(
                f"{UNIT} is {systemd.state(UNIT) or 'not there'}, and does not serve: see"
                f" systemctl status {UNIT}, journalctl -u {UNIT}"
            )
        main, daemon = systemd.main_pid(UNIT), _pid(host)
        if daemon != main and daemon_runs(host) and _is_tandemd(host, daemon):
            with contextlib.suppress(HostError):
                systemd.end_process(daemon)
        time.sleep(_POLL_S)


def daemon_runs(host: Host) -> bool:
    """Whether a daemon has the run directory: it holds the lock for life."""
    try:
        fd = os.open(host.path(f"{RUN}/tandemd.lock"), os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def end_daemon(host: Host, systemd: Systemd | None) -> None:
    """End the daemon of the run directory, if one runs: by systemd, or by a signal of ours.

    Raises:
        HostError: it cannot be told from in here which process it is, or it does not end.
    """
    if not daemon_runs(host):
        return
    pid = _pid(host)
    if not _is_tandemd(host, pid):
        raise _cannot_end(pid)
    if systemd is not None:
        with contextlib.suppress(HostError):
            systemd.end_process(pid)
    elif _sees_pids(host):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    else:
        raise _cannot_end(pid)
    deadline = time.monotonic() + _END_S
    while daemon_runs(host):
        if time.monotonic() > deadline:
            raise _cannot_end(pid)
        time.sleep(_POLL_S)


def _cannot_end(pid: int) -> HostError:
    return HostError(
        f"tandemd runs as process {pid} of the node, and cannot be ended from in here: end it"
        " there (kill; pods live on), or let this container see the node's processes (hostPID),"
        " then call again"
    )


def _pid(host: Host) -> int:
    try:
        return int(host.path(f"{RUN}/tandemd.pid").read_text())
    except (OSError, ValueError):
        return 0


def _runs_from(host: Host, name: str) -> bool:
    """Whether a daemon runs, and is that of this bundle."""
    return daemon_runs(host) and f"{TOP}/{name}/".encode() in _command(host, _pid(host))


def _is_tandemd(host: Host, pid: int) -> bool:
    """Whether this is a daemon: the file may name one that died, whose pid is another's by now."""
    return pid > 0 and b"tandemd" in _command(host, pid)


def _command(host: Host, pid: int) -> bytes:
    try:
        return host.path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _sees_pids(host: Host) -> bool:
    """Whether the node's pids are ours, too."""
    try:
        return host.path("/proc/self").readlink().name == str(os.getpid())
    except OSError:
        return False
