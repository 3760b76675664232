"""What every backend of stores does alike, on a file and on a Redis server, and how Redis fails."""

import json
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from shim.config import Outbound
from shim.outbound.policy import ANNOTATION, OPEN, Policy, policy_of
from shim.stores.opened import Stores
from shim.stores.options import GuestOptions, parse_place
from shim.stores.ports import PAGE_KEYS, AccessDenied, Backend, NoSuchStore, StoreError
from shim.stores.sqlite import SqliteStore
from tests.support import certificates
from tests.support.redis_server import RedisServer, redis_server

ROOT = Path(__file__).parents[2]


NODE = Outbound().block


def opened(*places: str, policy: Policy = OPEN, env: Iterable[tuple[str, str]] = ()) -> Stores:
    named = [(f"s{number}", parse_place(place, "x")) for number, place in enumerate(places)]
    return Stores(GuestOptions(stores=tuple(named)), policy, env)


@pytest.fixture(params=["sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    if request.param == "sqlite":
        stores = opened(f"sqlite:{tmp_path}/x.db")
        yield stores[stores.open("s0")]
        stores.close()
        return
    with redis_server(tmp_path) as server:
        stores = opened(server.place)
        yield stores[stores.open("s0")]
        stores.close()


def test_life_of_a_key(store: Backend) -> None:
    assert store.get("k") is None
    assert not store.exists("k")
    store.set("k", b"\0\xff")
    assert store.get("k") == b"\0\xff"
    assert store.exists("k")
    store.set("k", b"")
    assert store.get("k") == b""
    store.delete("k")
    store.delete("k")
    assert store.get("k") is None


def test_keys_are_listed_in_pages(store: Backend) -> None:
    assert store.keys(0) == ([], None)
    names = {f"ü{number}" for number in range(3 * PAGE_KEYS)}
    store.set_many(dict.fromkeys(names, b"x"))
    found: set[str] = set()
    cursor: int | None = 0
    while cursor is not None:
        keys, cursor = store.keys(cursor)
        assert len(keys) < 2 * PAGE_KEYS
        found |= set(keys)
    assert found == names


def test_numbers(store: Backend) -> None:
    assert store.increment("n", 5) == 5
    assert store.increment("n", -7) == -2
    assert store.get("n") == b"-2"
    store.set("n", b"9223372036854775807")
    with pytest.raises(StoreError, match="'n' would not fit into 64 bits"):
        store.increment("n", 1)
    assert store.get("n") == b"9223372036854775807"
    for value in (b"", b"x", b"1.5", b" 1", b"\x01\0\0\0\0\0\0\0"):
        store.set("n", value)
        with pytest.raises(StoreError, match="'n' is not a decimal number"):
            store.increment("n", 1)


def test_swaps(store: Backend) -> None:
    assert store.swap("k", None, b"1")
    assert not store.swap("k", None, b"2")
    assert not store.swap("k", b"2", b"3")
    assert store.swap("k", b"1", b"4")
    assert store.get("k") == b"4"


def test_batches(store: Backend) -> None:
    store.set_many({})
    store.delete_many([])
    assert store.get_many([]) == []
    store.set_many({"a": b"1", "b": b"2"})
    assert store.get_many(["b", "x", "a", "b"]) == [b"2", None, b"1", b"2"]
    store.delete_many(["a", "x"])
    assert store.get_many(["a", "b"]) == [None, b"2"]


def test_names_that_the_pod_does_not_have() -> None:
    stores = opened("sqlite:/x.db")
    for name in ("", "default", "S0", "s0\0"):
        with pytest.raises(NoSuchStore, match="names no store"):
            stores.open(name)


COUNTS_UNTIL_KILLED = """
import os, sys
from shim.stores.sqlite import SqliteStore
store = SqliteStore(sys.argv[1])
while True:
    store.increment("n", 1)
    os.write(1, b".")
"""


def test_killed_writer_loses_nothing_that_it_was_told_is_there(tmp_path: Path) -> None:
    file, acknowledged, killed = tmp_path / "x.db", 0, 6
    for number in range(killed):
        command = [sys.executable, "-c", COUNTS_UNTIL_KILLED, str(file)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as program:
            assert program.stdout is not None
            acknowledged += len(program.stdout.read(1 + 37 * number))
            program.kill()
            acknowledged += len(program.stdout.read())
    store = SqliteStore(str(file))
    try:
        # the one that was under way may be there, too
        assert acknowledged <= store.increment("n", 0) <= acknowledged + killed
    finally:
        store.close()
    with sqlite3.connect(file) as checker:
        assert checker.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    checker.close()


def test_two_names_of_one_file_are_one_store(tmp_path: Path) -> None:
    stores = opened(f"sqlite:{tmp_path}/x.db", f"sqlite:{tmp_path}/x.db")
    first, second = stores.open("s0"), stores.open("s1")
    stores[first].set("k", b"1")
    assert stores[second].get("k") == b"1"
    stores.close()


def test_redis_that_comes_back_is_used_again(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        stores = opened(server.place)
        store = stores[stores.open("s0")]
        assert store.increment("n", 1) == 1
        server.stop()
        with pytest.raises(StoreError, match=f"redis://127.0.0.1:{server.port}/0: "):
            store.increment("n", 1)
        server.start()
        assert store.increment("n", 1) == 1
        stores.close()


def test_redis_that_is_not_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        stores = opened(f"redis://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(StoreError, match="refused") as caught:
            stores.open("s0")
    assert not isinstance(caught.value, AccessDenied)


def test_redis_with_a_password(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("of the pod\n")
    with redis_server(tmp_path, "--requirepass", "of the pod") as server:
        where = f"127.0.0.1:{server.port}/3"
        stores = opened(
            f"redis://{where}",
            f"redis://:wrong@{where}",
            f"redis://:of%20the%20pod@{where}",
            f"redis://{where}?password-file={tmp_path}/password",
            f"redis://{where}?password-file={tmp_path}/missing",
        )
        for name in ("s0", "s1", "s4"):
            with pytest.raises(AccessDenied) as caught:
                stores.open(name)
            assert "of the pod" not in str(caught.value)
        written, read = stores.open("s2"), stores.open("s3")
        stores[written].set("k", b"1")
        assert stores[read].get("k") == b"1"
        stores.close()


def test_redis_behind_the_lists(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        where = f"127.0.0.1:{server.port}"
        for allowed, block, reason in (
            (f"redis://{where}", NODE, None),
            ("redis://127.0.0.0/8:*", NODE, None),
            ("redis://127.0.0.1", NODE, "is not in the pod's allowed-outbound-hosts"),
            (f"http://{where}", NODE, "is not in the pod's allowed-outbound-hosts"),
            ("*://*:*", ("127.0.0.0/8",), "which the node blocks"),
        ):
            policy = policy_of({ANNOTATION: allowed}, block, "allow")
            stores = opened(f"redis://{where}", policy=policy)
            if reason is None:
                stores[stores.open("s0")].set("k", b"1")
                stores.close()
                continue
            with pytest.raises(AccessDenied, match=reason):
                stores.open("s0")


def test_redis_under_a_name_that_changes_its_mind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each connection is to an address that was judged, and judged anew."""
    answers = ["127.0.0.1", "127.0.0.2", "127.0.0.1"]

    def resolve(_: str, port: int, **__: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers.pop(0), port))]

    with redis_server(tmp_path, "--bind", "127.0.0.1", "127.0.0.2") as server:
        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        stores = opened(
            f"redis://cache.example:{server.port}",
            policy=policy_of({}, ("127.0.0.2/32",), "allow"),
        )
        store = stores[stores.open("s0")]
        assert store.increment("n", 1) == 1
        assert len(answers) == 2, "asked once for one connection"
        server.stop()
        server.start()
        failed: list[type[StoreError]] = []
        while answers:
            try:
                assert store.increment("n", 1) == 1
            except StoreError as error:
                failed.append(type(error))
        assert AccessDenied in failed
        stores.close()


def test_redis_with_tls(tmp_path: Path) -> None:
    pair = certificates.self_signed(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    files = ["--tls-cert-file", pair.certificate, "--tls-key-file", pair.key]
    options = ["--tls-port", port, *files, "--tls-auth-clients", "no"]
    trusting = (("SSL_CERT_FILE", str(pair.certificate)),)
    with redis_server(tmp_path, *map(str, options)) as server:
        stores = opened(f"rediss://localhost:{port}/2", env=trusting)
        store = stores[stores.open("s0")]
        store.set("k", b"x" * (1 << 20))
        assert store.get("k") == b"x" * (1 << 20)
        stores.close()
        for place, env, reason in (
            (f"rediss://localhost:{port}", (), "self-signed certificate"),
            (f"rediss://127.0.0.1:{port}", trusting, "IP address mismatch"),
            (f"rediss://localhost:{server.port}", trusting, "localhost:"),
        ):
            stores = opened(place, env=env)
            with pytest.raises(StoreError, match=reason) as caught:
                stores.open("s0")
            assert not isinstance(caught.value, AccessDenied)


IN_AN_EMPTY_ROOT = """
import json, os, sys
from shim.stores.opened import Stores
from shim.stores.options import GuestOptions, parse_place
from shim.stores.ports import StoreError
root, *places = sys.argv[1:]
named = tuple((str(n), parse_place(place, "x")) for n, place in enumerate(places))
stores = Stores(GuestOptions(stores=named))
os.chroot(root)
os.chdir("/")
store = stores[stores.open("0")]
store.set("k", b"1")
assert store.increment("k", 1) == 2 and store.swap("k", b"2", b"x") and store.keys(0)[0] == ["k"]
said = []
def fails(work):
    try:
        work()
    except StoreError as error:
        said.append(type(error).__name__)
for name in "1234":
    fails(lambda: stores.open(name))
fails(lambda: store.increment("k", 1))
print("stop", flush=True)
sys.stdin.readline()
fails(lambda: store.get("k"))
fails(lambda: store.swap("k", b"x", b"y"))
print(json.dumps(said))
"""


@pytest.mark.root
def test_redis_needs_no_file_once_it_is_imported(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    with redis_server(tmp_path, "--requirepass", "x") as server:
        where = f"127.0.0.1:{server.port}"
        places = [f"redis://:x@{where}", f"redis://{where}", "redis://127.0.0.1:1"]
        places.append(f"rediss://{where}")
        program = subprocess.Popen(
            [sys.executable, "-c", IN_AN_EMPTY_ROOT, tmp_path / "root", *places, "redis://name"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert program.stdout is not None
        stopped = program.stdout.readline() == "stop\n"
        server.stop()
        said, errors = program.communicate("\n" if stopped else None, timeout=60)
    assert (program.returncode, errors) == (0, "")
    assert json.loads(said) == ["AccessDenied", *["StoreError"] * 6]


def test_keys_of_others_that_are_no_texts_are_left_out(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        stores = opened(server.place)
        store = stores[stores.open("s0")]
        store.set("k", b"1")
        set_raw(server, b"\xff")
        assert store.keys(0) == (["k"], None)
        stores.close()


def set_raw(server: RedisServer, key: bytes) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
        connection.sendall(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$1\r\nx\r\n" % (len(key), key))
        assert connection.recv(100) == b"+OK\r\n"
