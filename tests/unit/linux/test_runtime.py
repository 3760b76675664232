"""The OCI runtime's command line, and its own words for its failures."""

import asyncio
import os
from pathlib import Path

import pytest

from shim.errdefs import InternalError, InvalidArgumentError
from shim.linux.runtime import OciRuntime, RuntimeOptions
from shim.process.reaper import Reaper
from tests.unit.linux.runtimes import FakeRuntime
from tests.unit.process.loops import with_reaper

SAYS_WHY = """
echo '{"level":"warning","msg":"not this"}' >> "$log"
echo '{"level":"error","msg":"no such image"}' >> "$log"
echo 'not json' >> "$log"
echo '["nor an object"]' >> "$log"
exit 5"""

# crun 1.28
SAYS_WHY_IN_LINES = """
cat >> "$log" <<END
{
  "msg": "no such image",
  "level": "error",
  "time": "2026-11-25T13:52:34.889559Z"
}
END
exit 5"""


def test_runtime_is_called_as_containerds_own_shim_calls_it(tmp_path: Path) -> None:
    fake = FakeRuntime(tmp_path)
    (fake.root / "c").mkdir()

    async def scenario(reaper: Reaper) -> None:
        runtime = fake.runtime(reaper)
        await runtime.create("c", fake.bundle / "init.pid", ())
        await runtime.start("c")
        await runtime.kill_all("c", 9)
        await runtime.execute("c", Path("/p.json"), Path("/p.pid"), ())
        await runtime.pause("c")
        await runtime.resume("c")
        await runtime.update("c", Path("/r.json"))
        await runtime.checkpoint("c", ["--image-path", "/img"])
        await runtime.restore("d", Path("/d.pid"), (), ["--image-path", "/img"])
        await runtime.delete("c")

    with_reaper(scenario)
    assert fake.calls == [
        f"--root {fake.root} --log {fake.bundle}/runtime-{number}.log --log-format json {rest}"
        for number, rest in enumerate(
            (
                f"create --bundle {fake.bundle} --pid-file {fake.bundle}/init.pid c",
                "start c",
                "kill --all c 9",
                "exec --detach --process /p.json --pid-file /p.pid c",
                "pause c",
                "resume c",
                "update --resources /r.json c",
                "checkpoint --image-path /img c",
                f"restore --detach --image-path /img --bundle {fake.bundle} --pid-file /d.pid d",
                "delete --force c",
            )
        )
    ]
    assert list(fake.bundle.iterdir()) == []


def test_runtime_is_told_of_a_console(tmp_path: Path) -> None:
    fake = FakeRuntime(tmp_path)

    async def scenario(reaper: Reaper) -> None:
        runtime = fake.runtime(reaper)
        await runtime.create("c", Path("/pid"), (), "/c.sock")
        await runtime.execute("c", Path("/p.json"), Path("/pid"), (), "/c.sock")

    with_reaper(scenario)
    assert all(" --console-socket /c.sock c" in call for call in fake.calls)


def test_runtime_calls_at_once_keep_their_logs_apart(tmp_path: Path) -> None:
    """What one says of its failure is not another's."""
    fake = FakeRuntime(
        tmp_path,
        'sleep 0.05; echo "{\\"level\\":\\"error\\",\\"msg\\":\\"$verb it is\\"}" > "$log"; exit 1',
    )

    async def scenario(reaper: Reaper) -> None:
        runtime = fake.runtime(reaper)
        calls = (runtime.start("c"), runtime.pause("c"), runtime.resume("c"))
        failures = await asyncio.gather(*calls, return_exceptions=True)
        assert [str(failure) for failure in failures] == [
            f"fake-runc {verb} failed: {verb} it is" for verb in ("start", "pause", "resume")
        ]

    with_reaper(scenario)
    assert list(fake.bundle.iterdir()) == []


def test_runtime_searches_where_its_caller_did(tmp_path: Path) -> None:
    async def scenario(reaper: Reaper) -> None:
        options = RuntimeOptions("runc", tmp_path)
        assert OciRuntime(options, tmp_path, {"PATH": "/a:/b"}, reaper).search_path == "/a:/b"
        assert OciRuntime(options, tmp_path, {}, reaper).search_path == os.defpath

    with_reaper(scenario)


def test_runtime_takes_every_option(tmp_path: Path) -> None:
    fake = FakeRuntime(tmp_path)

    async def scenario(reaper: Reaper) -> None:
        runtime = fake.runtime(reaper, systemd_cgroup=True, no_pivot_root=True, no_new_keyring=True)
        await runtime.create("c", fake.bundle / "init.pid", ())

    with_reaper(scenario)
    (call,) = fake.calls
    assert " --systemd-cgroup create " in call
    assert call.endswith(" --no-pivot --no-new-keyring c")


def test_runtime_hands_stdio_to_the_container(tmp_path: Path) -> None:
    fake = FakeRuntime(tmp_path, "cat; echo out; echo err >&2")
    (tmp_path / "in").write_text("in\n")

    async def scenario(reaper: Reaper) -> None:
        stdin = os.open(tmp_path / "in", os.O_RDONLY)
        stdout, stderr = (
            os.open(tmp_path / name, os.O_CREAT | os.O_WRONLY) for name in ("out", "err")
        )
        await fake.runtime(reaper).create("c", tmp_path / "pid", (stdin, stdout, stderr))
        for fd in (stdin, stdout, stderr):
            os.close(fd)

    with_reaper(scenario)
    assert (tmp_path / "out").read_text() == "in\nout\n"
    assert (tmp_path / "err").read_text() == "err\n"


@pytest.mark.parametrize("says", [SAYS_WHY, SAYS_WHY_IN_LINES], ids=["a line", "lines"])
def test_runtime_failure_is_told_in_its_own_words(tmp_path: Path, says: str) -> None:
    fake = FakeRuntime(tmp_path, says)

    async def scenario(reaper: Reaper) -> None:
        with pytest.raises(InternalError) as caught:
            await fake.runtime(reaper).create("c", tmp_path / "pid", ())
        assert str(caught.value) == "fake-runc create failed: no such image"

    with_reaper(scenario)


def test_runtime_failure_of_an_earlier_call_is_not_told_again(tmp_path: Path) -> None:
    fake = FakeRuntime(tmp_path, f'[ "$verb" = start ] && exit 3\n{SAYS_WHY}')

    async def scenario(reaper: Reaper) -> None:
        runtime = fake.runtime(reaper)
        with pytest.raises(InternalError, match="no such image"):
            await runtime.create("c", tmp_path / "pid", ())
        with pytest.raises(InternalError, match="fake-runc start failed: exit status 3"):
            await runtime.start("c")

    with_reaper(scenario)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("exit 1", "exit status 1"),
        ("kill -9 $$", "exit status 137"),
        ("printf '\\377' > $log; exit 2", "exit status 2"),
        ('echo \'{"level":"error"}\' > $log; exit 2', "exit status 2"),
        ("ln -s $log $log; exit 2", "exit status 2"),
    ],
)
def test_runtime_failure_without_words_is_its_status(
    tmp_path: Path, body: str, reason: str
) -> None:
    fake = FakeRuntime(tmp_path, body)

    async def scenario(reaper: Reaper) -> None:
        with pytest.raises(InternalError, match=f"start failed: {reason}"):
            await fake.runtime(reaper).start("c")

    with_reaper(scenario)


@pytest.mark.parametrize("binary", ["/no/such/runc", "no-such-runc-anywhere", "/etc/passwd"])
def test_runtime_that_is_missing_is_named(tmp_path: Path, binary: str) -> None:
    async def scenario(reaper: Reaper) -> None:
        options = RuntimeOptions(binary, tmp_path)
        runtime = OciRuntime(options, tmp_path, {"PATH": os.environ["PATH"]}, reaper)
        before = os.listdir("/proc/self/fd")
        with pytest.raises(InvalidArgumentError, match=f"OCI runtime {binary} cannot be executed"):
            await runtime.start("c")
        assert os.listdir("/proc/self/fd") == before

    with_reaper(scenario)


def test_delete_of_what_the_runtime_does_not_know_calls_nobody(tmp_path: Path) -> None:
    fake = FakeRuntime(tmp_path)

    async def scenario(reaper: Reaper) -> None:
        await fake.runtime(reaper).delete("c")

    with_reaper(scenario)
    assert fake.calls == []
