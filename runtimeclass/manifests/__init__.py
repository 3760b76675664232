"""Manifests from one source: the two files for kubectl, the bases for kustomize, Helm's templates.

`python -m runtimeclass.manifests` writes what `rendered` returns; a test compares the two.

Rules: the text is the source, with its comments: nothing here knows Kubernetes. One file of
`source/` is one object. What the chart lets its users say is in `chart/values.yaml`, and a source
refers to it; there is no second place where such a value is written:

    ${image.tag}        the value; in the chart, `{{ .Values.image.tag }}`
    ${block volumes}    on a line of its own: the lines of the value, comments included; in the
                        chart, what the user gave, by toYaml
    ${sleeper}          on a line of its own: the lines of `parts/sleeper.yaml`
    # chart: if NAME    first line: the object is there where that value is true (or `unless`)
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
ROOT = HERE.parent
CHART = ROOT / "chart"

OBJECTS = (
    "namespace",
    "quota",
    "service-account",
    "cluster-role",
    "cluster-role-binding",
    "policy",
    "policy-binding",
    "network-policy",
    "runtime-class",
    "daemon-set",
)
"""In the order in which they are applied; each is there before something needs it."""


_CONDITION = re.compile(r"# chart: (if|unless) (\w+)\n")
_BLOCK = re.compile(r"^( *)\$\{block (\w+)\}\n", re.MULTILINE)
_PART = re.compile(r"^( *)\$\{(\w+)\}\n", re.MULTILINE)
_VALUE = re.compile(r"\$\{([\w.]+)\}")


def rendered() -> dict[str, str]:
    """Every written file: its path below `runtimeclass/`, and its text."""
    values = _Values((CHART / "values.yaml").read_text())
    plain = {name: _plain(_source(name), values) for name in (*OBJECTS, "uninstall")}
    files = {}
    for file, names in {"tandem": OBJECTS, "uninstall": ("uninstall",)}.items():
        head = _plain((HERE / "heads" / f"{file}.yaml").read_text(), values)
        files[f"{file}.yaml"] = head + "".join(f"---\n{plain[name]}" for name in names)
    *shared, daemon_set = OBJECTS
    bases = {"shared": shared, "base": [daemon_set], "uninstall": ["uninstall"]}
    for base, held in bases.items():
        files |= {f"kustomize/{base}/{name}.yaml": plain[name] for name in held}
        resources = [f"{name}.yaml" for name in held]
        if base != "shared":
            resources.insert(0, "../shared")
        files[f"kustomize/{base}/kustomization.yaml"] = _kustomization(resources)
    for name in plain:
        files[f"chart/templates/{name}.yaml"] = _templated(_source(name))
    return files


def _kustomization(resources: list[str]) -> str:
    head = "# Written by `make manifests`.\napiVersion: kustomize.config.k8s.io/v1beta1\n"
    lines = "".join(f"  - {each}\n" for each in resources)
    return f"{head}kind: Kustomization\nresources:\n{lines}"


def _source(name: str) -> str:
    """A source with its parts; blocks of parts move right with them."""
    text = (HERE / "source" / f"{name}.yaml").read_text()

    def part(match: re.Match[str]) -> str:
        return _indented((HERE / "parts" / f"{match[2]}.yaml").read_text(), match[1])

    return _PART.sub(part, text)


def _plain(source: str, values: "_Values") -> str:
    """The object as it is with the chart's own values."""
    text = _CONDITION.sub("", source, count=1)
    text = _BLOCK.sub(lambda match: _indented(values.lines(match[2]), match[1]), text)
    return _VALUE.sub(lambda match: _scalar(values.get(match[1])), text)


def _templated(source: str) -> str:
    """The object as a template of Helm's."""
    condition = _CONDITION.match(source)
    text = _CONDITION.sub("", source, count=1)
    text = _BLOCK.sub(_to_yaml, text)
    text = _VALUE.sub(r"{{ .Values.\1 }}", text)
    if condition:
        test = {"if": "", "unless": "not "}[condition[1]]
        text = f"{{{{- if {test}.Values.{condition[2]} }}}}\n{text}{{{{- end }}}}\n"
    return text


def _scalar(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _to_yaml(match: re.Match[str]) -> str:
    return f"{match[1]}{{{{- toYaml .Values.{match[2]} | nindent {len(match[1])} }}}}\n"


def _indented(text: str, indent: str) -> str:
    return "".join(f"{indent}{line}" for line in text.splitlines(keepends=True))


class _Values:
    """The chart's values: as data, and as the lines that they are written in."""

    def __init__(self, text: str) -> None:
        self._data: dict[str, Any] = yaml.safe_load(text)
        self._text = text

    def get(self, path: str) -> object:
        """One value.

        Raises:
            KeyError: there is none of that name.
        """
        value: Any = self._data
        for key in path.split("."):
            value = value[key]
        return value

    def lines(self, name: str) -> str:
        """A top-level value as it is written, comments included, moved to the left margin.

        Raises:
            KeyError: there is none of that name that is written in lines below it.
        """
        found = re.search(rf"^{name}:\n((?:  .*\n)+)", self._text, re.MULTILINE)
        if found is None:
            raise KeyError(name)
        return "".join(line[2:] for line in found[1].splitlines(keepends=True))


def write(say: Callable[[str], object]) -> None:
    """Write what is not yet so, remove written files that are no more; `say` hears each name."""
    files = rendered()
    for name, text in files.items():
        path = ROOT / name
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            say(name)
    for folder in {(ROOT / name).parent for name in files} - {ROOT}:
        for path in folder.iterdir():
            if path.suffix == ".yaml" and str(path.relative_to(ROOT)) not in files:
                path.unlink()
                say(f"{path.relative_to(ROOT)} is gone")
