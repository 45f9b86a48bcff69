"""Named places where a crash test may kill, fail or delay the process. Without GDP_FAILPOINT they do nothing."""

import os
import signal
import time

from gdp_core.settings import settings

FAILPOINTS = (
    "door.verified",
    "door.appended",
    "door.committed",
    "worker.claimed",
    "worker.parsed",
    "apply.keys",
    "apply.actors",
    "apply.events",
    "apply.identity",
    "apply.traits",
    "apply.states",
    "apply.billing",
    "apply.mail",
    "apply.people",
    "apply.ledger",
    "apply.committed",
    "replay.reset",
    "partition.created",
    "partition.dropped",
    "import.chunk",
    "backfill.page",
    "lake.written",
    "lake.committed",
    "lake.packed",
    "lake.erased",
    "segments.written",
)


class Failed(RuntimeError):
    """A failpoint was told to raise."""


def failpoint(name: str) -> None:
    """Pass, unless GDP_FAILPOINT is `name:kill`, `name:raise` or `name:sleep`."""
    armed = settings().failpoint
    if armed is None or not armed.startswith(f"{name}:"):
        return
    match armed.partition(":")[2]:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "sleep":
            time.sleep(0.2)
        case _:
            raise Failed(name)
