"""What the runtime says of itself."""

import shim
from shim.api import info_pb2
from shim.daemon.info import runtime_info, version_text


def test_info_names_runtime_and_version_and_no_features() -> None:
    info = info_pb2.RuntimeInfo.FromString(runtime_info())
    assert info.name == "io.containerd.tandem.v1"
    assert info.version.version == shim.__version__
    assert not info.HasField("features")


def test_version_text_is_one_that_people_read() -> None:
    assert shim.__version__ in version_text().decode()
    assert version_text().endswith(b"\n")
