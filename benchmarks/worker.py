"""How fast one worker applies what the door stored: events of 20,000 people in batches of 50, ten properties each.

They come as they happen. First most of the people are new, later all are known.

The peer is the ceiling: COPY of the same events as plain rows into a plain table, by one client in the same run.
"""

import random
import time
import uuid
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson
import psycopg

from benchmarks.rig import Rig, rig, row
from gdp_core import clock, inbox, pipeline
from gdp_core.sources.facts import Delivery

PEOPLE = 20_000
BATCH = 50
DELIVERIES = 600
WARM_UP = 40


def run() -> list[dict[str, Any]]:
    """Rows with name, value, unit, peer, peer_value, ratio."""
    with rig("segment") as bench:
        dice = random.Random(7)
        _store(bench, dice, clock.now(), WARM_UP)
        _drain(bench)
        first, events = _measured(bench, dice)  # three in five of these events bring somebody new
        for _ in range(2):
            _measured(bench, dice)
        later, _ = _measured(bench, dice)
        ceiling = len(events) / _copy(bench.admin, events)
    peer = "COPY into a plain table"
    return [
        row("inbox to applied, people seen for the first time", first.rate, "events/s", peer, ceiling),
        row("inbox to applied, known people", later.rate, "events/s", peer, ceiling),
        row(
            "the worker's own CPU per event of known people", later.cpu, "us", "wall clock per event", 1e6 / later.rate
        ),
    ]


class Measured(NamedTuple):
    """Events per second, and microseconds of this process for each."""

    rate: float
    cpu: float


def _measured(bench: Rig, dice: random.Random) -> tuple[Measured, list[dict[str, Any]]]:
    events = _store(bench, dice, clock.now(), DELIVERIES)
    begun, cpu = time.perf_counter(), time.process_time()
    _drain(bench)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    return Measured(len(events) / seconds, cpu / len(events) * 1e6), events


def _store(bench: Rig, dice: random.Random, now: datetime, count: int) -> list[dict[str, Any]]:
    events = []
    with bench.worker.transaction(bench.workspace_id) as session:
        for _ in range(count):
            batch = [_event(dice, now) for _ in range(BATCH)]
            events += batch
            body = orjson.dumps({"batch": batch, "sentAt": now.isoformat()})
            inbox.store(
                session,
                Delivery(uuid.uuid4(), bench.workspace_id, bench.source_id, "segment", "v1/batch", "server", now, body),
            )
    return events


def _event(dice: random.Random, now: datetime) -> dict[str, Any]:
    person = dice.randrange(PEOPLE)
    return {
        "type": "track",
        "event": dice.choice(("letter_sent", "letter_created", "pricing_view", "template_created", "recipient_added")),
        "userId": f"user_{person}",
        "anonymousId": f"anonymous_{person}",
        "messageId": uuid.UUID(int=dice.getrandbits(128)).hex,
        "timestamp": (now - timedelta(milliseconds=dice.randrange(5_000))).isoformat(),
        "properties": {f"property_{number}": dice.choice((number, "text", 1.5, True)) for number in range(10)},
        "context": {"page": {"url": f"https://acme.example/{dice.randrange(50)}"}, "userAgent": "Mozilla/5.0"},
    }


def _drain(bench: Rig) -> None:
    while pipeline.work(bench.worker, bench.workspace_id, clock.now()):
        pass


def _copy(admin: str, events: list[dict[str, Any]]) -> float:
    with psycopg.connect(admin) as connection:
        connection.execute("CREATE TABLE plain (id text, name text, who text, at timestamptz, properties jsonb)")
        begun = time.perf_counter()
        with connection.cursor().copy("COPY plain FROM STDIN") as copy:
            for event in events:
                properties = orjson.dumps(event["properties"]).decode()
                copy.write_row((event["messageId"], event["event"], event["userId"], event["timestamp"], properties))
        connection.commit()
        return time.perf_counter() - begun
