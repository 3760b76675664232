"""`artifact`: wall time of `ctr run --rm`, hello as a layer of its own against hello in a tar.

Both sides are ours, and the cache is warm: the ratio is what asking containerd for the image costs
a start. ctr 1.6 runs no image whose layers it has not unpacked, and counts a module among them:
here both images share their one tar, which the other one has had unpacked.
"""

import io
import tarfile
from itertools import count
from pathlib import Path

from bench.containerd import PlainContainerd
from bench.guests import assemble
from bench.node import Node, reap
from bench.result import Budget, Result, medians, take_pairs
from tests.support import images, packing
from tests.support.packing import WASM, Artifact
from tests.support.registry import Blob

_FILE, _LAYER = "localhost/file:1", "localhost/layer:1"
_PLATFORM = {"os": "linux", "architecture": "amd64"}
_RUNTIME = "io.containerd.tandem.v1"
_HELLO = b"hello\n"


def run(node: Node, samples: int) -> Result:
    """Measure."""
    module = assemble("hello")
    tar = packing.tar_layer({"/app.wasm": module})
    diff_ids = [packing.diff_id(tar)]
    # No file of this name is there: the image itself is the module.
    entry_points = {_FILE: "/app.wasm", _LAYER: "/module"}
    layers = {_FILE: [tar], _LAYER: [tar, Blob(WASM, module)]}
    with PlainContainerd(node) as containerd:
        for name, path in entry_points.items():
            config = packing.image_config("linux/amd64", diff_ids, Entrypoint=[path])
            target = node.directory / "image.tar"
            _write_archive(target, name, packing.manifest(config, layers[name]))
            containerd.import_image(target, *(["--no-unpack"] if name == _LAYER else []))
        numbers = count()

        def wall(image: str) -> float:
            elapsed, output = containerd.run(_RUNTIME, image, f"c{next(numbers)}")
            # ctr may end before it has copied all: see bench.start.
            if output not in {_HELLO, b""}:
                raise RuntimeError(f"{image} wrote {output!r}")
            reap()
            return elapsed

        pairs = take_pairs(samples, lambda: wall(_LAYER), lambda: wall(_FILE), "artifact")
    ours, theirs, ratio = medians(pairs)
    return Result(
        name="artifact",
        samples=samples,
        median=ours,
        ratio=ratio,
        unit="s",
        theirs=theirs,
        against="ctr run --rm, the same module FROM scratch",
        budget=Budget(1.15, 1.05),
    )


def _write_archive(target: Path, name: str, artifact: Artifact) -> None:
    annotations = {
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
    }
    entry = artifact.target.descriptor(platform=_PLATFORM, annotations=annotations)
    index = {"schemaVersion": 2, "mediaType": images.INDEX_TYPE, "manifests": [entry]}
    files = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": packing.json_blob(images.INDEX_TYPE, index).data,
    }
    for blob in (*artifact.blobs, artifact.target):
        files[f"blobs/{blob.digest.replace(':', '/')}"] = blob.data
    with tarfile.open(target, "w") as archive:
        for path, data in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
