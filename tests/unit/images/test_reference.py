import pytest

from shim.errdefs import InvalidArgumentError
from shim.images.reference import Reference, parse_reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("registry.example/a:1", Reference("registry.example", "a", "1")),
        ("registry.example/a", Reference("registry.example", "a", "latest")),
        (
            "registry.example:5000/a/b-c/d_e:v1.2",
            Reference("registry.example:5000", "a/b-c/d_e", "v1.2"),
        ),
        (f"registry.example/a@{DIGEST}", Reference("registry.example", "a", "", DIGEST)),
        (f"registry.example/a:1@{DIGEST}", Reference("registry.example", "a", "1", DIGEST)),
        ("localhost/a:1", Reference("localhost", "a", "1")),
        ("[::1]:5000/a:1", Reference("[::1]:5000", "a", "1")),
    ],
)
def test_name_is_read_and_written_back(text: str, expected: Reference) -> None:
    found = parse_reference(text)
    assert found == expected
    assert parse_reference(str(found)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a:1",
        "library/a:1",
        "registry.example/",
        "registry.example/A:1",
        "registry.example/a:",
        "registry.example/a:-x",
        "registry.example/../a",
        "registry.example/a b",
        "registry.example/a@sha256:1",
        "https://registry.example/a",
        "registry.example/a:1\n",
        "registry.example/" + "a" * 600,
    ],
)
def test_what_is_no_full_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"registry\.example/hello:1"):
        parse_reference(text)


@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("[::1]:5000", True),
        ("localhost.example", False),
        ("127.example:80", False),
        ("registry.example", False),
    ],
)
def test_loopback_is_this_machine_alone(registry: str, *, expected: bool) -> None:
    assert Reference(registry, "a", "1").is_loopback is expected
