"""A made-up year of a crowd: people, instants and events as arrays in person order, the same for every engine.

Kept in a folder outside of git, so that it is made once. Twelve kinds of events; some people do most of it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gdp_core.timeline.arrays import EventColumn, PersonColumn, Shard, Timeline

FOLDER = Path(__file__).parent.parent / "data" / "benchmarks"
START = 1_735_689_600_000_000  # 2025-01-01, microseconds
YEAR = 365 * 86_400_000_000
NAMES = (
    "page_view",
    "session_started",
    "search",
    "product_viewed",
    "cart_added",
    "checkout_started",
    "purchase",
    "signup",
    "invite_sent",
    "support_opened",
    "email_clicked",
    "plan_changed",
)
_SHARES = (0.40, 0.14, 0.11, 0.12, 0.06, 0.035, 0.025, 0.02, 0.02, 0.02, 0.04, 0.01)
SOURCES = ("google", "meta", "newsletter", "partner")
PLANS = ("free", "pro", "team")
_BLOCK = 250_000  # people whose events are sorted at once


@dataclass(frozen=True, slots=True, eq=False)
class Crowd:
    """P people with N events: rows of person i are offsets[i] <= row < offsets[i + 1], in order of time."""

    offsets: NDArray[np.int64]
    at: NDArray[np.int64]
    code: NDArray[np.uint16]
    source: NDArray[np.int32]  # of each event, into SOURCES; -1 is none
    plan: NDArray[np.int32]  # of each person, into PLANS

    @property
    def people(self) -> int:
        """How many there are."""
        return len(self.plan)

    def timeline(self) -> Timeline:
        """As reports read it."""
        shard = Shard(
            np.arange(self.people, dtype=np.int32),
            self.offsets,
            self.at,
            self.code,
            np.zeros(len(self.at), np.uint8),
            np.ones(self.people, np.bool_),
        )
        numbers = np.arange(self.people, dtype=np.int64)
        return Timeline("crowd", START + YEAR, NAMES, numbers, (shard,), _Columns(self))

    def table(self) -> pa.Table:
        """As a table: person, ts (microseconds), event, source."""
        person = np.repeat(np.arange(self.people, dtype=np.uint32), np.diff(self.offsets))
        source = pa.DictionaryArray.from_arrays(pa.array(self.source, mask=self.source < 0), pa.array(SOURCES))
        event = pa.DictionaryArray.from_arrays(pa.array(self.code.astype(np.int32)), pa.array(NAMES))
        return pa.table({"person": person, "ts": self.at, "event": event, "source": source})


class _Columns:
    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd

    def event(self, _field: str) -> EventColumn:
        return EventColumn((self._crowd.source,), SOURCES)

    def person(self, _field: str) -> PersonColumn:
        return PersonColumn(self._crowd.plan, PLANS)

    def whole(self, _field: str) -> None:
        """There is only the plan."""

    def known(self) -> tuple[NDArray[np.int64], ...]:
        """As it happened."""
        return (self._crowd.at,)


def crowd(events: int) -> Crowd:
    """About so many events of a twentieth as many people."""
    folder = FOLDER / f"crowd-{events}"
    if not (folder / "plan.npy").exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = _make(events)
        for name in Crowd.__slots__:
            np.save(folder / f"{name}.npy", getattr(made, name))
    return Crowd(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in Crowd.__slots__))


def parquet(events: int) -> Path:
    """The same crowd as a Parquet file."""
    path = FOLDER / f"crowd-{events}.parquet"
    if not path.exists():
        pq.write_table(crowd(events).table(), path)
    return path


def people_parquet(events: int) -> Path:
    """Its people as a Parquet file: person, plan."""
    path = FOLDER / f"people-{events}.parquet"
    if not path.exists():
        plan = pa.DictionaryArray.from_arrays(pa.array(crowd(events).plan), pa.array(PLANS))
        pq.write_table(pa.table({"person": np.arange(len(plan), dtype=np.uint32), "plan": plan}), path)
    return path


def _make(events: int) -> Crowd:
    rng = np.random.default_rng(20)
    people = events // 20
    weights = rng.gamma(0.6, 1.0, people)
    counts = rng.multinomial(events, weights / weights.sum()).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    owner = np.repeat(np.arange(people), counts)
    began = rng.integers(0, YEAR * 3 // 4, people)
    lasts = rng.integers(YEAR // 50, YEAR // 4 + 1, people)
    at = START + began[owner] + (rng.random(events) * lasts[owner]).astype(np.int64)
    for first in range(0, people, _BLOCK):
        rows = slice(offsets[first], offsets[min(first + _BLOCK, people)])
        at[rows] = at[rows][np.lexsort((at[rows], owner[rows]))]
    code = rng.choice(len(NAMES), events, p=_SHARES).astype(np.uint16)
    source = rng.choice(len(SOURCES) + 1, events).astype(np.int32) - 1
    return Crowd(offsets, at, code, source, rng.integers(0, len(PLANS), people).astype(np.int32))
