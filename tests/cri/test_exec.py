"""ExecSync in a running container: what probes, preStop hooks and scripts of a kubelet call.

The same words for both kinds: `/app` is the probe, and in a Wasm container a Wasm file, which runs
as one more instance in the same jail.
"""

import threading

import pytest

from tests.cri.conftest import EVERY_KIND, LINUX, Case, Home, kinds, pids_of_pods
from tests.support.containerd import Containerd
from tests.support.cri import CriError
from tests.support.pods import ExecResult
from tests.support.probe import probe
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.root, pytest.mark.containerd]


@kinds(EVERY_KIND)
@pytest.mark.parametrize("code", [0, 1, 7, 126, 127, 255])
def test_exit_code_is_kept(containerd: Containerd, case: Case, home: Home, code: int) -> None:
    assert home.probe.exec("/app", "exit", str(code)) == ExecResult(code, "", "")
    assert home.probe.is_running()


@kinds(EVERY_KIND)
def test_streams_come_apart(containerd: Containerd, case: Case, home: Home) -> None:
    command = [*probe("say", "out"), *probe("err", "problem"), *probe("print", "end")]
    assert home.probe.exec("/app", *command) == ExecResult(0, "out\nend", "problem\n")


@kinds(EVERY_KIND)
def test_long_output_is_complete(containerd: Containerd, case: Case, home: Home) -> None:
    found = home.probe.exec("/app", "both", "5000")
    assert found.stdout.splitlines() == [f"out {number}" for number in range(5000)]
    assert found.stderr.splitlines() == [f"err {number}" for number in range(5000)]


@kinds(EVERY_KIND)
def test_arguments_arrive_as_they_are(containerd: Containerd, case: Case, home: Home) -> None:
    found = home.probe.exec("/app", "args", "two words", "", "$HOME", "*", "blå")
    assert found.stdout == "two words\n\n$HOME\n*\nblå\n"


@kinds(EVERY_KIND)
def test_environment_is_the_containers(containerd: Containerd, case: Case, home: Home) -> None:
    found = home.probe.exec("/app", *probe("env", "COLOUR"), *probe("env", "TANDEM_SOCKET"))
    assert found.stdout == "COLOUR=blue\nTANDEM_SOCKET is not set\n"


@kinds(EVERY_KIND)
def test_files_are_the_containers(containerd: Containerd, case: Case, home: Home) -> None:
    write = probe("write", "/shared/made.txt", "by exec") + probe("write", "/tmp/own", "kept")
    found = home.probe.exec("/app", *probe("cat", "/etc/motto.txt"), *write)
    assert found.stdout == "two under one yoke\nwrote /shared/made.txt\nwrote /tmp/own\n"
    assert (home.shared / "made.txt").read_text() == "by exec"
    assert home.probe.exec("/app", "cat", "/tmp/own").stdout == "kept"


@kinds(EVERY_KIND)
def test_stdin_is_empty(containerd: Containerd, case: Case, home: Home) -> None:
    assert home.probe.exec("/app", *probe("stdin"), "say", "end") == ExecResult(0, "end\n", "")


@kinds(EVERY_KIND)
def test_timeout_is_honoured(containerd: Containerd, case: Case, home: Home) -> None:
    before = pids_of_pods(containerd)
    with pytest.raises(CriError) as refused:
        home.probe.exec("/app", *probe("say", "started"), "sleep", "60", timeout=1)
    assert refused.value.code == "DEADLINE_EXCEEDED"
    wait_for("end of the process", lambda: pids_of_pods(containerd) <= before)
    assert home.probe.is_running()


@kinds(EVERY_KIND)
def test_user_and_group_are_the_containers(containerd: Containerd, case: Case, home: Home) -> None:
    with case.start(home.pod, "sleep", "60", user=1234, group=4321, volumes=home.volumes) as other:
        assert other.exec("/app", "write", "/shared/mine.txt", "x").exit_code == 0
    made = (home.shared / "mine.txt").stat()
    assert (made.st_uid, made.st_gid) == (1234, 4321)


@kinds(EVERY_KIND)
def test_several_at_once(containerd: Containerd, case: Case, home: Home) -> None:
    go = home.shared / "go"
    go.unlink(missing_ok=True)
    results: dict[int, ExecResult] = {}

    def run(number: int) -> None:
        words = probe("write", f"/shared/up{number}", "") + probe("until", "/shared/go")
        results[number] = home.probe.exec("/app", *words, "exit", str(number))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    up = [home.shared / f"up{number}" for number in range(8)]
    try:
        wait_for("all of them side by side", lambda: all(path.exists() for path in up), 30)
    finally:
        go.touch()
        for thread in threads:
            thread.join()
    assert [results[number].exit_code for number in range(8)] == list(range(8))


@kinds(EVERY_KIND)
def test_program_that_is_missing_is_named(containerd: Containerd, case: Case, home: Home) -> None:
    with pytest.raises(CriError, match="no-such-program"):
        home.probe.exec("/no-such-program")
    assert home.probe.is_running()
    assert home.probe.exec("/app", "exit", "3").exit_code == 3


@kinds(EVERY_KIND)
def test_container_that_does_not_run_refuses(
    containerd: Containerd, case: Case, home: Home
) -> None:
    with home.pod.create(case.spec("sleep", "60")) as container:
        with pytest.raises(CriError, match=r"(?i)created"):
            container.exec("/app", "exit", "0")
        container.start().stop(grace=0)
        with pytest.raises(CriError, match=r"(?i)exited"):
            container.exec("/app", "exit", "0")


@kinds(EVERY_KIND)
def test_it_ends_with_its_container(containerd: Containerd, case: Case, home: Home) -> None:
    container = case.start(home.pod, "sleep", "60", volumes=home.volumes)
    ended: list[str] = []

    def hang() -> None:
        try:
            code = container.exec("/app", *probe("write", "/shared/hangs", ""), "sleep", "60")
            ended.append(str(code.exit_code))
        except CriError as error:
            ended.append(error.text)

    thread = threading.Thread(target=hang)
    thread.start()
    wait_for("the command inside", (home.shared / "hangs").exists)
    container.remove()
    thread.join(20)
    assert len(ended) == 1


@kinds(LINUX)
def test_shell_of_a_linux_container(containerd: Containerd, case: Case, home: Home) -> None:
    found = home.shell.exec("sh", "-c", "pwd; echo err >&2; kill -TERM $$")
    assert found == ExecResult(143, "/\n", "err\n")
    with pytest.raises(CriError, match=r"(?i)permission denied|not permitted"):
        home.shell.exec("/etc/passwd")


@kinds(LINUX)
def test_working_directory_is_the_containers(
    containerd: Containerd, case: Case, home: Home
) -> None:
    with case.start(home.pod, "sleep", "60", workdir="/etc") as container:
        assert container.exec("/app", "cat", "motto.txt").stdout == "two under one yoke\n"


@kinds(LINUX)
def test_background_process_outlives_it(containerd: Containerd, case: Case, home: Home) -> None:
    command = "sleep 300 >/dev/null 2>&1 & echo $!"
    pid = home.shell.exec("sh", "-c", command).stdout.strip()
    assert home.shell.exec("kill", "-0", pid).exit_code == 0
    assert home.shell.exec("kill", "-9", pid).exit_code == 0
    wait_for("its end", lambda: home.shell.exec("kill", "-0", pid).exit_code != 0)
