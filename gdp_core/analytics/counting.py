"""Who and what counts in a report, and until when: the same for every one of them.

Machines do not count unless asked for, and what the billing system does on its own is no act of a person: "any event"
is what people did. An event asked for by its name counts whoever recorded it, but for machines.
"""

from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.calendar import Interval, micros, starts
from gdp_core.analytics.scope import Scope
from gdp_core.errors import InvalidInput
from gdp_core.timeline.arrays import BILLING, Shard, Timeline
from gdp_core.timeline.matching import Match

ANYTHING = Match(())
"""Whatever a person did."""
MOST_INTERVALS = 600


def allowed(matches: Sequence[Match], *, everything: bool = False) -> NDArray[np.uint32]:
    """Which matches a row may count for, by its flags: and-ed with its marks. `everything`: all that was recorded."""
    whole = (1 << len(matches)) - 1
    if everything:
        return np.full(4, whole, np.uint32)
    by_flags = np.zeros(4, np.uint32)
    by_flags[0] = whole
    by_flags[BILLING] = sum(1 << number for number, match in enumerate(matches) if match.names)
    return by_flags


def counted(shard: Shard, within: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """Who of a shard counts."""
    return shard.live if within is None else shard.live & within[shard.people]


def complete_until(timeline: Timeline, scope: Scope) -> int:
    """The instant, in microseconds, up to which everything is known: what ends later is not mature."""
    return min(timeline.watermark, micros(scope.now))


def days_of(scope: Scope, interval: Interval) -> tuple[date, ...]:
    """The first days of the intervals that meet a period. Raises InvalidInput when they are too many to show."""
    days = starts(scope.start, scope.end, interval)
    if len(days) > MOST_INTERVALS:
        raise InvalidInput(f"These are {len(days)} {interval}s; choose a longer interval or a shorter period.")
    return days
