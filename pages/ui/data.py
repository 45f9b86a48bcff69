"""Remembered reads, the only place that caches: shared by everybody of a workspace who has the same role.

Never for personal data: names, addresses and identifiers are read with `Here.read` each time. An entry is keyed by
workspace, role and the data's version, and lives for a minute at most.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import streamlit as st

from gdp_core.analytics.scope import Scope
from gdp_core.analytics.workspace import Freshness, read_freshness
from gdp_core.runtime import database
from pages.ui.context import Here

R = TypeVar("R")
_SECONDS = 60
_FRESH_SECONDS = 5


def freshness(place: Here) -> Freshness:
    """How current the workspace's data is, at most five seconds old."""
    return _freshness(place.workspace.id, place.role.value)


def remembered(place: Here, reader: Callable[..., R], /, *args: Any) -> R:
    """`reader(session, *args)` in a read-only transaction, remembered while the data stays the same.

    `args` are hashable and say everything the result depends on; a Scope is cut to the minute. No personal data.
    """
    where = f"{reader.__module__}.{reader.__qualname__}"
    version = freshness(place).version
    found: R = _read(where, place.workspace.id, place.role.value, version, _key(args), reader, args)
    return found


def forget() -> None:
    """After a change that the data's version does not show (a setting, a role): read everything again."""
    _read.clear()
    _freshness.clear()


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
    where: str,  # noqa: ARG001 - part of the key
    workspace_id: UUID,
    role: str,  # noqa: ARG001 - part of the key
    version: str,  # noqa: ARG001 - part of the key
    key: str,  # noqa: ARG001 - part of the key
    _reader: Callable[..., Any],
    _args: tuple[Any, ...],
) -> Any:
    with database("gdp_web").transaction(workspace_id, read_only=True) as session:
        return _reader(session, *_args)


@st.cache_data(ttl=_FRESH_SECONDS, max_entries=300, show_spinner=False)
def _freshness(workspace_id: UUID, role: str) -> Freshness:  # noqa: ARG001 - part of the key
    with database("gdp_web").transaction(workspace_id, read_only=True) as session:
        return read_freshness(session)
