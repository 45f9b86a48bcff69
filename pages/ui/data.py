"""Remembered reads, the only place that caches: shared by everybody of a workspace who has the same role.

Never for personal data: names, addresses and identifiers are read with `Here.read` each time. What Postgres says is
keyed by workspace, role and the data's version, and lives for a minute at most; what a timeline says is keyed by its
snapshot, of which it is the same for ever. Timelines themselves stay in memory while somebody may still ask them.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID, uuid4

import streamlit as st
from sqlmodel import Session

from gdp_core.analytics import warming
from gdp_core.analytics.scope import Scope
from gdp_core.analytics.workspace import Freshness, read_freshness
from gdp_core.errors import Unavailable
from gdp_core.lake import process
from gdp_core.runtime import database
from gdp_core.settings import settings
from gdp_core.timeline.arrays import Timeline
from gdp_core.timeline.files import Damaged
from gdp_core.timeline.store import Store
from pages.ui.context import Here

R = TypeVar("R")
_SECONDS = 60
_FRESH_SECONDS = 5
_COUNTED_SECONDS = 900


def freshness(place: Here) -> Freshness:
    """How current the workspace's data is, at most five seconds old."""
    return _freshness(place.workspace.id, place.role.value, _turn(place))


def remembered(place: Here, reader: Callable[..., R], /, *args: Any) -> R:
    """`reader(session, *args)` in a read-only transaction, remembered while the data stays the same.

    `args` are hashable and say everything the result depends on; a Scope is cut to the minute. No personal data.
    """
    where = f"{reader.__module__}.{reader.__qualname__}"
    return answered(place, (where, *args), lambda session: reader(session, *args))


def answered(place: Here, key: tuple[Any, ...], answer: Callable[[Session], R], /) -> R:
    """What `answer(session)` reads, remembered likewise. `key` says all that it depends on."""
    found: R = _read(place.workspace.id, place.role.value, _turn(place), freshness(place).version, _key(key), answer)
    return found


def timeline(place: Here, snapshot: str | None = None) -> Timeline | None:
    """The workspace's newest timeline; None before there is one. That of a `snapshot` while it is in memory."""
    wanted = snapshot
    if wanted is None:
        latest = _store(place.workspace.id).latest()
        if latest is None:
            return None
        wanted = latest.snapshot
    try:
        return _timeline(place.workspace.id, wanted)
    except Damaged:
        return None  # the analyst makes it again


def counted(place: Here, found: Timeline, key: tuple[Any, ...], count: Callable[[], R], /) -> R:
    """What `count()` finds in this timeline, remembered for it. The repr of `key` says all else that it depends on."""
    warming.wait()
    try:
        counted: R = _counted(place.workspace.id, place.role.value, _turn(place), found.snapshot, repr(key), count)
    except Unavailable:  # a column could not be read: Postgres was away, and what was connected to it is of no use
        _timeline.clear()
        process.reopen()
        raise
    return counted


def forget(place: Here) -> None:
    """After a change that the data's version does not show (a setting, a role): read everything of the workspace again."""
    _TURNS[place.workspace.id] = uuid4()


_TURNS: dict[UUID, UUID] = {}
"""Part of the keys: what was remembered of a workspace before its turn changed is not found any more, and runs out."""


def _turn(place: Here) -> UUID | None:
    return _TURNS.get(place.workspace.id)


def _key(args: tuple[Any, ...]) -> str:
    """What a result depends on, as text; the instant it is asked at counts by the minute."""
    parts = []
    for item in args:
        if isinstance(item, Scope):
            parts.append(repr(replace(item, now=item.now.replace(second=0, microsecond=0))))
        elif isinstance(item, datetime):
            parts.append(item.replace(second=0, microsecond=0).isoformat())
        else:
            parts.append(repr(item))
    return "|".join(parts)


@st.cache_data(ttl=_SECONDS, max_entries=300, show_spinner=False)
def _read(
    workspace_id: UUID,
    role: str,  # noqa: ARG001 - part of the key
    turn: UUID | None,  # noqa: ARG001 - part of the key
    version: str,  # noqa: ARG001 - part of the key
    key: str,  # noqa: ARG001 - part of the key
    _answer: Callable[[Session], Any],
) -> Any:
    with database("gdp_web").transaction(workspace_id, read_only=True) as session:
        return _answer(session)


@st.cache_data(ttl=_FRESH_SECONDS, max_entries=300, show_spinner=False)
def _freshness(workspace_id: UUID, role: str, turn: UUID | None) -> Freshness:  # noqa: ARG001 - part of the key
    with database("gdp_web").transaction(workspace_id, read_only=True) as session:
        return read_freshness(session)


def _store(workspace_id: UUID) -> Store:
    return Store(settings().timeline_folder, workspace_id)


@st.cache_resource(ttl=_COUNTED_SECONDS, max_entries=12, show_spinner=False)
def _timeline(workspace_id: UUID, snapshot: str) -> Timeline:  # noqa: ARG001 - part of the key
    return _store(workspace_id).open(process.lake(read_only=True))


@st.cache_resource(ttl=_COUNTED_SECONDS, max_entries=400, show_spinner=False)
def _counted(
    workspace_id: UUID,  # noqa: ARG001 - part of the key
    role: str,  # noqa: ARG001 - part of the key
    turn: UUID | None,  # noqa: ARG001 - part of the key
    snapshot: str,  # noqa: ARG001 - part of the key
    key: str,  # noqa: ARG001 - part of the key
    _count: Callable[[], Any],
) -> Any:
    return _count()
