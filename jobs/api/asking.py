"""Who asks, and what rules are asked of: a key's transactions, and the workspace's newest timeline.

Rules are evaluated one at a time (`turns.py`).
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from sqlmodel import Session

from gdp_core import clock
from gdp_core.accounts import keys
from gdp_core.accounts.roles import Principal, authorise
from gdp_core.analytics import warming
from gdp_core.analytics.calendar import instant
from gdp_core.analytics.workspace import read_workspace
from gdp_core.errors import Unavailable
from gdp_core.lake import process
from gdp_core.runtime import database
from gdp_core.segments.facts import Surroundings
from gdp_core.segments.rules import Rule
from gdp_core.segments.surroundings import read_surroundings
from gdp_core.settings import settings
from gdp_core.timeline.arrays import Timeline
from gdp_core.timeline.files import Damaged
from gdp_core.timeline.store import Store
from jobs.api.turns import Turns

WORKSPACE, KEY, ADDRESS = "x-gdp-workspace", "x-gdp-key", "x-gdp-address"
"""What the door says of who asks. Nobody else reaches this process."""

_PATIENCE = 10.0  # seconds that a rule waits for its turn
TURNS = Turns()
HUNG_SECONDS = 60.0
"""A turn that lasts longer does not end by itself, and nobody waits for its answer any more."""


@dataclass(frozen=True, slots=True)
class Caller:
    """A key that asks, at an instant."""

    workspace_id: UUID
    key_id: UUID
    address: str | None
    now: datetime

    @contextlib.contextmanager
    def reading(self) -> Iterator[tuple[Session, Principal]]:
        """A transaction that changes nothing. Raises Forbidden for a key that may not see segments."""
        with self._transaction(read_only=True) as (session, principal):
            yield session, principal

    @contextlib.contextmanager
    def changing(self) -> Iterator[tuple[Session, Principal]]:
        """A transaction that may; core asks whether the key may."""
        with self._transaction(read_only=False) as (session, principal):
            yield session, principal

    @contextlib.contextmanager
    def _transaction(self, *, read_only: bool) -> Iterator[tuple[Session, Principal]]:
        with database("gdp_web").transaction(self.workspace_id, read_only=read_only) as session:
            principal = keys.acting(session, self.workspace_id, self.key_id, ip=self.address)
            authorise(session, principal, "segments.read")
            yield session, principal


def _caller(request: Request) -> Caller:
    headers = request.headers
    return Caller(UUID(headers[WORKSPACE]), UUID(headers[KEY]), headers.get(ADDRESS) or None, clock.now())


Asking = Annotated[Caller, Depends(_caller)]


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """What a rule is asked of: people as they were known at `now`, up to which everything is counted."""

    timeline: Timeline
    surroundings: Surroundings
    now: datetime


def world(caller: Caller, session: Session, rule: Rule) -> World:
    """The world of a rule. Raises Unavailable before there is one."""
    store = Store(settings().timeline_folder, caller.workspace_id)
    latest = store.latest()
    if latest is None:
        raise Unavailable("Nothing can be counted here yet: try again in a minute.", retry_after=30)
    try:
        timeline = _timeline(caller.workspace_id, latest.layer)
    except Damaged:
        raise Unavailable("What is counted is being made anew: try again in a moment.", retry_after=5) from None
    zone = read_workspace(session).timezone
    return World(timeline, read_surroundings(session, timezone=zone, rule=rule), instant(timeline.watermark))


@lru_cache(maxsize=4)
def _timeline(workspace_id: UUID, _layer: str) -> Timeline:
    return Store(settings().timeline_folder, workspace_id).open(process.lake(read_only=True))


@contextlib.contextmanager
def turn(workspace_id: UUID) -> Iterator[None]:
    """Inside, no other rule is evaluated. Raises TooMany when it takes too long until that is so."""
    warming.wait()
    with TURNS.of(workspace_id, _PATIENCE):
        try:
            yield
        except Unavailable:  # Postgres was away: what was connected to it is of no use
            _timeline.cache_clear()
            process.reopen()
            raise
