"""`python -m benchmarks.crowded EVENTS PORT`: the dashboard, each of whose workspaces has the timeline of a made-up crowd.

The crowd's year ends now, so that the usual periods hold it. Nobody behind its numbers is in Postgres.
"""

import sys
from dataclasses import replace

import uvicorn

from app import app
from benchmarks import crowd
from gdp_core import clock
from gdp_core.analytics.calendar import micros
from gdp_core.analytics.fields import Fields
from gdp_core.timeline.arrays import Timeline
from pages.ui import data
from pages.ui.reporting import picking


def _until_now(events: int) -> Timeline:
    found, now = crowd.crowd(events).timeline(), micros(clock.now())
    shards = tuple(replace(shard, at=shard.at + (now - found.watermark)) for shard in found.shards)
    return replace(found, watermark=now, shards=shards)


def main(events: int, port: int) -> None:
    """Serve it until it is told to stop."""
    found = _until_now(events)
    fields = Fields(tuple((name, events) for name in crowd.NAMES), {}, ())
    data.timeline = lambda *_: found
    picking.fields_of = lambda _: fields
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
