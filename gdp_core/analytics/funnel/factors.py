"""What those who dropped out of a funnel had more or less often than those who converted: an association, not a cause.

Only mature people are compared, each once: their fields as they are now, and which events they had in the time before
they entered.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.association import Association, associations
from gdp_core.analytics.breakdown import NONE, OTHER, Group, label, split
from gdp_core.analytics.funnel.outcomes import Outcomes
from gdp_core.analytics.funnel.question import FactorQuestion, FunnelQuestion
from gdp_core.timeline.arrays import MACHINE, Timeline
from gdp_core.timeline.matching import Condition

MOST_FACTORS = 100
MOST_VALUES = 50
"""Of a trait, by how many people have them."""
LEAST_SUPPORT = 30
"""People, dropped and converted together, that a factor needs."""


@dataclass(frozen=True, slots=True)
class Factor:
    """A trait's value, or an earlier event, and how often the dropped had it against the converted (`found`).

    `field` is the trait, or "event"; `value` reads "(none)" where the trait `is_missing`.
    """

    kind: Literal["trait", "event"]
    field: str
    value: str
    is_missing: bool
    found: Association

    @property
    def support(self) -> int:
        """How many of the dropped and the converted have it."""
        return self.found.first + self.found.second


@dataclass(frozen=True, slots=True)
class Factors:
    """The surest ones first, `compared` is how many were looked at: the correction is for all of them."""

    dropped: int
    converted: int
    compared: int
    found: tuple[Factor, ...]


def factors(timeline: Timeline, found: Outcomes, asked: FactorQuestion) -> Factors:
    """Compares by every earlier event, and by the values of the asked traits that most people have."""
    dropped = found.people[found.who("dropped", mature=True)]
    converted = found.people[found.who("converted", mature=True)]
    candidates: list[tuple[Literal["trait", "event"], str, str, bool]] = [
        ("event", "event", name, False) for name in timeline.names
    ]
    counts = [found.before]
    for trait in asked.traits:
        groups, of_trait = _of_trait(timeline, trait, dropped, converted)
        candidates += [("trait", trait, group.label, group == NONE) for group in groups]
        counts.append(of_trait)
    first, second = np.concatenate(counts, axis=1)
    compared = associations(first, len(dropped), second, len(converted), least=LEAST_SUPPORT)
    shown = tuple(Factor(*candidates[one.place], one) for one in compared[:MOST_FACTORS])
    return Factors(len(dropped), len(converted), len(compared), shown)


def had(timeline: Timeline, found: Outcomes, asked: FunnelQuestion, factor: Factor) -> NDArray[np.bool_]:
    """Which of the people had a factor that `factors` found."""
    if factor.kind == "event":
        return _did_before(timeline, found, asked, factor.value)
    column = timeline.columns.person(Condition(factor.field, "set").name)
    of_value = [not factor.is_missing and label(value) == factor.value for value in column.values]
    return np.array([*of_value, factor.is_missing])[column.codes[found.people]]  # a missing value is the last


def _did_before(timeline: Timeline, found: Outcomes, asked: FunnelQuestion, event: str) -> NDArray[np.bool_]:
    lookback = (asked.factors or FactorQuestion()).lookback.micros
    ignored = 0 if asked.everything else MACHINE
    entered = np.full(len(timeline.numbers), np.iinfo(np.int64).min)
    entered[found.people] = found.entered_at
    did = np.zeros(len(timeline.numbers), np.bool_)
    for shard in timeline.shards:
        rows = np.flatnonzero(np.isin(shard.code, timeline.codes_of((event,))) & (shard.flags & ignored == 0))
        owner = np.searchsorted(shard.offsets, rows, "right") - 1
        at, began = shard.at[rows], entered[shard.people[owner]]
        before = shard.live[owner] & (at < began) & (at >= began - lookback)
        did[shard.people[owner[before]]] = True
    return did[found.people]


def _of_trait(
    timeline: Timeline, trait: str, dropped: NDArray[np.int32], converted: NDArray[np.int32]
) -> tuple[list[Group], NDArray[np.int64]]:
    """The values of a trait, and how many of the dropped and of the converted have each [group, value]."""
    column = timeline.columns.person(Condition(trait, "set").name)
    missing = len(column.values)
    each = [np.bincount(column.codes[who] % (missing + 1), minlength=missing + 1) for who in (dropped, converted)]
    weights = each[0] + each[1]
    parts = split(column.values, weights > 0, weights, MOST_VALUES)
    named = [place for place, group in enumerate(parts.groups) if group != OTHER]
    seen = parts.of_code >= 0
    counts = [np.bincount(parts.of_code[seen], of[seen], len(parts.groups))[named].astype(np.int64) for of in each]
    return [parts.groups[place] for place in named], np.array(counts).reshape(2, -1)
