"""What becomes of every packing in each line of containerd: found by trying, held by the tests.

The tables in docs/artifacts.md are `shapes()` and `outcomes()`, word for word. Errors are
containerd's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from tests.artifacts.packings import PACKINGS

LINES = {"1.6": "1.6.20", "1.7": "1.7.24", "2.1": "2.1.9"}


class Way(StrEnum):
    """What to do where containerd does not do it by itself; the value is the docs' short name."""

    RETRY = "retry"  # the pull fails but the image is there: what a kubelet's next try finds
    DIGEST = "digest"  # pull the Wasm manifest of the index by its own digest
    DIGEST_RETRY = "digest, retry"
    FETCH = "fetch"  # `ctr -n k8s.io content fetch` gets what pulling leaves out
    REPACK = "repack"  # only another packing helps
    CRI = "CRI"  # ctr cannot, crictl and Kubernetes can


class Step(StrEnum):
    """Where it ends."""

    PULL = "pull"
    CREATE = "create"
    START = "start"  # by our own shim


@dataclass(frozen=True)
class Outcome:
    """It runs, or ends with an error, or it runs the image for Linux instead."""

    step: Step | None = None
    error: str = ""
    way: Way | None = None
    linux: bool = False

    @property
    def cell(self) -> str:
        """What the docs' table says."""
        if self.linux:
            return f"the Linux one ({self.way})"
        return "yes" if self.step is None else f"no ({self.way})"


MISMATCH = "mismatched image rootfs and manifest layers"
NO_PLATFORM = "no match for platform in manifest"
NO_PROCESSOR = "no processor for media-type"
COUNTED = "number of layers and diffIDs don't match: 1 != 0"
EMPTY = "reports content size of zero"
CONFIG_TYPE = "unknown image config media type"

RUNS = Outcome()
RETRIED = Outcome(Step.PULL, MISMATCH, Way.RETRY)
ALL_RUN = (RUNS, RUNS, RUNS)
UNPULLED_TAR = Outcome(Step.PULL, MISMATCH, Way.FETCH)
UNFETCHED = (UNPULLED_TAR, UNPULLED_TAR, Outcome(Step.START, "is not in namespace", Way.FETCH))
FROM_1_7 = (RETRIED, RUNS, RUNS)


def _each(outcome: Outcome) -> tuple[Outcome, Outcome, Outcome]:
    return outcome, outcome, outcome


def _index(on_1_6: Way, **more: object) -> tuple[Outcome, Outcome, Outcome]:
    first, others = (Outcome(way=way, **more) for way in (on_1_6, Way.DIGEST))  # type: ignore[arg-type]
    return first, others, others


UNFIT = {"step": Step.PULL, "error": NO_PLATFORM}

# packing: what CRI makes of it in 1.6, 1.7 and 2.1
CRI = {
    **dict.fromkeys((packing.name for packing in PACKINGS), FROM_1_7),
    "scratch": ALL_RUN,
    "scratch-plain": ALL_RUN,
    "scratch-text": ALL_RUN,
    "scratch-docker": ALL_RUN,
    "scratch-variant": ALL_RUN,
    "scratch-spin": ALL_RUN,
    "compat-wasip1": ALL_RUN,
    "compat-wasi": ALL_RUN,
    "compat-index": _index(Way.DIGEST, **UNFIT),
    "image-diff-ids": (
        Outcome(Step.PULL, NO_PROCESSOR, Way.REPACK),
        Outcome(Step.PULL, MISMATCH, Way.REPACK),
        Outcome(Step.CREATE, MISMATCH, Way.REPACK),
    ),
    "mixed": ALL_RUN,
    "mixed-linux": ALL_RUN,
    "mixed-empty": _each(Outcome(Step.PULL, COUNTED, Way.REPACK)),
    "oras-tar-type": UNFETCHED,
    "oras-files": UNFETCHED,
    "oras-no-config": _each(Outcome(Step.PULL, EMPTY, Way.REPACK)),
    "index-wasi": _index(Way.DIGEST, linux=True),
    "index-wasip1": _index(Way.DIGEST_RETRY, linux=True),
    "index-wasip2": _index(Way.DIGEST_RETRY, linux=True),
    "index-alone": _index(Way.DIGEST_RETRY, **UNFIT),
}

UNPULLED = Outcome(Step.PULL, MISMATCH, Way.CRI)
UNREAD = Outcome(Step.CREATE, CONFIG_TYPE, Way.CRI)
IMAGES = (UNPULLED, RUNS, RUNS)

# packing: what `ctr images pull` and `ctr run` make of it
CTR = {
    **dict.fromkeys((packing.name for packing in PACKINGS), (UNPULLED, UNREAD, UNREAD)),
    "scratch": ALL_RUN,
    "scratch-plain": ALL_RUN,
    "scratch-text": ALL_RUN,
    "scratch-docker": ALL_RUN,
    "scratch-variant": ALL_RUN,
    "scratch-spin": ALL_RUN,
    "compat-wasip1": ALL_RUN,
    "compat-wasi": ALL_RUN,
    "compat-index": ALL_RUN,
    "runwasi": IMAGES,
    "image-wasm": IMAGES,
    "image-content": IMAGES,
    "image-linux": IMAGES,
    "image-diff-ids": (
        Outcome(Step.PULL, NO_PROCESSOR, Way.REPACK),
        Outcome(Step.PULL, MISMATCH, Way.REPACK),
        Outcome(Step.CREATE, MISMATCH, Way.REPACK),
    ),
    "mixed": IMAGES,
    "mixed-linux": IMAGES,
    "mixed-empty": (
        Outcome(Step.PULL, MISMATCH, Way.REPACK),
        Outcome(Step.PULL, MISMATCH, Way.REPACK),
        Outcome(Step.PULL, COUNTED, Way.REPACK),
    ),
    "oras-files": (UNPULLED, UNPULLED, Outcome(Step.CREATE, MISMATCH, Way.CRI)),
    "oras-tar-type": (UNPULLED, UNPULLED, Outcome(Step.CREATE, MISMATCH, Way.CRI)),
    "oras-no-config": _each(Outcome(Step.PULL, EMPTY, Way.REPACK)),
    "spin": IMAGES,
    "spin-archive": IMAGES,
    "index-wasi": ALL_RUN,
}


def outcome(table: Mapping[str, tuple[Outcome, ...]], packing: str, line: str) -> Outcome:
    """What a table says of a packing in a line of containerd."""
    return table[packing][list(LINES).index(line)]


def shapes() -> str:
    """The docs' table of what each packing is, in Markdown."""
    rows = [["packing", "made by", "what it is", "what Tandem runs"]]
    rows += [[f"`{each.name}`", each.maker, each.shape, each.reads] for each in PACKINGS]
    return _markdown(rows)


def outcomes() -> str:
    """The docs' table of what becomes of each packing, in Markdown."""
    numbers = list(LINES.values())
    heads = ["packing", *(f"CRI {number}" for number in numbers)]
    rows = [[*heads, *(f"ctr {number}" for number in numbers)]]
    for each in PACKINGS:
        found = (*CRI[each.name], *CTR[each.name])
        rows.append([f"`{each.name}`", *(outcome.cell for outcome in found)])
    return _markdown(rows)


def _markdown(rows: list[list[str]]) -> str:
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
