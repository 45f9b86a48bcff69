"""`python -m benchmarks.forgetful PORT [EVENTS]`: the dashboard without a memory, so that every click has to be counted.

With EVENTS each of its workspaces has the timeline of a made-up crowd, whose year ends now, so that the usual periods
hold it. Nobody behind its numbers is in Postgres.
"""

import itertools
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import uvicorn
from sqlmodel import Session

from app import app
from benchmarks import crowd
from gdp_core import clock
from gdp_core.analytics.calendar import micros
from gdp_core.analytics.fields import Fields
from gdp_core.timeline.arrays import Timeline
from pages.ui import data
from pages.ui.reporting import picking
from pages.ui.reporting.sight import Sight

_TIMES = itertools.count()


def main(port: int, events: int = 0) -> None:
    """Serve it until it is told to stop."""
    _forget_answers()
    if events:
        _show_the_crowd(events)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def _forget_answers() -> None:
    remembering = Sight.read

    def count(self: Sight, report: Callable[..., Any], asked: Any, *more: Any) -> Any:
        return report(self.timeline, self.scope, asked, *more, within=self.within())

    def read(self: Sight, key: tuple[Any, ...], answer: Callable[[Session], Any]) -> Any:
        return remembering(self, (*key, next(_TIMES)), answer)

    Sight.count, Sight.read = count, read  # type: ignore[method-assign, assignment]


def _show_the_crowd(events: int) -> None:
    found = _until_now(events)
    fields = Fields(tuple((name, events) for name in crowd.NAMES), {}, ())
    data.timeline = lambda *_: found
    picking.fields_of = lambda _: fields


def _until_now(events: int) -> Timeline:
    found, now = crowd.crowd(events).timeline(), micros(clock.now())
    shards = tuple(replace(shard, at=shard.at + (now - found.watermark)) for shard in found.shards)
    return replace(found, watermark=now, shards=shards)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
