"""Doing deliveries again at somebody's request: one, some, or all that a filter finds.

Puts them back into the inbox as pending, under the role of whoever asks and with a line in the audit log; the worker
does the rest. What was applied stays applied once.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from gdp_core import inbox
from gdp_core.accounts.audit import audit
from gdp_core.accounts.roles import Principal, authorise
from gdp_core.analytics.inbox_view import InboxFilter
from gdp_core.db import rows
from gdp_core.errors import InvalidInput, NotFound

MOST = 10_000


def replay(session: Session, principal: Principal, ids: Sequence[UUID], *, now: datetime) -> int:
    """Do these deliveries again; `session` runs as gdp_worker. Returns how many, without those that wait already.

    Raises NotFound when there is none of them, InvalidInput for more than 10,000, Forbidden.
    """
    authorise(session, principal, "inbox.replay")
    return _replay(session, principal, ids, {}, now)


def replay_found(session: Session, principal: Principal, wanted: InboxFilter, *, now: datetime) -> int:
    """Do everything again that a filter finds, at most the newest 10,000. Returns how many. Raises NotFound, Forbidden."""
    authorise(session, principal, "inbox.replay")
    where, bound = wanted.where()
    found = rows(
        session,
        f"SELECT id FROM inbox WHERE {where} AND state <> 'pending' ORDER BY received_at DESC, id DESC LIMIT :most",
        **bound,
        most=MOST,
    )
    asked = {name: str(value) for name, value in asdict(wanted).items() if value is not None}
    return _replay(session, principal, [row.id for row in found], asked, now)


def _replay(session: Session, principal: Principal, ids: Sequence[UUID], asked: dict[str, str], now: datetime) -> int:
    if len(ids) > MOST:
        raise InvalidInput(f"Replay at most {MOST:,} deliveries at a time.")
    done = inbox.replay(session, ids=ids) if ids else 0
    if not done:
        raise NotFound("There is nothing to replay: these deliveries wait already, or are not kept any more.")
    audit(
        session,
        principal,
        action="inbox.replay",
        object_kind="delivery",
        object_id=ids[0] if len(ids) == 1 else f"{done} deliveries",
        detail={"count": done, **asked},
        now=now,
    )
    return done
