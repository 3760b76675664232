from pathlib import Path

import pytest

from tests.stacks.matrix import Result, counts, table

REPORT = """<testsuites><testsuite>
<testcase classname="a" name="good"/>
<testcase classname="a" name="bad"><failure/></testcase>
<testcase classname="a" name="twice"><failure/></testcase>
<testcase classname="a" name="twice"><error/></testcase>
<testcase classname="b" name="good"/>
</testsuite></testsuites>"""
GOOD = '<testsuites><testsuite><testcase classname="a" name="good"/></testsuite></testsuites>'


@pytest.mark.parametrize(
    ("report", "status", "expected"),
    [
        (REPORT, 1, (2, 2)),
        (GOOD, 0, (1, 0)),
        (GOOD, 2, (1, 1)),  # interrupted
        (None, 4, (0, 1)),
        (None, 0, (0, 1)),
    ],
)
def test_what_failed_is_counted_once_and_never_lost(
    tmp_path: Path, report: str | None, status: int, expected: tuple[int, int]
) -> None:
    file = tmp_path / "report.xml"
    if report is not None:
        file.write_text(report)
    assert counts(file, status) == expected


def test_the_sum_stands_alone_in_the_last_line() -> None:
    results = [Result("1.6.20", "ttrpc", 155, 0, 124.4), Result("1.7.24", "grpc", 100, 55, 61.0)]
    assert table(results).splitlines() == [
        "containerd      transport    passed  failed    time",
        "1.6.20          ttrpc           155       0    2:04",
        "1.7.24          grpc            100      55    1:01",
        "255 passed, 55 failed",
    ]
