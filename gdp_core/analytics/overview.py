"""The overview's numbers, in plain SQL over the summaries the worker keeps. Internal people are in none of them.

Days are the workspace's local days, except where a summary only knows UTC days (events, money of valued events).
Definitions follow docs/definitions; what people are told of a metric is declared in `metrics`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from typing import Any, Literal

from sqlmodel import Session

from gdp_core.analytics.metrics import Declared, metric
from gdp_core.analytics.rates import Rates, Sum, read_rates
from gdp_core.analytics.scope import Scope, midnight
from gdp_core.db import one, rows

Interval = Literal["day", "week", "month"]
_FEW_DAYS, _MANY_DAYS = 45, 200
_MOST_SERIES = 4


@dataclass(frozen=True, slots=True)
class Metric:
    """A headline number, `declared` under its name. Money in micros of the workspace's currency; a ratio is None on a
    zero denominator."""

    name: str
    value: float | None
    compared: float | None  # `value` as far as `before` reaches: without the running day where only whole days are kept
    before: float | None  # in the period it is compared with; None: nothing to compare with
    days: tuple[float, ...]  # one value for each local day of the period, the running one last
    rest: Mapping[str, int]  # micros per currency without an exchange rate, not in `value`

    @property
    def declared(self) -> Declared:
        """What people are told of it."""
        return metric(self.name)


@dataclass(frozen=True, slots=True)
class Bars:
    """Counts per interval, stacked. Weeks and months are whole, but for the last one when it is `cut` short."""

    interval: Interval
    starts: tuple[date, ...]
    series: tuple[tuple[str, tuple[int, ...]], ...]  # largest first; at most four, the last one "other"
    cut: bool

    @property
    def total(self) -> int:
        """Everything in it."""
        return sum(sum(values) for _, values in self.series)


@dataclass(frozen=True, slots=True)
class MonthMoney:
    """Revenue of one local month: paid minus given back, in micros of the workspace's currency."""

    month: date
    paid: int
    returned: int


@dataclass(frozen=True, slots=True)
class Money:
    """Revenue by month, oldest first, and what no exchange rate covers. `running`: the last month is not over."""

    months: tuple[MonthMoney, ...]
    rest: Mapping[str, int]
    running: bool


def read_metrics(session: Session, scope: Scope) -> tuple[Metric, ...]:
    """New people, active people, MRR, trial to paid, events: each with its days and the earlier period's value."""
    earlier = scope.earlier()
    return (
        _new_people(session, scope, earlier),
        _active_people(session, scope, earlier),
        _mrr(session, scope, earlier),
        _trial_to_paid(session, scope, earlier),
        _events(session, scope, earlier),
    )


def _new_people(session: Session, scope: Scope, earlier: Scope | None) -> Metric:
    def counts(of: Scope) -> dict[date, int]:
        found = rows(
            session,
            "SELECT (first_seen_at AT TIME ZONE :tz)::date AS day, count(*) AS n FROM person"
            " WHERE NOT is_internal AND first_seen_at >= :since AND first_seen_at < :until GROUP BY 1",
            tz=of.timezone,
            since=of.since,
            until=of.until,
        )
        return {row.day: row.n for row in found}

    now = counts(scope)
    return Metric(
        "new_people",
        sum(now.values()),
        sum(now.values()),
        sum(counts(earlier).values()) if earlier else None,
        _by_day(scope, now),
        {},
    )


_ACTIVE = """
    SELECT (v.at AT TIME ZONE :tz)::date AS day, count(DISTINCT a.person_id) AS n
    FROM actor_day d
    JOIN actor a ON a.id = d.actor_id AND a.workspace_id = d.workspace_id
    JOIN person p ON p.id = a.person_id AND p.workspace_id = a.workspace_id AND NOT p.is_internal
    CROSS JOIN LATERAL (VALUES (d.first_at), (d.last_at)) v(at)
    WHERE d.human_events > 0 AND d.day >= :first AND d.day <= :last AND v.at >= :since AND v.at < :until
    GROUP BY GROUPING SETS ((1), ())
"""
# A UTC day meets at most two local days, the first of which holds its first_at and the second its last_at: exact.


def _active_people(session: Session, scope: Scope, earlier: Scope | None) -> Metric:
    def counts(of: Scope) -> dict[date | None, int]:
        found = rows(
            session,
            _ACTIVE,
            tz=of.timezone,
            since=of.since,
            until=of.until,
            first=of.since.astimezone(UTC).date(),
            last=of.until.astimezone(UTC).date(),
        )
        return {row.day: row.n for row in found}

    now = counts(scope)
    return Metric(
        "active_people",
        now.get(None, 0),
        now.get(None, 0),
        counts(earlier).get(None, 0) if earlier else None,
        _by_day(scope, {day: n for day, n in now.items() if day}),
        {},
    )


def _mrr(session: Session, scope: Scope, earlier: Scope | None) -> Metric:
    changes = _mrr_changes(session, scope)
    rates = read_rates(session, scope.currency)
    level, position = dict[str, int](), 0
    days = []
    for offset in range((_last_day(scope) - scope.start).days + 1):
        day = scope.start + timedelta(days=offset)
        position = _advance(level, changes, position, day)
        days.append(rates.total((micros, currency, day) for currency, micros in level.items()))
    before: Sum | None = None
    if earlier:
        then = _mrr_changes(session, earlier)
        before = rates.total((micros, currency, _last_day(earlier)) for _, currency, micros in then)
    current = days[-1] if days else Sum(0, {})
    return Metric(
        "mrr",
        current.micros,
        current.micros,
        before.micros if before else None,
        tuple(float(total.micros) for total in days),
        current.rest,
    )


def _mrr_changes(session: Session, of: Scope) -> list[tuple[date, str, int]]:
    """(local day, currency, micros) of every change of MRR before the period's last instant, in order of days."""
    found = rows(
        session,
        "SELECT (m.changed_at AT TIME ZONE :tz)::date AS day, m.currency,"
        " sum(m.after_micros - m.before_micros)::bigint AS micros FROM mrr_change m"
        " LEFT JOIN actor a ON a.id = m.actor_id AND a.workspace_id = m.workspace_id"
        " LEFT JOIN person p ON p.id = a.person_id AND p.workspace_id = a.workspace_id"
        " WHERE m.changed_at < :until AND p.is_internal IS NOT TRUE GROUP BY 1, 2 ORDER BY 1",
        tz=of.timezone,
        until=of.until,
    )
    return [(row.day, row.currency, row.micros) for row in found]


def _last_day(of: Scope) -> date:
    """The last local day that has begun."""
    return min(of.end - timedelta(days=1), of.today)


def _advance(level: dict[str, int], changes: Sequence[tuple[date, str, int]], position: int, day: date) -> int:
    while position < len(changes) and changes[position][0] <= day:
        _, currency, micros = changes[position]
        level[currency] = level.get(currency, 0) + micros
        position += 1
    return position


def _trial_to_paid(session: Session, scope: Scope, earlier: Scope | None) -> Metric:
    def counts(of: Scope) -> dict[date, tuple[int, int]]:
        found = rows(
            session,
            "SELECT (s.at AT TIME ZONE :tz)::date AS day, count(*) AS ended, count(*) FILTER (WHERE s.stage = 'active')"
            " AS paid FROM stage_change s JOIN person p ON p.id = s.person_id AND p.workspace_id = s.workspace_id"
            " WHERE s.previous = 'trial' AND NOT p.is_internal AND s.at >= :since AND s.at < :until GROUP BY 1",
            tz=of.timezone,
            since=of.since,
            until=of.until,
        )
        return {row.day: (row.paid, row.ended) for row in found}

    def rate(of: Mapping[date, tuple[int, int]]) -> float | None:
        ended = sum(pair[1] for pair in of.values())
        return sum(pair[0] for pair in of.values()) / ended if ended else None

    now = counts(scope)
    return Metric(
        "trial_to_paid",
        rate(now),
        rate(now),
        rate(counts(earlier)) if earlier else None,
        _rolling(scope, now),
        {},
    )


def _rolling(scope: Scope, pairs: Mapping[date, tuple[int, int]]) -> tuple[float, ...]:
    """The rate of the last seven days at each day: single days have too few trials."""
    paid = _by_day(scope, {day: pair[0] for day, pair in pairs.items()})
    ended = _by_day(scope, {day: pair[1] for day, pair in pairs.items()})
    rates: list[float] = []
    for index in range(len(ended)):
        window = slice(max(0, index - 6), index + 1)
        below = sum(ended[window])
        rates.append(sum(paid[window]) / below if below else (rates[-1] if rates else 0.0))
    return tuple(rates)


def _events(session: Session, scope: Scope, earlier: Scope | None) -> Metric:
    now = _event_days(session, scope.start, _utc_end(scope))
    running = scope.until.astimezone(UTC).date() if scope.is_running else scope.end  # this UTC day is not over
    whole = min(running, scope.end)
    before = None
    if earlier:
        then = _event_days(session, earlier.start, earlier.end)
        before = sum(n for day, n in then.items() if day < earlier.start + (whole - scope.start))
    shown: dict[date, int] = {}
    for day, n in now.items():
        shown[min(day, _last_day(scope))] = shown.get(min(day, _last_day(scope)), 0) + n
    return Metric(
        "events",
        sum(now.values()),
        sum(n for day, n in now.items() if day < whole),
        before,
        _by_day(scope, shown),
        {},
    )


def _utc_end(scope: Scope) -> date:
    """The UTC day a period ends before. West of Greenwich the running UTC day may be a day ahead of the local one."""
    return max(scope.end, scope.until.astimezone(UTC).date() + timedelta(days=1)) if scope.is_running else scope.end


def _event_days(session: Session, start: date, end: date) -> dict[date, int]:
    found = rows(
        session,
        """
        SELECT day, sum(n)::bigint AS n FROM (
            SELECT day, events AS n FROM event_type_day WHERE day >= :start AND day < :end
            UNION ALL
            SELECT d.day, -d.events FROM person p
            JOIN actor a ON a.person_id = p.id AND a.workspace_id = p.workspace_id
            JOIN actor_day d ON d.actor_id = a.id AND d.workspace_id = a.workspace_id
            WHERE p.is_internal AND d.day >= :start AND d.day < :end
        ) x GROUP BY day
        """,
        start=start,
        end=end,
    )
    return {row.day: max(0, row.n) for row in found}


def _by_day(scope: Scope, counts: Mapping[date, float]) -> tuple[float, ...]:
    last = min(scope.end, scope.today + timedelta(days=1))
    days = ((scope.start + timedelta(days=offset)) for offset in range(max(0, (last - scope.start).days)))
    return tuple(float(counts.get(day, 0)) for day in days)


def read_new_people(session: Session, scope: Scope) -> Bars:
    """New people by first-touch source per day, week or month of the period."""
    interval: Interval = "day" if scope.days <= _FEW_DAYS else "week" if scope.days <= _MANY_DAYS else "month"
    found = rows(
        session,
        "SELECT date_trunc(:interval, first_seen_at AT TIME ZONE :tz)::date AS start, coalesce(source, 'unknown') AS source,"
        " count(*) AS n FROM person WHERE NOT is_internal AND first_seen_at >= :since AND first_seen_at < :until"
        " GROUP BY 1, 2",
        interval=interval,
        tz=scope.timezone,
        since=scope.since,
        until=scope.until,
    )
    starts = _starts(scope, interval)
    counts: dict[str, dict[date, int]] = {}
    for row in found:
        counts.setdefault(row.source, {})[row.start] = row.n
    cut = scope.is_running or (bool(starts) and _next(starts[-1], interval) > scope.end)
    return Bars(interval, starts, _series(counts, starts), cut)


def _starts(scope: Scope, interval: Interval) -> tuple[date, ...]:
    last = min(scope.end - timedelta(days=1), scope.today)
    day = _floor(scope.start, interval)
    if day < scope.start:  # begun before the period: a bar that is too short would mislead
        day = _next(day, interval)
    starts = []
    while day <= last:
        starts.append(day)
        day = _next(day, interval)
    return tuple(starts)


def _next(day: date, interval: Interval) -> date:
    return _floor(day + timedelta(days={"day": 1, "week": 7, "month": 32}[interval]), interval)


def _floor(day: date, interval: Interval) -> date:
    if interval == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if interval == "month" else day


def _series(
    counts: Mapping[str, Mapping[date, int]], starts: Sequence[date]
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    ranked = sorted(counts, key=lambda name: (-sum(counts[name].values()), name))
    shown = ranked if len(ranked) <= _MOST_SERIES else ranked[: _MOST_SERIES - 1]
    series = [(name, tuple(counts[name].get(start, 0) for start in starts)) for name in shown]
    rest = ranked[len(shown) :]
    if rest:
        series.append(("all others", tuple(sum(counts[name].get(start, 0) for name in rest) for start in starts)))
    return tuple(series)


def read_money(session: Session, scope: Scope, months: int = 12) -> Money:
    """Revenue of the last months: paid invoices and one-off checkouts, and valued events of sources that have no
    invoices, minus refunds and lost disputes."""
    first = _floor(scope.today, "month")
    for _ in range(months - 1):
        first = _floor(first - timedelta(days=1), "month")
    since = midnight(first, scope.zone)
    found = rows(session, _MONEY, tz=scope.timezone, since=since, now=scope.now, first=first)
    rates = read_rates(session, scope.currency)
    paid, returned = _per_month(found, rates, "paid"), _per_month(found, rates, "returned")
    totals, month = [], first
    while month <= scope.today:
        totals.append(MonthMoney(month, paid.get(month, 0), returned.get(month, 0)))
        month = _next(month, "month")
    rest = rates.total((row.paid - row.returned, row.currency, row.day) for row in found).rest
    return Money(tuple(totals), rest, running=True)


def _per_month(found: Sequence[Any], rates: Rates, column: str) -> dict[date, int]:
    months: dict[date, int] = {}
    for row in found:
        converted = rates.in_base(getattr(row, column), row.currency, row.day)
        if converted is not None:
            month = _floor(row.day, "month")
            months[month] = months.get(month, 0) + converted
    return months


_MONEY = """
    SELECT m.day, m.currency, sum(m.paid)::bigint AS paid, sum(m.returned)::bigint AS returned FROM (
        SELECT (paid_at AT TIME ZONE :tz)::date AS day, currency, actor_id, amount_paid_micros AS paid, 0 AS returned
        FROM invoice WHERE status = 'paid' AND paid_at >= :since AND paid_at < :now
        UNION ALL
        SELECT (refunded_at AT TIME ZONE :tz)::date, currency, actor_id, 0, amount_micros
        FROM refund WHERE counts AND refunded_at >= :since AND refunded_at < :now
        UNION ALL
        SELECT day, currency, actor_id, paid_micros, refunded_micros FROM actor_value_day WHERE day >= :first
    ) m
    LEFT JOIN actor a ON a.id = m.actor_id AND a.workspace_id = app_ws()
    LEFT JOIN person p ON p.id = a.person_id AND p.workspace_id = app_ws()
    WHERE p.is_internal IS NOT TRUE GROUP BY 1, 2
"""


def is_empty(session: Session) -> bool:
    """Whether nothing was ever received or imported here."""
    return one(session, "SELECT FROM person LIMIT 1") is None and one(session, "SELECT FROM inbox LIMIT 1") is None
