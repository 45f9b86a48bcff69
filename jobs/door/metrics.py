"""What the door counts, in Prometheus' format. Labels are routes, statuses and kinds of source: nobody's ids."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gdp_core.appender import Appender
from gdp_core.sources.facts import Delivery

_ROW_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_SECOND_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)
_SAMPLES = 101
_WARN_SECONDS = 3600.0

VITALS: Mapping[str, str] = {
    "pending_oldest_seconds": "Since when the oldest due delivery waits to be applied",
    "deliveries_dead": "Deliveries given up on and not replayed",
    "books_difference": "What the ledgers cannot explain; 0",
    "wal_held_bytes": "Journal that replication slots keep from being removed",
    "disk_used_ratio": "Of the disk with the data folder; alarm at 0.8",
}
"""What the analyst measures (`gdp_core.vitals`) and tells with its heartbeat."""

log = structlog.get_logger()


class Pulse(NamedTuple):
    """What a process said when it last said anything."""

    process: str
    silent_seconds: float
    detail: Mapping[str, Any]


class Metrics:
    """One registry per door."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "gdp_door_requests", "Requests by route and status", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "gdp_door_request_seconds", "Until the answer", buckets=_SECOND_STEPS, registry=self._registry
        )
        self._flush_rows = Histogram(
            "gdp_door_flush_rows", "Deliveries per COMMIT", buckets=_ROW_STEPS, registry=self._registry
        )
        self._flush_seconds = Histogram(
            "gdp_door_flush_seconds", "INSERT and COMMIT", buckets=_SECOND_STEPS, registry=self._registry
        )
        self._skew = Gauge(
            "gdp_door_clock_skew_seconds",
            "Median of the sender's clock minus ours; webhooks fail beyond 300",
            ["source"],
            registry=self._registry,
        )
        self._silent = Gauge(
            "gdp_process_silent_seconds",
            "Since a process last said that it is alive",
            ["process"],
            registry=self._registry,
        )
        self._children: dict[tuple[str, int], Counter] = {}
        self._skews: dict[str, deque[float]] = {}
        self._warned_at: float | None = None

    def watch(self, appender: Appender) -> None:
        """Show the state of the queue whenever somebody looks."""
        for name, text, value in (
            ("gdp_door_queue_deliveries", "Deliveries that wait to be stored", lambda: appender.depth),
            ("gdp_door_queue_bytes", "Size of their bodies", lambda: appender.queued_bytes),
            ("gdp_door_queue_oldest_seconds", "How long the first of them has waited", lambda: appender.oldest),
        ):
            Gauge(name, text, registry=self._registry).set_function(value)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """A response was sent."""
        child = self._children.get((route, status))
        if child is None:
            child = self._children[route, status] = self._requests.labels(route, str(status))
        child.inc()
        self._seconds.observe(seconds)

    def flushed(self, rows: int, seconds: float) -> None:
        """A batch was stored or refused."""
        self._flush_rows.observe(rows)
        self._flush_seconds.observe(seconds)

    def seen(self, delivery: Delivery, headers: Mapping[str, str]) -> None:
        """A signed webhook tells the time at its sender; what nobody signed tells nothing."""
        if delivery.trust != "signed":
            return
        stamp = headers.get("svix-timestamp") or headers.get("webhook-timestamp") or ""
        if not stamp and "stripe-signature" in headers:
            stamp = headers["stripe-signature"].partition("t=")[2].partition(",")[0]
        if stamp.isascii() and stamp.isdigit():
            samples = self._skews.setdefault(delivery.source, deque(maxlen=_SAMPLES))
            samples.append(int(stamp) - delivery.received_at.timestamp())

    def forwarded_by_stranger(self) -> None:
        """Say now and then that a proxy is not believed, or everybody would share its limits unnoticed."""
        if self._warned_at is None or time.monotonic() - self._warned_at > _WARN_SECONDS:
            self._warned_at = time.monotonic()
            log.warning(
                "X-Forwarded-For is not believed: set GDP_TRUSTED_PROXIES to your proxy's address",
                action="door.untrusted_proxy",
            )

    def exposition(self, pulses: Sequence[Pulse] = ()) -> bytes:
        """Everything, as Prometheus reads it. What the heartbeats tell is left out where there are none."""
        self._silent.clear()
        for pulse in pulses:
            self._silent.labels(pulse.process).set(max(0.0, pulse.silent_seconds))
        told = {name: value for pulse in pulses for name, value in pulse.detail.items() if name in VITALS}
        vitals = CollectorRegistry()
        for name, value in told.items():
            Gauge(f"gdp_{name}", VITALS[name], registry=vitals).set(value)
        for source, samples in self._skews.items():
            self._skew.labels(source).set(median(samples))
        return generate_latest(self._registry) + generate_latest(vitals)
