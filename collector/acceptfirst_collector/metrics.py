"""What the collector counts and measures of itself, for Prometheus; holds no name, no path and no secret.

Every metric is `acceptfirst_collector_…`; what they mean stands in `docs/operations.md`.
"""

from __future__ import annotations

import platform
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

import acceptfirst

PREFIX = "acceptfirst_collector"
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

#: From a fast disk's sync to one that is failing.
SYNC_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
INSERT_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)

#: HTTP status → why a request was refused. A status that is missing here counts as `other`.
REASONS = {
    400: "malformed",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method",
    413: "too_large",
    415: "unsupported",
    429: "rate_limited",
    503: "unavailable",
}
TRANSPORTS = ("http", "grpc")
FORWARD_REASONS = ("full", "refused", "late", "stopped")

Sample = tuple[str, str, float]


class CollectorMetrics:
    """Counters and histograms of one collector; safe to use from every thread."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._accepted = self._counter("requests_accepted", "Requests that were acknowledged.", ("transport",))
        self._rejected = self._counter("requests_rejected", "Requests that were refused.", ("transport", "reason"))
        self.requests_repeated = self._counter("requests_repeated", "Acknowledged requests that had come before.")
        self.spans_accepted = self._counter("spans_accepted", "Spans in acknowledged requests, repeated ones left out.")
        self.log_sync = self._histogram("log_sync_seconds", "Writing and syncing a group of requests.", SYNC_BUCKETS_S)
        self.store_insert = self._histogram(
            "store_insert_seconds", "Inserting a batch, failed attempts too.", INSERT_BUCKETS_S
        )
        self.forwarded = self._counter("forwarded", "Requests that the receiver behind took.")
        self.forward_dropped = self._counter("forward_dropped", "Copies of requests that it did not get.", ("reason",))
        for reason in FORWARD_REASONS:
            self.forward_dropped.labels(reason)
        for transport in TRANSPORTS:  # a series that begins at 0 is one whose first increase is seen
            self._accepted.labels(transport)
            for reason in (*REASONS.values(), "other"):
                self._rejected.labels(transport, reason)
        ProcessCollector(registry=self._registry)

    def count_answer(self, transport: str, status: int) -> None:
        """Count one answered request by its HTTP status, or by the one that a gRPC code stands for."""
        if status < 400:  # noqa: PLR2004 - where HTTP's errors begin
            self._accepted.labels(transport).inc()
        else:
            self._rejected.labels(transport, REASONS.get(status, "other")).inc()

    def totals(self) -> dict[str, Any]:
        """Return the counts since the start, for people: only the reasons that occurred."""
        return {
            "accepted": {transport: _count(self._accepted.labels(transport)) for transport in TRANSPORTS},
            "rejected": self._rejections(),
            "repeated": _count(self.requests_repeated),
            "spans": _count(self.spans_accepted),
        }

    def _rejections(self) -> dict[str, int]:
        reasons = [*REASONS.values(), "other"]
        counts = {why: sum(_count(self._rejected.labels(by, why)) for by in TRANSPORTS) for why in reasons}
        return {why: count for why, count in counts.items() if count}

    def exposition(self, gauges: list[Sample]) -> bytes:
        """Write everything down in Prometheus' text format.

        Args:
            gauges: name without the prefix, help and value of what is only known when asked.
        """
        return generate_latest(self._registry) + _exposed_gauges([*gauges])

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(f"{PREFIX}_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"{PREFIX}_{name}", text, buckets=buckets, registry=self._registry)


def _count(counter: Counter) -> int:
    """The value of a counter's only series, of which the library tells no other way than by collecting it."""
    [family] = counter.collect()
    return int(next(sample.value for sample in family.samples if sample.name.endswith("_total")))


class _Gauges:
    """Gauges that live for one scrape."""

    def __init__(self, gauges: list[Sample]) -> None:
        self._gauges = gauges

    def collect(self) -> list[GaugeMetricFamily]:
        """Give them as the library wants them."""
        families = [GaugeMetricFamily(f"{PREFIX}_{name}", text, value) for name, text, value in self._gauges]
        build = GaugeMetricFamily(f"{PREFIX}_build_info", "Always 1.", labels=["version", "python"])
        build.add_metric([acceptfirst.__version__, platform.python_version()], 1)
        return [*families, build]


def _exposed_gauges(gauges: list[Sample]) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Gauges(gauges))
    return generate_latest(registry)
