"""The MRR ledger as arrays: what every customer paid a month, when that changed, and what kind of change it was.

A customer is a person, with all their subscriptions in every currency; internal people are left out. The kinds are
those of the definitions: new, reactivation, expansion, contraction, churn; what exchange rates do is a line of its own.
It reads the ledger and knows the workspace's days and rates; which numbers are made of it is the reports' business.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Literal, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray
from sqlmodel import Session

from gdp_core.analytics.calendar import Interval, edges, following, instant, starts
from gdp_core.analytics.rates import Rates
from gdp_core.analytics.scope import Scope
from gdp_core.db import rows
from gdp_core.errors import InvalidInput

Kind = Literal["new", "reactivation", "expansion", "contraction", "churn"]
KINDS: tuple[Kind, ...] = ("new", "reactivation", "expansion", "contraction", "churn")
NEW, REACTIVATION, EXPANSION, CONTRACTION, CHURN = range(5)
NOTHING = -1
_DAY = timedelta(days=1)

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Kinds = NDArray[np.int8]


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """N changes of C customers in order of time. A pair is a customer's MRR in one currency; there are K.

    `day` is the local day as a proleptic ordinal, amounts are micros of the pair's currency, `rate` what one unit was
    worth in the base currency that day (NaN without one). `kind` is that of everything the customer changed at that
    instant, and so is `involuntary`: some of it ended by failed payments.
    """

    people: NDArray[Any]  # C ids of persons
    since: Ints  # C: the day they first had MRR, in any currency
    currencies: tuple[str, ...]
    customer_of: Ints  # K, into people
    currency_of: Ints  # K, into currencies
    day: Ints
    pair: Ints
    customer: Ints
    currency: Ints
    delta: Ints
    kind: Kinds
    rate: NDArray[np.float64]
    involuntary: Flags
    leads: Flags  # the first change of its customer at that instant

    def has(self, pairs: Flags) -> Flags:
        """The customers of these pairs."""
        found = np.zeros(len(self.people), np.bool_)
        found[self.customer_of[pairs]] = True
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """N changes as they are stored: of customer and currency (indices), in microseconds and micros."""

    customer: Ints
    currency: Ints
    at: Ints
    delta: Ints
    involuntary: Flags


class Stretch(NamedTuple):
    """Local days [start, end). `cut`: an interval of which the period has only a part, or that is not over."""

    start: date
    end: date
    cut: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """Local days [start, end) of a ledger: every pair's MRR before and after, and the changes in between."""

    start: date
    end: date
    opening: Ints  # K
    closing: Ints  # K
    rows: slice

    @property
    def last(self) -> date:
        """Its last day."""
        return self.end - _DAY


@dataclass(frozen=True, slots=True)
class Flow:
    """What became of MRR, in micros: start + new + reactivation + expansion - contraction - churn + fx = end, always.

    `rest` is the MRR at the end in currencies that have no exchange rate; it is in no other field. A currency that gets
    its first rate comes in by `fx`.
    """

    start: int
    new: int
    reactivation: int
    expansion: int
    contraction: int
    churn: int
    fx: int
    end: int
    rest: Mapping[str, int] = field(default_factory=dict)

    @property
    def closes(self) -> bool:
        """Whether the lines lead from the start to the end, to the micro."""
        gained, lost = self.new + self.reactivation + self.expansion, self.contraction + self.churn
        return self.start + gained - lost + self.fx == self.end


# ------------------------------------------------------------------------------------------------------- reading


def read_ledger(
    session: Session, scope: Scope, rates: Rates, *, only: str | None = None, within: Sequence[UUID] | None = None
) -> Ledger:
    """Everything that changed up to now. `only` keeps one currency, `within` these persons."""
    found = rows(
        session,
        """
        SELECT coalesce(a.person_id, m.actor_id) AS person, m.currency,
            (extract(epoch FROM m.changed_at) * 1000000)::bigint AS at,
            sum(m.after_micros - m.before_micros)::bigint AS delta,
            coalesce(bool_or(m.reason = 'involuntary'), false) AS involuntary
        FROM mrr_change m
        LEFT JOIN actor a ON a.id = m.actor_id AND a.workspace_id = m.workspace_id
        LEFT JOIN person p ON p.id = a.person_id AND p.workspace_id = a.workspace_id
        WHERE m.changed_at < :until AND p.is_internal IS NOT TRUE
            AND (CAST(:within AS uuid[]) IS NULL OR a.person_id = ANY(CAST(:within AS uuid[])))
        GROUP BY 1, 2, 3 HAVING sum(m.after_micros - m.before_micros) <> 0 ORDER BY 1, 3, 2
        """,
        until=scope.now,
        within=None if within is None else list(within),
    )
    persons, codes, at, delta, involuntary = zip(*found, strict=True) if found else ((),) * 5
    people = np.array(persons, object)
    first = firsts(people)
    currencies = tuple(sorted(set(codes)))
    return build(
        people[first],
        currencies,
        Changes(
            customer=np.cumsum(first) - 1,
            currency=np.searchsorted(np.array(currencies, np.str_), np.array(codes, np.str_)),
            at=np.array(at, np.int64),
            delta=np.array(delta, np.int64),
            involuntary=np.array(involuntary, np.bool_),
        ),
        scope.zone,
        rates,
        only=only,
    )


def build(
    people: NDArray[Any],
    currencies: tuple[str, ...],
    changes: Changes,
    zone: ZoneInfo,
    rates: Rates,
    *,
    only: str | None = None,
) -> Ledger:
    """The ledger of changes that are in order of (customer, at) and none of which is of 0 micros.

    With `only`, a change is what it is within that currency; new is still who never paid in any.
    """
    customer_of, currency_of, pair = _pairs(changes, len(currencies))
    after = _running(changes.delta, pair)
    before = after - changes.delta
    day = _days(changes.at, zone)
    rate = rates_on(rates, currencies, changes.currency, day)
    kind = _kinds(changes, before, after, rate, alone=only is not None)
    leads = firsts(changes.customer) | firsts(changes.at)
    moment = np.cumsum(leads) - 1
    involuntary = np.bincount(moment, changes.involuntary)[moment] > 0
    order = np.argsort(changes.at, kind="stable")
    if only is not None:
        order = order[np.array([code == only for code in currencies], np.bool_)[changes.currency[order]]]
        leads = np.ones_like(leads)
    return Ledger(
        people=people,
        since=day[firsts(changes.customer)],
        currencies=currencies,
        customer_of=customer_of,
        currency_of=currency_of,
        day=day[order],
        pair=pair[order],
        customer=changes.customer[order],
        currency=changes.currency[order],
        delta=changes.delta[order],
        kind=kind[order],
        rate=rate[order],
        involuntary=involuntary[order],
        leads=leads[order],
    )


def firsts(values: NDArray[Any]) -> Flags:
    """Where a run of equal values begins."""
    first = np.ones(len(values), np.bool_)
    first[1:] = values[1:] != values[:-1]
    return first


def _pairs(changes: Changes, width: int) -> tuple[Ints, Ints, Ints]:
    """(customer of each pair, its currency, pair of each change)."""
    key = changes.customer * max(width, 1) + changes.currency
    ordered = np.sort(key)
    known = ordered[firsts(ordered)]
    return known // max(width, 1), known % max(width, 1), np.searchsorted(known, key)


def _running(delta: Ints, group: Ints) -> Ints:
    """The sum of a group's values up to each of them, in the order they are in."""
    order = np.argsort(group, kind="stable")
    total = np.cumsum(delta[order])
    first = firsts(group[order])
    base = (total - delta[order])[first]
    found = np.empty_like(delta)
    found[order] = total - np.repeat(base, np.diff(np.append(np.flatnonzero(first), len(delta))))
    return found


def _days(at: Ints, zone: ZoneInfo) -> Ints:
    """The local day of each instant."""
    if not len(at):
        return at
    first, last = (instant(edge).astimezone(zone).date() for edge in (at.min(), at.max()))
    days = starts(first - _DAY, last + _DAY, "day")
    found: Ints = np.searchsorted(edges(days, "day", zone), at, side="right") - 1 + days[0].toordinal()
    return found


def rates_on(rates: Rates, currencies: Sequence[str], currency: Ints, day: Ints) -> NDArray[np.float64]:
    """What one unit of each currency (an index) was worth on a day (an ordinal); NaN without a rate."""
    found = np.full(len(day), np.nan)
    for index, code in enumerate(currencies):
        mine = currency == index
        if code == rates.base:
            found[mine] = 1.0
        elif code in rates.steps:
            since, worth = rates.steps[code]
            place = np.searchsorted([on.toordinal() for on in since], day[mine], side="right")
            found[mine] = np.array([np.nan, *map(float, worth)])[place]
    return found


def _kinds(changes: Changes, before: Ints, after: Ints, rate: NDArray[np.float64], *, alone: bool) -> Kinds:
    """The kind of each change: of the whole instant of its customer, or of its currency `alone`."""
    moment_first = firsts(changes.customer) | firsts(changes.at)
    begins = np.flatnonzero(moment_first)
    if not len(begins):
        return np.empty(0, np.int8)
    moment = np.cumsum(moment_first) - 1
    customer = changes.customer[begins]
    flips = np.add.reduceat((after > 0).astype(np.int64) - (before > 0), begins)
    paying = _running(flips, customer)  # in how many currencies
    has, had = paying > 0, paying - flips > 0
    ever = _running(has.astype(np.int64), customer) - has > 0
    began = np.where(ever, REACTIVATION, NEW)
    if alone:
        up = np.where(changes.delta > 0, EXPANSION, CONTRACTION)
        own: Kinds = np.select([before == 0, after == 0], [began[moment], CHURN], up).astype(np.int8)
        return own
    worth = np.add.reduceat(np.nan_to_num(changes.delta * rate), begins)
    more = np.where(worth == 0, np.maximum.reduceat(changes.delta, begins), worth) > 0
    kind: Kinds = np.select([~had, ~has], [began, CHURN], np.where(more, EXPANSION, CONTRACTION)).astype(np.int8)
    found: Kinds = kind[moment]
    return found


# ---------------------------------------------------------------------------------------------------- stretches


def stretches(scope: Scope, interval: Interval) -> tuple[Stretch, ...]:
    """The intervals of a period up to today, the first and last cut where it begins and ends. Raises InvalidInput for
    a period in the future."""
    end = min(scope.end, scope.today + _DAY)
    if scope.start >= end:
        raise InvalidInput("This period has not begun yet: choose one that begins today or earlier.")
    found = []
    for day in starts(scope.start, end, interval):
        start, until = max(day, scope.start), min(following(day, interval), end)
        is_running = until > scope.today
        found.append(Stretch(start, until, start > day or until < following(day, interval) or is_running))
    return tuple(found)


def whole(cuts: Sequence[Stretch]) -> Stretch:
    """Stretches that follow each other without a gap as one."""
    return Stretch(cuts[0].start, cuts[-1].end, cuts[0].cut or cuts[-1].cut)


def spans(ledger: Ledger, cuts: Sequence[Stretch]) -> Iterator[Span]:
    """What happened in each of these stretches, which are in order and do not overlap."""
    level, reached = np.zeros(len(ledger.customer_of), np.int64), 0
    for start, end, _ in cuts:
        first, last = np.searchsorted(ledger.day, [start.toordinal(), end.toordinal()]).tolist()
        opening = _advanced(ledger, level, slice(reached, first))
        level, reached = _advanced(ledger, opening, slice(first, last)), last
        yield Span(start, end, opening, level, slice(first, last))


def _advanced(ledger: Ledger, level: Ints, part: slice) -> Ints:
    if part.start == part.stop:
        return level
    later = level.copy()
    np.add.at(later, ledger.pair[part], ledger.delta[part])
    return later


def net_kinds(ledger: Ledger, span: Span, rates: Rates) -> Kinds:
    """What became of each customer between the ends of a stretch, whatever happened in between; NOTHING for no change."""
    had, has = ledger.has(span.opening > 0), ledger.has(span.closing > 0)
    moved = span.closing - span.opening
    worth = worths(ledger, moved, rates, span.last)
    most = np.zeros(len(ledger.people), np.int64)
    np.maximum.at(most, ledger.customer_of, moved)
    more = np.where(worth == 0, most, worth) > 0
    began = np.where(ledger.since < span.start.toordinal(), REACTIVATION, NEW)
    kind = np.select([~had & has, had & ~has], [began, CHURN], np.where(more, EXPANSION, CONTRACTION))
    found: Kinds = np.where(ledger.has(moved != 0), kind, NOTHING).astype(np.int8)
    return found


def worths(ledger: Ledger, amounts: Ints, rates: Rates, day: date) -> NDArray[np.float64]:
    """What amounts of the pairs are worth to each customer on a day, in micros of the base currency; 0 without a rate."""
    worth = amounts * np.nan_to_num(pair_rates(ledger, rates, day))
    return np.bincount(ledger.customer_of, worth, len(ledger.people)).astype(np.float64)


def pair_rates(ledger: Ledger, rates: Rates, day: date) -> NDArray[np.float64]:
    """What one unit of each pair's currency is worth on a day; NaN without a rate."""
    found = np.full(len(ledger.currencies), np.nan)
    for place, code in enumerate(ledger.currencies):
        since, worth = ((date.min,), (1.0,)) if code == rates.base else rates.steps.get(code, ((), ()))
        if newest := bisect_right(since, day):
            found[place] = worth[newest - 1]
    return found[ledger.currency_of]


# -------------------------------------------------------------------------------------------------------- flows


def daily_flows(ledger: Ledger, span: Span, rates: Rates) -> list[Flow]:
    """The flow of every day of a stretch. A change is converted at its own day's rate, and what is there when a day
    begins is revalued by `fx`.

    Amounts of a currency are added exactly before they are rounded, and each line is the difference of two rounded
    running totals: so the lines close to the micro, and MRR is what one conversion of its total gives.
    """
    days = (span.end - span.start).days
    moves = np.zeros((len(ledger.currencies), days, len(KINDS)), np.int64)
    part = span.rows
    place = (ledger.currency[part], ledger.day[part] - span.start.toordinal(), ledger.kind[part])
    np.add.at(moves, place, ledger.delta[part])
    flows = [_Sum() for _ in range(days)]
    for code, opening, moved in zip(ledger.currencies, _in_all(ledger, span.opening), moves.tolist(), strict=True):
        level = opening
        for offset, amounts in enumerate(moved):
            day = span.start + offset * _DAY
            level = flows[offset].add(code, level, amounts, rates, day - _DAY, day)
    return [flow.total() for flow in flows]


def net_flow(ledger: Ledger, span: Span, kinds: Kinds, rates: Rates) -> Flow:
    """The flow of a whole stretch by what became of each customer: changes are converted at its last day's rate, and
    what was there when it began is revalued by `fx`."""
    moved = np.zeros((len(ledger.currencies), len(KINDS)), np.int64)
    changed = kinds[ledger.customer_of] != NOTHING
    place = (ledger.currency_of[changed], kinds[ledger.customer_of[changed]])
    np.add.at(moved, place, (span.closing - span.opening)[changed])
    flow = _Sum()
    for code, level, amounts in zip(ledger.currencies, _in_all(ledger, span.opening), moved.tolist(), strict=True):
        flow.add(code, level, amounts, rates, span.start - _DAY, span.last)
    return flow.total()


def together(flows: Sequence[Flow]) -> Flow:
    """Days that follow each other as one."""
    sums = {name: sum(getattr(flow, name) for flow in flows) for name in (*KINDS, "fx")}
    return Flow(start=flows[0].start, **sums, end=flows[-1].end, rest=flows[-1].rest)


def closed(days: Sequence[Flow]) -> int:
    """How many of days that follow each other close, each beginning where the one before ended."""
    begun = [days[0].start, *(day.end for day in days[:-1])]
    return sum(day.closes and day.start == start for day, start in zip(days, begun, strict=True))


def _in_all(ledger: Ledger, level: Ints) -> list[int]:
    """MRR per currency."""
    found = np.zeros(len(ledger.currencies), np.int64)
    np.add.at(found, ledger.currency_of, level)
    return [int(amount) for amount in found]


class _Sum:
    """The lines of a flow, one currency added after the other."""

    def __init__(self) -> None:
        self._start = self._fx = self._end = 0
        self._lines = [0] * len(KINDS)
        self._rest: dict[str, int] = {}

    def add(self, currency: str, level: int, moved: Sequence[int], rates: Rates, before: date, day: date) -> int:
        """MRR of a currency that was `level` at the end of `before` and moved on `day`. Returns what it is then."""
        opening = rates.in_base(level, currency, before) or 0
        value = rates.in_base(level, currency, day)
        self._start += opening
        self._fx += (value or 0) - opening
        for kind, amount in enumerate(moved):
            if amount:
                level += amount
                after = rates.in_base(level, currency, day)
                self._lines[kind] += (after or 0) - (value or 0)
                value = after
        self._end += value or 0
        if value is None and level:
            self._rest[currency] = level
        return level

    def total(self) -> Flow:
        """The flow; what lowers MRR is above 0 in it."""
        new, reactivation, expansion, contraction, churn = self._lines
        return Flow(self._start, new, reactivation, expansion, -contraction, -churn, self._fx, self._end, self._rest)
