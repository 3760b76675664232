"""What Prometheus' own parser makes of the page."""

import re
import subprocess
import sys

from prometheus_client.parser import text_string_to_metric_families

from shim.serve.counters import BUCKETS_S, LIMITS, METHODS, STATUSES, Counters
from shim.serve.metrics import Metrics
from tests.support.metrics import samples_of

_UNITS = ("_seconds", "_bytes", "_total", "_info", "_live", "_open", "_in_flight")


def test_the_page_of_a_server_that_has_done_nothing() -> None:
    text = Metrics(Counters()).text().decode()
    found = samples_of(text)
    assert found.pop("tandem_build_info", wasmtime="50.0.1") == 1
    assert set(found.values()) == {0}
    assert len(found) == len(METHODS) * len(STATUSES) + len(LIMITS) + len(BUCKETS_S) + 1 + 15
    assert len(text) < 16 << 10


def test_what_was_counted_is_there() -> None:
    counters = Counters(2)
    for number in range(2):
        slot = counters.slot(number)
        slot.accepted()
        slot.began()
        slot.made()
        slot.sent(1 << 40)
        slot.answered(b"POST", 504, 0.3, "timeout_s")
        slot.answered(b"PURGE", 200, 100.0, None)
        slot.trapped()
        slot.broke_off()
        slot.refused()
    found = samples_of(Metrics(counters).text().decode())
    assert found.pop("tandem_http_requests_total", method="POST", status="5xx") == 2
    assert found.pop("tandem_http_requests_total", method="other", status="2xx") == 2
    assert found.pop("tandem_http_over_limit_total", limit="timeout_s") == 2
    duration = "tandem_http_request_duration_seconds"
    assert found.pop(f"{duration}_bucket", le="0.25") == 0
    assert found.pop(f"{duration}_bucket", le="0.5") == 2
    assert found.pop(f"{duration}_bucket", le="+Inf") == 4
    assert found.pop(f"{duration}_count") == 4
    assert found.pop(f"{duration}_sum") == 200.6
    assert found.pop("tandem_http_sent_bytes_total") == 2 << 40
    assert found.pop("tandem_http_cold_start_seconds_count") == 2
    for name in ("traps", "broken_answers", "bad_requests", "connections_accepted"):
        assert found.pop(f"tandem_http_{name}_total") == 2
    for name in ("instances_live", "connections_open"):
        assert found.pop(f"tandem_http_{name}") == 2


def test_names_are_as_prometheus_wants_them() -> None:
    families = list(text_string_to_metric_families(Metrics(Counters()).text().decode()))
    assert len({family.name for family in families}) == len(families) == 16
    for family in families:
        assert re.fullmatch(r"tandem_(http|build)_[a-z_]+", family.name)
        assert family.documentation
        names = {sample.name for sample in family.samples}
        if family.type == "counter":
            assert all(name.endswith("_total") for name in names)
        assert any(family.name.endswith(unit) for unit in _UNITS) or family.type == "counter"


def test_no_server_pays_for_it_that_is_not_asked() -> None:
    code = "import sys, shim.serve.server; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
