"""How a rule would have gone: who it would have meant at the end of each local day of a period, entries and exits by day.

No day sees what happened after it. Asked for what was `known`, it does not see what was heard after it either: only events,
traits, identifiers, lists and models keep that, and `read_history` refuses a rule that asks for more. It writes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.calendar import micros
from gdp_core.analytics.scope import Scope, midnight
from gdp_core.segments.facts import Surroundings
from gdp_core.segments.past import History, facts_of
from gdp_core.segments.rules import Rule
from gdp_core.timeline.arrays import Timeline

MOST_DAYS = 400


@dataclass(frozen=True, slots=True)
class Day:
    """A local day: who was in it at its end (or now, where it is not over), who had entered and exited since the last."""

    day: date
    people: int
    entered: int
    exited: int


def backtest(
    timeline: Timeline,
    rule: Rule,
    surroundings: Surroundings,
    history: History,
    scope: Scope,
    *,
    known: bool = False,
    watch: Callable[[int, int], None] = lambda _done, _of: None,
) -> tuple[Day, ...]:
    """The days of a scope up to now, at most the last 400. `history`: read for the same rule and `known`.

    `watch` hears how many days are done, of how many.
    """
    end = min(scope.end, scope.today + timedelta(days=1))
    days = [end - timedelta(days=back) for back in range(min((end - scope.start).days, MOST_DAYS), 0, -1)]
    if not days:
        return ()

    def members(at: int) -> NDArray[np.bool_]:
        return rule.holds(facts_of(timeline, surroundings, history, at, known=known))

    before, found = members(micros(midnight(days[0], scope.zone))), []
    for done, day in enumerate(days, 1):
        held = members(min(micros(midnight(day + timedelta(days=1), scope.zone)), micros(scope.now)))
        entered, exited = np.count_nonzero(held & ~before), np.count_nonzero(before & ~held)
        found.append(Day(day, int(np.count_nonzero(held)), int(entered), int(exited)))
        before = held
        watch(done, len(days))
    return tuple(found)
