"""How a component is served: annotations over variables over the node's file."""

import pytest

from shim.config import Http
from shim.errdefs import InvalidArgumentError
from shim.serve.options import PREFIX, Address, http_options, parse_address


def test_nothing_is_said() -> None:
    assert http_options(Http(), {"other": "x"}, ("A=1",)) == (Http(), ("A=1",))


def test_variables_of_others_are_ours_and_not_the_guests() -> None:
    env = (
        "A=1",
        "WASMTIME_HTTP_PROXY_SOCKET_ADDR=[::]:80",
        "WASMTIME_HTTP_PROXY_BACKLOG=7",
        "B",
    )
    options, kept = http_options(Http(), {}, env)
    assert (options.listen, options.backlog) == ("[::]:80", 7)
    assert kept == ("A=1", "B")
    assert http_options(Http(), {}, ("WASMTIME_HTTP_BACKLOG=9",))[0].backlog == 9


def test_an_annotation_wins() -> None:
    annotations = {f"{PREFIX}listen": "127.0.0.1:9000", f"{PREFIX}max-header-bytes": "100"}
    options, _ = http_options(
        Http(timeout_s=5), annotations, ("WASMTIME_HTTP_PROXY_SOCKET_ADDR=0.0.0.0:1",)
    )
    assert options == Http(listen="127.0.0.1:9000", max_header_bytes=100, timeout_s=5)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0.0.0.0:8080", Address("0.0.0.0", 8080)),
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("[::1]:65535", Address("::1", 65535)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text, "it") == address
    assert address.is_ipv6 == text.startswith("[")


@pytest.mark.parametrize(
    "text",
    ["", ":80", "80", "localhost:80", "::1:80", "[1.2.3.4]:80", "1.2.3.4:", "1.2.3.4:65536",
     "1.2.3.4:-1", "1.2.3.4:8\u0660", "1.2.3.4:000080"],
)  # fmt: skip
def test_bad_addresses_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^it "):
        parse_address(text, "it")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("listen", "nowhere", "annotation io.containerd.tandem.v1/http-listen is 'nowhere'"),
        ("timeout-s", "0", "http-timeout-s is '0', and not a positive number"),
        ("timeout-s", "1s", "http-timeout-s is '1s'"),
        ("timeout-s", "9" * 5000, "http-timeout-s is '999"),
        ("nonsense", "1", "http-nonsense is not known"),
        ("concurrency", "1025", "concurrency, or the pod's, is more than 1024"),
        ("connections", "65536", "connections, or the pod's, is more than 65535"),
    ],
)
def test_bad_annotations_are_refused_by_name(name: str, value: str, said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=said):
        http_options(Http(), {PREFIX + name: value}, ())
