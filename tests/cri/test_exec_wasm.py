"""What exec means in a Wasm container: another module, a function, or a Linux binary of its image.

The image `probe.BOTH` holds a Wasm entry point beside busybox; the other Wasm image has no shell.
"""

from collections.abc import Iterator

import pytest

from tests.cri.conftest import WASM
from tests.support import images, probe
from tests.support.containerd import Containerd
from tests.support.cri import CriError
from tests.support.pods import Container, ContainerSpec, Pod, Volume
from tests.support.probe import probe as do

pytestmark = [pytest.mark.root, pytest.mark.containerd]

MIB = 1 << 20


@pytest.fixture(scope="module")
def pod(containerd: Containerd) -> Iterator[Pod]:
    with containerd.pod("exec-wasm", WASM.handler) as started:
        started.volume("shared")
        yield started


@pytest.fixture(scope="module")
def both(pod: Pod) -> Container:
    """A Wasm container whose image brings Linux programs, too."""
    volume = Volume(pod.folder / "volumes" / "shared", "/shared")
    args = ["sleep", "3600"]
    env = {"COLOUR": "blue"}
    return pod.start(ContainerSpec("both", probe.BOTH, args=args, env=env, volumes=[volume]))


@pytest.fixture(scope="module")
def bare(pod: Pod) -> Container:
    """A Wasm container with nothing but its module."""
    return WASM.start(pod, "sleep", "3600")


def test_another_module_of_the_image(both: Container) -> None:
    found = both.exec("/tools/probe.wasm", *do("env", "COLOUR"), *do("ls", "/tools"), "exit", "9")
    assert (found.exit_code, found.stdout) == (9, "COLOUR=blue\nprobe.wasm\n")


def test_function_of_a_module(both: Container) -> None:
    assert both.exec("/app.wasm#greet").stdout == "greetings\n"


def test_function_that_is_missing_is_named(both: Container) -> None:
    found = both.exec("/app.wasm#absent")
    assert found.exit_code == 137
    assert "absent" in found.stderr


def test_trap_tells_its_reason(both: Container) -> None:
    found = both.exec("/app.wasm", *do("say", "before"), "abort")
    assert (found.exit_code, found.stdout) == (137, "before\n")
    assert "unreachable" in found.stderr
    assert both.is_running()


def test_wasm_and_linux_see_the_same_files(both: Container, pod: Pod) -> None:
    assert both.exec("/app.wasm", "write", "/shared/note", "from Wasm").exit_code == 0
    assert both.exec("cat", "/shared/note").stdout == "from Wasm"
    assert both.exec("sh", "-c", "echo from Linux >/tmp/note").exit_code == 0
    assert both.exec("/app.wasm", "cat", "/tmp/note").stdout == "from Linux\n"
    assert (pod.folder / "volumes" / "shared" / "note").read_text() == "from Wasm"


def test_linux_program_of_the_image(both: Container) -> None:
    found = both.exec("sh", "-c", 'echo "$COLOUR"; echo err >&2; exit 3')
    assert (found.exit_code, found.stdout, found.stderr) == (3, "blue\n", "err\n")
    assert both.exec("/bin/probe", "exit", "5").exit_code == 5


def test_linux_program_is_in_the_pods_network(both: Container, pod: Pod) -> None:
    serve = ["sh", "-c", "echo neighbour >/tmp/index.html && exec httpd -f -p 8099 -h /tmp"]
    with pod.start(ContainerSpec("server", images.BUSYBOX, serve)):
        ask = "until wget -qO- http://127.0.0.1:8099/; do sleep 0.1; done"
        assert both.exec("sh", "-c", ask).stdout == "neighbour\n"


def test_linux_program_is_the_containers_user(pod: Pod) -> None:
    spec = ContainerSpec(
        "user", probe.BOTH, args=["sleep", "60"], user=1234, group=4321, groups=[7]
    )
    with pod.start(spec) as container:
        found = container.exec("sh", "-c", "id -u; id -g; id -G").stdout.split()
        assert (found[:2], set(found[2:])) == (["1234", "4321"], {"4321", "7"})
        kept = container.exec("grep", "CapEff", "/proc/self/status").stdout.split()
        assert int(kept[1], 16) == 0


def test_linux_program_sees_no_processes_of_the_node(both: Container) -> None:
    found = both.exec("ps")
    assert "ps" in found.stdout
    assert "containerd" not in found.stdout


@pytest.mark.parametrize("act", ["mount -t tmpfs none /tmp", "mknod /tmp/sda b 8 0"])
def test_linux_program_is_jailed_too(both: Container, act: str) -> None:
    assert both.exec("sh", "-c", act).exit_code != 0


@pytest.mark.parametrize("shell", ["sh", "/bin/bash"])
def test_missing_shell_is_said(bare: Container, shell: str) -> None:
    with pytest.raises(CriError, match=rf"{shell}\b.*not in the image"):
        bare.exec(shell, "-c", "exit 3")
    assert bare.exec("/app", "exit", "3").exit_code == 3


def test_text_file_is_refused_by_name(bare: Container) -> None:
    with pytest.raises(CriError, match=r"/etc/motto\.txt"):
        bare.exec("/etc/motto.txt")


def test_execs_count_against_the_containers_limit(pod: Pod) -> None:
    with WASM.start(pod, "sleep", "60", memory_bytes=64 * MIB) as container:
        found = container.exec("/app", "eat", "200")
        assert "ate 200" not in found.stdout
        assert found.exit_code == 137


def test_readonly_root_holds_for_execs(pod: Pod) -> None:
    with WASM.start(pod, "sleep", "60", readonly_rootfs=True) as container:
        found = container.exec("/app", "write", "/tmp/x", "x")
        assert found.stdout.startswith("cannot write /tmp/x: ")
