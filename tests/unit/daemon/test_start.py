"""`start`: one shim per pod, found by the annotations, answered in containerd's form."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from shim import sockets
from shim.api import bootstrap_pb2, runc_options_pb2
from shim.daemon.params import Action, Params
from shim.daemon.request import Request
from shim.daemon.start import Started, begin, join, plan_start
from shim.errdefs import FailedPreconditionError, InvalidArgumentError
from shim.rundir import RunDir, gateway_socket

SANDBOX = "io.kubernetes.cri.sandbox-id"
RUNC_GROUP = "io.containerd.runc.v2.group"


class Caller:
    """containerd, as far as `start` sees it; closes every listener that was made."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.run_dir = RunDir(directory / "run" / "d.sock")
        self.run_dir.create()
        self.config = directory / "config.toml"
        self.config.write_text("")
        self.env = [f"TANDEM_CONFIG={self.config}"]
        self.stdin = b""
        self.started: list[Started] = []

    def bundle(self, container_id: str, document: object) -> Path:
        path = self.directory / container_id
        path.mkdir()
        (path / "config.json").write_text(json.dumps(document))
        return path

    def start(self, container_id: str, address: str = "/c.sock", **annotations: str) -> Started:
        self.bundle(container_id, {"annotations": annotations})
        return self.start_in(self.directory / container_id, container_id, address)

    def start_in(self, bundle: Path, container_id: str, address: str = "/c.sock") -> Started:
        params = Params(
            Action.START,
            namespace="n",
            id=container_id,
            address=address,
            publish_binary=str(self.directory / "no-containerd"),
        )
        request = Request(("shim", "start"), tuple(self.env), str(bundle), self.stdin)
        plan = plan_start(params, request, self.run_dir, bundle)
        reply = join(plan, bundle)
        started = Started(reply, None) if reply is not None else begin(plan)
        self.started.append(started)
        return started


@pytest.fixture
def caller(tmp_path: Path) -> Iterator[Caller]:
    caller = Caller(tmp_path)
    yield caller
    for started in caller.started:
        if started.pod is not None:
            started.pod.listener.close()


def test_start_of_a_pod_binds_and_answers_its_socket(caller: Caller) -> None:
    started = caller.start("c")
    assert started.pod is not None
    assert started.reply.decode() == f"unix://{started.pod.socket_path}"
    assert started.pod.socket_path.is_socket()
    assert (caller.directory / "c" / "address").read_bytes() == started.reply
    assert (started.pod.namespace, started.pod.group) == ("n", "c")
    assert started.pod.ttrpc_address == "/c.sock.ttrpc"


def test_start_tells_the_pod_what_the_environment_says(caller: Caller) -> None:
    caller.env += ["TTRPC_ADDRESS=/e.sock", "A=1", "MAX_SHIM_VERSION=2"]
    caller.config.write_text("[linux]\nruntime = 'crun'")
    started = caller.start("c")
    assert started.pod is not None
    assert (started.pod.ttrpc_address, started.pod.env["A"]) == ("/e.sock", "1")
    assert started.pod.config.linux.runtime == "crun"
    assert json.loads(started.reply)["address"] == f"unix://{started.pod.socket_path}"


@pytest.mark.parametrize("name", [SANDBOX, RUNC_GROUP])
def test_start_in_the_same_pod_finds_the_shim(caller: Caller, name: str) -> None:
    first = caller.start("sandbox", **{name: "pod"})
    second = caller.start("container", **{name: "pod"})
    assert first.pod is not None
    assert second.pod is None
    assert first.reply == second.reply
    assert (caller.directory / "container" / "address").read_bytes() == second.reply


def test_start_in_another_pod_or_for_another_containerd_makes_another_shim(caller: Caller) -> None:
    started = [
        caller.start("a", **{SANDBOX: "one"}),
        caller.start("b", **{SANDBOX: "two"}),
        caller.start("c"),
        caller.start("d", address="/other.sock", **{SANDBOX: "one"}),
    ]
    assert all(each.pod for each in started)
    assert len({each.reply for each in started}) == 4


def test_start_prefers_the_group_that_a_person_named(caller: Caller) -> None:
    started = caller.start("a", **{SANDBOX: "sandbox", RUNC_GROUP: "group"})
    assert started.pod is not None
    assert started.pod.group == "group"


def test_start_after_the_shims_death_makes_a_new_one(caller: Caller) -> None:
    first = caller.start("a", **{SANDBOX: "pod"})
    assert first.pod is not None
    first.pod.listener.close()
    second = caller.start("b", **{SANDBOX: "pod"})
    assert second.pod is not None
    assert second.reply == first.reply


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (None, "config.json: No such file"),
        ([], "config.json: the document is not an object"),
        ({"annotations": {"a": 1}}, r"config.json: annotations\['a'\] is not a str"),
    ],
)
def test_start_of_a_broken_bundle_leaves_nothing(caller: Caller, document: Any, text: str) -> None:
    bundle = caller.bundle("c", document)
    if document is None:
        (bundle / "config.json").unlink()
    before = os.listdir(bundle)
    with pytest.raises(InvalidArgumentError, match=text):
        caller.start_in(bundle, "c")
    assert os.listdir(bundle) == before
    assert [path for path in caller.run_dir.task_sockets.iterdir() if path.is_socket()] == []


def test_start_with_a_broken_configuration_leaves_nothing(caller: Caller) -> None:
    caller.config.write_text("x = 1")
    with pytest.raises(InvalidArgumentError, match="unknown key 'x'"):
        caller.start("c")
    assert [path for path in caller.run_dir.task_sockets.iterdir() if path.is_socket()] == []


def test_start_that_cannot_write_the_address_leaves_no_socket(caller: Caller) -> None:
    """A socket without an owner would be taken for a dead shim's, at best."""
    bundle = caller.bundle("c", {})
    (bundle / ".address").mkdir()
    with pytest.raises(OSError, match=r"\.address"):
        caller.start_in(bundle, "c")
    assert [path for path in caller.run_dir.task_sockets.iterdir() if path.is_socket()] == []


def bootstrap(instance_id: str, version: str = "2.3.4") -> bytes:
    params = bootstrap_pb2.BootstrapParams(
        instance_id=instance_id, namespace="n", containerd_version=version
    )
    return params.SerializeToString()


def test_start_answers_who_sends_bootstrap_params_in_the_form_that_all_read(caller: Caller) -> None:
    caller.env.append("MAX_SHIM_VERSION=2")
    caller.stdin = bootstrap("c")
    started = caller.start("c")
    assert started.pod is not None
    assert json.loads(started.reply) == {
        "version": 2,
        "address": f"unix://{started.pod.socket_path}",
        "protocol": "ttrpc",
    }


@pytest.mark.parametrize(
    ("env", "stdin", "text"),
    [
        ([], b"", "containerd 1.6 cannot use a shim over gRPC: it has no gRPC for shims; set"),
        (["MAX_SHIM_VERSION=2"], bootstrap("c"), "containerd 2.3.4 cannot use .*: it drops"),
        (["MAX_SHIM_VERSION=2"], b"", "version is not known, .*/no-containerd.* No such file"),
    ],
    ids=["1.6", "2.3", "unknown"],
)
def test_start_over_grpc_is_refused_where_containerd_cannot_use_it(
    caller: Caller, env: list[str], stdin: bytes, text: str
) -> None:
    caller.config.write_text("[shim]\ntransport = 'grpc'")
    caller.env += env
    caller.stdin = stdin
    with pytest.raises(FailedPreconditionError, match=text) as caught:
        caller.start("c")
    assert str(caught.value).endswith('set [shim] transport = "ttrpc" in the configuration')
    assert [path for path in caller.run_dir.task_sockets.iterdir() if path.is_socket()] == []


def test_start_joins_a_pod_as_it_was_begun_whatever_is_configured_now(caller: Caller) -> None:
    first = caller.start("a", **{SANDBOX: "pod"})
    caller.config.write_text("[shim]\ntransport = 'grpc'")
    assert caller.start("b", **{SANDBOX: "pod"}).reply == first.reply


def test_start_joins_a_pod_behind_a_gateway(caller: Caller) -> None:
    caller.env.append("MAX_SHIM_VERSION=2")
    first = caller.start("a", **{SANDBOX: "pod"})
    assert first.pod is not None
    path = gateway_socket(first.pod.socket_path)
    with sockets.listen(path):
        second = caller.start("b", **{SANDBOX: "pod"})
        assert second.pod is None
        answer = {"version": 2, "address": str(path), "protocol": "grpc"}
        assert json.loads(second.reply) == answer
        assert (caller.directory / "b" / "address").read_bytes() == second.reply
        caller.env.remove("MAX_SHIM_VERSION=2")
        with pytest.raises(FailedPreconditionError, match=r"containerd 1\.6 cannot use"):
            caller.start("c", **{SANDBOX: "pod"})


def runc_options(shim_cgroup: str) -> bytes:
    options = runc_options_pb2.Options(shim_cgroup=shim_cgroup)
    found = AnyMessage(type_url="containerd.runc.v1.Options", value=options.SerializeToString())
    return found.SerializeToString()


def test_start_that_cannot_join_the_shims_cgroup_leaves_no_socket(caller: Caller) -> None:
    caller.stdin = runc_options("/tandem-no-such-group")
    with pytest.raises(FailedPreconditionError, match="'/tandem-no-such-group' does not exist"):
        caller.start("c")
    assert [path for path in caller.run_dir.task_sockets.iterdir() if path.is_socket()] == []
