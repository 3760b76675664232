"""What a benchmark found, how pairs are taken, and how it is printed.

Rules: the machine is noisy, so that only the ratio of two measurements taken one after the other
says something; which of the two comes first changes from pair to pair.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Pair = tuple[float, float]

YOUNG_S = 2.1


@dataclass(frozen=True)
class Budget:
    """The ratio, or bytes per pod, to stay below, or above where `more_is_better`."""

    first: float
    goal: float
    more_is_better: bool = False


@dataclass(frozen=True)
class Result:
    """One benchmark's numbers; `unit` is that of `median` and `theirs`."""

    name: str
    samples: int
    median: float
    ratio: float
    unit: str
    theirs: float
    against: str
    budget: Budget
    judged: str = "ratio"

    def document(self) -> dict[str, object]:
        """What --json writes."""
        return {
            "name": self.name,
            "samples": self.samples,
            "median": self.median,
            "ratio": self.ratio,
        }

    @property
    def verdict(self) -> str:
        """Where the judged number lies between the two budgets."""
        value = self.ratio if self.judged == "ratio" else self.median
        if self.budget.more_is_better:
            missed, reached = value < self.budget.first, value >= self.budget.goal
        else:
            missed, reached = value > self.budget.first, value <= self.budget.goal
        return "missed" if missed else "goal" if reached else "first"


def take_pairs(
    samples: int, ours: Callable[[], float], theirs: Callable[[], float], name: str
) -> list[Pair]:
    """Measure both in turn, after two rounds that do not count.

    The first one fills the cache. The cache knows a file without hashing it only if that was older
    than 2 s when it was read, as the files of a node's images are; hence the second one.
    """
    for pause_s in (YOUNG_S, 0.0):
        ours()
        theirs()
        time.sleep(pause_s)
    pairs: list[Pair] = []
    for number in range(samples):
        if number % 2:
            second = theirs()
            pairs.append((ours(), second))
        else:
            first = ours()
            pairs.append((first, theirs()))
        progress(f"{name}: {number + 1} of {samples}")
    progress("")
    return pairs


def medians(pairs: Sequence[Pair]) -> tuple[float, float, float]:
    """Ours, theirs, and the ratio of ours to theirs: the median of the pairs."""
    return (
        statistics.median(ours for ours, _ in pairs),
        statistics.median(theirs for _, theirs in pairs),
        statistics.median(ours / theirs for ours, theirs in pairs),
    )


def progress(text: str) -> None:
    """Show where a long measurement is, on a terminal only."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def print_table(results: Sequence[Result]) -> None:
    """One line for each benchmark."""
    head = ("benchmark", "samples", "ours", "theirs", "ratio", "budget", "goal", "", "against")
    rows = [head, *map(_row, results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def _row(result: Result) -> tuple[str, str, str, str, str, str, str, str, str]:
    budget = result.budget
    sign = ">=" if budget.more_is_better else "<="
    if result.judged == "ratio":
        first, goal = f"{sign} {budget.first:g}", f"{sign} {budget.goal:g}"
    else:
        first, goal = (f"{sign} {_value(v, result.unit)}" for v in (budget.first, budget.goal))
    return (
        result.name,
        str(result.samples),
        _value(result.median, result.unit),
        _value(result.theirs, result.unit),
        f"{result.ratio:.3f}",
        first,
        goal,
        result.verdict,
        result.against,
    )


def _value(value: float, unit: str) -> str:
    match unit:
        case "s":
            return f"{value * 1000:.1f} ms"
        case "bytes":
            return f"{value / 1e6:.2f} MB"
        case _:
            return f"{value:.1f} {unit}"
