"""Versions of one object: which is the newest, and whether that can be told."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from gdp_core.billing import shapes
from gdp_core.billing.rows import State
from gdp_core.sources.stripe import FETCHED

Objects = Mapping[str, Mapping[str, Sequence[State]]]
"""kind -> object id -> versions, oldest first."""


def versions_of(states: Iterable[State]) -> Objects:
    """States sorted into objects; the same state twice is one. Asking for a kind that is absent gives no objects."""
    unique = {(state.kind, state.id, state.source_event_id): state for state in states}
    objects: defaultdict[str, dict[str, list[State]]] = defaultdict(dict)
    for state in sorted(unique.values(), key=lambda state: state.order):
        objects[state.kind].setdefault(state.id, []).append(state)
    return objects


def is_ambiguous(versions: Sequence[State]) -> bool:
    """Two different versions claim to be the newest: Stripe's clock has seconds, so only a new GET can settle it."""
    last = versions[-1]
    rivals = (version for version in versions[:-1] if version.order[:2] == last.order[:2])
    return any(version.data != last.data for version in rivals)


def happened_at(version: State, own: datetime | None) -> datetime:
    """When what a version shows came about: the event's time, or `own` (the object's) if it was merely fetched later."""
    return own if version.rank == FETCHED and own else version.occurred_at


def first_showing(versions: Sequence[State], key: str, value: str) -> State | None:
    """The earliest version that shows `value`, an event's before a fetched one."""
    showing = [version for version in versions if version.data.get(key) == value]
    return min(showing, key=lambda version: (version.rank == FETCHED, version.order), default=None)


def is_deleted(versions: Sequence[State]) -> bool:
    """Whether the object is gone at Stripe."""
    return shapes.mapping(versions[-1].data).get("deleted") is True
