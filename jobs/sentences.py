"""What to tell somebody of an error: one sentence that says what to do, wherever it came from."""

import errno

import psycopg
from sqlalchemy import exc

from gdp_core.db import STOOD_STILL, TOO_LONG, unreachable
from gdp_core.errors import GrowthError, Unavailable

EXPECTED = (GrowthError, exc.DBAPIError, psycopg.Error, OSError)
"""What may have a sentence."""

_NOT_PREPARED = frozenset({"22023", "42501", "42704", "42P01", "42703", "42883"})  # a role, right, table or column
_NO_ROOM = "53100"
_CONTENTION = frozenset({"40", "55"})


def sentence(error: Exception) -> str | None:
    """What to tell the user of an error; None for one that is nobody's but ours."""
    if isinstance(error, OSError):
        if error.errno == errno.ENOSPC:
            return "The disk is full: make room and run the command again; it goes on where it was."
        return f"{error.filename or 'A file'} cannot be used: {error.strerror or error}."
    cause = error.__cause__ if isinstance(error, Unavailable) else error
    original = getattr(cause, "orig", cause)
    if isinstance(original, psycopg.Error):
        if original.sqlstate == _NO_ROOM:
            return "The disk of Postgres is full: make room there and run the command again; nothing is half-written."
        if original.sqlstate in _NOT_PREPARED and not isinstance(error, GrowthError):
            reason = original.diag.message_primary or type(original).__name__
            return f"The database is not set up for this release ({reason}): run `python -m jobs prepare` first."
        if original.sqlstate in STOOD_STILL:
            return "Postgres gave up on the command, which had stood still: run it again; nothing is half-written."
        if original.sqlstate == TOO_LONG:
            return "Postgres is too busy for the command now: run it again later; nothing is half-written."
        if (original.sqlstate or "")[:2] in _CONTENTION:
            return "Something else was changing the same: run the command again; nothing is half-written."
        if isinstance(original, psycopg.OperationalError):
            return str(unreachable(original))
    return str(error) if isinstance(error, GrowthError) else None
