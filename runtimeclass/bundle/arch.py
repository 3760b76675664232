"""The processors that a bundle can be made for, and what each source of parts calls them.

Rules: data only. Names are Debian's; a processor is added by a row, and by nothing else.
"""

from dataclasses import dataclass

PYTHON = "3.13"
"""The CPython of a bundle: the one of SUITE, for which every wheel of the lock must exist."""
SUITE = "trixie"
"""The Debian release whose packages are taken, whatever release builds the bundle."""


@dataclass(frozen=True, slots=True)
class Arch:
    """One processor.

    `name` is Debian's and Go's, `machine` the kernel's and Python's, `triplet` the GNU tools';
    `wheels` are the platform tags below manylinux's, which wheels may have.
    """

    name: str
    machine: str
    triplet: str
    loader: str
    wheels: tuple[str, ...]

    @property
    def platforms(self) -> tuple[str, ...]:
        """Every tag of a wheel that runs with SUITE's glibc, 2.41 (PEP 600)."""
        newer = (f"manylinux_2_{minor}_{self.machine}" for minor in range(41, 4, -1))
        return (*newer, *(f"{each}_{self.machine}" for each in self.wheels))


ARCHES = {
    "amd64": Arch(
        "amd64",
        "x86_64",
        "x86_64-linux-gnu",
        "ld-linux-x86-64.so.2",
        ("manylinux2014", "manylinux2010", "manylinux1", "linux"),
    ),
    "arm64": Arch(
        "arm64",
        "aarch64",
        "aarch64-linux-gnu",
        "ld-linux-aarch64.so.1",
        ("manylinux2014", "linux"),
    ),
}
