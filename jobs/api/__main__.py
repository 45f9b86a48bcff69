"""Serves the API on a Unix socket for the door that started it: `python -m jobs.api SOCKET`.

The first line of standard input is the database's address, so that no list of processes shows it; the end of standard
input is the end of the door, and of this. It runs behind the door: ingesting comes first.
"""

import os
import shutil
import sys
import threading
from pathlib import Path

import uvicorn

from gdp_core.settings import settings, use_database
from jobs.api.app import create_app
from jobs.logs import log_json

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
    server.run()
    shutil.rmtree(socket.parent, ignore_errors=True)
    return 0


def _until_alone(server: uvicorn.Server) -> None:
    sys.stdin.read()
    server.should_exit = True


if __name__ == "__main__":
    sys.exit(main())
