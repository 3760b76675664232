"""Every object is one of Kubernetes', field by field, in every version that is said to do."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.manifests.documents import EXAMPLES, INSTALL, ROOT, UNINSTALL, of_file

OLDEST = 30
FILES = [INSTALL, UNINSTALL, *EXAMPLES]


def versions() -> list[str]:
    """Those whose schemas the package has, from the oldest that Tandem's manifests are for."""
    newest = int(kubernetes_validate.latest_version().split(".")[1])
    return [f"1.{minor}" for minor in range(OLDEST, newest + 1)]


def test_there_are_schemas_of_the_oldest_version_and_newer_ones() -> None:
    assert {"1.30", "1.37"} <= set(versions())
    assert EXAMPLES


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_objects_are_valid(path: Path, version: str) -> None:
    for each in of_file(path):
        kubernetes_validate.validate(each, version, strict=True)


def test_an_unknown_field_and_a_wrong_type_are_found() -> None:
    pod: dict[str, Any] = of_file(next(path for path in EXAMPLES if path.stem == "mixed-pod"))[0]
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod | {"spce": {}}, versions()[-1], strict=True)
    pod["spec"]["containers"][0]["ports"][0]["containerPort"] = "8080"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, versions()[-1], strict=True)


def test_linter_is_shown_every_file() -> None:
    config = yaml.safe_load((ROOT / "tests/manifests/checkov.yaml").read_text())
    assert sorted(config["file"]) == sorted(str(path.relative_to(ROOT)) for path in FILES)
