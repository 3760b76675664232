"""A registry that lies: every pull ends with its reason, and nothing of the lie stays."""

import itertools
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shim.errdefs import ShimError
from shim.images.credentials import Credentials
from shim.images.oras_client import Access
from shim.images.reference import parse_reference
from shim.images.registry import Registry
from shim.images.store import Store
from shim.images.transfer import Silent, pull
from tests.support.hostile_registry import (
    INDEX,
    HostileRegistry,
    Reply,
    descriptor,
    digest_of,
)
from tests.support.registry import _make_certificate
from tests.support.tandem_command import ROOT, TandemCommand

LAYER = b"a layer of twenty-odd bytes"


@pytest.fixture
def hostile() -> Iterator[HostileRegistry]:
    with HostileRegistry() as registry:
        yield registry


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "images")


def pull_from(hostile: HostileRegistry, store: Store, access: Access | None = None) -> None:
    name = parse_reference(f"{hostile.address}/a:1")
    registry = Registry(name, access or Access())
    try:
        pull(registry, store, name, Silent())
    finally:
        registry.close()


def refuses(hostile: HostileRegistry, store: Store, expected: str) -> None:
    with pytest.raises(ShimError, match=expected):
        pull_from(hostile, store)
    assert store.images() == {}
    assert list(store.ingest.iterdir()) == []
    for path in store.blobs.iterdir():
        assert digest_of(path.read_bytes()) == f"sha256:{path.name}"


def endless() -> Iterator[bytes]:
    return itertools.repeat(bytes(65536))


def test_honest_image_is_pulled(hostile: HostileRegistry, store: Store) -> None:
    """What the others differ from in one point."""
    hostile.image(LAYER)
    pull_from(hostile, store)
    assert len(store.images()) == 1


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(LAYER.upper()), "has other bytes"),
        (Reply(LAYER + b"x"), f"more bytes than the {len(LAYER)}"),
        (Reply(LAYER[:-1]), "1 bytes too early"),
        (Reply(b""), "too early"),
        (Reply(pieces=endless), "more bytes than"),
        (Reply(LAYER, headers={"Content-Encoding": "gzip"}), ""),
        (Reply(b"", 404), "answers 404"),
        (Reply(b"", 500), "answers 500"),
        (Reply(b"", 429), "too many requests"),
        (Reply(b"", 401), "wants authentication that Tandem does not know"),
        (Reply(b'{"errors":[{"message":"\x1b[2Jgone"}]}', 400), r"answers 400"),
    ],
)
def test_blob_that_is_not_what_was_said(
    hostile: HostileRegistry, store: Store, reply: Reply, expected: str
) -> None:
    hostile.image(LAYER)
    hostile.answers[hostile.blob(LAYER)] = reply
    if not expected:
        # Right bytes under a wrong header are taken as they are, and nothing is unpacked.
        pull_from(hostile, store)
        return
    refuses(hostile, store, expected)


def test_text_of_an_error_does_not_reach_the_terminal_as_it_is(
    hostile: HostileRegistry, store: Store
) -> None:
    hostile.answers["/v2/a/manifests/1"] = Reply(
        b'{"errors":[{"message":"\\u001b[2Jgone\\nline"}]}', 400
    )
    refuses(hostile, store, r"answers 400: \?\[2Jgone\?line")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b"{", "not valid JSON"),
        (b"[]", "not an object"),
        (b"{}", "config"),
        ({"config": descriptor(b"{}"), "layers": [{}]}, "size"),
        ({"config": {**descriptor(b"{}"), "digest": "sha256:../../x"}, "layers": []}, "digest"),
        ({"config": {**descriptor(b"{}"), "size": -1}, "layers": []}, "size"),
        ({"config": {**descriptor(b"{}"), "size": 1 << 44}, "layers": []}, "are the most|room for"),
        (b'{"config": 1, "config": 2}', "twice"),
    ],
)
def test_manifest_that_is_none(
    hostile: HostileRegistry, store: Store, document: object, expected: str
) -> None:
    hostile.manifest(document)
    refuses(hostile, store, expected)


def test_endless_manifest(hostile: HostileRegistry, store: Store) -> None:
    hostile.answers["/v2/a/manifests/1"] = Reply(pieces=endless)
    refuses(hostile, store, "more than 4194304 bytes")


def test_ten_thousand_layers(hostile: HostileRegistry, store: Store) -> None:
    layers = [descriptor(str(number).encode()) for number in range(10_000)]
    hostile.manifest({"config": descriptor(b"{}"), "layers": layers})
    refuses(hostile, store, "10000 layers, and 500 are the most")
    assert len(hostile.asked) == 1


def test_index_that_names_itself(hostile: HostileRegistry, store: Store) -> None:
    digest = "sha256:" + "0" * 64
    entry = {"mediaType": INDEX, "digest": digest, "size": 2}
    data = hostile.manifest({"manifests": [entry]}, INDEX)
    hostile.answers[f"/v2/a/manifests/{digest}"] = Reply(data, headers={"Content-Type": INDEX})
    refuses(hostile, store, f"{digest} has the digest")


def test_indexes_without_end(hostile: HostileRegistry, store: Store) -> None:
    inner = hostile.image(LAYER)
    kind = "application/vnd.oci.image.manifest.v1+json"
    for _ in range(20):
        inner = hostile.manifest({"manifests": [descriptor(inner, kind)]}, INDEX)
        kind = INDEX
    refuses(hostile, store, "indexes inside each other")
    assert len(hostile.asked) < 10


def test_index_for_other_machines_alone(hostile: HostileRegistry, store: Store) -> None:
    platform = {"os": "plan9", "architecture": "mips"}
    entry = descriptor(b"{}", "application/vnd.oci.image.manifest.v1+json", platform=platform)
    hostile.manifest({"manifests": [entry]}, INDEX)
    refuses(hostile, store, "no manifest for Wasm, and none for this machine")


def test_redirects_without_end(hostile: HostileRegistry, store: Store) -> None:
    path = "/v2/a/manifests/1"
    hostile.answers[path] = Reply(status=307, headers={"Location": path})
    refuses(hostile, store, "redirects more than 5 times")
    assert len(hostile.asked) == 6


def test_password_stays_with_its_registry(hostile: HostileRegistry, store: Store) -> None:
    """A store of blobs elsewhere sees neither user nor password, even if it asks."""
    access = Access(credentials=Credentials("ox", "yoke"))
    hostile.image(LAYER)
    with HostileRegistry() as elsewhere:
        away = f"http://{elsewhere.address}/blob"
        hostile.answers[hostile.blob(LAYER)] = Reply(status=307, headers={"Location": away})
        ask = {"WWW-Authenticate": 'Basic realm="x"'}
        original = hostile.answers["/v2/a/manifests/1"]
        hostile.answers["/v2/a/manifests/1"] = Reply(status=401, headers=ask)
        with pytest.raises(ShimError, match="401"):
            pull_from(hostile, store, access)
        assert hostile.asked[-1][1] == Credentials("ox", "yoke").basic
        hostile.answers["/v2/a/manifests/1"] = original
        elsewhere.answers["/blob"] = Reply(status=401, headers=ask)
        with pytest.raises(ShimError):
            pull_from(hostile, store, access)
        elsewhere.answers["/blob"] = Reply(LAYER)
        pull_from(hostile, store, access)
        assert {authorization for _, authorization in elsewhere.asked} == {None}


def test_token_is_bought_once_for_all_that_one_pull_asks(
    hostile: HostileRegistry, store: Store
) -> None:
    hostile.image(LAYER)
    service = f'realm="http://{hostile.address}/token",service="s",scope="repository:a:pull"'
    hostile.guard = Reply(status=401, headers={"WWW-Authenticate": f"Bearer {service}"})
    hostile.token = "t"
    path = "/token?service=s&scope=repository%3Aa%3Apull"
    hostile.answers[path] = Reply(b'{"token": "t"}')
    access = Access(credentials=Credentials("ox", "yoke"))
    pull_from(hostile, store, access)
    bought = [authorization for asked, authorization in hostile.asked if asked == path]
    assert bought == [Credentials("ox", "yoke").basic]
    assert len(store.images()) == 1


def test_token_that_the_registry_does_not_take_ends_the_pull(
    hostile: HostileRegistry, store: Store
) -> None:
    hostile.image(LAYER)
    realm = f'Bearer realm="http://{hostile.address}/token"'
    hostile.guard = Reply(status=401, headers={"WWW-Authenticate": realm})
    hostile.token = "other"
    hostile.answers["/token"] = Reply(b'{"token": "t"}')
    refuses(hostile, store, "answers 401")
    assert len(hostile.asked) == 3


def test_tls_is_not_left(store: Store, tmp_path: Path) -> None:
    _make_certificate(tmp_path)
    access = Access(ca_file=tmp_path / "tls.crt")
    with HostileRegistry() as plain, HostileRegistry(tmp_path) as hostile:
        plain.image(LAYER)
        away = f"http://{plain.address}/v2/a/manifests/1"
        hostile.answers["/v2/a/manifests/1"] = Reply(status=307, headers={"Location": away})
        with pytest.raises(ShimError, match="from TLS to plain HTTP"):
            pull_from(hostile, store, access)


def test_ctrl_c_ends_a_pull_and_leaves_nothing_half(
    hostile: HostileRegistry, tmp_path: Path
) -> None:
    tandem = TandemCommand(tmp_path / "node")
    begun, let_go = threading.Event(), threading.Event()

    def stalls() -> Iterator[bytes]:
        yield LAYER[:5]
        begun.set()
        let_go.wait(60)

    hostile.image(LAYER)
    hostile.answers[hostile.blob(LAYER)] = Reply(pieces=stalls)
    code = "import sys; from shim.cli.app import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "pull", f"{hostile.address}/a:1"],
        cwd=ROOT,
        env=tandem.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert begun.wait(60)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    finally:
        let_go.set()
        process.kill()
        process.wait()
    assert (process.returncode, said.strip()) == (130, "")
    store = Store(tandem.images)
    assert (store.images(), list(store.ingest.iterdir())) == ({}, [])
    hostile.answers[hostile.blob(LAYER)] = Reply(LAYER)
    assert tandem.must("pull", f"{hostile.address}/a:1", "--output", "json").json["moved"] == len(
        LAYER
    )


def test_endless_answers_need_no_memory(hostile: HostileRegistry, tmp_path: Path) -> None:
    """Half a gigabyte would be reached at once, by who collects what is sent."""
    tandem = TandemCommand(tmp_path / "node")
    hostile.image(LAYER)
    hostile.answers[hostile.blob(LAYER)] = Reply(pieces=endless)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (1 << 29, 1 << 29))

    code = "import sys; from shim.cli.app import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "pull", f"{hostile.address}/a:1"],
        cwd=ROOT,
        env=tandem.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=limit,
    )
    assert done.returncode == 1
    assert "more bytes than" in done.stderr
