import pytest

from shim.cli.checks.check import Level, fail, ok, skip, version_of, warn


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u2", (1, 6, 20)),
        ("containerd github.com/containerd/containerd/v2 v2.1.9 abc", (2, 1, 9)),
        ("runc version 1.1.5+ds1", (1, 1, 5)),
        ("6.18.44-fc-v595", (6, 18, 44)),
        ("5.14", (5, 14)),
        ("nothing", ()),
    ],
)
def test_version_is_found(text: str, expected: tuple[int, ...]) -> None:
    assert version_of(text) == expected


def test_only_what_is_wrong_must_be_mended() -> None:
    checks = [ok("a", "b"), skip("a", "b"), warn("a", "b", "c"), fail("a", "b", "c")]
    assert [check.level for check in checks] == [Level.OK, Level.SKIP, Level.WARN, Level.FAIL]
    assert [bool(check.mend) for check in checks] == [False, False, True, True]
