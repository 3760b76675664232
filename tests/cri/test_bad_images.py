"""Images that cannot run: a clear answer for whoever wrote them, and a pod that carries on."""

import pytest

from tests.cri.conftest import WASM
from tests.support import images, probe
from tests.support.containerd import Containerd
from tests.support.cri import CriError
from tests.support.pods import ContainerSpec
from tests.support.probe import probe as do

pytestmark = [pytest.mark.root, pytest.mark.containerd]

BAD_MODULE = images.ImageConfig(entrypoint=["/app.wasm"])
MAGIC = b"\0asm"

# name: (content of /app.wasm, command, what the error has to say)
REFUSED = {
    "no-module": (b"just some text, no module\n", [], r"/app\.wasm.*(not|neither|no )"),
    "empty": (b"", [], r"/app\.wasm"),
    "truncated": (MAGIC + b"\x01\0\0\0\x01\x7f\x60", [], r"(?i)/app\.wasm|unexpected end|invalid"),
    "wrong-version": (MAGIC + b"\x63\0\0\0", [], r"(?i)version|/app\.wasm"),
    "bad-text": (b"(module (func (export", [], r"(?i)/app\.wasm|expected|unexpected"),
    "missing": (b"(module)", ["/no/such.wasm"], r"/no/such\.wasm"),
    "directory": (b"(module)", ["/etc"], r"/etc"),
}

# name: (text of /app.wasm, command, what the container's standard error has to say)
FAILING = {
    "function": (b'(module (func (export "_start")))', ["/app.wasm#nope"], "nope"),
    "import": (
        b'(module (import "made-up" "thing" (func)) (func (export "_start")))',
        [],
        "made-up",
    ),
    "no-start": (b'(module (func (export "run")))', [], "_start"),
    "trap": (b'(module (func $deep unreachable) (func (export "_start") call $deep))', [], "deep"),
}


def import_bad(containerd: Containerd, name: str, content: bytes) -> str:
    archive = images.build_image(
        containerd.folder / "bad.tar",
        f"localhost/bad-{name}:1",
        {"/app.wasm": content, "/etc/motto.txt": b"x"},
        BAD_MODULE,
    )
    return containerd.import_image(archive)


@pytest.mark.parametrize("name", REFUSED)
def test_bad_image_is_refused_with_its_reason(containerd: Containerd, name: str) -> None:
    content, command, reason = REFUSED[name]
    image = import_bad(containerd, name, content)
    with containerd.pod(f"bad-{name}", "tandem") as pod:
        bad = pod.create(ContainerSpec("bad", image, command))
        with pytest.raises(CriError, match=reason) as refused:
            bad.start()
        assert "Traceback" not in refused.value.text
        good = WASM.start(pod, *do("say", "fine"))
        assert good.wait().exit_code == 0


@pytest.mark.parametrize("name", FAILING)
def test_failing_module_says_why_in_its_log(containerd: Containerd, name: str) -> None:
    content, command, reason = FAILING[name]
    image = import_bad(containerd, name, content)
    with containerd.pod(f"fail-{name}", "tandem") as pod:
        failing = pod.start(ContainerSpec("failing", image, command))
        assert failing.wait().exit_code == 137
        assert reason in failing.stderr
        assert "Traceback" not in failing.stderr
        linux = ContainerSpec("linux", probe.LINUX, args=do("say", "fine"))
        assert pod.start(linux).wait().exit_code == 0
