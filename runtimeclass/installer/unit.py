"""tandemd on the node: its unit where systemd is, and its end where it was started by a launcher.

Rules: ending it ends no pod: pods are its children, and live on without it (KillMode=process). The
unit names the bundle's directory, not `current`, so that what runs says which bundle it runs from.
"""

import contextlib
import os
import signal
import time

from runtimeclass.installer.bundle import TOP
from runtimeclass.installer.changes import Changes
from runtimeclass.installer.files import Content
from runtimeclass.installer.host import Host
from runtimeclass.installer.systemd import Systemd, has_systemd

UNIT = "tandemd.service"
RUN = "/run/tandem"
STEP = "unit"
_PATH = f"/etc/systemd/system/{UNIT}"
_WANTED = f"/etc/systemd/system/multi-user.target.wants/{UNIT}"
_END_S = 10.0

# A daemon that a launcher started before holds the lock until it ends, and this one then ends with
# 0: hence `always`, and no limit of starts. OOMScoreAdjust is containerd's own; pod shims take that
# of who calls for them.
TEXT = """\
[Unit]
Description=Tandem's node daemon, from which the shims of its pods are forked
Documentation=file:{directory}/bundle.json
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
    """Have tandemd of the bundle `name` running; what was done, in words.

    Raises:
        HostError: systemd refuses, or it does not start.
    """
    host = changes.host
    if not has_systemd(host):
        end_daemon(host)
        return "no systemd here: the first pod starts tandemd"
    text = TEXT.format(directory=f"{TOP}/{name}")
    written = changes.file(_PATH, Content(text.encode()), STEP)
    changes.link(_WANTED, f"../{UNIT}", STEP)
    with Systemd(host) as systemd:
        if written or systemd.state(UNIT) != "active":
            systemd.reload()
            end_daemon(host)
            systemd.restart(UNIT)
        systemd.wait_active(UNIT)
    return f"{UNIT} runs {TOP}/{name}"


def undo_unit(changes: Changes) -> list[str]:
    """After a failed operation: the unit as it was, running if it was there."""
    return _back(changes, changes.undo(STEP))


def remove_unit(changes: Changes) -> list[str]:
    """For good: no unit, no daemon."""
    host = changes.host
    if has_systemd(host):
        with Systemd(host) as systemd:
            systemd.stop(UNIT)
    return _back(changes, changes.restore(STEP))


def _back(changes: Changes, remarks: list[str]) -> list[str]:
    host = changes.host
    there = host.exists(_PATH)
    if has_systemd(host):
        with Systemd(host) as systemd:
            if not there:
                systemd.stop(UNIT)
            systemd.reload()
            if there:
                systemd.restart(UNIT)
    if not there and not end_daemon(host):
        remarks.append("tandemd still runs, and cannot be ended from in here: kill it on the node")
    return remarks


def end_daemon(host: Host) -> bool:
    """End the daemon of the run directory, if one runs; whether none does any more.

    From a container with pids of its own it cannot be told which process it is.
    """
    try:
        pid = int(host.path(f"{RUN}/tandemd.pid").read_text())
    except (OSError, ValueError):
        return True
    if not _runs(host, pid):
        return True
    if not _sees_pids(host):
        return False
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _END_S
    while _runs(host, pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not _runs(host, pid)


def _runs(host: Host, pid: int) -> bool:
    try:
        return b"tandemd" in host.path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _sees_pids(host: Host) -> bool:
    """Whether the node's pids are ours, too."""
    try:
        return host.path("/proc/self").readlink().name == str(os.getpid())
    except OSError:
        return False
