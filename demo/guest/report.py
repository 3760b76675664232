"""The program of the demo's Wasm container: statistics of a CSV file, as one HTML page.

It runs on CPython for WASI inside the pod, with nothing but the standard library: the file's path
and the page's are its arguments, the title comes from the environment. Rows are
"station,time,celsius".
"""

import csv
import html
import os
import statistics
import sys
import time
from collections import defaultdict
from pathlib import Path

Readings = dict[str, list[float]]

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body><h1>{title}</h1>
<p>{count} readings, computed by {implementation} {version} on {platform}</p>
<table>
<tr><th>station</th><th>readings</th><th>mean</th><th>median</th><th>min</th><th>max</th>\
<th>deviation</th><th>months</th></tr>
{rows}
</table></body></html>
"""

ROW = (
    "<tr><td>{name}</td><td>{count}</td><td>{mean:.2f}</td><td>{median:.2f}</td><td>{low:.1f}</td>"
    "<td>{high:.1f}</td><td>{deviation:.2f}</td><td>{chart}</td></tr>"
)


def read(path: Path) -> tuple[Readings, Readings]:
    """The readings by station, and the same by station and month."""
    stations: Readings = defaultdict(list)
    months: Readings = defaultdict(list)
    with path.open(newline="") as source:
        for row in csv.DictReader(source):
            value = float(row["celsius"])
            stations[row["station"]].append(value)
            months[f"{row['station']} {row['time'][:7]}"].append(value)
    return stations, months


def chart(values: list[float]) -> str:
    """A bar for each value, as inline SVG."""
    low, high = min(values), max(values)
    bars = []
    for number, value in enumerate(values):
        height = 4 + 28 * (value - low) / ((high - low) or 1)
        bars.append(
            f'<rect x="{number * 9}" y="{32 - height:.1f}" width="8" height="{height:.1f}"/>'
        )
    return f'<svg width="{9 * len(values)}" height="32">{"".join(bars)}</svg>'


def render(title: str, stations: Readings, months: Readings) -> str:
    """The page."""
    rows = []
    for name, values in sorted(stations.items()):
        means = [
            statistics.fmean(month)
            for key, month in sorted(months.items())
            if key.startswith(f"{name} ")
        ]
        rows.append(
            ROW.format(
                name=html.escape(name),
                count=len(values),
                mean=statistics.fmean(values),
                median=statistics.median(values),
                low=min(values),
                high=max(values),
                deviation=statistics.stdev(values),
                chart=chart(means),
            )
        )
    return PAGE.format(
        title=html.escape(title),
        count=sum(map(len, stations.values())),
        implementation=sys.implementation.name,
        version=sys.version.split()[0],
        platform=sys.platform,
        rows="\n".join(rows),
    )


def main() -> None:
    """Read, compute, write; tell the log what was done."""
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    print(
        f"{sys.implementation.name} {sys.version.split()[0]} on {sys.platform}, {sys.argv[1:]}",
        flush=True,
    )
    start = time.perf_counter()
    stations, months = read(source)
    print(
        f"read {sum(map(len, stations.values()))} rows in {time.perf_counter() - start:.2f} s",
        flush=True,
    )
    page = render(os.environ["TITLE"], stations, months)
    target.write_text(page)
    print(f"wrote {len(page)} bytes to {target}", file=sys.stderr)


if __name__ == "__main__":
    main()
