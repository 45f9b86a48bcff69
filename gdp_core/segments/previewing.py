"""What a rule would mean now, before anybody saves it: how many people, what each part contributes, and a few of them.

It writes nothing and reads no database: everything follows from the timeline and the surroundings it is given.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.calendar import micros
from gdp_core.analytics.counting import unheard
from gdp_core.analytics.warning import SLUG
from gdp_core.errors import GrowthError
from gdp_core.segments.conditions.random import place_of
from gdp_core.segments.facts import Facts, Surroundings
from gdp_core.segments.rules import BadRule, Path, Problem, Rule, check
from gdp_core.timeline.arrays import Timeline

SAMPLE = 20
_SEED = "sample"


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """How many `people` a rule means, `of` how many who count.

    `per_condition`: for how many of those each group and condition holds by itself, by its path. `sample`: lasting numbers
    of members. `remarks`: sentences about what the rule names and nobody ever recorded.
    """

    people: int
    of: int
    per_condition: Mapping[Path, int]
    sample: NDArray[np.int64]
    remarks: tuple[str, ...]


def preview(
    timeline: Timeline,
    rule: Rule,
    surroundings: Surroundings,
    now: datetime,
    *,
    own: str | None = None,
    sample: int = SAMPLE,
) -> Preview:
    """A rule at an instant; `own` is the segment it is of. Raises BadRule for what it names and is not there."""
    problems = check(rule, surroundings, own=own)
    if problems:
        raise BadRule(problems)
    return preview_of(Facts(timeline, micros(now), surroundings), rule, sample=sample)


def preview_of(facts: Facts, rule: Rule, *, sample: int = SAMPLE) -> Preview:
    """The same of a rule that was checked, sharing what was asked of these facts before."""
    live = facts.live
    counts = {path: int(np.count_nonzero(held & live)) for path, held in rule.truths(facts)}
    members = facts.timeline.numbers[rule.holds(facts)]
    return Preview(
        people=len(members),
        of=int(np.count_nonzero(live)),
        per_condition=counts,
        sample=_sample(members, sample),
        remarks=tuple(_remarks(facts, rule)),
    )


def refused(timeline: Timeline, rule: Rule, surroundings: Surroundings, now: datetime) -> tuple[Problem, ...]:
    """Which conditions of a rule that was checked cannot be asked, and why."""
    facts, found = Facts(timeline, micros(now), surroundings), []
    for path, condition in rule.conditions():
        try:
            condition.holds(facts)
        except GrowthError as error:
            other = condition.uses.segments
            said = f"This segment cannot be counted: {error}" if other else str(error)
            found.append(Problem(path, "segment" if other else "", said))
    return tuple(found)


def _sample(members: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Some members from all over: whoever is shown stays while they belong, however the rule is edited."""
    places = place_of(members, _SEED)
    if len(members) > size:
        chosen = np.argpartition(places, size)[:size]
        members, places = members[chosen], places[chosen]
    return members[np.argsort(places)]


def _remarks(facts: Facts, rule: Rule) -> Iterator[str]:
    uses = rule.uses
    fields = [*uses.properties, *(f"person.{name}" for name in uses.fields)]
    yield from unheard(facts.timeline, [event.match for event in uses.events], fields)
    model = facts.surroundings.model
    if SLUG in uses.features and (model is None or not model.is_useful):
        yield "Nobody has a churn score: the early warning has learned too little to give one."
