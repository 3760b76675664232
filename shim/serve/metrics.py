"""What a server has counted, in Prometheus' text form.

Rules: only an instance that serves imports this, and only where its pod asks for it, before the
jail: prometheus_client brings much of the standard library along. It keeps no numbers and no locks
of its own here, so that a request knows nothing of it. Names and units: Prometheus' naming rules.
"""

import importlib.metadata
import itertools
import platform
from collections.abc import Iterator

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

import shim
from shim.serve.counters import BUCKETS_S, Counters, Totals

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4.encode()
_NS = 1_000_000_000

_COUNTERS = {
    "bad_requests": ("bad_requests", "What came and was no request: the connection was ended"),
    "traps": ("trapped", "Guests that trapped, and CGI programs that failed"),
    "broken_answers": ("broken", "Answers that ended before their body did"),
    "instances_made": ("made", "Instances that were made"),
    "connections_accepted": ("accepted", "Connections that were accepted"),
    "received_bytes": ("received", "Bytes that came from clients, header and framing included"),
    "sent_bytes": ("sent", "Bytes that went to clients, header and framing included"),
    "workers_started": ("started", "Worker processes that began to serve"),
}
_GAUGES = {
    "requests_in_flight": (
        "in_flight",
        "Requests that are not answered yet, waiting ones included",
    ),
    "instances_live": ("live", "Instances that there are"),
    "connections_open": ("open", "Connections that are open"),
}


class Metrics(Collector):
    """The numbers of one server, over all of its processes."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._build = {
            "version": shim.__version__,
            "wasmtime": importlib.metadata.version("wasmtime"),
            "python": platform.python_version(),
        }
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """All of them, as they are now."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        """Nothing: whoever registers this need not collect it for the names (prometheus_client)."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The families (prometheus_client)."""
        totals = self._counters.totals()
        yield InfoMetricFamily("tandem_build", "What serves", value=self._build)
        yield _requests(totals)
        yield _durations(totals)
        yield _limits(totals)
        yield SummaryMetricFamily(
            "tandem_http_cold_start_seconds",
            "From the first request of each worker process to its first instance",
            count_value=totals.single["cold_starts"],
            sum_value=totals.single["cold_ns"] / _NS,
        )
        for name, (key, text) in _COUNTERS.items():
            yield CounterMetricFamily(f"tandem_http_{name}", text, value=totals.single[key])
        for name, (key, text) in _GAUGES.items():
            yield GaugeMetricFamily(f"tandem_http_{name}", text, value=totals.single[key])


def _requests(totals: Totals) -> Metric:
    family = CounterMetricFamily(
        "tandem_http_requests",
        "Requests that are answered, by method and class of status; none: the client has gone",
        labels=("method", "status"),
    )
    for labels, count in totals.requests.items():
        family.add_metric(labels, count)
    return family


def _durations(totals: Totals) -> Metric:
    ends = (*(f"{end:g}" for end in BUCKETS_S), "+Inf")
    counts = itertools.accumulate(totals.taken)
    return HistogramMetricFamily(
        "tandem_http_request_duration_seconds",
        "From the end of a request's header to that of the answer",
        buckets=list(zip(ends, counts, strict=True)),
        sum_value=totals.single["taken_ns"] / _NS,
    )


def _limits(totals: Totals) -> Metric:
    family = CounterMetricFamily(
        "tandem_http_over_limit",
        "Requests that were over a limit of [http], by its key",
        labels=("limit",),
    )
    for name, count in totals.limits.items():
        family.add_metric((name,), count)
    return family
