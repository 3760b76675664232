"""What a Create request and its bundle alone tell."""

from pathlib import Path

import pytest
from google.protobuf.any_pb2 import Any

from shim.api import runc_options_pb2, task_pb2, types_pb2
from shim.config import Config
from shim.errdefs import InvalidArgumentError
from shim.pod.container_request import read_request
from shim.process.streams import StreamPaths
from tests.unit.pod.bundles import OCI_ROOT, container_of, create_request, write_bundle


def overlay(lower: str, upper: str) -> types_pb2.Mount:
    options = [f"lowerdir={lower}", f"upperdir={upper}", "index=off"]
    return types_pb2.Mount(type="overlay", source="overlay", options=options)


def test_request_is_read(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path)
    container = container_of(bundle)
    assert (container.id, container.bundle, container.rootfs) == ("c", bundle, bundle / "rootfs")
    assert container.spec.process.args == ("/app.wasm", "serve")
    assert (container.options.binary, container.options.root) == ("runc", OCI_ROOT)
    assert all(str(path).endswith("/pod/c") for path in container.cgroup.paths)
    assert container.cgroup.paths


def test_group_without_a_name_is_the_container_s(tmp_path: Path) -> None:
    container = container_of(write_bundle(tmp_path, linux={}))
    assert all(path.name == "c" for path in container.cgroup.paths)


def test_rootfs_is_where_the_spec_says_only_where_containerd_mounts_none(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path, root={"path": "/srv/image"})
    assert container_of(bundle).rootfs == Path("/srv/image")
    assert container_of(bundle, rootfs=[overlay("/l", "/u")]).rootfs == bundle / "rootfs"


def test_identity_is_the_image_s_not_the_container_s(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path)

    def identity(*mounts: types_pb2.Mount) -> str:
        return container_of(bundle, rootfs=mounts).rootfs_identity

    assert identity(overlay("/a:/b", "/u1")) == identity(overlay("/a:/b", "/u2"))
    assert identity(overlay("/a:/b", "/u1")) != identity(overlay("/a:/c", "/u1"))
    bind = types_pb2.Mount(type="bind", source="/a")
    assert len({identity(), identity(bind), identity(overlay("/a", "/u"))}) == 3


def test_streams_are_the_process_s_and_their_owner_the_container_s(tmp_path: Path) -> None:
    options = runc_options_pb2.Options(io_uid=5, io_gid=6)
    packed = Any(type_url="containerd.runc.v1.Options", value=options.SerializeToString())
    container = container_of(write_bundle(tmp_path), options=packed, stdout="ignored")
    request = task_pb2.ExecProcessRequest(stdin="i", stdout="o", stderr="e", terminal=True)
    assert container.paths_of(request) == StreamPaths("i", "o", "e", terminal=True, owner=(5, 6))
    assert container.paths_of(container.request).stdout == "ignored"


@pytest.mark.parametrize(
    ("bundle", "text"),
    [
        ("relative", "'relative' is not an absolute path"),
        ("", "'' is not an absolute path"),
        ("/no/such/bundle", "bundle /no/such/bundle: config.json: No such file"),
        ("/no\0such", "config.json: embedded null byte"),
    ],
)
def test_bundle_that_is_none_is_refused(bundle: str, text: str) -> None:
    request = task_pb2.CreateTaskRequest(id="c", bundle=bundle)
    with pytest.raises(InvalidArgumentError, match=text):
        read_request(request, Config(), OCI_ROOT)


def test_spec_that_is_none_is_refused(tmp_path: Path) -> None:
    bundle = write_bundle(tmp_path)
    (bundle / "config.json").write_text("[]")
    with pytest.raises(InvalidArgumentError, match=r"config\.json"):
        read_request(create_request(bundle), Config(), OCI_ROOT)
