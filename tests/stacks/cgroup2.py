"""Run guest-tests.sh on a kernel with cgroup v2 alone: user-mode-linux, with this very tree inside.

`python -m tests.stacks.cgroup2` prints what the guest prints, as it comes, and ends with the status
of its tests. The kernel's own exit status says nothing of them, so that the guest's last line does;
a guest that does not print it has failed.
"""

import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from tests.support.containerd_config import STACKS

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 30 * 60
MARKER = "guest-tests-ended"


def command(folder: str) -> list[str]:
    """The kernel's command line; what it does not know becomes its first process's environment.

    seccomp=on: without it, the kernel follows its processes by ptrace, ten times slower.
    """
    return [
        str(STACKS / "uml" / "linux"),
        *("mem=4096M", "seccomp=on", "quiet", f"uml_dir={folder}"),
        *("root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro"),
        *("con0=fd:0,fd:1", "con=null"),
        f"init={ROOT}/tests/stacks/uml-init.sh",
        *(f"checkout={ROOT}", f"stacks={STACKS}", f"marker={MARKER}"),
    ]


def status(last_words: str) -> int:
    """The exit status that the guest's last words tell of; 1 if they tell of none."""
    said, _, number = last_words.rpartition(" ")
    return int(number) if said == f"{MARKER} exit status" and number.isdigit() else 1


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="tandem-uml-") as folder:
        guest = subprocess.Popen(
            command(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert guest.stdout is not None
        last_words = ""
        # A kernel takes no notice of SIGTERM.
        watchdog = threading.Timer(TIMEOUT_S, guest.kill)
        watchdog.start()
        try:
            for line in guest.stdout:
                print(line, end="", flush=True)
                if line.startswith(MARKER):
                    last_words = line.strip()
        finally:
            watchdog.cancel()
            guest.kill()
            guest.wait()
    failed = status(last_words)
    print("on cgroup v2:", "failed" if failed else "passed")
    return failed


if __name__ == "__main__":
    sys.exit(main())
