"""A process that forks for each task, so that a crash costs milliseconds instead of a start.

It reads one task per line on stdin, (failpoint, action, arguments) as JSON, does it in a child with that failpoint armed,
and writes how the child ended: its exit code, or minus the signal that killed it. It holds no connection and no thread,
so its children may open their own.
"""

import os
import sys
import traceback
from uuid import UUID

import orjson
import uvloop
from pydantic import SecretStr

from gdp_core import backfill, inbox, pipeline, retention
from gdp_core.db import Database
from gdp_core.settings import settings
from gdp_core.sources import stripe
from jobs.door.door import Door
from jobs.door.server import server

from .conftest import NOW
from .door import generous

BATCH = 25


def work(dsn: str, *workspaces: str) -> None:
    """Apply everything that is due, in several batches."""
    pool = Database(dsn, "gdp_worker")
    for workspace in workspaces:
        while pipeline.work(pool, UUID(workspace), NOW, limit=BATCH):
            pass


def replay(dsn: str, workspace: str) -> None:
    """Put back everything that was applied."""
    with Database(dsn, "gdp_worker").transaction(UUID(workspace)) as session:
        inbox.replay(session, state="applied")


def retain(dsn: str) -> None:
    """Drop what nobody wants."""
    retention.enforce(Database(dsn, "gdp_worker"), NOW)


def fetch(dsn: str, workspace: str, source: str, url: str) -> None:
    """Read a Stripe account to its end."""
    account = stripe.Account(SecretStr("sk_test_1"), url, per_second=1e6)
    backfill.backfill(Database(dsn, "gdp_worker"), UUID(workspace), UUID(source), account)


def door(dsn: str, port: int) -> None:
    """Listen until killed or told to stop."""
    uvloop.run(server(Door(dsn, limits=generous()), port=port).serve())


ACTIONS = {action.__name__: action for action in (work, replay, retain, fetch, door)}


def main() -> None:
    """Serve tasks until stdin ends."""
    for line in sys.stdin.buffer:
        failpoint, action, arguments = orjson.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(_child(failpoint, action, arguments))
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _child(failpoint: str, action: str, arguments: list[str]) -> int:
    if failpoint:
        os.environ["GDP_FAILPOINT"] = f"{failpoint}:kill"
    settings.cache_clear()
    try:
        ACTIONS[action](*arguments)
    except BaseException:  # noqa: BLE001 - the child ends here, whatever it was
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()
