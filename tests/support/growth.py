"""Whether something grows: samples of processes, and the trend of noisy numbers."""

import contextlib
import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

# of the normal distribution, one-sided: 99 in 100
_SURE = 2.33


@dataclass(frozen=True)
class Sample:
    """What a process and its children hold: KiB that are resident, their share of it, and files."""

    resident: int
    proportional: int
    descriptors: int


def sample_of(pid: int) -> Sample:
    """Look at a process of the machine; children that end meanwhile count nothing."""
    resident = proportional = descriptors = 0
    process = psutil.Process(pid)
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(OSError, psutil.NoSuchProcess):
            fields = Path(f"/proc/{each.pid}/smaps_rollup").read_text().split()
            resident += int(fields[fields.index("Rss:") + 1])
            proportional += int(fields[fields.index("Pss:") + 1])
            descriptors += each.num_fds()
    return Sample(resident, proportional, descriptors)


def growth(values: Sequence[float]) -> float:
    """By how much values grow from the first to the last, at least, as a part of their median.

    It is the lower end of a confidence interval of the Theil-Sen slope: of noise, however wild, it
    says nothing above 0 in 99 of 100 cases, and outliers do not move it.
    """
    count = len(values)
    pairs = itertools.combinations(enumerate(values), 2)
    slopes = sorted((later - earlier) / (j - i) for (i, earlier), (j, later) in pairs)
    spread = _SURE * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    slope = slopes[max(0, int((len(slopes) - spread) / 2))]
    return slope * (count - 1) / statistics.median(values)
