"""Serves the API on a Unix socket for the door that started it: `python -m jobs.api SOCKET`.

The first line of standard input is the database's address, so that no list of processes shows it; the end of standard
input is the end of the door, and of this. It runs behind the door: ingesting comes first. It ends when a rule does not
come to an end, and the door starts it again: nobody else's question waits for that one for ever.
"""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog
import uvicorn

from gdp_core.settings import settings, use_database
from jobs.api import asking
from jobs.api.app import create_app
from jobs.api.turns import Turns
from jobs.logs import log_json

log = structlog.get_logger()

_YIELDING = 10  # niceness
_GRACE_SECONDS = 3


def main() -> int:
    """Serve until the door is gone. Returns the exit code."""
    socket = Path(sys.argv[1])
    use_database(sys.stdin.readline().strip())
    log_json(settings().verbosity)
    os.nice(_YIELDING)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(),
            uds=str(socket),
            loop="asyncio",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )
    threading.Thread(target=_until_alone, args=(server,), daemon=True).start()
    threading.Thread(target=until_hung, args=(asking.TURNS,), daemon=True).start()
    server.run()
    shutil.rmtree(socket.parent, ignore_errors=True)
    return 0


def _until_alone(server: uvicorn.Server) -> None:
    sys.stdin.read()
    server.should_exit = True


def until_hung(turns: Turns, *, end: Callable[[int], object] = os._exit, look_every: float = 5.0) -> None:
    """End the process, at once, when a turn lasts too long: what evaluates cannot be asked to stop."""
    while turns.held_seconds <= asking.HUNG_SECONDS:
        time.sleep(look_every)
    log.error("a rule did not come to an end", action="api.hung")
    end(1)


if __name__ == "__main__":
    sys.exit(main())
