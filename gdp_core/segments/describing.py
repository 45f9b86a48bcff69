"""The people behind a number of a report as a rule, where a rule means exactly them as the report saw them.

A translation follows the report's definition, not its people: local days stay local days, and a window that the report
still waits for stays a window. Where no rule says the same there is none: an attempt of a funnel beyond its second step,
what is counted from each person's own start, the rest of a breakdown. What the rule means later is its own affair.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.activation import Activation, ActivationCell, activation_people
from gdp_core.analytics.beginnings import NEVER, Known, Occurrence, instants_of
from gdp_core.analytics.breakdown import ALL, Breakdown, Group, label
from gdp_core.analytics.calendar import Interval, floor, following, instant, micros
from gdp_core.analytics.customers import EVERY, CustomerCell
from gdp_core.analytics.engagement_churn import ChurnCell, EngagementChurn, moment
from gdp_core.analytics.funnel.question import FunnelQuestion
from gdp_core.analytics.lifecycle import Lifecycle, LifecycleCell
from gdp_core.analytics.measures import in_currency, is_money, read_numbers
from gdp_core.analytics.overlap import Asked as Overlapping
from gdp_core.analytics.overlap import OverlapCell
from gdp_core.analytics.retention import Retention, RetentionCell
from gdp_core.analytics.scope import Scope, midnight
from gdp_core.analytics.stickiness import Stickiness, StickinessCell
from gdp_core.analytics.trends import Trend, TrendCell
from gdp_core.errors import GrowthError, InvalidInput
from gdp_core.segments import grouping, rules
from gdp_core.segments.facts import Facts, Surroundings
from gdp_core.segments.grouping import Belonging
from gdp_core.segments.rules import Rule
from gdp_core.timeline.arrays import Timeline
from gdp_core.timeline.matching import Condition, Match, people

Node = dict[str, Any]
_A_DAY = timedelta(days=1)
_SUBSCRIBED: dict[object, Node] = {
    "trials": {"kind": "subscription", "statuses": ["trialing"]},
    "past_due": {"kind": "subscription", "statuses": ["past_due"]},
    "leaving": {"kind": "subscription", "statuses": ["active", "past_due"], "ending": True},
}


class _NoRule(Exception):
    """No rule means exactly these people."""


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """What a report counted: a timeline, its days, seen at an instant up to which everything is known, and of whom: the
    people for whom all `conditions` hold and who `belong` to a segment or list."""

    timeline: Timeline
    scope: Scope
    conditions: tuple[Condition, ...] = ()
    belong: UUID | None = None

    @property
    def people(self) -> tuple[Condition, ...]:
        """Of whom, as conditions alone."""
        if self.belong is None:
            return self.conditions
        return (*self.conditions, Condition(f"person.{grouping.PREFIX}{self.belong}", "starts_with", ("In ",)))


def rule_of(counted: Counted, asked: object, cell: object) -> Rule | None:
    """The rule of a cell of a report, or None where none means the same people. `cell` of a funnel: what its `people` is
    asked by name. Of what Postgres knows of now, a cell of the customer table or a kind of subscriptions, `asked` is what
    it is and `cell` who it is, by lasting numbers, ascending."""
    try:
        return _rule([*_nodes(counted, asked, cell), *_people(counted.timeline, counted.people)])
    except _NoRule:
        return None


def is_of_fixed_days(rule: Rule) -> bool:
    """Whether a rule names days of the calendar, which do not move on."""
    conditions = [condition for _, condition in rule.conditions()]
    parts = [part for one in conditions for part in (one, getattr(one, "when", None))]
    return any(getattr(part, name, None) for part in parts for name in ("since", "until", "day"))


def _rule(nodes: list[Node]) -> Rule | None:
    nodes = [part for node in nodes for part in (node["of"] if node["kind"] == "all" else [node])]
    return rules.examine({"version": rules.VERSION, "match": {"kind": "all", "of": nodes}})[0]


def _nodes(counted: Counted, asked: object, cell: object) -> Iterable[Node]:
    match asked, cell:
        case Trend(), TrendCell():
            return _trend(counted, asked, cell)
        case Lifecycle(), LifecycleCell():
            return _lifecycle(counted, asked, cell)
        case Stickiness(), StickinessCell():
            return _stickiness(counted, asked, cell)
        case FunnelQuestion(), Mapping():
            return _funnel(counted, asked, **cell)
        case Retention(), RetentionCell():
            return _retention(counted, asked, cell)
        case EngagementChurn(), ChurnCell():
            return _engagement(counted, asked, cell)
        case Activation(), ActivationCell():
            return _activation(counted, asked, cell)
        case Overlapping(), OverlapCell():
            return _overlap(counted, asked, cell)
        case CustomerCell(), np.ndarray():
            return _confirmed(counted, [*_customers(asked)], cell)
        case "trials" | "past_due" | "leaving", np.ndarray():
            return _confirmed(counted, [_SUBSCRIBED[asked]], cell)
    raise _NoRule


# --------------------------------------------------------------------------------------------------------- people


def _people(timeline: Timeline, conditions: Iterable[Condition]) -> Iterator[Node]:
    """Conditions on people, those on segments and lists as membership."""
    for one in conditions:
        key = grouping.key_of(one.field)
        if key is None:
            yield {"kind": "person", "field": one.name, "op": one.comparison, "values": list(one.values)}
            continue
        found = grouping.belonging_of(timeline, key)
        inside, outside = map(one.holds, found.words)
        if not (inside or outside):
            raise _NoRule
        if inside != outside:
            yield _member(key, found, inside)


def _member(key: UUID, of: Belonging, inside: bool) -> Node:
    named = {"kind": "segment", "segment": str(key)} if of.is_segment else {"kind": "list", "people": str(key)}
    return named | {"member": inside}


def _of_group(timeline: Timeline, by: Breakdown | None, group: Group) -> Iterator[Condition]:
    """A group of a breakdown as a condition. Groups tell upper from lower case, conditions do not."""
    if by is None or group == ALL:
        return
    if group.kind == "none":
        yield Condition(by.field, "not_set")
        return
    found = Condition(by.field, "is", (group.label,))
    values = (timeline.columns.person(by.name) if by.of_person else timeline.columns.event(by.name)).values
    if group.kind == "other" or any(found.holds(value) != (label(value) == group.label) for value in values):
        raise _NoRule
    yield found


# --------------------------------------------------------------------------------------------------------- events


def _days(first: date, end: date) -> Node:
    """Local days [first, end)."""
    return {"since": first.isoformat(), "until": (end - _A_DAY).isoformat()}


@dataclass(frozen=True, slots=True, eq=False)
class _Events:
    """What was done, as conditions. `everything`: what machines did, too."""

    timeline: Timeline
    everything: bool = False

    def did(self, match: Match, when: Node, **how: Any) -> Node:
        """Did one of these events in a time."""
        return _joined(
            [{"kind": "performed", "event": self._event(match), "when": when, **how}, *self._of_people(match)]
        )

    def did_not(self, match: Match, when: Node) -> Node:
        """Did none of them."""
        if any(one.of_person for one in match.conditions):
            return _none(self.did(match, when))
        return self.did(match, when, how="exactly", times=0)

    def followed(self, match: Match, then: Match, when: Node, within: str) -> Node:
        """Did one in a time, and the other within so long after it."""
        events = {"event": self._event(match), "then": self._event(then)}
        done = {"kind": "sequence", **events, "within": within, "when": when}
        return _joined([done, *self._of_people(match), *self._of_people(then)])

    def _event(self, match: Match) -> Node:
        if self.everything and not match.names:
            raise _NoRule
        where = [
            {"field": one.name, "comparison": one.comparison, "values": list(one.values)}
            for one in match.conditions
            if not one.of_person
        ]
        return {"names": list(match.names), "where": where, "machines": self.everything}

    def _of_people(self, match: Match) -> Iterator[Node]:
        yield from _people(self.timeline, (one for one in match.conditions if one.of_person))


def _joined(nodes: list[Node], kind: str = "all") -> Node:
    """One by itself, several as a group."""
    return nodes[0] if len(nodes) == 1 else {"kind": kind, "of": nodes}


def _none(*nodes: Node) -> Node:
    return {"kind": "not", "of": list(nodes)}


# -------------------------------------------------------------------------------------------------------- reports


def _trend(counted: Counted, asked: Trend, cell: TrendCell) -> Iterator[Node]:
    scope = counted.scope.earlier() if cell.earlier else counted.scope
    if scope is None:
        raise _NoRule
    first, end = scope.start, scope.end
    if cell.start is not None:
        first = first if asked.cumulative else max(first, cell.start)
        end = min(end, following(cell.start, asked.interval))
    if cell.earlier and midnight(end, scope.zone) > scope.now:
        raise _NoRule  # it ends in the middle of a day
    match = _with_a_number(counted, asked, asked.series[cell.series])
    group = _of_group(counted.timeline, asked.breakdown, cell.group)
    match = Match(match.names, (*match.conditions, *group))
    yield _Events(counted.timeline, asked.everything).did(match, _days(first, end))


def _with_a_number(counted: Counted, asked: Trend, match: Match) -> Match:
    """Only events that have the number which is added up."""
    if asked.field is None:
        return match
    if is_money(asked.field):
        match, _ = in_currency(counted.timeline, match, asked.currency or counted.scope.currency)
    known = Condition(asked.field, "set")
    if not read_numbers(counted.timeline.columns.event(known.name).values)[1].all():
        raise _NoRule
    return Match(match.names, (*match.conditions, known))


def _lifecycle(counted: Counted, asked: Lifecycle, cell: LifecycleCell) -> Iterator[Node]:
    events, event = _Events(counted.timeline, asked.everything), asked.event
    before = floor(cell.start - _A_DAY, asked.interval)
    now, earlier = _days(cell.start, following(cell.start, asked.interval)), _days(before, cell.start)
    if cell.state == "new":
        yield events.did(event, now, how="first")
        return
    yield events.did_not(event, now) if cell.state == "dormant" else events.did(event, now)
    if cell.state in ("returning", "dormant"):
        yield events.did(event, earlier)
    elif cell.state == "resurrecting":
        yield events.did_not(event, earlier)
        yield events.did(event, {"until": (before - _A_DAY).isoformat()})


def _stickiness(counted: Counted, asked: Stickiness, cell: StickinessCell) -> Iterator[Node]:
    if cell.day is None:
        raise _NoRule  # in exactly so many intervals
    span = _days(cell.day - timedelta(days=cell.span - 1), cell.day + _A_DAY)
    yield _Events(counted.timeline, asked.everything).did(asked.event, span)


def _funnel(
    counted: Counted,
    asked: FunnelQuestion,
    state: str = "reached",
    step: int | None = None,
    group: Group = ALL,
    **more: object,
) -> Iterator[Node]:
    """Who entered, who took the second required step in time, and who did not: further on, one attempt has to do it all."""
    last = len(asked.required) - 1
    if state == "converted" or (step is None and state != "reached"):
        rank = last
    elif step is None:
        rank = 0
    else:
        rank = asked.required.index(step - 1) if step - 1 in asked.required else last + 1
    whole = state in ("reached", "converted")
    if more or asked.exclusions or rank > 1 or state == "excluded" or (rank == 0 and not whole):
        raise _NoRule
    yield from _people(counted.timeline, _of_entrants(counted, asked, group))
    events, entry = _Events(counted.timeline, asked.everything), _days(counted.scope.start, counted.scope.end)
    if rank == 0:
        starts = asked.required if asked.order == "any" else asked.required[:1]
        yield _joined([events.did(asked.steps[place].match, entry) for place in starts], "any")
        return
    if asked.order != "ordered" or _has_more_to_come(counted):
        raise _NoRule
    first, second = (asked.steps[place].match for place in asked.required[:2])
    took = events.followed(first, second, entry, asked.window.text)
    if whole:
        yield took
        return
    still = entry | {"last": asked.window.text}
    is_over = micros(counted.scope.until) + asked.window.micros <= counted.timeline.watermark
    if not is_over and counted.timeline.watermark != micros(counted.scope.now):
        raise _NoRule
    yield events.did(first, still if state == "open" else entry)
    yield _none(took)
    if state == "dropped" and not is_over:
        yield events.did_not(first, still)


def _of_entrants(counted: Counted, asked: FunnelQuestion, group: Group) -> Iterable[Condition]:
    if group != ALL and asked.breakdown is not None and not asked.breakdown.of_person:
        raise _NoRule  # it is of an event of the attempt
    return _of_group(counted.timeline, asked.breakdown, group)


def _has_more_to_come(counted: Counted) -> bool:
    """Whether something is known that happens later than the report is seen: funnels look at it, rules wait for it."""
    now = micros(counted.scope.now)
    return any(len(shard.at) and int(shard.at.max()) >= now for shard in counted.timeline.shards)


def _retention(counted: Counted, asked: Retention, cell: RetentionCell) -> Iterator[Node]:
    scope = counted.scope
    if cell.group != ALL and asked.breakdown is not None and not asked.breakdown.of_person:
        raise _NoRule  # it is of the event they started with
    yield from _people(counted.timeline, _of_group(counted.timeline, asked.breakdown, cell.group))
    first, end = scope.start, scope.end
    if cell.cohort is not None:
        first, end = max(first, cell.cohort), min(end, following(cell.cohort, asked.cohort))
    yield from _started(counted, asked.start, asked.occurrence, first, end, everything=asked.everything)
    if cell.column is None:
        return
    column = asked.columns[cell.column]
    if cell.cohort is None or asked.rolling or column.unit != asked.cohort or column.first == 0:
        raise _NoRule  # when they have to be back follows from when each of them started
    when: Node = {"since": _later(cell.cohort, column.first, asked.cohort).isoformat()}
    if column.last is not None:
        when["until"] = (_later(cell.cohort, column.last + 1, asked.cohort) - _A_DAY).isoformat()
    events = _Events(counted.timeline, asked.everything)
    yield events.did(asked.returning, when) if cell.returned else events.did_not(asked.returning, when)


def _later(day: date, intervals: int, interval: Interval) -> date:
    """The first day of the interval so many after the one that begins on a day."""
    for _ in range(intervals):
        day = following(day, interval)
    return day


def _started(
    counted: Counted, start: Match | Known, occurrence: Occurrence, first: date, end: date, *, everything: bool
) -> Iterator[Node]:
    """Whose clock begins on local days [first, end)."""
    if isinstance(start, Known):
        yield from _became(counted, start.name, first, end)
        return
    events = _Events(counted.timeline, everything)
    yield events.did(start, _days(first, end), **({"how": "first"} if occurrence == "first_ever" else {}))
    if occurrence == "first_in_period" and first > counted.scope.start:
        yield events.did_not(start, _days(counted.scope.start, first))


def _became(counted: Counted, field: str, first: date, end: date) -> Iterator[Node]:
    """Whose instant lies on these days. Conditions do not leave out what lies ahead, so nobody's may."""
    now, until = micros(counted.scope.now), micros(midnight(end, counted.scope.zone))
    found = instants_of(counted.timeline, field)
    if now < until and ((found != NEVER) & (found >= now) & (found < until)).any():
        raise _NoRule
    if field == "signup_at":
        yield {"kind": "cohort", **_days(first, end)}
        return
    yield {"kind": "person", "field": field, "op": "on_or_after", "day": first.isoformat()}
    yield {"kind": "person", "field": field, "op": "before", "day": end.isoformat()}


def _engagement(counted: Counted, asked: EngagementChurn, cell: ChurnCell) -> Iterator[Node]:
    at = moment(counted.timeline, counted.scope, asked, cell.start)
    quiet, whole = asked.quiet.micros, asked.quiet.micros + asked.baseline.micros
    if at == micros(counted.scope.now):
        baseline: Node = {"last": _length(whole), "ago": _length(quiet)}
        since: Node = {"last": _length(quiet)}
    else:
        first, silent, end = (_day_that_begins(counted, edge) for edge in (at - whole, at - quiet, at))
        baseline, since = _days(first, silent), _days(silent, end)
    events = _Events(counted.timeline)
    yield events.did(asked.core, baseline)
    if cell.state != "active":
        yield events.did_not(asked.core, since) if cell.state == "churned" else events.did(asked.core, since)


def _length(lasts: int) -> str:
    """Microseconds, of whole seconds, as a length."""
    seconds = lasts // 1_000_000
    return f"{seconds // 86_400}d" if seconds % 86_400 == 0 else f"{seconds}s"


def _day_that_begins(counted: Counted, at: int) -> date:
    """The local day whose first instant this is; windows are elapsed time, and some days have 23 or 25 hours."""
    day = instant(at).astimezone(counted.scope.zone).date()
    if micros(midnight(day, counted.scope.zone)) != at:
        raise _NoRule
    return day


def _activation(counted: Counted, asked: Activation, cell: ActivationCell) -> Iterable[Node]:
    """Whoever started at a known instant. A rule counts what happened at that very instant, and not what did at the very
    end of the time, the report the other way about: there is a rule where that makes no difference to anybody."""
    scope = counted.scope
    first, end = scope.start, scope.end
    if cell.start is not None:
        first, end = max(first, cell.start), min(end, following(cell.start, asked.interval))
    nodes = [*_started(counted, asked.start, "first_ever", first, end, everything=asked.everything)]
    if cell.state == "started":
        return nodes
    if not isinstance(asked.start, Known):
        raise _NoRule
    field, days = asked.start.name, f"{asked.days}d"
    events, soon = _Events(counted.timeline, asked.everything), {"after": field, "during": days}
    met = [events.did(each.event, soon, times=each.times) for each in asked.criteria]
    over: Node = {"kind": "person", "field": field, "op": "longer_ago", "length": days}
    if midnight(end, scope.zone) + timedelta(days=asked.days) > scope.now:  # else it is over for all of them
        nodes.append(_none(over) if cell.state in ("early", "open") else over)
    if cell.state in ("activated", "early"):
        nodes += met
    elif cell.state in ("not_activated", "open"):
        nodes.append(_none(_joined(met)))
    within = people(counted.timeline, counted.people)
    return _confirmed(counted, nodes, activation_people(counted.timeline, scope, asked, cell, within=within))


def _confirmed(counted: Counted, nodes: list[Node], numbers: NDArray[np.int64]) -> list[Node]:
    """These conditions, where they hold for exactly these people of those who were counted."""
    timeline, scope, rule = counted.timeline, counted.scope, _rule(nodes)
    if rule is None:
        raise _NoRule
    try:
        held = rule.holds(Facts(timeline, micros(scope.now), Surroundings(scope.zone)))
    except InvalidInput:  # one names a segment or a list
        raise _NoRule from None
    if not np.array_equal(timeline.numbers[held & people(timeline, counted.people)], numbers):
        raise _NoRule
    return nodes


def _customers(asked: CustomerCell) -> Iterator[Node]:
    for field, value in (("stage", asked.stage), ("source", asked.source)):
        if value is None:
            yield {"kind": "person", "field": field, "op": "not_set"}
        elif value != EVERY:
            yield {"kind": "person", "field": field, "op": "is", "values": [value]}
    if asked.which == "last_30_days":
        yield {"kind": "person", "field": "first_seen_at", "op": "within_last", "length": "30d"}
    elif asked.which == "subscribed":
        yield {"kind": "person", "field": "subscribed_at", "op": "set"}


def _overlap(counted: Counted, asked: Overlapping, cell: OverlapCell) -> Iterator[Node]:
    """In some sets and not in others. Members are those of the last evaluation, so it may be that a rule, which is asked
    anew, has others by now; and internal people may be on a list."""
    timeline, scope = counted.timeline, counted.scope
    held = Facts(timeline, micros(scope.now), Surroundings(scope.zone)).live & people(timeline, counted.people)
    for key in asked.lists:
        inside = key in cell.inside
        if inside or cell.only:
            try:
                of = grouping.belonging_of(timeline, key)
            except GrowthError:  # its rule broke, and it has the people it had
                raise _NoRule from None
            held = held & (of.members == inside)
            yield _member(key, of, inside)
    if not np.array_equal(timeline.numbers[held], cell.people):
        raise _NoRule
