"""Bundles on disk and requests for them, for the rooms of the pod shim."""

import json
import os
from pathlib import Path
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage

from shim.api import task_pb2
from shim.config import Config
from shim.pod.container_request import ContainerRequest, read_request
from shim.pod.node import Node
from shim.process.reaper import Reaper

OCI_ROOT = Path("/run/tandem/runc/k8s.io")
CONFIG: dict[str, Any] = {
    "root": {"path": "rootfs"},
    "process": {"args": ["/app.wasm", "serve"], "cwd": "/", "env": ["A=B"]},
    "linux": {"cgroupsPath": "/pod/c", "namespaces": [{"type": "ipc"}, {"type": "mount"}]},
}


def write_bundle(directory: Path, **members: Any) -> Path:
    """A bundle whose image holds a Wasm module and a script."""
    bundle = directory / "c"
    rootfs = bundle / "rootfs"
    rootfs.mkdir(parents=True)
    (rootfs / "app.wasm").write_bytes(b"\0asm\1\0\0\0")
    (rootfs / "other.wasm").write_bytes(b"\0asm\1\0\0\0")
    (rootfs / "script").write_text("#!/bin/sh\n")
    (bundle / "config.json").write_text(json.dumps(CONFIG | members))
    return bundle


def create_request(bundle: Path, **fields: Any) -> task_pb2.CreateTaskRequest:
    return task_pb2.CreateTaskRequest(id="c", bundle=os.fspath(bundle), **fields)


def container_of(bundle: Path, **fields: Any) -> ContainerRequest:
    return read_request(create_request(bundle, **fields), Config(), OCI_ROOT)


def exec_request(process: object, **fields: Any) -> task_pb2.ExecProcessRequest:
    spec = AnyMessage(value=json.dumps(process).encode())
    return task_pb2.ExecProcessRequest(id="c", exec_id="e", spec=spec, **fields)


def node(reaper: Reaper) -> Node:
    return Node(
        engine=None,
        compatibility_key="key",
        config=Config(),
        env={"PATH": os.environ["PATH"]},
        address="c.sock",
        namespace="ns",
        oci_runtime_root=OCI_ROOT,
        reaper=reaper,
    )
