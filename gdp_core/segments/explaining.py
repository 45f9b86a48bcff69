"""Why somebody is in a segment or not: each part of its rule, what was found, and when time alone will change it.

The rule is asked of one person's history with the code that asks it of everybody, so an explanation never differs from
membership. When it turns is not computed but looked up: every condition names the instants at which it may turn, and
the rule is asked at each of them, in order, until it does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from gdp_core.analytics.calendar import instant, micros
from gdp_core.db import rows
from gdp_core.segments.conditions.base import AHEAD, LOOKS, Condition, Evidence, Happening
from gdp_core.segments.conditions.segment import Segment
from gdp_core.segments.facts import Facts, Surroundings
from gdp_core.segments.rules import GROUP_SENTENCES, BadRule, Group, Path, Rule, check, in_order
from gdp_core.timeline.arrays import Timeline

YEARS = 20
"""How far ahead is looked."""


@dataclass(frozen=True, slots=True)
class Part:
    """A group or condition of a rule and whether it `holds` of the person.

    `sentence` says what is asked, `evidence` (of a condition) what was found. `until`: the first instant, microseconds, at
    which it no longer is so if nothing happens; None where there is none as far as was looked.
    """

    path: Path
    kind: str
    holds: bool
    sentence: str
    evidence: Evidence | None = None
    until: int | None = None
    of: tuple["Part", ...] = ()


@dataclass(frozen=True, slots=True)
class Why:
    """Whether a person `belongs` at an instant `at`, and why.

    `counts`: whether they are no internal person; those are in no segment whatever holds. `turns_at`: the first instant at
    which they leave or enter if nothing happens. Without one, it never does, or not before `looked_until`.
    """

    number: int
    at: int
    belongs: bool
    counts: bool
    tree: Part
    turns_at: int | None
    looked_until: int | None

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts, from top to bottom."""
        return tuple(_all(self.tree))

    @property
    def sentence(self) -> str:
        """When it turns, for people."""
        if not self.counts:
            return "Internal people are in no segment."
        verb = "Leaves" if self.belongs else "Would enter"
        if self.turns_at is not None:
            return f"{verb} on {instant(self.turns_at):%Y-%m-%d %H:%M} UTC if nothing happens."
        if self.looked_until is not None:
            stays = "Stays" if self.belongs else "Stays outside"
            return f"{stays} until {instant(self.looked_until):%Y-%m-%d} at least if nothing happens; what comes after was not looked at."
        return f"{'Stays' if self.belongs else 'Stays outside'} as long as nothing happens."


def explain(
    timeline: Timeline, rule: Rule, surroundings: Surroundings, number: int, now: datetime, *, own: str | None = None
) -> Why:
    """Why the person of a lasting number is meant by a rule or not; `own` is the segment it is of.

    Raises BadRule for what the rule names and is not there, InvalidInput for a person who is not in the timeline.
    """
    problems = check(rule, surroundings, own=own)
    if problems:
        raise BadRule(problems)
    facts = Facts(timeline, micros(now), surroundings).of_one(number)
    truths = {path: bool(held[0]) for path, held in rule.truths(facts)}
    counts = bool(facts.live[0])
    ahead = _look_ahead(facts, rule)
    return Why(
        number=number,
        at=facts.at,
        belongs=counts and truths[()],
        counts=counts,
        tree=_part(rule.match, (), facts, truths, ahead.turns),
        turns_at=ahead.turns.get(()) if counts else None,
        looked_until=ahead.looked_until if counts else None,
    )


def event_ids(
    session: Session, person_id: UUID, happenings: Sequence[Happening]
) -> Mapping[Happening, tuple[UUID, ...]]:
    """The ids of the events behind evidence about a person, in the order of ties; none for one that was erased."""
    found = rows(
        session,
        "SELECT asked.place, e.id FROM unnest(CAST(:names AS text[]), CAST(:ats AS timestamptz[]))"
        " WITH ORDINALITY AS asked(name, at, place)"
        " JOIN actor a ON a.person_id = :person"
        " JOIN event e ON e.workspace_id = a.workspace_id AND e.actor_id = a.id AND e.name = asked.name AND e.occurred_at = asked.at ORDER BY 1, 2",
        names=[one.name for one in happenings],
        ats=[instant(one.at) for one in happenings],
        person=person_id,
    )
    told: dict[Happening, tuple[UUID, ...]] = {}
    for row in found:
        one = happenings[row.place - 1]
        told[one] = tuple(dict.fromkeys((*told.get(one, ()), row.id)))
    return told


# -------------------------------------------------------------------------------------------------------- the tree


def _part(node: Any, path: Path, facts: Facts, truths: Mapping[Path, bool], turns: Mapping[Path, int]) -> Part:
    names = facts.surroundings.names
    if not isinstance(node, Group):
        sentence, evidence = node.sentence(names), node.evidence(facts, names)
        return Part(path, node.kind, truths[path], sentence, evidence, turns.get(path))
    below = (_part(part, (*path, place), facts, truths, turns) for place, part in enumerate(node.of))
    return Part(path, node.kind, truths[path], GROUP_SENTENCES[node.kind], None, turns.get(path), tuple(below))


def _all(part: Part) -> list[Part]:
    return [part, *(one for below in part.of for one in _all(below))]


# --------------------------------------------------------------------------------------------------- looking ahead


@dataclass(frozen=True, slots=True)
class _Ahead:
    """When each node first turns, by path, and until when was looked; None: for ever."""

    turns: Mapping[Path, int]
    looked_until: int | None


def _look_ahead(facts: Facts, rule: Rule) -> _Ahead:
    """Year by year, for conditions name their turns so far ahead; a condition is asked at its own instants alone."""
    asked = _conditions(rule, facts)
    known = {key: bool(one.holds(facts)[0]) for key, one in asked.items()}
    began = _states(rule, known, facts)
    turns: dict[Path, int] = {}
    looks, edge, last = 0, facts.at, facts.at + YEARS * AHEAD
    while edge < last and len(turns) < len(began):
        instants, whose = _candidates(facts.then(edge), list(asked.values()))
        if not len(instants):
            return _Ahead(turns, None)
        edge += AHEAD
        near = int(np.searchsorted(instants, edge, "right"))
        for first, end in _runs(instants[:near]):
            looks += end - first
            if looks > LOOKS:
                return _Ahead(turns, int(instants[first]) - 1)
            at = int(instants[first])
            then = facts.then(at)
            for key in (list(asked)[place] for place in whose[first:end].tolist()):
                known[key] = bool(asked[key].holds(then)[0])
            states = _states(rule, known, facts)
            turns |= {path: at for path in began.keys() - turns.keys() if states[path] != began[path]}
    return _Ahead(turns, edge)


def _conditions(rule: Rule, facts: Facts) -> dict[str, Condition]:
    """What is asked of the timeline by a rule and the segments it is made of, each condition once."""
    own = (one for _, one in rule.conditions() if not isinstance(one, Segment))
    others = (one for key in rule.uses.segments for one in facts.made_of(key))
    return {one.key: one for one in (*own, *others)}


def _states(rule: Rule, known: Mapping[str, bool], facts: Facts) -> dict[Path, bool]:
    """Whether each node holds, given whether each condition does."""
    rules, counts = facts.surroundings.rules, bool(facts.live[0])
    belongs: dict[str, bool] = {}
    for used in rule.uses.segments:
        for key in in_order(rules, used):
            belongs[key] = counts and _state(rules[key].match, (), known, belongs, {})
    found: dict[Path, bool] = {}
    _state(rule.match, (), known, belongs, found)
    return found


def _state(
    node: Any, path: Path, known: Mapping[str, bool], belongs: Mapping[str, bool], found: dict[Path, bool]
) -> bool:
    if isinstance(node, Group):
        below = [_state(part, (*path, place), known, belongs, found) for place, part in enumerate(node.of)]
        held = all(below) if node.kind == "all" else any(below) != (node.kind == "not")
    elif isinstance(node, Segment):
        held = belongs[node.segment] == node.member
    else:
        held = known[node.key]
    found[path] = held
    return held


def _candidates(facts: Facts, conditions: Sequence[Condition]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(instants after facts.at, ascending; the place of the condition that may turn then), each pair once."""
    parts = []
    for place, condition in enumerate(conditions):
        found = np.concatenate([np.empty(0, np.int64), *condition.turns(facts)])
        found = np.sort(found[found > facts.at])
        found = found[np.diff(found, prepend=facts.at) > 0][: LOOKS + 1]
        parts.append((found, np.full(len(found), place)))
    instants, whose = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = np.argsort(instants, kind="stable")
    return instants[order], whose[order]


def _runs(instants: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Where equal instants begin and end."""
    edges = [0, *(np.flatnonzero(np.diff(instants)) + 1).tolist(), len(instants)]
    yield from (pair for pair in pairwise(edges) if pair[0] < pair[1])
