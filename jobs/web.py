"""The door: webhooks and tracking calls over HTTP, answered with 2xx only when they are on disk.

Owns the start and the end of the process. HTTP is in `jobs/door`; what is accepted in `gdp_core.accept`; storing in
`gdp_core.appender`. Logs no body, key, address or e-mail.

    python -m jobs.web        serves on 127.0.0.1:GDP_DOOR_PORT until SIGTERM
"""

import contextlib
import socket
import sys

import structlog

from gdp_core.db import check_server
from gdp_core.errors import BadSetting, GrowthError, Unavailable
from gdp_core.settings import settings
from jobs.door.door import Door
from jobs.door.server import server
from jobs.logs import log_json
from jobs.ports import HOST

log = structlog.get_logger()


def main() -> int:
    """Serve until told to stop. Returns the exit code."""
    try:
        chosen = settings()
        log_json(chosen.verbosity)
        if chosen.database_url is None:
            raise BadSetting("DATABASE_URL is not set: start everything with `python -m jobs`, or set it for the door.")
        dsn = chosen.database_url.get_secret_value()
        with contextlib.suppress(Unavailable):  # it may come later
            check_server(dsn)
        door = Door(dsn, trusted_proxies=chosen.trusted_proxies)
        listener = _listen(chosen.door_port)
    except GrowthError as error:
        print(error, file=sys.stderr)
        return 1
    with listener:
        running = server(door)
        running.run(sockets=[listener])
    log.info("closed", action="door.closed")
    return 0


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port), backlog=2048)
    except OSError as error:
        raise BadSetting(
            f"The door cannot listen on port {port} ({error.strerror}): stop what uses it, or set GDP_DOOR_PORT."
        ) from None


if __name__ == "__main__":
    sys.exit(main())
