"""The shim's side of an instance, with children that say what a test wants, in a fresh process."""

import subprocess
import sys

import pytest

_HEAD = """
import asyncio, os, signal, time
import shim.instance.process as process
from shim.instance.init import WasmInit
from shim.instance.messages import ADOPTED, START, Failed, Forked, Ready, encode
from shim.kernel.libc import LINUX
from shim.process.reaper import Reaper

class Group:
    members = []
    def pids(self): return self.members
    def kill(self): print("killed the rest")
    def remove(self): print("removed")
    def oom_kills(self): return 0

def say(message): control.send(encode(message))
def run_instance(spec, control, stdio):
    globals()["control"] = control
    try:
        child()
    finally:
        os._exit(99)
process.run_instance = run_instance
process.close_later = os.close
group, reaper = Group(), Reaper()

async def create(kind=WasmInit):
    reaper.install(asyncio.get_running_loop())
    return await kind.create(None, (), group, reaper)

async def main():
    LINUX.prctl(36, 1)
    before = len(os.listdir("/proc/self/fd"))
    try:
        await asyncio.wait_for(scenario(), 10)
    except Exception as error:
        print(type(error).__name__, error)
    fds = len(os.listdir("/proc/self/fd")) - before
    try:
        os.waitpid(-1, os.WNOHANG)
        print(fds, "fds, a child")
    except ChildProcessError:
        print(fds, "fds, no child")
"""
_LEFT = "0 fds, no child"


def play(child: str, scenario: str = "    await create()") -> list[str]:
    program = (
        f"{_HEAD}\ndef child():\n{child}\nasync def scenario():\n{scenario}\nasyncio.run(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    *said, left = done.stdout.splitlines()
    assert left == _LEFT
    return said


WAITS = "    say(Ready(())); control.recv(1) == START and os._exit(7)"


def test_instance_is_let_go_by_start_and_tells_its_status() -> None:
    scenario = """
    made = await create()
    assert not made.exited.done()
    await made.start()
    print((await made.exited).status, made.pids())
    await made.after_exit()
    await made.release()
"""
    assert play(WAITS, scenario) == ["7 []", "removed"]


def test_what_was_left_in_the_container_ends_with_init() -> None:
    scenario = """
    made = await create()
    group.members = [made.pid]
    await made.kill(9, everything=False)
    await made.exited
    await made.after_exit()
    await made.release()
"""
    assert play(WAITS, scenario) == ["killed the rest", "removed"]


def test_kill_of_everything_reaches_the_rest_of_the_container_once() -> None:
    scenario = """
    made, other = await create(), await create(process.WasmProcess)
    group.members = [made.pid, other.pid, 2 ** 22 + 1]
    await made.kill(15, everything=True)
    print((await made.exited).status, (await other.exited).status)
    await other.release()
    await made.release()
"""
    assert play(WAITS, scenario) == ["143 143", "removed"]


def test_kill_of_an_executed_instance_leaves_the_rest_of_the_container_alone() -> None:
    scenario = """
    made, other = await create(), await create(process.WasmProcess)
    group.members = [made.pid, other.pid]
    await other.kill(15, everything=True)
    print((await other.exited).status, made.exited.done())
    await other.release()
    await made.start()
    print((await made.exited).status)
    await made.release()
"""
    assert play(WAITS, scenario) == ["143 False", "7", "removed"]


def test_instance_is_killed_while_it_waits_and_not_afterwards() -> None:
    scenario = """
    made = await create()
    await made.kill(15, everything=True)
    print((await made.exited).status)
    try:
        await made.kill(9, everything=False)
    finally:
        await made.release()
"""
    status, removed, error = play(WAITS, scenario)
    assert (status, removed) == ("143", "removed")
    assert error.startswith("NotFoundError instance ")


def test_instance_that_died_before_start_is_an_error() -> None:
    scenario = """
    made = await create()
    os.kill(made.pid, 9)
    await made.exited
    try:
        await made.start()
    finally:
        await made.release()
"""
    _, error = play(WAITS, scenario)
    assert error.startswith("InternalError instance ")
    assert error.endswith("does not wait any more")


@pytest.mark.parametrize(
    ("child", "said"),
    [
        ("    say(Failed('InvalidArgumentError', 'no such user'))", "InvalidArgumentError no such"),
        ("    say(Failed('Nonsense', 'why')); time.sleep(60)", "InternalError why"),
        ("    os._exit(3)", "died before it was ready: exit status 3"),
        ("    os.kill(os.getpid(), 9)", "died before it was ready: exit status 137"),
        ("    control.send(b'junk'); time.sleep(60)", "InternalError unexpected message"),
        ("    control.send(b'x' * 70000); time.sleep(60)", "InternalError unexpected message"),
        ('    control.send(b\'{"kind": "forked", "pid": -1}\'); time.sleep(60)', "unexpected"),
    ],
)
def test_instance_that_cannot_be_is_gone_with_its_reason(child: str, said: str) -> None:
    (error,) = play(child)
    assert said in error


IN_BETWEEN = """
    pid = os.fork()
    if pid:
        say(Forked(pid))
        os._exit(0)
"""


def test_instance_of_a_process_in_between_is_adopted() -> None:
    scenario = """
    made = await create()
    await made.start()
    print((await made.exited).status)
    await made.release()
"""
    child = IN_BETWEEN + "    control.recv(1) == ADOPTED\n" + WAITS
    assert play(child, scenario) == ["7", "removed"]


def test_instance_of_a_process_in_between_that_dies_early_is_not_waited_for_for_ever() -> None:
    child = IN_BETWEEN.replace("        os._exit(0)", "        os._exit(0)\n    os._exit(5)\n")
    slow = child.replace("say(Forked(pid))", "say(Forked(pid)); time.sleep(0.3)")
    for body in (child, slow):
        (error,) = play(body)
        assert error.endswith("died before it was ready: exit status 5")
