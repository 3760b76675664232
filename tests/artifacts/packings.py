"""Every way in which people put Wasm into a registry, one row each.

What each one does in each containerd is in `expectations`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.artifacts import artifact_packings as artifacts
from tests.artifacts import guests
from tests.artifacts import image_packings as images
from tests.support.packing import Artifact


@dataclass(frozen=True)
class Packing:
    """One way of packing.

    `build` gets the name that the guest prints; `command` is what a pod has to give where the
    image has no entry point of its own. A component prints nothing; of `files`, the guest prints
    what the artifact holds beside it. `platform` is what ctr has to ask for, and `reads` says for
    the documents what we run.
    """

    name: str
    maker: str
    shape: str
    build: Callable[[str], Artifact]
    command: tuple[str, ...] = ()
    component: bool = False
    files: bool = False
    platform: str = ""
    reads: str = "its one module"

    @property
    def status(self) -> int:
        """What its guest ends with."""
        return guests.COMPONENT_STATUS if self.component else guests.STATUS

    @property
    def output(self) -> str:
        """What its guest prints."""
        if self.files:
            return artifacts.LARGE.decode()
        return "" if self.component else f"{self.name}\n"


FILE = "the file that the entry point names"
WITH_ROOTFS = "its module; containerd unpacks the tar"
WITH_FILES = "its module; the files are the guest's"
SPIN = "the component with a `command` trigger; the files are the guest's"
ENTRY = "the entry for Wasm"
RUN = ("/app.wasm",)
CAT = ("app", "cat", "/texts/large.txt", "--", "exit", "7")
WASIP1, WASIP2, WASI = "wasip1/wasm", "wasip2/wasm", "wasi/wasm"
BUILDX = "docker buildx, buildah"
SCRIPTS = "scripts of one's own"

PACKINGS = [
    Packing(
        "scratch", "docker build", "module in a tar layer, for linux", images.scratch, reads=FILE
    ),
    Packing(
        "scratch-plain", "docker build", "any file name", images.scratch_no_extension, reads=FILE
    ),
    Packing(
        "scratch-text", "docker build", "a module as text, .wat", images.scratch_text, reads=FILE
    ),
    Packing(
        "scratch-docker", "docker build", "docker's media types", images.scratch_docker, reads=FILE
    ),
    Packing(
        "scratch-variant",
        "buildah --annotation",
        "module.wasm.image/variant=compat, as crun asks for",
        images.scratch_variant,
        reads=FILE,
    ),
    Packing(
        "scratch-spin",
        "docker build",
        "a folder with spin.toml, its command `/`",
        images.scratch_spin,
        RUN,
        reads="the file that the pod's command names; spin.toml is not read",
    ),
    Packing(
        "compat-wasip1",
        BUILDX,
        "tar layers, wasip1/wasm",
        images.compat_wasip1,
        platform=WASIP1,
        reads=FILE,
    ),
    Packing(
        "compat-wasi",
        BUILDX,
        "tar layers, wasi/wasm",
        images.compat_wasi,
        platform=WASI,
        reads=FILE,
    ),
    Packing(
        "compat-index",
        "docker buildx",
        "an index of that alone",
        images.compat_index,
        platform=WASI,
        reads=FILE,
    ),
    Packing(
        "runwasi",
        "oci-tar-builder",
        "image config, component layer type",
        images.runwasi,
        platform=WASIP1,
    ),
    Packing(
        "image-wasm",
        SCRIPTS,
        "image config, application/wasm",
        images.image_wasm_layer,
        platform=WASIP1,
    ),
    Packing(
        "image-content",
        SCRIPTS,
        "image config, content layer type",
        images.image_content_layer,
        platform=WASIP1,
    ),
    Packing("image-linux", SCRIPTS, "the same, for linux", images.image_linux),
    Packing(
        "image-diff-ids",
        SCRIPTS,
        "image config that counts the module in diff_ids",
        images.image_diff_ids,
        platform=WASIP1,
        reads="nothing: no containerd has it",
    ),
    Packing(
        "mixed",
        SCRIPTS,
        "image config, a module and a tar",
        images.mixed,
        platform=WASIP1,
        reads=WITH_ROOTFS,
    ),
    Packing("mixed-linux", SCRIPTS, "the same, for linux", images.mixed_linux, reads=WITH_ROOTFS),
    Packing(
        "mixed-empty",
        "oci-tar-builder --layer",
        "a tar missing in diff_ids",
        images.mixed_empty,
        platform=WASIP1,
        reads="nothing: no containerd has it",
    ),
    Packing(
        "cncf-module",
        "oci-tar-builder --as-artifact",
        "CNCF config, a module",
        artifacts.cncf_module,
        RUN,
        platform=WASIP1,
    ),
    Packing(
        "cncf-files",
        "tandem pack --add",
        "CNCF config, a module and a bundle",
        artifacts.cncf_files,
        CAT,
        files=True,
        platform=WASIP1,
        reads=WITH_FILES,
    ),
    Packing(
        "cncf-component",
        "oci-tar-builder --as-artifact",
        "CNCF config, a component",
        artifacts.cncf_component,
        RUN,
        component=True,
        platform=WASIP2,
    ),
    Packing(
        "wkg", "wkg", "the same with its world", artifacts.wkg, RUN, component=True, platform=WASIP2
    ),
    Packing(
        "several",
        "oras push",
        "CNCF config, two modules with titles",
        artifacts.several,
        RUN,
        platform=WASIP1,
        reads="the one that the entry point or the annotation names",
    ),
    Packing(
        "wasm-to-oci",
        "wasm-to-oci",
        "config of `{}`, content layer type",
        artifacts.wasm_to_oci,
        RUN,
    ),
    Packing(
        "wasm-image-spec",
        "Solo's tools",
        "module.wasm config and layer",
        artifacts.wasm_image_spec,
        RUN,
    ),
    Packing(
        "oras", "oras push FILE:application/wasm", "empty config, artifactType", artifacts.oras, RUN
    ),
    Packing(
        "oras-tar-type",
        "oras push FILE",
        "a module that is called a tar",
        artifacts.oras_tar_type,
        RUN,
        reads="the file whose title ends in .wasm",
    ),
    Packing(
        "oras-files",
        "oras push FILE:application/wasm FOLDER",
        "unknown config, a module and a tar",
        artifacts.oras_files,
        CAT,
        files=True,
        reads=WITH_FILES,
    ),
    Packing(
        "oras-no-config",
        "oras push --config /dev/null",
        "config of no bytes",
        artifacts.oras_no_config,
        RUN,
        reads="nothing: no containerd has it",
    ),
    Packing(
        "spin",
        "spin registry push",
        "locked app, files as layers and inline",
        artifacts.spin,
        CAT,
        files=True,
        reads=SPIN,
    ),
    Packing(
        "spin-archive",
        "spin registry push",
        "locked app, files in an archive",
        artifacts.spin_archive,
        CAT,
        files=True,
        reads=SPIN,
    ),
    Packing(
        "index-wasi",
        "docker buildx",
        "wasi/wasm beside linux",
        artifacts.index_wasi,
        platform=WASI,
        reads=FILE,
    ),
    Packing(
        "index-wasip1",
        "regctl, oras",
        "wasip1/wasm beside linux",
        artifacts.index_wasip1,
        RUN,
        platform=WASIP1,
        reads=ENTRY,
    ),
    Packing(
        "index-wasip2",
        "regctl, oras",
        "wasip2/wasm beside linux",
        artifacts.index_wasip2,
        RUN,
        component=True,
        platform=WASIP2,
        reads=ENTRY,
    ),
    Packing(
        "index-alone",
        "regctl, oras",
        "an index of wasip2/wasm alone",
        artifacts.index_alone,
        RUN,
        component=True,
        platform=WASIP2,
        reads=ENTRY,
    ),
]
