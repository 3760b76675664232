"""`python -m runtimeclass.bundle`: what `make bundle` and `make image` run."""

import argparse
import sys
from collections import Counter
from pathlib import Path

from runtimeclass.bundle import image
from runtimeclass.bundle.arch import ARCHES
from runtimeclass.bundle.build import build, bundle_of
from runtimeclass.bundle.failure import BuildError

MAX_BYTES = 120_000_000


def main() -> int:
    """Build, and print the sizes of the parts; 1 where it cannot be built or is too large."""
    parser = argparse.ArgumentParser(prog="make bundle", description=__doc__)
    parser.add_argument("--arch", choices=ARCHES, default="amd64")
    parser.add_argument("--output", type=Path, default=Path("build/bundle"))
    parser.add_argument("--cache", type=Path, default=Path(".cache/bundle"))
    parser.add_argument("--image", action="store_true", help="of the bundle that is there already")
    arguments = parser.parse_args()
    output, arch = arguments.output.resolve(), ARCHES[arguments.arch]
    try:
        if arguments.image:
            return _write_image(bundle_of(arch, output))
        bundle = build(arch, output, arguments.cache.resolve())
    except BuildError as error:
        print(f"make bundle: {error}", file=sys.stderr)
        return 1
    sizes = component_sizes(bundle)
    for name, size in sizes.most_common():
        print(f"{size / 1e6:8.1f} MB  {name}")
    total = sizes.total()
    archive = bundle.with_name(f"{bundle.name}.tar.gz")
    print(f"{total / 1e6:8.1f} MB  {bundle}")
    print(f"{archive.stat().st_size / 1e6:8.1f} MB  {archive}")
    if total > MAX_BYTES:
        print(f"make bundle: larger than {MAX_BYTES / 1e6:.0f} MB", file=sys.stderr)
        return 1
    return 0


def _write_image(bundle: Path) -> int:
    if not bundle.is_dir():
        raise BuildError(f"{bundle} is not there: run make bundle first")
    target = bundle.with_name(f"{bundle.name}.oci.tar")
    name = image.write(bundle, target)
    print(f"{target.stat().st_size / 1e6:8.1f} MB  {target}: {name}")
    return 0


def component_sizes(bundle: Path) -> "Counter[str]":
    """Bytes of the files by part of the bundle; of `site` by package, small ones together."""
    sizes: Counter[str] = Counter()
    for path in bundle.rglob("*"):
        if path.is_file():
            parts = path.relative_to(bundle).parts
            sizes["/".join(parts[: 2 if parts[0] in {"site", "python"} else 1])] += (
                path.stat().st_size
            )
    small = [name for name, size in sizes.items() if size < 300_000]
    sizes["what is smaller"] = sum(sizes.pop(name) for name in small)
    return sizes


if __name__ == "__main__":
    sys.exit(main())
