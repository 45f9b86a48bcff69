"""The worker: applies what the door stored, workspace by workspace, the one that waits longest first.

Polls, every 50 ms while busy and four times a second at rest, which costs less than the lock NOTIFY takes at every
commit. Several workers share the inbox by SKIP LOCKED. Holds no state: killed at any point, its claims fall back and
nothing is applied twice.
"""

import gc
import signal
import threading

import structlog

from gdp_core import clock, inbox, pipeline
from gdp_core.db import Database
from gdp_core.errors import Unavailable
from gdp_core.runtime import database
from gdp_core.settings import settings
from jobs.logs import log_json
from jobs.pulse import BEAT, beat

log = structlog.get_logger()

_BUSY_WAIT = 0.05
_IDLE_WAIT = 0.25


class Worker:
    """One worker process. `stop()` lets the batch at hand finish."""

    def __init__(self, pool: Database, name: str) -> None:
        self._pool = pool
        self._name = name
        self._stopping = threading.Event()
        self._beaten = clock.now().timestamp() - BEAT
        self.done = 0

    def stop(self, *_: object) -> None:
        """Return from `run` after the batch at hand."""
        self._stopping.set()

    def run(self) -> None:
        """Work until told to stop."""
        wait = _BUSY_WAIT
        while not self._stopping.is_set():
            try:
                finished = self.round()
            except Unavailable as error:
                log.warning("database unavailable", action="worker.waiting", reason=str(error))
                self._stopping.wait(error.retry_after)
                continue
            wait = _BUSY_WAIT if finished else min(wait * 1.5, _IDLE_WAIT)
            if not finished:
                self._stopping.wait(wait)

    def round(self) -> int:
        """One batch of every workspace with something due. Returns how many deliveries were finished."""
        self._beat()
        with self._pool.transaction(None, read_only=True) as session:
            waiting = inbox.pending_workspaces(session)
        finished = 0
        for workspace_id in waiting:
            if self._stopping.is_set():
                break
            finished += pipeline.work(self._pool, workspace_id, clock.now())
        self.done += finished
        return finished

    def _beat(self) -> None:
        now = clock.now()
        if now.timestamp() - self._beaten < BEAT:
            return
        self._beaten = now.timestamp()
        beat(self._pool, self._name, {"applied": self.done})


def main(name: str = "worker-1") -> int:
    """Work until SIGTERM. Returns the exit code."""
    log_json(settings().verbosity)
    # A batch makes many objects that all die together; looking for cycles among them is a tenth of the work.
    gc.set_threshold(200_000, 20, 50)
    worker = Worker(database("gdp_worker"), name)
    signal.signal(signal.SIGTERM, worker.stop)
    signal.signal(signal.SIGINT, worker.stop)
    worker.run()
    return 0
