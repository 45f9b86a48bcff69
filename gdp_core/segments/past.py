"""How people stood at an earlier instant, as far as it was kept: what a look into a segment's past asks instead of now.

Events carry their own time. Of the fields of people it knows those whose every change is kept: traits, stages,
subscriptions, MRR, and instants, which nobody had before they came. It refuses the others: how they are now would be a
look ahead. Who is one person is taken as it is known now, as in every report.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from sqlmodel import Session

from gdp_core.analytics.beginnings import instants_of
from gdp_core.analytics.calendar import micros
from gdp_core.analytics.warning import Model, from_text
from gdp_core.db import one, rows
from gdp_core.features.base import ANYTHING, Feature, Role, Tally
from gdp_core.features.measuring import measure
from gdp_core.lake.tables import PERSON_FIELDS, PERSON_WHOLE
from gdp_core.people import COLUMN_TRAITS, STATUS_OF_STAGE
from gdp_core.segments.facts import Facts, Surroundings
from gdp_core.segments.rules import BadRule, Path, Problem, Rule, reachable
from gdp_core.timeline.arrays import MISSING, NOTHING, EventColumn, PersonColumn, Shard, Timeline, Value

_ONCE = frozenset(
    "first_seen_at first_action_at signup_at marketing_qualified_at trial_started_at subscribed_at".split()
)
_FROM_THE_FIRST = frozenset({"source", "medium", "campaign"})
_TALLIED = {
    "active_days": Tally(ANYTHING, "days"),
    "core_actions": Tally(Role("core"), "count"),
    "last_seen_at": Tally(ANYTHING, "since"),
    "last_action_at": Tally(Role("core"), "since"),
}
"""What events still say of an earlier instant."""
_SUBSCRIPTION = ("subscription_status", "subscription_started_at", "subscription_ends_at")
_LIVE = frozenset({"active", "past_due", "trialing"})


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """What a field of people became: people by lasting number, ascending, and of one person the later step counts.

    `at` is when it became so and `known` when that was applied, microseconds; `codes` point into `values`, -1 is nothing.
    `weak`: a step that counts only while no other did.
    """

    numbers: NDArray[np.int64]
    at: NDArray[np.int64]
    known: NDArray[np.int64]
    codes: NDArray[np.int32]
    weak: NDArray[np.bool_]
    values: tuple[Value, ...]

    @classmethod
    def of(cls, steps: Iterable[tuple[int, int, int, Value | None, bool]]) -> "Steps":
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
            tuple(value for _, value in place),
        )

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


def read_history(session: Session, rule: Rule, surroundings: Surroundings) -> History:
    """What the past of a rule needs, and of the segments it is made of. Raises BadRule for what was not kept."""
    problems = tuple(_not_kept(session, rule, surroundings))
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


def _not_kept(session: Session, rule: Rule, surroundings: Surroundings) -> Iterator[Problem]:
    has_one_currency = _has_one_currency(session)
    for outer, one_of in _rules(rule, surroundings):
        for path, condition in one_of.conditions():
            uses = condition.uses
            columns = [
                column.column
                for slug in uses.features
                if slug in surroundings.features and (column := surroundings.features[slug].column)
            ]
            for name in (*uses.fields, *columns):
                if not _is_kept(name, has_one_currency):
                    message = f"What {name} was earlier is not kept: leave it out to look into the past."
                    yield Problem(outer or path, "", message)


def _is_kept(name: str, has_one_currency: bool) -> bool:
    if name == "mrr_micros":
        return has_one_currency
    if name not in PERSON_FIELDS or name in COLUMN_TRAITS:
        return name != "name"
    return name in {"stage", "status", "cohort", *_ONCE, *_FROM_THE_FIRST, *_SUBSCRIPTION, *_TALLIED}


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
        named = ((*one[:3], STATUS_OF_STAGE.get(str(one[3]), "active"), one[4]) for one in stages)
        yield "status", Steps.of(named)
    if "mrr_micros" in asked:
        yield "mrr_micros", Steps.of(_read_mrr(session))
    if asked & set(_SUBSCRIPTION):
        yield from zip(_SUBSCRIPTION, map(Steps.of, _read_subscriptions(session)), strict=True)
    traits = sorted(name for name in asked if name not in PERSON_FIELDS or name in COLUMN_TRAITS)
    found = _read_traits(session, traits) if traits else {}
    yield from ((name, Steps.of(found.get(name, []))) for name in traits)


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
        "SELECT p.number, m.source_id, m.stripe_customer_id, m.changed_at, m.applied_at, m.after_micros FROM mrr_change m"
        f" {_NUMBER.format('m.actor_id')} ORDER BY p.number, m.changed_at, m.id",
    )
    worth: dict[tuple[Any, ...], int] = {}
    person = None
    for row in found:
        if row.number != person:
            person, worth = row.number, {}
        worth[row.source_id, row.stripe_customer_id] = row.after_micros
        yield row.number, micros(row.changed_at), micros(row.applied_at), sum(worth.values()), False


def _read_subscriptions(session: Session) -> tuple[list[_Step], list[_Step], list[_Step]]:
    """Status, start and scheduled end of the one that spoke for the person, from each instant at which one turned.

    Of a subscription its beginning, trial and end are known; that a payment was late in between is not looked at.
    """
    found = rows(
        session,
        "SELECT p.number, s.started_at, s.trial_start, s.trial_end, s.ended_at, s.status, s.mrr_micros,"
        " s.cancel_requested_at, CASE WHEN s.cancel_at_period_end THEN s.current_period_end ELSE s.cancel_at END AS ends"
        f" FROM subscription s {_NUMBER.format('s.actor_id')} WHERE s.started_at IS NOT NULL"
        " ORDER BY p.number, s.started_at, s.id",
    )
    people: dict[int, list[Any]] = {}
    for row in found:
        people.setdefault(row.number, []).append(row)
    told: tuple[list[_Step], list[_Step], list[_Step]] = ([], [], [])
    for number, theirs in people.items():
        turns = {at for one_of in theirs for at in _turns(one_of)}
        for at in sorted(turns):
            for steps, value in zip(told, _standing(theirs, at), strict=True):
                steps.append((number, micros(at), micros(at), value, False))
    return told


def _turns(row: Any) -> Iterator[datetime]:
    instants = (row.started_at, row.trial_end, row.ended_at, row.cancel_requested_at)
    yield from (at for at in instants if at and at >= row.started_at)


def _standing(theirs: Sequence[Any], at: datetime) -> tuple[str | None, int | None, int | None]:
    begun = [row for row in theirs if row.started_at <= at]
    live = [row for row in begun if not row.ended_at or at < row.ended_at]
    chosen = max(live, key=lambda row: row.mrr_micros) if live else begun[-1]
    if not live:
        status = chosen.status if chosen.status not in _LIVE else "cancelled"
        return status, micros(chosen.started_at), micros(chosen.ended_at)
    is_trial = chosen.trial_end and chosen.trial_start and chosen.trial_start <= at < chosen.trial_end
    asked = chosen.cancel_requested_at and chosen.cancel_requested_at <= at
    ends = (chosen.ends or chosen.ended_at) if asked else None
    return "trialing" if is_trial else "active", micros(chosen.started_at), micros(ends) if ends else None


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
        value = None if row.op == "unset" else _as_value(row.value)
        step = (row.number, micros(row.occurred_at), micros(row.applied_at), value, row.op == "set_once")
        told.setdefault(row.key, []).append(step)
    return told


def _as_value(value: Any) -> Value | None:
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
            return PersonColumn(steps.codes_at(self._timeline.numbers, self._at, self._known), steps.values)
        whole = self.whole(name)
        if whole is not None:
            return _coded(whole)
        column = self._timeline.columns.person(name)
        since = self._instants("signup_at" if name == "cohort" else "first_seen_at")
        return PersonColumn(np.where(since == NOTHING, np.int32(MISSING), column.codes), column.values)

    def whole(self, name: str) -> NDArray[np.int64] | None:
        """See arrays.Columns."""
        steps = self._history.steps.get(name)
        if steps is not None and name in PERSON_WHOLE:
            codes = steps.codes_at(self._timeline.numbers, self._at, self._known)
            worth = np.array([*steps.values, 0 if name == "mrr_micros" else NOTHING], np.int64)
            return worth[codes]
        if name in _TALLIED:
            feature = Feature(name, name, "", "", _TALLIED[name])
            told = measure(self._timeline, [feature], self._then.roles, self._at).values[:, 0]
            nothing = self._instants("first_seen_at") if name == "last_seen_at" else np.full(len(told), NOTHING)
            return np.where(np.isnan(told), nothing, np.nan_to_num(told).astype(np.int64))
        return self._instants(name) if name in _ONCE else None

    def _instants(self, name: str) -> NDArray[np.int64]:
        """An instant that is there for ever once it came: who has it later had nothing yet."""
        found = instants_of(self._timeline, name)
        return np.where((found != NOTHING) & (found < self._at), found, NOTHING)


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
    passed = np.concatenate([[0], np.cumsum(keep)])
    return Shard(shard.people, passed[shard.offsets], shard.at[keep], shard.code[keep], shard.flags[keep], shard.live)


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
