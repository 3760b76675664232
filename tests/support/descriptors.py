"""What a process of the machine has open, looked at while it runs."""

import contextlib
import os


def open_files(pid: int) -> list[str]:
    """Return where each of its descriptors leads (proc_pid_fd(5)).

    A descriptor that is closed between the listing and the reading counts as closed: whatever runs
    opens and closes files for moments.

    Raises:
        FileNotFoundError: there is no such process.
    """
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return found


def open_sockets(pid: int) -> set[str]:
    """Return its sockets, by their inodes.

    Raises:
        FileNotFoundError: there is no such process.
    """
    return {name for name in open_files(pid) if name.startswith("socket:")}
