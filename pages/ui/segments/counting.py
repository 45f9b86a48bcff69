"""How many a rule means while it is edited, who some of them are, and what saving it would change.

All of it is asked of one timeline, as of the instant up to which that is complete, and remembered for that timeline and
the rule's text: another run of the page, or a colleague with the same rule, costs nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import numpy as np
from sqlmodel import Session

from gdp_core import reports
from gdp_core.analytics import people_list
from gdp_core.analytics.calendar import micros
from gdp_core.analytics.people_list import PersonRow
from gdp_core.errors import GrowthError, InvalidInput, Unavailable
from gdp_core.segments import previewing, rules
from gdp_core.segments.backtesting import Day, backtest
from gdp_core.segments.conditions.base import Uses
from gdp_core.segments.facts import NO_STOPS, Facts, Surroundings
from gdp_core.segments.grouping import read_stamp
from gdp_core.segments.past import read_history
from gdp_core.segments.previewing import Preview
from gdp_core.segments.rules import Problem, Rule
from gdp_core.segments.surroundings import read_surroundings
from pages.ui import data
from pages.ui.context import Here
from pages.ui.reporting.sight import Sight

SAMPLE = 8


@dataclass(frozen=True, slots=True)
class Effect:
    """How many a changed rule takes in and leaves out, and some of them by their lasting numbers."""

    added: int
    removed: int
    some_added: tuple[int, ...]
    some_removed: tuple[int, ...]


def surroundings(place: Here, rule: Rule | None = None) -> Surroundings:
    """What a workspace says besides its timeline; who is on a list and whose address is suppressed, where a segment or
    `rule` names that."""
    timezone, uses = place.workspace.timezone, rule.uses if rule else Uses()
    found: Surroundings = data.answered(
        place,
        ("segments.surroundings", timezone, uses.lists, uses.stops, place.read(read_stamp)),
        lambda session: read_surroundings(session, timezone=timezone, rule=rule if uses.people else None),
    )
    return found


def preview(sight: Sight, around: Surroundings, rule: Rule) -> tuple[Preview | None, tuple[Problem, ...]]:
    """How many, of how many, each condition alone, and some of them; or None and what of the rule cannot be asked."""
    around = surroundings(sight.place, rule) if rule.uses.people else around
    try:
        return _preview(sight, around, rule), ()
    except Unavailable as error:
        return None, (Problem((), "", str(error)),)
    except GrowthError as error:
        found = previewing.refused(sight.timeline, rule, around, sight.scope.now)
        return None, found or (Problem((), "", str(error)),)


def _preview(sight: Sight, around: Surroundings, rule: Rule) -> Preview:
    return data.counted(
        sight.place,
        sight.timeline,
        ("segments.preview", rule.json_text, _depends(rule, around)),
        lambda: previewing.preview(sight.timeline, rule, around, sight.scope.now, sample=SAMPLE),
    )


def effect(sight: Sight, around: Surroundings, before: Rule, after: Rule) -> Effect | None:
    """Whom a rule means that another did not, and the other way round, at the same instant; None where that other one
    names what is not there any more, and means nobody in particular."""
    around = surroundings(sight.place, after) if after.uses.people else around

    def compare() -> Effect | None:
        facts = Facts(sight.timeline, _at(sight), around)
        new = after.holds(facts)
        try:
            old = before.holds(facts)
        except InvalidInput:
            return None
        added, removed = np.flatnonzero(new & ~old), np.flatnonzero(old & ~new)
        some = (tuple(sight.timeline.numbers[places[:SAMPLE]].tolist()) for places in (added, removed))
        return Effect(len(added), len(removed), *some)

    return data.counted(
        sight.place,
        sight.timeline,
        ("segments.effect", before.json_text, after.json_text, _depends(before, around), _depends(after, around)),
        compare,
    )


def year(sight: Sight, around: Surroundings, rule: Rule, watch: Callable[[int, int], None]) -> tuple[Day, ...]:
    """How the rule would have gone day by day in the last twelve months. Raises BadRule for what was not kept.

    It is not remembered here: `watch` may draw, and a click ends it there.
    """
    around = surroundings(sight.place, rule) if rule.uses.people else around
    today = sight.scope.today
    scope = replace(sight.scope, start=today - timedelta(days=364), end=today + timedelta(days=1))
    history = sight.place.read(read_history, rule, around)
    return backtest(sight.timeline, rule, around, history, scope, watch=watch)


def people_of(session: Session, numbers: Sequence[int]) -> tuple[PersonRow, ...]:
    """Some people by their lasting numbers."""
    persons: list[UUID] = reports.persons_of(session, numbers)
    return people_list.read_listed(session, persons)


def _at(sight: Sight) -> int:
    return micros(sight.scope.now)


def _depends(rule: Rule, around: Surroundings) -> tuple[Any, ...]:
    """Everything besides the rule's text that its answer depends on and that can change without the timeline."""
    uses = rule.uses
    reached = sorted({key for name in uses.segments for key in rules.reachable(around.rules, name)})
    stops = around.stops if uses.stops or any(around.rules[key].uses.stops for key in reached) else NO_STOPS
    return (
        tuple((key, around.rules[key].json_text) for key in reached),
        tuple((key, around.lists[key].tobytes()) for key in uses.lists if key in around.lists) if uses.lists else (),
        tuple(repr(around.features.get(slug)) for slug in uses.features),
        repr(around.model) if uses.features else "",
        stops.numbers.tobytes() + stops.since.tobytes() + stops.lifted.tobytes(),
    )
