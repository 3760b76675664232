"""Requests that commands make: by the same gate and relay as those of components that serve."""

import os
import re
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from shim.config import Outbound
from shim.engine.config import new_engine
from shim.engine.guest import Program
from shim.engine.run import Instance
from shim.outbound.policy import OPEN, Policy, policy_of
from tests.support import certificates, engine_runs
from tests.support.engine_runs import Ended
from tests.support.http_server import body_of, read_until
from tests.support.name_server import name_server
from tests.support.outbound_command import Wanted, case, component
from tests.support.upstream import answer, upstream

A = "io.containerd.tandem.v1/allowed-outbound-hosts"
NODE = Outbound()
MIB = 1 << 20
MANY = 100 * MIB
# What a relay, its thread and wasmtime's client may take, whatever passes.
FEW = 40 * MIB
HWM = re.compile(r"VmHWM:\s+(\d+) kB")


def program(folder: Path, wanted: Wanted, policy: Policy = OPEN, *env: str) -> Program:
    folder.mkdir(exist_ok=True)
    artefact = engine_runs.load(
        engine_runs.write_module(folder, component(wanted)), engine_runs.new_cache(folder / "cache")
    )
    return replace(engine_runs.program(artefact, env=env), outbound=policy)


def run(folder: Path, wanted: Wanted, policy: Policy = OPEN, *env: str) -> Ended:
    return engine_runs.run(new_engine(), program(folder, wanted, policy, *env))


def gate(
    allowed: str | None, block: tuple[str, ...] = NODE.block, default: str = "allow"
) -> Policy:
    return policy_of({} if allowed is None else {A: allowed}, block, default)


def say_ok(connection: socket.socket, _: bytes) -> None:
    connection.sendall(answer(b"ok"))


def test_request_and_answer_arrive_whole(tmp_path: Path) -> None:
    seen = []

    def handler(connection: socket.socket, head: bytes) -> None:
        if not head.endswith(b"0\r\n\r\n"):
            head += read_until(connection, b"0\r\n\r\n")
        seen.append(head)
        connection.sendall(answer(b"done"))

    with upstream(handler) as port:
        assert run(tmp_path, Wanted(f"127.0.0.1:{port}", "/p?q=1", pieces=2)).stdout == "done"
    assert seen[0].startswith(f"POST /p?q=1 HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n".encode())
    assert body_of(seen[0]) == bytes(2 * 4096)


@pytest.mark.parametrize(
    ("policy", "host", "expected"),
    [
        (gate(None), "127.0.0.1", None),
        (gate("http://127.0.0.0/8:*"), "127.0.0.1", None),
        (gate("http://localhost:*"), "localhost", None),
        (gate("http://localhost:*"), "127.0.0.1", "HTTP-request-denied"),
        (gate("https://127.0.0.1:*"), "127.0.0.1", "HTTP-request-denied"),
        (gate(""), "127.0.0.1", "HTTP-request-denied"),
        (gate(None, default="deny"), "127.0.0.1", "HTTP-request-denied"),
        (gate("*://*:*", ("127.0.0.0/8", "::1")), "localhost", "destination-IP-prohibited"),
        (gate("*://*:*", ("127.0.0.0/8",)), "[::ffff:127.0.0.1]", "destination-IP-prohibited"),
    ],
)
def test_the_gate(tmp_path: Path, policy: Policy, host: str, expected: str | None) -> None:
    asked = []

    def handler(connection: socket.socket, head: bytes) -> None:
        asked.append(head)
        connection.sendall(answer(b"ok"))

    with upstream(handler) as port:
        ended = run(tmp_path, Wanted(f"{host}:{port}"), policy)
    if expected is None:
        assert ended == Ended(0, "ok", "")
    else:
        assert (ended.status, case(ended.stdout)) == (1, expected)
        assert f"tandem: request refused or failed: {expected}: " in ended.stderr
    assert len(asked) == (expected is None)


@pytest.mark.parametrize("host", ["169.254.169.254", "[fd00:ec2::254]", "100.100.100.200"])
@pytest.mark.parametrize("allowed", [None, "*://*:*"])
def test_credentials_of_the_node_are_out_of_reach(
    tmp_path: Path, host: str, allowed: str | None
) -> None:
    ended = run(tmp_path, Wanted(host, "/latest/meta-data/"), gate(allowed))
    assert (ended.status, case(ended.stdout)) == (1, "destination-IP-prohibited")
    assert "which the node blocks" in ended.stderr


@pytest.mark.root
def test_names_are_those_of_the_container_and_judged_by_their_addresses(tmp_path: Path) -> None:
    (tmp_path / "root" / "etc").mkdir(parents=True)
    hosts = "127.0.0.1 inside.example\n127.0.0.2 hidden.example\n169.254.169.254 cloud.example\n"
    (tmp_path / "root" / "etc" / "hosts").write_text(hosts)
    policy = gate("*://*.example:*", (*NODE.block, "127.0.0.2/32"))
    with upstream(say_ok) as port:
        for name, expected in (
            ("inside.example", None),
            ("hidden.example", "destination-IP-prohibited"),
            ("cloud.example", "destination-IP-prohibited"),
            ("inside.other", "HTTP-request-denied"),
        ):
            wanted = program(tmp_path / name, Wanted(f"{name}:{port}"), policy)
            ended = engine_runs.run(new_engine(), wanted, tmp_path / "root")
            assert (case(ended.stdout) if ended.status else None) == expected, ended


@pytest.mark.root
def test_a_name_that_changes_its_mind_is_judged_each_time(tmp_path: Path) -> None:
    (tmp_path / "root" / "etc").mkdir(parents=True)
    (tmp_path / "root" / "etc" / "resolv.conf").write_text("nameserver 127.0.0.9\n")
    policy = gate("http://rebinding.example:*", (*NODE.block, "127.0.0.2/32"))
    answers = ("127.0.0.1", "127.0.0.1", "127.0.0.2")
    with upstream(say_ok) as port, name_server("127.0.0.9", answers) as given:
        wanted = program(tmp_path, Wanted(f"rebinding.example:{port}", times=4), policy)
        ended = engine_runs.run(new_engine(), wanted, tmp_path / "root")
    assert ended.stdout.startswith("okok")
    assert (ended.status, case(ended.stdout)) == (1, "destination-IP-prohibited")
    assert given == list(answers), "one question for each request, and none behind the judge's back"


def test_failures_have_their_names(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    for number, (host, expected) in enumerate(
        (
            (f"127.0.0.1:{closed}", {"connection-refused"}),
            ("no-such-name.invalid", {"DNS-error", "DNS-timeout"}),
            ("127.1", {"HTTP-request-URI-invalid"}),
        )
    ):
        ended = run(tmp_path / str(number), Wanted(host))
        assert ended.status == 1
        assert case(ended.stdout) in expected


def test_tls_and_whose_certificates_hold(tmp_path: Path) -> None:
    pair = certificates.self_signed(tmp_path)
    trusting = f"SSL_CERT_FILE={pair.certificate}"
    with upstream(say_ok, pair.secured) as port:
        wanted = Wanted(f"localhost:{port}", https=True)
        assert run(tmp_path / "a", wanted, OPEN, trusting) == Ended(0, "ok", "")
        ended = run(tmp_path / "b", wanted)
    assert (ended.status, case(ended.stdout)) == (1, "TLS-certificate-error")


def test_bodies_of_any_size_pass_in_little_memory(tmp_path: Path) -> None:
    received = []

    def handler(connection: socket.socket, head: bytes) -> None:
        size, tail = len(head.partition(b"\r\n\r\n")[2]), head[-5:]
        while tail != b"0\r\n\r\n":
            piece = connection.recv(1 << 16)
            size, tail = size + len(piece), (tail + piece)[-5:]
        received.append(size)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % MANY)
        for _ in range(MANY // MIB):
            connection.sendall(bytes(MIB))

    with upstream(handler) as port:
        wanted = program(tmp_path, Wanted(f"127.0.0.1:{port}", pieces=MANY // 4096))
        output = tmp_path / "output"

        def body() -> int:
            instance = Instance.load(new_engine(), wanted)
            instance.prepare()
            os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT, 0o600), 1)
            before = _highest()
            status = instance.run()
            os.write(2, f"{_highest() - before}".encode())
            return status

        ended = engine_runs.forked(body)
    assert ended.status == 0, ended.stderr
    assert int(ended.stderr) < FEW
    assert received[0] > MANY
    assert output.stat().st_size == MANY


def test_what_is_over_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many requests as it likes, as long as it does not hold them all."""
    with upstream(say_ok) as port:
        wanted = program(tmp_path, Wanted(f"127.0.0.1:{port}", times=20))

        def body() -> int:
            monkeypatch.setattr("shim.engine.http.calls.MAX_REQUESTS", 4)
            instance = Instance.load(new_engine(), wanted)
            instance.prepare()
            return instance.run()

        ended = engine_runs.forked(body)
    assert ended == Ended(0, "ok" * 20, "")


def test_a_command_without_a_request_has_no_thread_for_it(tmp_path: Path) -> None:
    wanted = program(tmp_path, Wanted("127.0.0.1", times=0))

    def body() -> int:
        instance = Instance.load(new_engine(), wanted)
        instance.prepare()
        status = instance.run()
        os.write(2, f"{len(os.listdir('/proc/self/task'))}".encode())
        return status

    assert engine_runs.forked(body) == Ended(0, "", "1")


def test_what_a_command_may_not_import_is_named(tmp_path: Path) -> None:
    for number, (imports, told) in enumerate(
        (
            ('(import "wasi:http/incoming-handler@0.2.3" (instance))', "which nobody provides"),
            (
                '(import "wasi:http/outgoing-handler@0.2.3" (instance'
                ' (export "handle" (func (param "url" string)))))',
                "imports handle of wasi:http/outgoing-handler@0.2.3 as (string)",
            ),
            (
                '(import "wasi:http/types@0.2.3" (instance'
                ' (export "http-error-code" (func (param "error" u64)))))',
                "imports http-error-code of wasi:http/types@0.2.3 as (u64)",
            ),
        )
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        text = f"""(component {imports}
          (core module $m (func (export "run") (result i32) i32.const 0))
          (core instance $i (instantiate $m))
          (func $run (result (result)) (canon lift (core func $i "run")))
          (instance $command (export "run" (func $run)))
          (export "wasi:cli/run@0.2.3" (instance $command)))"""
        ended = engine_runs.run_module(folder, text)
        assert ended.status == 137
        assert told in ended.stderr


def _highest() -> int:
    found = HWM.search(Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) << 10
