"""What a report page counts in: the workspace's timeline, its days as of that timeline, and of whom.

A page that runs because a number was clicked looks at the timeline that number came from, so the people behind it are
exactly those it counted, whatever has arrived since.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from sqlmodel import Session

from gdp_core import reports
from gdp_core.analytics import counting, overview, warming
from gdp_core.analytics.calendar import instant, micros
from gdp_core.analytics.fields import is_personal, values_of
from gdp_core.analytics.scope import Scope
from gdp_core.errors import Forbidden
from gdp_core.segments import grouping
from gdp_core.timeline import matching
from gdp_core.timeline.arrays import Timeline
from pages.ui import boundary, data, layout, nav, state
from pages.ui.context import Here
from pages.ui.reporting import explaining
from pages.ui.reporting.asking import EVERYBODY, Who
from pages.ui.reporting.clicking import Click

R = TypeVar("R")
_LATE = timedelta(minutes=10)
_LOOKED: state.Slot[tuple[str, Scope] | None] = state.Slot("report.looked", None)


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """A timeline and the days to count, as of the instant up to which it is complete."""

    place: Here
    timeline: Timeline
    scope: Scope
    who: Who = EVERYBODY

    def of(self, who: Who) -> "Sight":
        """The same, of some people only."""
        return replace(self, who=who)

    def count(self, report: Callable[..., R], asked: Any, *more: Any) -> R:
        """A report's answer, remembered for this timeline; what `more` it is asked says in its repr all that it is."""
        return data.counted(
            self.place,
            self.timeline,
            self._key(report.__module__, report.__qualname__, self.scope, asked, more),
            lambda: report(self.timeline, self.scope, asked, *more, within=self.within()),
        )

    def people(self, find: Callable[..., NDArray[np.int64]], asked: Any, *cell: Any, **named: Any) -> NDArray[np.int64]:
        """The lasting numbers of the people behind a number of the answer."""
        return find(self.timeline, self.scope, asked, *cell, within=self.within(), **named)

    def read(self, key: tuple[Any, ...], answer: Callable[[Session], R]) -> R:
        """What `answer` reads of Postgres, remembered while the data stays the same. `key` says what it asks."""
        return data.answered(self.place, self._key(*key, self.scope, self.timeline.snapshot), answer)

    def answer(self, session: Session, report: Callable[..., R], asked: Any, *cell: Any, **named: Any) -> R:
        """What a report that asks Postgres answers, as this session sees it."""
        return report(session, self.scope, asked, *cell, within=self.persons(session), **named)

    def persons(self, session: Session) -> list[UUID] | None:
        """Who counts, by the ids of persons; None for everybody."""
        chosen = self.within()
        return None if chosen is None else reports.persons_of(session, self.timeline.numbers[chosen].tolist())

    def values(self, field: str) -> tuple[str, ...]:
        """The most frequent values of a field, as far as the role may see them."""
        if is_personal(field) and not self.place.may("pii.read"):
            return ()
        found = data.counted(
            self.place, self.timeline, self._key("values", field), lambda: values_of(self.timeline, field)
        )
        return tuple(value for value in found if not explaining.is_covered(self.place, field, value))

    def notes(self) -> tuple[str, ...]:
        """A sentence for each field by which people are chosen and which nobody has."""
        asked = [matching.Match((), self.who.conditions)]
        return data.counted(
            self.place, self.timeline, self._key("notes"), lambda: counting.unheard(self.timeline, asked)
        )

    def within(self) -> NDArray[np.bool_] | None:
        """Who counts, aligned with the timeline's people; None for everybody."""
        if self.who.is_everybody:
            return None
        return data.counted(self.place, self.timeline, self._key("within"), self._chosen)

    def _key(self, *asked: Any) -> tuple[Any, ...]:
        """What an answer depends on besides the timeline: of segments and lists also what they are now."""
        key = (*asked, self.who)
        names_some = self.who.list_id is not None or grouping.PREFIX in repr(key)
        return (*key, self.place.read(grouping.read_stamp)) if names_some else key

    def _chosen(self) -> NDArray[np.bool_]:
        chosen = matching.people(self.timeline, self.who.conditions)
        if self.who.list_id is not None:
            chosen &= _belonging(self.place, self.timeline, self.who.list_id).members
        return chosen


def look(place: Here, click: Click | None) -> Sight | None:
    """The newest timeline, or after a click the one that was shown; None while there is none yet, or nothing at all."""
    shown = _LOOKED.get() if click else None
    timeline = data.timeline(place, shown[0]) if shown and shown[1].workspace_id == place.workspace.id else None
    if timeline is not None and shown and timeline.snapshot == shown[0]:
        return Sight(place, _grouped(place, timeline), shown[1])
    timeline = data.timeline(place)
    if (
        timeline is None
        or timeline.watermark <= 0
        or (not timeline.names and data.remembered(place, overview.is_empty))
    ):
        return None
    scope = replace(place.scope, now=min(place.now, instant(timeline.watermark)))
    _LOOKED.set((timeline.snapshot, scope))
    return Sight(place, _grouped(place, timeline), scope)


def _grouped(place: Here, timeline: Timeline) -> Timeline:
    return grouping.grouped(timeline, lambda key: _belonging(place, timeline, key))


def _belonging(place: Here, timeline: Timeline, key: UUID) -> grouping.Belonging:
    """Who is in a segment or list, of all that is known."""
    at = min(timeline.watermark, micros(place.now))
    return place.read(grouping.read_group, key, timezone=place.workspace.timezone).belonging(timeline, at)


def caption(place: Here, sight: Sight | None, *, compares: bool = True, dated: bool = True) -> str:
    """The days in words, where the answer is of days, and as of when it is counted."""
    said = layout.period_sentence(place) if compares else layout.period_name(place)
    if sight is None:
        return said if dated else ""
    at, write = sight.scope.now, place.write
    today = at.astimezone(write.zone).date() == place.now.astimezone(write.zone).date()
    when = write.clock(at) if today else write.instant(at)
    when = f"{when} {write.zone_name(at)}"
    return f"{said} · as of {when}" if dated else f"As of {when}"


def late(place: Here, sight: Sight) -> None:
    """Say so when counting has fallen behind, or waits for what every installation does once after an update."""
    if warming.is_under_way():
        st.info(
            "Reports are being made ready for this machine, once after an update. It takes a minute or two; this page"
            " goes on by itself.",
            icon=":material/hourglass_top:",
        )
    if place.now - sight.scope.now > _LATE:
        st.warning(
            f"Nothing has been counted since {place.write.instant(sight.scope.now)}. The jobs may have stopped: start them"
            " with make run.",
            icon=":material/schedule:",
        )


def wait(place: Here) -> None:
    """Instead of a report, while there is no timeline: why, and what to do. Ends the page."""
    if data.remembered(place, overview.is_empty):
        with layout.empty(
            ":material/monitoring:", "Nothing to count yet", "Reports begin as soon as a source sends its first event."
        ):
            if nav.may_open(place, "sources"):
                nav.link(place, "sources", label="Connect a source", icon=":material/power:")
    else:
        layout.empty(
            ":material/hourglass_top:",
            "Counting begins in a few seconds",
            "The events are here, and are being put in order for reports. This page goes on by itself.",
        )
        _until_there(place)
    st.stop()


@boundary.fragment(every=3)
def _until_there(place: Here) -> None:
    if data.timeline(place) is not None:
        st.rerun()


def refuse_personal(place: Here, fields: list[str]) -> None:
    """Raise Forbidden when a question names a field that the role may not see."""
    hidden = [name for name in fields if is_personal(name)]
    if hidden and not place.may("pii.read"):
        raise Forbidden(f"Your role may not ask by {hidden[0].removeprefix('person.')}: choose another field.")
