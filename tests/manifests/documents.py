"""The YAML files of runtimeclass/, as the objects that they are."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
RUNTIMECLASS = ROOT / "runtimeclass"
EXAMPLES = sorted((RUNTIMECLASS / "examples").glob("*.yaml"))
INSTALL, UNINSTALL = RUNTIMECLASS / "tandem.yaml", RUNTIMECLASS / "uninstall.yaml"

Object = dict[str, Any]


def objects(text: str) -> list[Object]:
    """The objects of a stream of YAML documents."""
    return [each for each in yaml.safe_load_all(text) if each]


def of_file(path: Path) -> list[Object]:
    """The objects of a file."""
    return objects(path.read_text())


def named(found: list[Object]) -> dict[tuple[str, str], Object]:
    """The objects by kind and name; two of one name are a mistake."""
    by_name = {(each["kind"], each["metadata"]["name"]): each for each in found}
    assert len(by_name) == len(found)
    return by_name


def pod_of(found: Object) -> Object | None:
    """The pod that an object is, or makes: its metadata and spec."""
    spec = found.get("spec", {})
    if found["kind"] == "Pod":
        return found
    if found["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    template: Object | None = spec.get("template")
    return template


def every_pod(paths: list[Path]) -> list[tuple[str, Object]]:
    """The pods of files, with a name to tell them by."""
    return [
        (f"{path.stem}-{each['metadata']['name']}", pod)
        for path in paths
        for each in of_file(path)
        if (pod := pod_of(each))
    ]
