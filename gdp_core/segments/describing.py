"""What is behind a number of a report as a rule, where it is one: who did something in a period, and what else was asked of them.

As a rule it means the same people, and whoever is to do the same; the number was counted up to a moment, and a rule goes on.
"""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any
from uuid import UUID

from gdp_core.analytics.breakdown import ALL, Group
from gdp_core.timeline.matching import Condition, Match

Plain = dict[str, Any]


def rule_of(
    match: Match,
    first: date,
    last: date,
    *,
    field: str | None = None,
    group: Group = ALL,
    people: Iterable[Condition] = (),
    belongs: UUID | None = None,
    is_segment: bool = False,
    everything: bool = False,
) -> Plain | None:
    """Who did any of these events on local days from `first` to `last`, both included, as the JSON of a rule.

    `group`: only with that value of `field`; `people`: for whom these hold; `belongs`: of a segment, or else a saved list.
    None where no rule says it: the rest of a breakdown, and everything that was recorded of any event.
    """
    if group.kind == "other" or (everything and not match.names):
        return None
    conditions = [*match.conditions, *_of_group(field, group)]
    where = [_plain(one) for one in conditions if not one.of_person]
    event = {"names": list(match.names), "where": where, "machines": everything}
    did = {"kind": "performed", "event": event, "when": {"since": first.isoformat(), "until": last.isoformat()}}
    asked = [*(one for one in conditions if one.of_person), *people]
    if any(one.name.startswith("in:") for one in asked):
        return None
    return {
        "version": 1,
        "match": {"kind": "all", "of": [did, *map(_of_person, asked), *_membership(belongs, is_segment)]},
    }


def _of_group(field: str | None, group: Group) -> Iterator[Condition]:
    if field and group.kind == "value":
        yield Condition(field, "is", (group.label,))
    elif field and group.kind == "none":
        yield Condition(field, "not_set")


def _plain(one: Condition) -> Plain:
    return {"field": one.name, "comparison": one.comparison, "values": list(one.values)}


def _of_person(one: Condition) -> Plain:
    return {"kind": "person", "field": one.name, "op": one.comparison, "values": list(one.values)}


def _membership(belongs: UUID | None, is_segment: bool) -> Iterator[Plain]:
    if belongs and is_segment:
        yield {"kind": "segment", "segment": str(belongs), "member": True}
    elif belongs:
        yield {"kind": "list", "people": str(belongs), "member": True}
