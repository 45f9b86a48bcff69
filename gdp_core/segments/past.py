"""How people stood at an earlier instant, as far as it was kept: what a look into a segment's past asks instead of now.

Events carry their own time. Of the fields of people it knows those whose every change is kept: traits, identifiers,
stages, MRR, when a subscription began and ended, where somebody came from first, and instants, which nobody had before
they came. Asked for what was known, it knows only what also keeps when it was heard: events and what follows from them
alone, traits, identifiers, lists and models; the others are written anew when something comes late. It refuses whatever
was not kept: how it is now would be a look ahead. Who is one person is taken as it is known now, as in every report.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlmodel import Session

from gdp_core.acquisition import channel_of
from gdp_core.analytics.beginnings import instants_of
from gdp_core.analytics.calendar import micros
from gdp_core.analytics.warning import Model, from_text
from gdp_core.db import one, rows
from gdp_core.features.base import ANYTHING, Feature, Role, Tally
from gdp_core.features.measuring import measure
from gdp_core.lake.tables import PERSON_FIELDS, PERSON_WHOLE
from gdp_core.people import COLUMN_TRAITS, STATUS_OF_NONE, STATUS_OF_STAGE
from gdp_core.segments.conditions.base import Condition
from gdp_core.segments.conditions.cohort import Cohort
from gdp_core.segments.conditions.person import Person
from gdp_core.segments.conditions.subscription import Subscription
from gdp_core.segments.conditions.suppression import Suppression
from gdp_core.segments.facts import Facts, Surroundings
from gdp_core.segments.rules import BadRule, Path, Problem, Rule, reachable
from gdp_core.timeline.arrays import MISSING, NOTHING, EventColumn, PersonColumn, Shard, Timeline, Value
from gdp_core.timeline.matching import as_text
from gdp_core.timeline.values import Block, Values

_ONCE = frozenset(
    "first_seen_at first_action_at signup_at marketing_qualified_at trial_started_at subscribed_at".split()
)
_TOUCH = ("source", "medium", "campaign")
_IDENTIFIED = ("email", "phone")
"""What somebody has by a trait or, without one, by an identifier."""
_TALLIED = {
    "active_days": Tally(ANYTHING, "days"),
    "core_actions": Tally(Role("core"), "count"),
    "last_seen_at": Tally(ANYTHING, "since"),
    "last_action_at": Tally(Role("core"), "since"),
}
"""What events still say of an earlier instant."""
_FIRSTS = {
    "signup_at": Tally(Role("signup"), "first"),
    "first_action_at": Tally(Role("core"), "first"),
}
"""What the events that were heard by an instant say of it; the columns say what is known now."""
_STATUS = "subscription_status"
_SUBSCRIPTION = (_STATUS, "subscription_started_at")
_KEPT_STATUSES = frozenset({"active", "trialing", "cancelled"})
_NEVER_LIVE = frozenset({"incomplete", "incomplete_expired"})
_WITHOUT_SOURCE = "website"  # an unmarked visit, which a later marked one takes the place of


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """What a field of people became: people by lasting number, ascending, and of one person the later step counts.

    `at` is when it became so and `known` when that was applied, microseconds; `codes` point into `values`, -1 is nothing.
    `weak`: a step that counts only while no other did. `below`: what counts for who has nothing by these.
    """

    numbers: NDArray[np.int64]
    at: NDArray[np.int64]
    known: NDArray[np.int64]
    codes: NDArray[np.int32]
    weak: NDArray[np.bool_]
    values: Values
    below: "Steps | None" = None

    @classmethod
    def of(cls, steps: Iterable[tuple[int, int, int, Value | None, bool]], below: "Steps | None" = None) -> "Steps":
        """From (number, at, known, value, weak), in their order."""
        given = list(steps)
        place: dict[tuple[type, Value], int] = {}
        codes = [MISSING if one[3] is None else place.setdefault((type(one[3]), one[3]), len(place)) for one in given]
        return cls(
            np.array([one[0] for one in given], np.int64),
            np.array([one[1] for one in given], np.int64),
            np.array([one[2] for one in given], np.int64),
            np.array(codes, np.int32),
            np.array([one[4] for one in given], np.bool_),
            Values.of(value for _, value in place),
            below,
        )

    def column_at(self, numbers: NDArray[np.int64], at: int, known: int) -> PersonColumn:
        """The field of these people as it was just before an instant, of what was applied before `known`."""
        codes = self.codes_at(numbers, at, known)
        if self.below is None:
            return PersonColumn(codes, self.values)
        other = self.below.column_at(numbers, at, known)
        fallen = np.where(other.codes == MISSING, np.int32(MISSING), other.codes + np.int32(len(self.values)))
        return PersonColumn(np.where(codes == MISSING, fallen, codes), Values(*self._blocks))

    @property
    def _blocks(self) -> tuple[Block, ...]:
        """Of a value that both these and those below have, there are two codes."""
        return (*self.values.blocks, *(self.below._blocks if self.below else ()))

    def codes_at(self, numbers: NDArray[np.int64], at: int, known: int) -> NDArray[np.int32]:
        """What each of these people had just before an instant, of what was applied before `known`."""
        found = np.full(len(numbers) + 1, MISSING, np.int32)
        if not len(self.numbers):
            return found[:-1]
        place = np.searchsorted(numbers, self.numbers)
        place[np.append(numbers, -1)[place] != self.numbers] = len(numbers)
        seen = (self.at < at) & (self.known < known)
        for weak in (True, False):  # of several assignments to one place the last stands
            chosen = seen & (self.weak == weak)
            found[place[chosen]] = self.codes[chosen]
        return found[:-1]


_NOBODY = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """What was kept of the past: steps of fields, churn models and lists by the instant from which there were such."""

    steps: Mapping[str, Steps] = field(default_factory=dict)
    models: tuple[tuple[int, Model | None], ...] = ()
    lists: Mapping[str, int] = field(default_factory=dict)
    beginnings: tuple[NDArray[np.int64], ...] = (_NOBODY, _NOBODY, _NOBODY)
    """Numbers of people, ascending, when each was first seen, and when first known of; who is not there always was."""

    def were_there(self, numbers: NDArray[np.int64], at: int, *, known: bool) -> NDArray[np.bool_]:
        """Which of these people had been seen, or were known of, before an instant."""
        people, seen, known_of = self.beginnings
        place = np.searchsorted(people, numbers)
        later: NDArray[np.bool_] = np.append((known_of if known else seen) >= at, False)
        is_told = np.append(people, -1)[place] == numbers
        return np.asarray(~(later[place] & is_told))


def read_history(session: Session, rule: Rule, surroundings: Surroundings, *, known: bool = False) -> History:
    """What the past of a rule needs, and of the segments it is made of; `known`: as `facts_of` is to be asked.

    Raises BadRule for what was not kept.
    """
    problems = tuple(_not_kept(session, rule, surroundings, known=known))
    if problems:
        raise BadRule(problems)
    asked = _fields(rule, surroundings)
    return History(
        steps=dict(_read_steps(session, asked)),
        models=tuple(
            (micros(row.trained_at), model if isinstance(model := from_text(row.model), Model) else None)
            for row in rows(session, "SELECT trained_at, model FROM churn_model ORDER BY version")
        ),
        lists={str(row.id): micros(row.created_at) for row in rows(session, "SELECT id, created_at FROM static_list")},
        beginnings=_read_beginnings(session),
    )


def facts_of(
    timeline: Timeline, surroundings: Surroundings, history: History, at: int, *, known: bool = False
) -> Facts:
    """Everybody at an earlier instant. `known`: only of what had been applied by then, not of what came late."""
    seen = _known_by(timeline, at) if known else timeline
    then = replace(
        surroundings,
        model=next((model for since, model in reversed(history.models) if since < at), None),
        lists={
            key: people if history.lists.get(key, NOTHING) < at else people[:0]
            for key, people in surroundings.lists.items()
        },
    )
    there = history.were_there(seen.numbers, at, known=known)
    shards = tuple(replace(shard, live=shard.live & there[shard.people]) for shard in seen.shards)
    seen = replace(seen, shards=shards)
    columns = _Then(seen, then, history, at, at if known else int(np.iinfo(np.int64).max))
    return Facts(replace(seen, columns=columns), at, then)


# --------------------------------------------------------------------------------------------------- what is kept


def _rules(rule: Rule, surroundings: Surroundings) -> Iterator[tuple[Path, Rule]]:
    """The rule itself, and under the path of a condition the segments it leads to."""
    yield (), rule
    for path, condition in rule.conditions():
        for key in condition.uses.segments:
            for one_of in sorted(reachable(surroundings.rules, key)):
                yield path, surroundings.rules[one_of]


def _fields(rule: Rule, surroundings: Surroundings) -> set[str]:
    return {name for _, one_of in _rules(rule, surroundings) for name in one_of.uses.fields}


def _not_kept(session: Session, rule: Rule, surroundings: Surroundings, *, known: bool) -> Iterator[Problem]:
    is_kept = _heard if known else partial(_is_kept, has_one_currency=_has_one_currency(session))
    for outer, one_of in _rules(rule, surroundings):
        for path, condition in one_of.conditions():
            yield from (Problem(outer or path, "", f"{why} to look into the past.") for why in _why_not(condition))
            uses = condition.uses
            columns = [
                column.column
                for slug in uses.features
                if slug in surroundings.features and (column := surroundings.features[slug].column)
            ]
            for name in (*uses.fields, *columns):
                if not is_kept(name):
                    by_then = "known by then is not kept: leave it out, or look back at what happened" if known else ""
                    message = f"What {name} was {by_then or 'earlier is not kept: leave it out to look into the past'}."
                    yield Problem(outer or path, "", message)


def _why_not(condition: Condition) -> Iterator[str]:
    """What of a condition is not kept though something of its field is."""
    if isinstance(condition, Suppression):
        yield "Of an address only the newest stop is kept: leave suppressions out"
    parts = [condition] if isinstance(condition, Person) else []
    if isinstance(condition, Subscription):
        parts = list(condition.parts)
    elif isinstance(condition, Cohort) and condition.sources:
        parts = [Person(field="source", op="is", values=condition.sources)]
    for part in parts:
        values = {as_text(value).casefold() for value in part.values}
        field = part.field.removeprefix("person.")
        if field == _STATUS and not (part.op == "set" or (part.op == "is" and values <= _KEPT_STATUSES)):
            yield "Of subscriptions only when they were trialing, active or cancelled is kept: ask for one of these"
        if field == "source" and (part.op != "is" or _WITHOUT_SOURCE in values):
            yield f"When somebody was without a source is not kept: ask for sources other than {_WITHOUT_SOURCE}"


def _is_trait(name: str) -> bool:
    return (name not in PERSON_FIELDS or name in COLUMN_TRAITS) and name != "name"


def _is_kept(name: str, *, has_one_currency: bool) -> bool:
    if name == "mrr_micros":
        return has_one_currency
    return _is_trait(name) or name in {"stage", "status", "cohort", *_ONCE, *_TOUCH, *_SUBSCRIPTION, *_TALLIED}


def _heard(name: str) -> bool:
    """Whether when it was heard is kept too. Who was only seen by a machine was last seen when they were first."""
    return _is_trait(name) or name in _FIRSTS or (name in _TALLIED and name != "last_seen_at")


def _has_one_currency(session: Session) -> bool:
    found = one(
        session,
        "SELECT NOT EXISTS (SELECT FROM mrr_change WHERE currency <> w.base_currency) AS so FROM workspace w"
        " WHERE w.id = app_ws()",
    )
    return bool(found and found.so)


# -------------------------------------------------------------------------------------------------------- reading


def _read_steps(session: Session, asked: set[str]) -> Iterator[tuple[str, Steps]]:
    if asked & {"stage", "status"}:
        stages = _read_stages(session)
        yield "stage", Steps.of(stages)
        named = ((*one[:3], STATUS_OF_STAGE.get(str(one[3]), STATUS_OF_NONE), one[4]) for one in stages)
        yield "status", Steps.of(named)
    if "mrr_micros" in asked:
        yield "mrr_micros", Steps.of(_read_mrr(session))
    if asked & set(_SUBSCRIPTION):
        yield from zip(_SUBSCRIPTION, map(Steps.of, _read_subscriptions(session)), strict=True)
    if asked & set(_TOUCH):
        yield from zip(_TOUCH, map(Steps.of, _read_touches(session)), strict=True)
    traits = sorted(filter(_is_trait, asked))
    found = _read_traits(session, traits) if traits else {}
    for name in traits:
        below = Steps.of(_read_identifiers(session, name)) if name in _IDENTIFIED else None
        yield name, Steps.of(found.get(name, []), below)


def _read_beginnings(session: Session) -> tuple[NDArray[np.int64], ...]:
    found = rows(
        session,
        "SELECT n.number, coalesce(p.first_seen_at, min(a.applied_at)) AS seen, min(a.applied_at) AS known FROM person p"
        " JOIN actor n ON n.workspace_id = p.workspace_id AND n.id = p.id"
        " JOIN actor a ON a.workspace_id = p.workspace_id AND a.person_id = p.id GROUP BY n.number, p.first_seen_at"
        " ORDER BY n.number",
    )
    seen, known = (np.array([micros(row[place]) for row in found], np.int64) for place in (1, 2))
    return np.array([row.number for row in found], np.int64), seen, known


_NUMBER = "JOIN actor a ON a.workspace_id = app_ws() AND a.id = {} JOIN actor p ON p.workspace_id = app_ws() AND p.id = a.person_id"
_Step = tuple[int, int, int, Value | None, bool]


def _read_stages(session: Session) -> list[_Step]:
    """What comes late writes the log of stages anew, so it tells how it was, not what had been known of it."""
    found = rows(
        session,
        f"SELECT p.number, s.at, s.stage FROM stage_change s {_NUMBER.format('s.person_id')} ORDER BY p.number, s.at",
    )
    return [(row.number, micros(row.at), micros(row.at), row.stage, False) for row in found]


def _read_mrr(session: Session) -> Iterator[_Step]:
    """The sum over a person's customers after each change."""
    found = rows(
        session,
        "SELECT p.number, m.source_id, m.stripe_customer_id, m.changed_at, m.after_micros FROM mrr_change m"
        f" {_NUMBER.format('m.actor_id')} ORDER BY p.number, m.changed_at, m.id",
    )
    worth: dict[tuple[Any, ...], int] = {}
    person = None
    for row in found:
        if row.number != person:
            person, worth = row.number, {}
        worth[row.source_id, row.stripe_customer_id] = row.after_micros
        yield row.number, micros(row.changed_at), micros(row.changed_at), sum(worth.values()), False


def _read_subscriptions(session: Session) -> tuple[list[_Step], list[_Step]]:
    """Status and start of the one that spoke for the person, from each instant at which one turned.

    Of a subscription its beginning, trial and end are kept: it is active whatever became of its payments in between.
    """
    found = rows(
        session,
        "SELECT p.number, s.started_at, s.trial_start, s.trial_end, s.ended_at, s.status, s.mrr_micros"
        f" FROM subscription s {_NUMBER.format('s.actor_id')} WHERE s.started_at IS NOT NULL"
        " ORDER BY p.number, s.started_at, s.id",
    )
    people: dict[int, list[Any]] = {}
    for row in found:
        people.setdefault(row.number, []).append(row)
    told: tuple[list[_Step], list[_Step]] = ([], [])
    for number, theirs in people.items():
        turns = {at for one_of in theirs for at in _turns(one_of)}
        for at in sorted(turns):
            for steps, value in zip(told, _standing(theirs, at), strict=True):
                steps.append((number, micros(at), micros(at), value, False))
    return told


def _turns(row: Any) -> Iterator[datetime]:
    yield from (at for at in (row.started_at, row.trial_end, row.ended_at) if at and at >= row.started_at)


def _standing(theirs: Sequence[Any], at: datetime) -> tuple[Value, Value]:
    begun = [row for row in theirs if row.started_at <= at]
    live = [row for row in begun if row.status not in _NEVER_LIVE and (not row.ended_at or at < row.ended_at)]
    chosen = max(live, key=lambda row: row.mrr_micros) if live else begun[-1]
    if not live:
        return chosen.status if chosen.status in _NEVER_LIVE else "cancelled", micros(chosen.started_at)
    is_trial = chosen.trial_end and chosen.trial_start and chosen.trial_start <= at < chosen.trial_end
    return "trialing" if is_trial else "active", micros(chosen.started_at)


def _read_touches(session: Session) -> tuple[list[_Step], ...]:
    """Where somebody came from first, since that visit; an unmarked one before it tells nothing (events.py)."""
    found = rows(
        session,
        "SELECT DISTINCT ON (p.number) p.number, t.first_touch AS touch FROM actor t JOIN actor p"
        " ON p.workspace_id = t.workspace_id AND p.id = t.person_id"
        " WHERE t.workspace_id = app_ws() AND t.first_touch IS NOT NULL"
        " ORDER BY p.number, (t.first_touch ->> 'order') COLLATE \"C\"",
    )
    told: tuple[list[_Step], ...] = ([], [], [])
    for row in found:
        at = micros(datetime.fromisoformat(row.touch["order"].split("|")[1]))
        marks = (row.touch.get(name) for name in ("utm_medium", "utm_campaign"))
        values = (channel_of(row.touch), *(None if mark is None else str(mark) for mark in marks))
        for steps, value in zip(told, values, strict=True):
            steps.append((row.number, at, at, value, False))
    return told


def _read_identifiers(session: Session, namespace: str) -> list[_Step]:
    """The identifier of a kind that people.py takes, from when it was first heard of; the oldest stands last."""
    found = rows(
        session,
        "SELECT p.number, i.external_id, coalesce(i.first_seen_at, i.applied_at) AS at, i.applied_at FROM actor i"
        " JOIN actor p ON p.workspace_id = i.workspace_id AND p.id = i.person_id"
        " WHERE i.workspace_id = app_ws() AND i.namespace = :namespace"
        " ORDER BY p.number, i.first_seen_at DESC NULLS FIRST, i.id DESC",
        namespace=namespace,
    )
    return [(row.number, micros(row.at), micros(row.applied_at), row.external_id, False) for row in found]


def _read_traits(session: Session, names: Sequence[str]) -> dict[str, list[_Step]]:
    """In the order in which people.py takes them: the last that was set counts, else the first that was set once."""
    found = rows(
        session,
        "SELECT p.number, t.key, t.op, t.value, t.occurred_at, t.applied_at FROM trait_assertion t"
        f" {_NUMBER.format('t.actor_id')} WHERE t.key = ANY(:names) ORDER BY p.number, t.op <> 'set_once',"
        " CASE WHEN t.op = 'set_once' THEN t.occurred_at END DESC, t.occurred_at, t.rank,"
        ' t.source_event_id COLLATE "C", t.source_id DESC, a.id DESC',
        names=list(names),
    )
    told: dict[str, list[_Step]] = {}
    for row in found:
        value = None if row.op == "unset" else _as_value(row.key, row.value)
        step = (row.number, micros(row.occurred_at), micros(row.applied_at), value, row.op == "set_once")
        told.setdefault(row.key, []).append(step)
    return told


def _as_value(key: str, value: Any) -> Value | None:
    """As it stands in the column of a person, or among their traits."""
    if key in COLUMN_TRAITS:
        return None if value is None or isinstance(value, dict | list) else str(value)[:500] or None
    return value if value is None or isinstance(value, str | int | float | bool) else orjson.dumps(value).decode()


# ------------------------------------------------------------------------------------------------------ columns


class _Then:
    """Columns as they were: those of events are as ever, those of people stood at an earlier instant."""

    def __init__(self, timeline: Timeline, then: Surroundings, history: History, at: int, known: int) -> None:
        self._timeline = timeline
        self._then = then
        self._history = history
        self._at = at
        self._known = known

    def event(self, name: str) -> EventColumn:
        """See arrays.Columns."""
        return self._timeline.columns.event(name)

    def known(self) -> tuple[NDArray[np.int64], ...]:
        """See arrays.Columns."""
        return self._timeline.columns.known()

    def person(self, name: str) -> PersonColumn:
        """See arrays.Columns."""
        steps = self._history.steps.get(name)
        if steps is not None:
            column = steps.column_at(self._timeline.numbers, self._at, self._known)
            return _filled(column, STATUS_OF_NONE) if name == "status" else column
        whole = self.whole(name)
        if whole is not None:
            return _coded(whole)
        column = self._timeline.columns.person(name)
        is_there = self._instants("signup_at") != NOTHING  # what is left is the cohort, the month of signing up
        return PersonColumn(np.where(is_there, column.codes, np.int32(MISSING)), column.values)

    def whole(self, name: str) -> NDArray[np.int64] | None:
        """See arrays.Columns."""
        steps = self._history.steps.get(name)
        if steps is not None and name in PERSON_WHOLE:
            codes = steps.codes_at(self._timeline.numbers, self._at, self._known)
            worth = np.array([*steps.values, 0 if name == "mrr_micros" else NOTHING], np.int64)
            return worth[codes]
        if name in _TALLIED:
            nothing = self._instants("first_seen_at") if name == "last_seen_at" else NOTHING
            return self._tallied(name, _TALLIED[name], nothing)
        if name in _FIRSTS and self._known == self._at:
            return self._tallied(name, _FIRSTS[name], NOTHING)
        return self._instants(name) if name in _ONCE else None

    def _tallied(self, name: str, made: Tally, nothing: int | NDArray[np.int64]) -> NDArray[np.int64]:
        """What the events say; `nothing` for who has none."""
        told = measure(self._timeline, [Feature(name, name, "", "", made)], self._then.roles, self._at).values[:, 0]
        return np.where(np.isnan(told), nothing, np.nan_to_num(told).astype(np.int64))

    def _instants(self, name: str) -> NDArray[np.int64]:
        """An instant that is there for ever once it came: who has it later had nothing yet."""
        found = instants_of(self._timeline, name)
        return np.where((found != NOTHING) & (found < self._at), found, NOTHING)


def _filled(column: PersonColumn, value: Value) -> PersonColumn:
    """With a value for everybody who has none."""
    return PersonColumn(
        np.where(column.codes == MISSING, np.int32(len(column.values)), column.codes), (*column.values, value)
    )


def _coded(whole: NDArray[np.int64]) -> PersonColumn:
    order = np.sort(whole[whole != NOTHING])
    values = order[np.append(True, order[1:] != order[:-1])] if len(order) else order
    codes = np.where(whole == NOTHING, MISSING, np.searchsorted(values, whole)).astype(np.int32)
    return PersonColumn(codes, tuple(values.tolist()))


# ------------------------------------------------------------------------------------------------- what came late


def _known_by(timeline: Timeline, at: int) -> Timeline:
    """Without the rows that were applied later, though they had happened."""
    late = [
        (known >= at) & (shard.at < at) for known, shard in zip(timeline.columns.known(), timeline.shards, strict=True)
    ]
    if not any(mask.any() for mask in late):
        return timeline
    kept = [~mask for mask in late]
    shards = tuple(_without(shard, keep) for shard, keep in zip(timeline.shards, kept, strict=True))
    return replace(timeline, shards=shards, columns=_Kept(timeline, tuple(kept)))


def _without(shard: Shard, keep: NDArray[np.bool_]) -> Shard:
    offsets = shard.offsets - np.searchsorted(np.flatnonzero(~keep), shard.offsets)  # few came late
    return Shard(shard.people, offsets, shard.at[keep], shard.code[keep], shard.flags[keep], shard.live)


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """Columns of the rows that are kept."""

    timeline: Timeline
    kept: tuple[NDArray[np.bool_], ...]

    def event(self, name: str) -> EventColumn:
        """See arrays.Columns."""
        column = self.timeline.columns.event(name)
        return EventColumn(self._cut(column.codes), column.values)

    def known(self) -> tuple[NDArray[np.int64], ...]:
        """See arrays.Columns."""
        return self._cut(self.timeline.columns.known())

    def person(self, name: str) -> PersonColumn:
        """See arrays.Columns."""
        return self.timeline.columns.person(name)

    def whole(self, name: str) -> NDArray[np.int64] | None:
        """See arrays.Columns."""
        return self.timeline.columns.whole(name)

    def _cut(self, arrays: "Sequence[NDArray[Any]]") -> tuple[NDArray[Any], ...]:
        return tuple(array[keep] for array, keep in zip(arrays, self.kept, strict=True))
