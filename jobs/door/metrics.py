"""What the door counts, in Prometheus' format. Labels are routes, statuses and kinds of source: nobody's ids."""

import time
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from statistics import median

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gdp_core.appender import Appender

_ROW_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_SECOND_STEPS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)
_SAMPLES = 101
_WARN_SECONDS = 3600.0

log = structlog.get_logger()


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

    def seen(self, source: str, headers: Mapping[str, str], now: datetime) -> None:
        """A verified webhook tells the time at its sender."""
        stamp = headers.get("svix-timestamp") or headers.get("webhook-timestamp") or ""
        if not stamp and "stripe-signature" in headers:
            stamp = headers["stripe-signature"].partition("t=")[2].partition(",")[0]
        if stamp.isascii() and stamp.isdigit():
            samples = self._skews.setdefault(source, deque(maxlen=_SAMPLES))
            samples.append(int(stamp) - now.timestamp())

    def forwarded_by_stranger(self) -> None:
        """Say now and then that a proxy is not believed, or everybody would share its limits unnoticed."""
        if self._warned_at is None or time.monotonic() - self._warned_at > _WARN_SECONDS:
            self._warned_at = time.monotonic()
            log.warning(
                "X-Forwarded-For is not believed: set GDP_TRUSTED_PROXIES to your proxy's address",
                action="door.untrusted_proxy",
            )

    def exposition(self) -> bytes:
        """Everything, as Prometheus reads it."""
        for source, samples in self._skews.items():
            self._skew.labels(source).set(median(samples))
        return generate_latest(self._registry)
