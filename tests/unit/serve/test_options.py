"""How a component is served: annotations over variables over the node's file."""

import os

import pytest

from shim.config import Http
from shim.errdefs import InvalidArgumentError
from shim.oci.spec import Resources
from shim.serve.options import PREFIX, Address, http_options, is_metered, parse_address

FREE = Resources()


def test_nothing_is_said() -> None:
    assert http_options(Http(), {"other": "x"}, ("A=1",), FREE) == (
        Http(workers=1),
        ("A=1",),
    )


def test_variables_of_others_are_ours_and_not_the_guests() -> None:
    env = (
        "A=1",
        "WASMTIME_HTTP_PROXY_SOCKET_ADDR=[::]:80",
        "WASMTIME_HTTP_PROXY_BACKLOG=7",
        "B",
    )
    options, kept = http_options(Http(), {}, env, FREE)
    assert (options.listen, options.backlog) == ("[::]:80", 7)
    assert kept == ("A=1", "B")
    assert http_options(Http(), {}, ("WASMTIME_HTTP_BACKLOG=9",), FREE)[0].backlog == 9


def test_an_annotation_wins() -> None:
    annotations = {f"{PREFIX}listen": "127.0.0.1:9000", f"{PREFIX}max-header-bytes": "100"}
    options, _ = http_options(
        Http(timeout_s=5), annotations, ("WASMTIME_HTTP_PROXY_SOCKET_ADDR=0.0.0.0:1",), FREE
    )
    assert options == Http(listen="127.0.0.1:9000", max_header_bytes=100, timeout_s=5, workers=1)


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
        ("metrics", "9000", "http-metrics is '9000', and not an address with a port"),
        ("health", "health", "http-health is 'health', and not a path"),
        ("health", "/a?b", r"http-health is '/a\?b', and not a path"),
        ("health", "/" + "a" * 300, "and not a path"),
        ("fuel", "-1", "http-fuel is '-1', and not a positive number"),
        ("fuel", "0", "http-fuel is '0', and not a positive number"),
        ("timeout-s", "", "http-timeout-s is '', and not a positive number"),
        ("nonsense", "1", "http-nonsense is not known"),
        ("concurrency", "1025", "concurrency, or the pod's, is more than 1024"),
        ("workers", "0", "http-workers is '0', and not a positive number"),
        ("workers", "257", "workers, or the pod's, is more than 256"),
        (
            "workers",
            "100",
            r"workers \(100\) times concurrency \(64\), or the pod's, is more than 4096",
        ),
        ("reuse", "0", "http-reuse is '0', and not a positive number"),
        ("connections", "65536", "connections, or the pod's, is more than 65535"),
    ],
)
def test_bad_annotations_are_refused_by_name(name: str, value: str, said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=said):
        http_options(Http(), {PREFIX + name: value}, (), FREE)


def test_what_is_off_by_default_is_switched_on_and_off() -> None:
    on = {"health": "/.well-known/tandem/health", "metrics": "[::]:9090", "fuel": "1000"}
    wanted = {PREFIX + key: value for key, value in on.items()}
    options, _ = http_options(Http(), wanted, (), FREE)
    assert options == Http(health=on["health"], metrics="[::]:9090", fuel=1000, workers=1)
    for off in ("", "false"):
        without = dict.fromkeys((PREFIX + key for key in on), off)
        assert http_options(options, without, (), FREE)[0] == Http(workers=1)


@pytest.mark.parametrize(
    ("defaults", "said"),
    [
        (Http(metrics="everywhere"), r"\[http\] metrics is 'everywhere'"),
        (Http(health="health"), r"\[http\] health is 'health'"),
        (Http(listen=":80"), r"\[http\] listen is ':80'"),
    ],
)
def test_what_the_nodes_file_says_is_read_too(defaults: Http, said: str) -> None:
    with pytest.raises(InvalidArgumentError, match=said):
        http_options(defaults, {}, (), FREE)


@pytest.mark.parametrize(
    ("of_node", "of_pod", "metered"),
    [(0, None, False), (5, None, True), (5, "false", False), (0, "7", True)],
)
def test_whether_code_counts_its_instructions(
    of_node: int, of_pod: str | None, metered: bool
) -> None:
    annotations = {} if of_pod is None else {f"{PREFIX}fuel": of_pod}
    assert is_metered(Http(fuel=of_node), annotations) == metered


def test_bad_fuel_is_refused_before_anything_is_compiled() -> None:
    with pytest.raises(InvalidArgumentError, match="http-fuel is 'much'"):
        is_metered(Http(), {f"{PREFIX}fuel": "much"})


@pytest.mark.parametrize(
    ("quota", "period", "processors", "workers"),
    [
        (None, None, 8, 1),
        (-1, 100_000, 8, 1),
        (0, 0, 8, 1),
        (50_000, 100_000, 8, 1),
        (100_000, 100_000, 8, 1),
        (100_001, 100_000, 8, 2),
        (400_000, None, 8, 4),
        (30_000, 10_000, 8, 3),
        (400_000, 100_000, 2, 2),
    ],
)
def test_workers_are_what_the_cpu_limit_lets_run(
    monkeypatch: pytest.MonkeyPatch,
    quota: int | None,
    period: int | None,
    processors: int,
    workers: int,
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    resources = Resources(cpu_quota_us=quota, cpu_period_us=period)
    assert http_options(Http(), {}, (), resources)[0].workers == workers


def test_who_says_how_many_workers_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    limited = Resources(cpu_quota_us=200_000)
    assert http_options(Http(workers=3), {}, (), limited)[0].workers == 3
    told = {f"{PREFIX}workers": "1", f"{PREFIX}reuse": "50"}
    options, _ = http_options(Http(workers=3), told, (), limited)
    assert (options.workers, options.reuse) == (1, 50)
