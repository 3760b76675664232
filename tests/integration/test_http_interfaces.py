"""Components that serve HTTP, with configuration and stores: what commands have, per request."""

import threading
from pathlib import Path

import pytest

from shim.stores.options import GuestOptions, SqlitePlace
from shim.stores.sqlite import SqliteStore
from tests.support.http_server import serving
from tests.support.interface_guests import DRAFT2, MEMORY, OPTIONS, keyvalue_imports

# Adds 1 to "hits" of the store "state", leaves a cas handle behind, and answers nothing.
COUNTING = f"""(component {keyvalue_imports(DRAFT2)}
  (import "wasi:http/types@0.2.3" (instance $types
    (export "incoming-request" (type (sub resource)))
    (export "response-outparam" (type (sub resource)))))
  (alias export $types "incoming-request" (type $request))
  (alias export $types "response-outparam" (type $outparam))
  {MEMORY}
  (core func $open (canon lower (func $store "open") {OPTIONS}))
  (core func $increment (canon lower (func $atomics "increment") {OPTIONS}))
  (core func $new (canon lower (func $atomics "[static]cas.new") {OPTIONS}))
  (core module $m
    (import "heap" "memory" (memory 2))
    (import "host" "open" (func $open (param i32 i32 i32)))
    (import "host" "increment" (func $increment (param i32 i32 i32 i64 i32)))
    (import "host" "new" (func $new (param i32 i32 i32 i32)))
    (data (i32.const 16) "state") (data (i32.const 32) "hits")
    (func (export "handle") (param i32 i32)
      (call $open (i32.const 16) (i32.const 5) (i32.const 1024))
      (if (i32.load8_u (i32.const 1024)) (then unreachable))
      (call $new (i32.load (i32.const 1028)) (i32.const 32) (i32.const 4) (i32.const 2048))
      (call $increment (i32.load (i32.const 1028)) (i32.const 32) (i32.const 4) (i64.const 1)
        (i32.const 2048))
      (if (i32.load8_u (i32.const 2048)) (then unreachable))))
  (core instance $i (instantiate $m (with "heap" (instance $heap)) (with "host" (instance
    (export "open" (func $open)) (export "increment" (func $increment))
    (export "new" (func $new))))))
  (func $handle (param "request" (own $request)) (param "out" (own $outparam))
    (canon lift (core func $i "handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "wasi:http/incoming-handler@0.2.3" (instance $handler)))"""


@pytest.mark.root
def test_requests_at_the_same_time_count_in_one_store(tmp_path: Path) -> None:
    given = GuestOptions(stores=(("state", SqlitePlace(f"{tmp_path}/x.db")),))
    with serving(tmp_path, COUNTING, given=given) as server:

        def ask() -> None:
            for _ in range(150):
                assert server.get("/").startswith(b"HTTP/1.1 500 ")

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert "unreachable" not in server.log
    store = SqliteStore(f"{tmp_path}/x.db")
    assert store.get("hits") == b"1200"
    store.close()
