"""Whoever forks has one thread: asked of a fresh process, since pytest has a watchdog thread."""

import subprocess
import sys


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False
    )


def test_fork_of_one_thread() -> None:
    done = run(
        "import os\n"
        "from shim.process.forking import fork\n"
        "pid = fork()\n"
        "os._exit(7) if pid == 0 else print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    assert (done.stdout, done.stderr) == ("7\n", "")


def test_fork_beside_another_thread_is_refused() -> None:
    done = run(
        "import threading\n"
        "from shim.process.forking import fork\n"
        "end = threading.Event()\n"
        "threading.Thread(target=end.wait).start()\n"
        "try:\n"
        "    fork()\n"
        "except BaseException as error:\n"
        "    print(type(error).__name__, error)\n"
        "finally:\n"
        "    end.set()\n"
    )
    assert done.stdout == "InternalError cannot fork: this process has 2 threads\n", done.stderr
