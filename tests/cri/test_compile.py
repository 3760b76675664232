"""Compilation as pods meet it: once for all of them, within limits, and never by trust."""

import hashlib
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import guests, images
from tests.support.containerd import Containerd
from tests.support.cri import CriError
from tests.support.large_modules import large_component, slow_module
from tests.support.pods import ContainerSpec, Pod, Volume

pytestmark = [pytest.mark.root, pytest.mark.containerd]


@pytest.fixture
def config(containerd: Containerd) -> Iterator[Path]:
    """The configuration that new pods will read, for the test to change."""
    path = containerd.folder / "tandem.toml"
    text = path.read_text()
    yield path
    path.write_text(text)


def import_module(containerd: Containerd, name: str, module: bytes) -> ContainerSpec:
    archive = images.wasm_image(containerd.folder / "m.tar", f"localhost/{name}:1", module)
    return ContainerSpec(name, containerd.import_image(archive))


def artefact_of(containerd: Containerd, module: bytes) -> Path:
    digest = hashlib.sha256(module).hexdigest()
    folder = containerd.folder / "cache"
    (found,) = (
        path for kind in ("module", "component") for path in folder.rglob(f"{digest}.{kind}")
    )
    return found


def images_of(artefact: Path) -> list[str]:
    found: list[str] = json.loads(artefact.with_suffix(".json").read_text())["images"]
    return found


def images_by_name(containerd: Containerd) -> dict[str, str]:
    lines = [line.split() for line in containerd.ctr("images", "ls").splitlines()[1:]]
    return {words[0]: words[2] for words in lines}


def remove_image(containerd: Containerd, name: str) -> None:
    """With the names that CRI has given it."""
    digests = images_by_name(containerd)
    names = [other for other, digest in digests.items() if digest == digests[name]]
    containerd.ctr("images", "rm", "--sync", *names)


def times_compiled(containerd: Containerd, module: bytes) -> int:
    digest = hashlib.sha256(module).hexdigest()
    log = containerd.log_path.read_text(errors="replace")
    return sum("module compiled" in line and digest in line for line in log.splitlines())


def run_to_its_end(pod: Pod, spec: ContainerSpec) -> int:
    return int(pod.start(spec).wait().exit_code)


def test_ten_pods_that_start_one_new_component_compile_it_once(containerd: Containerd) -> None:
    component = large_component(8_000_000, 5_000_000, seed=10)
    assert len(component) > 13_000_000
    spec = import_module(containerd, "ten", component)
    pods = [containerd.pod(f"ten-{number}", "tandem") for number in range(10)]
    try:
        created = [pod.run().create(spec) for pod in pods]
        with ThreadPoolExecutor(len(pods)) as threads:
            started = list(threads.map(lambda container: container.start(timeout=120), created))
        assert [container.wait().exit_code for container in started] == [0] * 10
        assert times_compiled(containerd, component) == 1
    finally:
        for pod in pods:
            pod.remove()


def test_module_that_takes_for_ever_fails_with_the_limit(
    containerd: Containerd, config: Path
) -> None:
    config.write_text(config.read_text() + "\n[compile]\ntimeout_s = 1\n")
    spec = import_module(containerd, "slow", slow_module())
    with containerd.pod("slow", "tandem") as pod:
        slow = pod.create(spec)
        with pytest.raises(CriError, match=r"/app\.wasm.*\[compile\] timeout_s") as failed:
            slow.start()
        assert "Traceback" not in failed.value.text
        hello = import_module(containerd, "hello", guests.binary(guests.HELLO))
        assert run_to_its_end(pod, hello) == 0


def test_module_that_takes_all_memory_fails_with_the_limit(
    containerd: Containerd, config: Path
) -> None:
    config.write_text(config.read_text() + f"\n[compile]\nmemory_bytes = {32 << 20}\n")
    spec = import_module(containerd, "greedy", large_component(8_000_000, seed=11))
    with containerd.pod("greedy", "tandem") as pod:
        greedy = pod.create(spec)
        with pytest.raises(CriError, match=r"/app\.wasm.*\[compile\] memory_bytes"):
            greedy.start()


def test_entry_knows_every_image_that_its_module_came_from(containerd: Containerd) -> None:
    module = guests.binary(guests.exit_with(52))
    first, second = (import_module(containerd, f"of-{n}", module) for n in ("one", "two"))
    archive = images.wasm_image(
        containerd.folder / "m.tar", "localhost/of-two:1", module, {"/more": b"another image"}
    )
    containerd.import_image(archive)
    with containerd.pod("images", "tandem") as pod:
        for spec in (first, second, first):
            assert run_to_its_end(pod, spec) == 52
        # a volume is nobody's image
        volume = Volume(pod.volume("v"), "/v")
        (volume.source / "app.wasm").write_bytes(module)
        spec = ContainerSpec("volume", first.image, ["/v/app.wasm"], volumes=(volume,))
        assert run_to_its_end(pod, spec) == 52
    expected = [images_by_name(containerd)[spec.image] for spec in (first, second)]
    assert sorted(images_of(artefact_of(containerd, module))) == sorted(expected)
    assert len(set(expected)) == 2
    assert times_compiled(containerd, module) == 1


def test_full_cache_forgets_first_whose_image_is_gone(containerd: Containerd, config: Path) -> None:
    modules = [guests.binary(guests.exit_with(code)) for code in (61, 62, 63)]
    specs = [import_module(containerd, f"full-{n}", module) for n, module in enumerate(modules)]
    with containerd.pod("filled", "tandem") as pod:
        for spec in specs[:2]:
            run_to_its_end(pod, spec)
    older, newer = (artefact_of(containerd, module) for module in modules[:2])
    remove_image(containerd, specs[1].image)
    room = sum(
        path.stat().st_blocks * 512
        for path in older.parent.iterdir()
        if path.suffix in {".module", ".component"}
    )
    config.write_text(config.read_text().replace("[cache]\n", f"[cache]\nmax_bytes = {room}\n"))
    with containerd.pod("full", "tandem") as pod:
        assert run_to_its_end(pod, specs[2]) == 63
    assert (older.exists(), newer.exists()) == (True, False)


@pytest.mark.parametrize(("harm", "code"), [("flipped", 41), ("truncated", 42), ("foreign", 43)])
def test_artefact_that_is_not_ours_is_compiled_anew(
    containerd: Containerd, harm: str, code: int
) -> None:
    module = guests.binary(guests.exit_with(code))
    spec = import_module(containerd, harm, module)
    with containerd.pod(harm, "tandem") as pod:
        assert run_to_its_end(pod, spec) == code
        path = artefact_of(containerd, module)
        whole = path.read_bytes()
        middle = len(whole) // 2
        path.write_bytes(
            {
                "flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
                "truncated": whole[:middle],
                "foreign": Path("/bin/true").read_bytes(),
            }[harm]
        )
        assert run_to_its_end(pod, spec) == code
        assert path.read_bytes() == whole
    assert times_compiled(containerd, module) == 2
    assert f'not believed and removed" reason="{path}' in containerd.log_path.read_text()


def test_artefact_of_another_wasmtime_is_compiled_anew(containerd: Containerd) -> None:
    """With a description that fits: wasmtime refuses it, in the instance."""
    module = guests.binary(guests.exit_with(51))
    spec = import_module(containerd, "other", module)
    with containerd.pod("other", "tandem") as pod:
        assert run_to_its_end(pod, spec) == 51
        path = artefact_of(containerd, module)
        whole = path.read_bytes()
        # wasmtime's version, and the target behind it
        other = re.sub(rb"\x02\d\d(?=.[a-z0-9_]+-unknown-linux)", b"\x0249", whole, flags=re.DOTALL)
        assert other != whole
        described = path.with_suffix(".json")
        old, new = (hashlib.sha256(each).hexdigest() for each in (whole, other))
        assert old in described.read_text()
        described.write_text(described.read_text().replace(old, new))
        path.write_bytes(other)
        assert run_to_its_end(pod, spec) == 51
        assert path.read_bytes() == whole
    assert "artefact refused and removed" in containerd.log_path.read_text()
