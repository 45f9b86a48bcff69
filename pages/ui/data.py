"""Remembered reads, the only place that caches: shared by everybody of a workspace who has the same role.

Never for personal data: names, addresses and identifiers are read with `Here.read` each time. An entry is keyed by
workspace, role and the data's version, and lives for a minute at most.
"""

from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

import streamlit as st

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
    minute = place.now.replace(second=0, microsecond=0).isoformat()
    found: R = _read(where, place.workspace.id, place.role.value, version, minute, args_key(args), reader, args)
    return found


def forget() -> None:
    """After a change that the data's version does not show (a setting, a role): read everything again."""
    _read.clear()
    _freshness.clear()


def args_key(args: tuple[Any, ...]) -> str:
    """The arguments as text, without the instant they were asked at."""
    parts = []
    for item in args:
        now = getattr(item, "now", None)
        parts.append(repr(item).replace(repr(now), "") if now is not None else repr(item))
    return "|".join(parts)


@st.cache_data(ttl=_SECONDS, max_entries=300, show_spinner=False)
def _read(
    where: str,  # noqa: ARG001 - part of the key
    workspace_id: UUID,
    role: str,  # noqa: ARG001 - part of the key
    version: str,  # noqa: ARG001 - part of the key
    minute: str,  # noqa: ARG001 - part of the key
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
