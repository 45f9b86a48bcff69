"""The whole product at work beside a benchmark: its door is sent so many events a second, by a process of its own.

What it was sent was answered in how long is told at the end. `python -m benchmarks.busy` is that process.
"""

import json
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.browser.product import ROOT, Product

A_SECOND = 500
BATCH = 100
_OTHERS = 5_000  # people who do it
_LONGEST = 1_800.0  # seconds after which it ends by itself


@dataclass
class Load:
    """How long the door took for each request, in milliseconds, and how many it refused; known at the end."""

    taken: list[float] = field(default_factory=list)
    refused: int = 0

    @property
    def slowest(self) -> float:
        """99 of 100 were answered in so many milliseconds."""
        return statistics.quantiles(self.taken, n=100)[-1]


@contextmanager
def busy() -> Iterator[Load]:
    """A product of its own that takes in `A_SECOND` events a second while this lasts."""
    load = Load()
    with tempfile.TemporaryDirectory(prefix="gdp-bench-") as folder:
        Path(folder).chmod(0o755)  # Postgres may run as another user
        product = Product(Path(folder) / "data")
        try:
            product.start(name="busy")
            key = product.tracking_key(product.workspace("Busy"), "Load")
            sending = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.busy", product.door, key],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            product.rest(5)  # until it takes them in as steadily as it will
            try:
                yield load
            finally:
                told, _ = sending.communicate()  # its standard input ends
                load.taken, load.refused = json.loads(told)
        finally:
            product.stop()


def call(user: str, event: str, number: int) -> dict[str, Any]:
    """One event as the door is sent it."""
    return {"type": "track", "userId": user, "event": event, "messageId": f"m{number}"}


def views(place: int) -> list[dict[str, Any]]:
    """A batch of events from a place on."""
    return [call(f"p{number % _OTHERS}", "page_seen", number) for number in range(place, place + BATCH)]


def _send(door: str, key: str) -> tuple[list[float], int]:
    """Send until standard input ends."""
    taken, refused, place, began = [], 0, 0, time.time()
    with httpx.Client(base_url=door, auth=(key, ""), timeout=60) as client:
        while not _ended() and time.time() - began < _LONGEST:
            asked = time.perf_counter()
            refused += client.post("/v1/batch", json={"batch": views(place)}).status_code != 200
            taken.append((time.perf_counter() - asked) * 1000)
            place += BATCH
            time.sleep(max(0.0, began + place / A_SECOND - time.time()))
    return taken, refused


def _ended() -> bool:
    """Whether standard input ended."""
    return bool(select.select([sys.stdin], [], [], 0)[0])


if __name__ == "__main__":
    json.dump(_send(*sys.argv[1:]), sys.stdout)
