"""The examples say what Tandem understands, and keep to what careful clusters ask of pods."""

from pathlib import Path
from typing import Any

import pytest

from shim.config import Http, Outbound
from shim.engine.cgi.routes import ANNOTATION as CGI
from shim.engine.cgi.routes import cgi_route
from shim.errdefs import InvalidArgumentError
from shim.oci.choose import MODULE_ANNOTATION
from shim.oci.spec import Resources
from shim.outbound.policy import ANNOTATION as OUTBOUND
from shim.outbound.policy import policy_of
from shim.serve.options import PREFIX as HTTP
from shim.serve.options import http_options
from shim.stores.options import PREFIX, guest_options
from tests.manifests.documents import EXAMPLES, every_pod, of_file

PODS = every_pod(EXAMPLES)
EACH_POD = pytest.mark.parametrize("pod", [pod for _, pod in PODS], ids=[name for name, _ in PODS])
STORES = (f"{PREFIX}config.", f"{PREFIX}config-directory", f"{PREFIX}keyvalue.")


def understood(annotations: dict[str, str]) -> list[str]:
    """Have the shim's own readers read annotations; return those that none of them reads."""
    http_options(Http(), annotations, (), Resources())
    guest_options(annotations, 1 << 20)
    policy_of(annotations, Outbound().block, Outbound().default)
    cgi_route(annotations)
    read = (HTTP, *STORES)
    ours = [name for name in annotations if name.startswith(PREFIX)]
    whole = {CGI, OUTBOUND, MODULE_ANNOTATION}
    return [name for name in ours if name not in whole and not name.startswith(read)]


def test_examples_show_every_kind_of_annotation() -> None:
    names = {name for _, pod in PODS for name in pod["metadata"].get("annotations", {})}
    assert {CGI, OUTBOUND} <= names
    assert all(any(name.startswith(each) for name in names) for each in (HTTP, *STORES))


@EACH_POD
def test_annotations_are_the_shims(pod: dict[str, Any]) -> None:
    annotations = pod["metadata"].get("annotations", {})
    assert understood(annotations) == []
    # a slip in the prefix would make them nobody's
    assert [name for name in annotations if "tandem" in name and not name.startswith(PREFIX)] == []


def test_annotations_that_do_not_exist_are_found() -> None:
    slips = {f"{PREFIX}setting.x": "1", f"{PREFIX}cgi2": "true"}
    assert understood(slips) == list(slips)
    with pytest.raises(InvalidArgumentError, match="http-timeouts is not known"):
        understood({f"{PREFIX}http-timeouts": "5"})


@EACH_POD
def test_pods_are_tandems_and_restricted(pod: dict[str, Any]) -> None:
    """Pod Security's level `restricted`, a read-only root and requests, in every container."""
    spec = pod["spec"]
    assert spec["runtimeClassName"] == "tandem"
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_what_an_example_names_it_has(path: Path) -> None:
    """Services find their pods, autoscalers their deployments, volumes their sources."""
    found = of_file(path)
    names = {(each["kind"], each["metadata"]["name"]) for each in found}
    labels = [pod["metadata"].get("labels", {}) for _, pod in every_pod([path])]
    ports = {
        port["name"]
        for _, pod in every_pod([path])
        for container in pod["spec"]["containers"]
        for port in container.get("ports", [])
    }
    for each in found:
        spec = each.get("spec", {})
        if each["kind"] == "Service":
            assert spec["selector"] in labels
            assert {port["targetPort"] for port in spec["ports"]} <= ports
        if target := spec.get("scaleTargetRef"):
            assert (target["kind"], target["name"]) in names
    for _, pod in every_pod([path]):
        for volume in pod["spec"].get("volumes", []):
            if source := volume.get("configMap"):
                assert ("ConfigMap", source["name"]) in names
            if source := volume.get("secret"):
                assert ("Secret", source["secretName"]) in names
