"""TCP ports of this machine's loopback: free, answering, chosen."""

import random
import socket

from gdp_core.errors import Unavailable

HOST = "127.0.0.1"
CHOICE = range(20000, 32000)  # below the ports the kernel hands out, so that one is still free at the next start


def is_free(port: int) -> bool:
    """Whether a server could listen on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Whether somebody listens on it."""
    try:
        with socket.create_connection((HOST, port), timeout=1.0):
            return True
    except OSError:
        return False


def choose(preferred: int = 0) -> int:
    """`preferred` when it is free, else a free one. Raises Unavailable."""
    # At random, so that two choosers of the same moment do not meet.
    for port in (preferred, *random.sample(CHOICE, 50)):
        if port and is_free(port):
            return port
    raise Unavailable(f"No port between {CHOICE.start} and {CHOICE.stop} is free; stop something that listens there.")
