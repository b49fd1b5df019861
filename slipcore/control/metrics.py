"""A look at a running app as Prometheus reads it, beside what the app itself measures."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from slipcore.control.monitor import health_of
from slipcore.control.report import AppStatus

CONTENT_TYPE = CONTENT_TYPE_LATEST

Rows = Iterable[tuple[Sequence[str], float | None]]


class _Look(Collector):
    def __init__(self, status: AppStatus, hung: float) -> None:
        self._status = status
        self._health = health_of(status, hung)

    def collect(self) -> Iterable[Metric]:
        status = self._status
        app = [status.app]
        yield _gauge("live", "1 while the event loop answers.", (), [(app, self._health.live)])
        yield _gauge("ready", "1 while it does its work.", (), [(app, self._health.ready)])
        yield _gauge("hung_handlers", "Handlers stuck at a record.", (), [(app, len(status.hung))])
        yield from self._of_bindings()
        yield from self._of_partitions()
        yield from self._of_sources()

    def _of_bindings(self) -> Iterable[Metric]:
        labels = ("binding", "source")
        rows = [([self._status.app, b.name, b.source], b) for b in self._status.bindings]
        yield _counter(
            "records_handled", "Records handled.", labels, [(r, b.handled) for r, b in rows]
        )
        yield _counter(
            "retries", "Tries beyond the first.", labels, [(r, b.retries) for r, b in rows]
        )
        yield _gauge(
            "in_flight_records",
            "Records that are being handled, or are not durable yet.",
            labels,
            [(r, b.in_flight) for r, b in rows],
        )
        yield _gauge(
            "oldest_in_flight_seconds",
            "Age of the oldest record in flight.",
            labels,
            [(r, b.oldest_seconds or 0.0) for r, b in rows],
        )

    def _of_partitions(self) -> Iterable[Metric]:
        labels = ("binding", "source", "partition")
        rows = [
            ([self._status.app, b.name, b.source, str(p.partition)], p)
            for b in self._status.bindings
            for p in b.partitions
        ]
        yield _gauge(
            "position",
            "Offset of the last finished record.",
            labels,
            [(r, p.position) for r, p in rows],
        )
        yield _gauge("end", "Offset of the last record.", labels, [(r, p.end) for r, p in rows])
        yield _gauge(
            "lag_records", "Records still to be handled.", labels, [(r, p.lag) for r, p in rows]
        )

    def _of_sources(self) -> Iterable[Metric]:
        rows = [([self._status.app, s.name], s) for s in self._status.sources]
        now = time.time()
        yield _gauge("paused", "1 while paused.", ("source",), [(r, s.paused) for r, s in rows])
        yield _gauge(
            "commit_age_seconds",
            "Since positions were last committed.",
            ("source",),
            [(r, s.last_commit and now - s.last_commit) for r, s in rows],
        )
        yield _gauge(
            "uncommitted_seconds",
            "How long something finished has been waiting for a commit.",
            ("source",),
            [(r, s.uncommitted_seconds or 0.0) for r, s in rows],
        )


def exposition(status: AppStatus, hung: float) -> bytes:
    """The text that Prometheus scrapes: this look, and what the process registers itself."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Look(status, hung))
    return generate_latest(registry) + generate_latest(REGISTRY)


def _gauge(name: str, says: str, labels: Sequence[str], rows: Rows) -> Metric:
    return _filled(GaugeMetricFamily(f"slipcore_{name}", says, labels=["app", *labels]), rows)


def _counter(name: str, says: str, labels: Sequence[str], rows: Rows) -> Metric:
    return _filled(CounterMetricFamily(f"slipcore_{name}", says, labels=["app", *labels]), rows)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, rows: Rows) -> Metric:
    for labels, value in rows:
        if value is not None:
            family.add_metric(labels, float(value))
    return family
