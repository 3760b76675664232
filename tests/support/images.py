"""Container images for the tests and the demo: OCI archives without a builder or a registry.

An archive depends on its contents alone: no time, no owner, no order of a directory gets into it,
so that the same files give the same digest on every machine. Paths are given as in the container
("/bin/sh"); their parent directories are made. Image names are the ones to put in a container's
`image`; "localhost/..." is never pulled.
"""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

BUSYBOX = "localhost/busybox:1"
PAUSE = "localhost/pause:1"

BUSYBOX_BINARY = Path("/bin/busybox")
PAUSE_SOURCE = Path(__file__).parent / "images" / "pause.c"

LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True)
class Symlink:
    """A symbolic link in the image, to `target` as written."""

    target: str


@dataclass(frozen=True)
class Directory:
    """A directory in the image that needs to be there though it is empty, or needs its own mode."""

    mode: int = 0o755


Content = bytes | Path | tuple[bytes, int] | Symlink | Directory


@dataclass(frozen=True)
class ImageConfig:
    """What the image says about the process that it starts."""

    entrypoint: Sequence[str] = ()
    cmd: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str = ""
    user: str = ""
    stop_signal: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    platform: str = "linux/amd64"


def build_image(
    target: Path, name: str, files: Mapping[str, Content], config: ImageConfig | None = None
) -> Path:
    """Write an OCI archive with one layer.

    Args:
        target: the archive to write, replaced if it is there.
        name: the full reference, with tag ("localhost/hello:1").
        files: what the root file system holds, by absolute path. A path's content is taken with
            the mode of that file, plain bytes get mode 0644.
        config: entry point and so on; none means that the pod has to name a command.

    Returns:
        The target.
    """
    config = config or ImageConfig()
    with tempfile.TemporaryFile() as layer:
        write_layer(layer, files)
        size = layer.tell()
        layer.seek(0)
        digest = hashlib.file_digest(layer, "sha256").hexdigest()
        blobs = [_json_blob(_config_document(config, digest))]
        blobs.append(_json_blob(_manifest_document(blobs[0], digest, size)))
        with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as archive:
            _add(archive, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            _add(archive, "index.json", _json_blob(_index_document(blobs[1], name, config)))
            for blob in blobs:
                _add(archive, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)
            layer.seek(0)
            entry = _entry(f"blobs/sha256/{digest}", tarfile.REGTYPE, 0o644)
            entry.size = size
            archive.addfile(entry, layer)
    return target


def busybox_image(target: Path, name: str = BUSYBOX) -> Path:
    """Write an image of Debian's busybox and a link for each applet; its command is `sh`."""
    return build_image(target, name, busybox_files(), ImageConfig(cmd=["sh"], env={"PATH": "/bin"}))


def busybox_files() -> dict[str, Content]:
    """Debian's busybox, a link for each applet, and the files and folders that they expect."""
    listed = subprocess.run(
        [BUSYBOX_BINARY, "--list"], check=True, capture_output=True, text=True
    ).stdout.split()
    files: dict[str, Content] = {
        f"/bin/{applet}": Symlink("busybox") for applet in listed if applet != "busybox"
    }
    return files | {
        "/bin/busybox": (BUSYBOX_BINARY.read_bytes(), 0o755),
        "/etc/passwd": b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n",
        "/etc/group": b"root:x:0:\nnogroup:x:65534:\n",
        "/root": Directory(0o700),
        "/tmp": Directory(0o1777),
    }


def pause_image(target: Path, name: str = PAUSE) -> Path:
    """Compile pause.c and write the image that holds a pod's namespaces.

    Raises:
        FileNotFoundError: there is no C compiler.
    """
    if shutil.which("gcc") is None:
        raise FileNotFoundError("no gcc: run .ci/system-packages.sh")
    with tempfile.TemporaryDirectory(prefix="tandem-pause-") as folder:
        binary = Path(folder, "pause")
        subprocess.run(
            ["gcc", "-static", "-Os", "-s", "-Wall", "-Werror", "-o", binary, PAUSE_SOURCE],
            check=True,
        )
        return build_image(target, name, {"/pause": binary}, ImageConfig(entrypoint=["/pause"]))


def wasm_image(
    target: Path,
    name: str,
    module: Path | bytes,
    files: Mapping[str, Content] | None = None,
    config: ImageConfig | None = None,
) -> Path:
    """Write an image FROM scratch: the module as /app.wasm, its entry point, and more files."""
    config = config or ImageConfig(entrypoint=["/app.wasm"])
    return build_image(target, name, {"/app.wasm": module, **(files or {})}, config)


def image_name(archive: Path) -> str:
    """The name that an archive of this module gives its image."""
    with tarfile.open(archive) as opened:
        index = opened.extractfile("index.json")
        if index is None:
            raise ValueError(f"{archive} is not an image archive of ours")
        name: str = json.load(index)["manifests"][0]["annotations"]["io.containerd.image.name"]
        return name


def write_layer(target: IO[bytes], files: Mapping[str, Content]) -> None:
    """Write the tar of one layer: files by absolute path, sorted, with their parent folders."""
    wanted: dict[str, Content] = {str(PurePosixPath(path)): files[path] for path in files}
    for path in list(wanted):
        for parent in PurePosixPath(path).parents:
            if parent != PurePosixPath("/"):
                wanted.setdefault(str(parent), Directory())
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as layer:
        for path in sorted(wanted):
            _add(layer, path.removeprefix("/"), wanted[path])


def _add(archive: tarfile.TarFile, name: str, content: Content) -> None:
    match content:
        case Directory(mode=mode):
            archive.addfile(_entry(name, tarfile.DIRTYPE, mode))
        case Symlink(target=target):
            entry = _entry(name, tarfile.SYMTYPE, 0o777)
            entry.linkname = target
            archive.addfile(entry)
        case Path():
            status = content.stat()
            entry = _entry(name, tarfile.REGTYPE, status.st_mode & 0o7777)
            entry.size = status.st_size
            with content.open("rb") as source:
                archive.addfile(entry, source)
        case bytes() | (bytes(), int()):
            data, mode = content if isinstance(content, tuple) else (content, 0o644)
            entry = _entry(name, tarfile.REGTYPE, mode)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = kind
    entry.mode = mode
    return entry


def _json_blob(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _platform(config: ImageConfig) -> dict[str, str]:
    system, _, architecture = config.platform.partition("/")
    return {"os": system, "architecture": architecture}


def _config_document(config: ImageConfig, layer_digest: str) -> dict[str, object]:
    process = {
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.cmd),
        "Env": [f"{name}={value}" for name, value in config.env.items()],
        "WorkingDir": config.workdir,
        "User": config.user,
        "StopSignal": config.stop_signal,
        "Labels": dict(config.labels),
    }
    return {
        **_platform(config),
        "config": {key: value for key, value in process.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        "history": [],
    }


def _descriptor(kind: str, blob: bytes) -> dict[str, object]:
    digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
    return {"mediaType": kind, "digest": digest, "size": len(blob)}


def _manifest_document(config: bytes, layer_digest: str, layer_size: int) -> dict[str, object]:
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _descriptor(CONFIG_TYPE, config),
        "layers": [
            {"mediaType": LAYER_TYPE, "digest": f"sha256:{layer_digest}", "size": layer_size}
        ],
    }


def _index_document(manifest: bytes, name: str, config: ImageConfig) -> dict[str, object]:
    descriptor = _descriptor(MANIFEST_TYPE, manifest)
    descriptor["annotations"] = {
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
    }
    descriptor["platform"] = _platform(config)
    return {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [descriptor]}
