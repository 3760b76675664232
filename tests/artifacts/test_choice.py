"""Which of several modules a container runs: the entry point's or the annotation's, or an error."""

import pytest

from tests.artifacts import guests
from tests.artifacts.artifact_packings import CNCF_CONFIG, locked_app, spin_app
from tests.artifacts.conftest import Node, expect_run
from tests.artifacts.image_packings import CONTENT_LAYER
from tests.support import packing
from tests.support.cri import CriError
from tests.support.packing import WASM, Artifact, image_config, json_blob
from tests.support.pods import ContainerSpec, Pod
from tests.support.registry import Blob

pytestmark = [pytest.mark.root, pytest.mark.containerd]

ANNOTATION = "io.containerd.tandem.v1/module"
FIRST, SECOND = guests.module("first", 3), guests.module("second", 4)


def two(*titles: str) -> Artifact:
    layers = [Blob(WASM, FIRST), Blob(WASM, SECOND)]
    digests = [layer.digest for layer in layers]
    config = {"architecture": "wasm", "os": "wasip1", "layerDigests": digests, "titles": titles}
    return packing.manifest(
        json_blob(CNCF_CONFIG, config), layers, annotated=packing.titled(*titles)
    )


@pytest.mark.parametrize(
    ("command", "output", "status"),
    [
        (["first.wasm"], "first", 3),
        (["second.wasm", "argument"], "second", 4),
        (["/second.wasm"], "second", 4),
    ],
)
def test_entry_point_names_the_title(
    node: Node, pod: Pod, command: list[str], output: str, status: int
) -> None:
    with node.pushed("choice/title", two("first.wasm", "second.wasm")) as image:
        node.pull(image)
        expect_run(pod, ContainerSpec("chosen", image, command), output, status)


@pytest.mark.parametrize("value", ["second.wasm", Blob(WASM, SECOND).digest])
def test_annotation_wins_over_the_entry_point(node: Node, pod: Pod, value: str) -> None:
    with node.pushed("choice/annotation", two("first.wasm", "second.wasm")) as image:
        node.pull(image)
        spec = ContainerSpec("chosen", image, ["first.wasm"], annotations={ANNOTATION: value})
        expect_run(pod, spec, "second", 4)


def test_image_config_chooses_by_its_entry_point(node: Node, pod: Pod) -> None:
    layers = [Blob(WASM, FIRST), Blob(WASM, SECOND)]
    labels = {"layers": layers[1].digest}
    config = image_config("wasip1/wasm", Entrypoint=["second.wasm"], Labels=labels)
    artifact = packing.manifest(
        config, layers, annotated=packing.titled("first.wasm", "second.wasm")
    )
    with node.pushed("choice/config", artifact) as image:
        node.pull(image)
        expect_run(pod, ContainerSpec("chosen", image), "second", 4)


@pytest.mark.parametrize(
    ("titles", "command", "annotations", "says"),
    [
        (("first.wasm", "second.wasm"), ["other.wasm"], {}, ["first.wasm", "second.wasm"]),
        ((), ["app.wasm"], {}, [Blob(WASM, FIRST).digest, ANNOTATION]),
        (
            ("first.wasm", "second.wasm"),
            ["first.wasm"],
            {ANNOTATION: "third.wasm"},
            ["third.wasm", "first.wasm", "second.wasm"],
        ),
    ],
    ids=["no-such-title", "no-titles", "no-such-annotation"],
)
def test_nothing_is_guessed(
    node: Node,
    pod: Pod,
    titles: tuple[str, ...],
    command: list[str],
    annotations: dict[str, str],
    says: list[str],
) -> None:
    with node.pushed("choice/ambiguous", two(*titles)) as image:
        node.pull(image)
        spec = ContainerSpec("ambiguous", image, command, annotations=annotations)
        with pod.create(spec) as container, pytest.raises(CriError) as refused:
            container.start()
    assert [text for text in says if text not in refused.value.text] == [], refused.value.text


def app_of_two(kind: str = "command") -> Artifact:
    first, second = Blob(CONTENT_LAYER, FIRST), Blob(CONTENT_LAYER, SECOND)
    app = locked_app(f"two-{kind}", {"one": (first, []), "two": (second, [])}, kind)
    return spin_app(app, first, second)


def test_annotation_names_a_component_of_spin(node: Node, pod: Pod) -> None:
    with node.pushed("choice/spin", app_of_two()) as image:
        node.pull(image)
        spec = ContainerSpec("two", image, ["/"], annotations={ANNOTATION: "two"})
        expect_run(pod, spec, "second", 4)
        with pod.create(ContainerSpec("any", image, ["/"])) as container:
            with pytest.raises(CriError) as refused:
                container.start()
            assert all(word in refused.value.text for word in ("one", "two", ANNOTATION))


def test_trigger_of_spin_that_is_not_ours_is_named(node: Node, pod: Pod) -> None:
    with node.pushed("choice/redis", app_of_two("redis")) as image:
        node.pull(image)
        spec = ContainerSpec("redis", image, ["/"], annotations={ANNOTATION: "two"})
        with pod.create(spec) as container, pytest.raises(CriError) as refused:
            container.start()
    assert "redis" in refused.value.text
    assert "command" in refused.value.text
