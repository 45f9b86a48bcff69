"""Subscription churn on the churn page: who stopped paying, whether they wanted to, why, and for how long others stay."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

import streamlit as st
from sqlmodel import Session

from gdp_core.analytics import subscription_churn as core
from gdp_core.analytics.lifetimes import EVERYBODY
from gdp_core.analytics.scope import Scope
from gdp_core.analytics.shares import Share
from gdp_core.analytics.subscription_churn import Asked, Leaver, Number, Period, Subscribed, SubscriptionChurn
from gdp_core.analytics.subscription_factors import FACTORS, Factor, Factors
from gdp_core.analytics.survival import Survival
from gdp_core.segments.rules import Rule
from pages.ui import layout
from pages.ui.charts import churn as charts
from pages.ui.charts.style import CONFIG
from pages.ui.escape import clean
from pages.ui.format import UNKNOWN, label
from pages.ui.reporting import churn, clicking, explaining
from pages.ui.reporting.behind import Behind
from pages.ui.reporting.clicking import Click
from pages.ui.reporting.page import Turn

_COLUMNS: dict[str, Number] = {
    "Customers": "start",
    "Lost": "lost",
    "Wanted to leave": "voluntary",
    "Payments failed": "involuntary",
    "Asked to cancel": "requested",
    "Access ended": "effective",
}
_SAID: dict[Number, str] = {
    "start": "Customers at the start",
    "lost": "Stopped paying",
    "voluntary": "Wanted to leave",
    "involuntary": "Left because payments failed",
    "requested": "Asked to cancel",
    "effective": "Access ended as they wished",
    "leaving": "Set to end",
    "past_due": "Last payment failed, tried again",
}
_LOOKED_AFTER = (30, 90, 180, 365)
_NO_REASON = "None of these"


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    """What this view shows: the report, the whole of the period before it, and the lost."""

    found: SubscriptionChurn
    before: Period | None
    leavers: tuple[Leaver, ...]


def show(turn: Turn) -> Behind | None:
    """The view, and the people of the number that was clicked."""
    asked, sight = Asked(turn.question.interval), turn.sight
    told, opened = turn.read(
        (__name__, asked), lambda session: sight.answer(session, _tell, asked), partial(_behind, asked=asked)
    )
    found = told.found
    if not found.everybody.people:
        churn.nobody(
            "Nobody has paid for a subscription yet",
            "Connect Stripe under Sources, or choose other people: customers appear here with their first payment.",
        )
        return opened
    _headline(turn, found, told.before)
    _over_time(turn, found)
    with layout.card("Why they left", key="churn-paying-why"):
        _why(turn, told)
    left, right = st.columns([3, 2], gap="small")
    with left, layout.card("May be lost next", key="churn-paying-now"):
        _present(turn, found)
    with right, layout.card("What they said when they cancelled", key="churn-paying-said"):
        _stated(turn, found)
    _survival(turn, found)
    return opened


def _tell(session: Session, scope: Scope, asked: Asked, *, within: Sequence[UUID] | None = None) -> _Told:
    found, earlier = core.report(session, scope, asked, within=within), scope.earlier()
    before = core.total(session, earlier, asked, within=within) if earlier else None
    return _Told(found, before, core.leavers(session, scope, asked, within=within) if found.factors else ())


def _headline(turn: Turn, found: SubscriptionChurn, before: Period | None) -> None:
    write, total = turn.place.write, found.total
    rate_before = before.rate if before else None
    with layout.numbers():
        layout.metric(
            "Lost in the period",
            write.percent(total.rate),
            change=write.points(total.rate, rate_before),
            difference=round((total.rate or 0) - (rate_before or 0), 3) if before else 0,
            good="down",
            help=core.MEANINGS["rate"],
        )
        for name, now, then in (
            ("Wanted to leave", total.voluntary, before.voluntary if before else None),
            ("Payments failed", total.involuntary, before.involuntary if before else None),
        ):
            clicking.metric(
                Click("churn.paying.table", 0, name),
                name,
                write.number(now),
                change=write.change(now, then),
                difference=now - (now if then is None else then),
                good="down",
            )
        layout.metric(
            "MRR of the lost",
            write.money_short(total.lost_mrr, found.currency),
            change=write.change(total.lost_mrr, before.lost_mrr if before else None),
            difference=total.lost_mrr - (before.lost_mrr if before else total.lost_mrr),
            good="down",
            help="What they paid a month when the period began.",
        )
    layout.note(
        f"{write.number(total.lost)} of {write.number(total.customers)} customers who paid when the period began."
    )


def _rows(found: SubscriptionChurn) -> list[Period]:
    """As they are listed: the whole period, then the newest first."""
    return [found.total, *reversed(found.periods)]


def _over_time(turn: Turn, found: SubscriptionChurn) -> None:
    write, periods, rows = turn.place.write, found.periods, _rows(found)
    with layout.card(f"Lost customers by {turn.question.interval}", key="churn-paying"):
        clicking.chart(
            charts.lost(
                [churn.short(turn, period.start) for period in periods],
                [period.voluntary for period in periods],
                [period.involuntary for period in periods],
                [period.cut for period in periods],
            ),
            "churn.paying.chart",
            alt="Customers who were lost, by whether they wanted to leave or their payments failed",
        )
        if any(period.cut for period in periods):
            layout.note("Hatched: only partly in the period, or not over yet.")
        names = ["Whole period", *(churn.when(turn, row.start) + (" · cut" if row.cut else "") for row in rows[1:])]
        columns: dict[str, list[Any]] = {
            "When": names,
            "Customers": [write.number(row.customers) for row in rows],
            "Lost": [write.number(row.lost) for row in rows],
            "Rate": [write.percent(row.rate) for row in rows],
            "Wanted to leave": [write.number(row.voluntary) for row in rows],
            "Payments failed": [write.number(row.involuntary) for row in rows],
            "MRR of the lost": [write.money(row.lost_mrr, found.currency) for row in rows],
            "Asked to cancel": [write.number(row.requested) for row in rows],
            "Access ended": [write.number(row.effective) for row in rows],
        }
        clicking.table(
            columns,
            "churn.paying.table",
            alt="Subscription churn with its people",
            numbers=[*_COLUMNS],
            config={"When": st.column_config.TextColumn(width="medium", pinned=True)}
            | churn.right(columns, "Rate", "MRR of the lost"),
            height=min(460, 36 * (len(rows) + 1)),
        )
        file: dict[str, list[Any]] = {
            name: [getattr(row, name) for row in rows]
            for name in "start end cut customers lost rate voluntary involuntary requested effective".split()
        }
        file["lost_mrr"] = [row.lost_mrr / 1_000_000 for row in rows]
        explaining.below(turn.place, "subscription churn", file, key="churn-paying-csv")


def _may_go(found: SubscriptionChurn) -> list[tuple[Number, Subscribed]]:
    """Who may be lost next, as they are listed."""
    there: tuple[tuple[Number, Subscribed | None], ...] = (("leaving", found.leaving), ("past_due", found.past_due))
    return [(number, one) for number, one in there if one is not None]


def _present(turn: Turn, found: SubscriptionChurn) -> None:
    """Who may be lost next, as of now."""
    told = _may_go(found)
    if not told:
        layout.note("Known of the present only: choose a period that reaches up to today.")
        return
    write = turn.place.write
    clicking.table(
        {
            "As of now": [_SAID[number] for number, _ in told],
            "People": [write.number(one.people) for _, one in told],
            "MRR": [write.money(one.mrr, found.currency) for _, one in told],
        },
        "churn.paying.now",
        alt="Customers who may be lost next",
        numbers=["People"],
        config={
            "As of now": st.column_config.TextColumn(width="medium"),
            "MRR": st.column_config.TextColumn(alignment="right"),
        },
    )
    layout.note("They still count as customers, and pay until access ends.")


# ------------------------------------------------------------------------------------------------------------ why


def _why(turn: Turn, told: _Told) -> None:
    write, factors = turn.place.write, told.found.factors
    if factors is None:
        layout.note(
            "Not enough data: it takes ten customers who were lost in the months of the period, and ten who were not."
        )
        return
    by_name = {factor.name: factor for factor in factors.factors}
    churn.reasons(
        [
            (f"{FACTORS[name][:1].upper()}{FACTORS[name][1:]}", _sentence(turn, by_name[name])) if name else None
            for name in (factors.primary, factors.secondary)
        ],
        "Nothing of what was so before tells the lost from the others better than chance.",
        "churn-paying",
    )
    _compared(turn, factors)
    reasons = _by_reason(told.leavers)
    if reasons:
        columns: dict[str, list[Any]] = {
            "First reason of each": [_reason(name) for name, _ in reasons],
            "Lost": [write.number(len(people)) for _, people in reasons],
            "Payments failed": [write.number(sum(one.involuntary for one in people)) for _, people in reasons],
            "Most frequent second": [_second(people) for _, people in reasons],
        }
        clicking.table(
            columns,
            "churn.paying.reasons",
            alt="Lost customers by the first reason that holds for them",
            numbers=["Lost", "Payments failed"],
            config={"First reason of each": st.column_config.TextColumn(width="large")},
        )


def _by_reason(leavers: Sequence[Leaver]) -> list[tuple[str | None, list[Leaver]]]:
    """The lost by the first reason that holds for them, as they are listed."""
    found: dict[str | None, list[Leaver]] = {}
    for leaver in leavers:
        found.setdefault(leaver.primary, []).append(leaver)
    return sorted(found.items(), key=lambda item: (item[0] is None, -len(item[1])))


def _reason(name: str | None) -> str:
    return FACTORS[name] if name else _NO_REASON


def _second(people: Sequence[Leaver]) -> str:
    named = [one.secondary for one in people if one.secondary]
    return FACTORS[max(sorted(set(named)), key=named.count)] if named else UNKNOWN


def _compared(turn: Turn, factors: Factors) -> None:
    found = [one for one in factors.factors if one.risk.ratio is not None]
    if found:
        st.plotly_chart(
            charts.ratios(
                [
                    charts.Ratio(
                        FACTORS[one.name], one.risk.ratio or 0, one.risk.low, one.risk.high, _sentence(turn, one)
                    )
                    for one in found
                ]
            ),
            config=CONFIG,
            alt="How much oftener customers were lost with something than without it",
        )
    explaining.below(
        turn.place,
        "subscription churn factors",
        {
            "factor": [one.name for one in factors.factors],
            "meaning": [FACTORS[one.name] for one in factors.factors],
            **{
                name: [getattr(one.risk, name) for one in factors.factors]
                for name in ("have", "have_left", "others", "others_left", "ratio", "low", "high", "p", "corrected")
            },
        },
        key="churn-paying-factors-csv",
        hint=f"Of {turn.place.write.number(factors.cases)} customers at the start of a month,"
        f" {turn.place.write.number(factors.left)} of them lost in it.",
    )


def _sentence(turn: Turn, one: Factor) -> str:
    write, risk = turn.place.write, one.risk
    return (
        f"Lost {write.percent(risk.have_left / risk.have)} of them a month, of the others"
        f" {write.percent(risk.others_left / risk.others)}: {churn.multiple(turn.place, risk.ratio)}"
        f" ({churn.multiple(turn.place, risk.low)} – {churn.multiple(turn.place, risk.high)}),"
        f" by chance {churn.chance(risk.corrected)}"
    )


def _stated(turn: Turn, found: SubscriptionChurn) -> None:
    if not found.stated:
        layout.note("Nobody gave a reason in this period.")
        return
    clicking.table(
        {
            "Reason": [clean(label(reason), longest=60) for reason, _ in found.stated],
            "People": [turn.place.write.number(people) for _, people in found.stated],
        },
        "churn.paying.stated",
        alt="Reasons people gave when they cancelled",
        numbers=["People"],
    )
    layout.note("As people chose it in Stripe.")


# -------------------------------------------------------------------------------------------------------- survival


def _survival(turn: Turn, found: SubscriptionChurn) -> None:
    write, curve = turn.place.write, found.everybody
    with layout.card("For how long customers stay", key="churn-survival"):
        half = curve.median
        median = "more than half still pay" if half is None else f"half have left after {_days(turn, half)}"
        layout.note(
            f"Of {write.number(curve.people)} customers {write.number(curve.ended)} have left, the others are seen as long"
            f" as they have paid so far: {median}. Grey: the 95 % interval of everybody."
        )
        named = [one for one in found.plans if one.plan is not None]
        st.plotly_chart(
            charts.staying(curve, [(clean(one.plan or "", longest=30), one.curve) for one in named[:4]]),
            config=CONFIG,
            alt=f"Survival of customers: {median}",
        )
        rows = [("Everybody", curve), *((clean(one.plan or "Other", longest=60), one.curve) for one in found.plans)]
        columns: dict[str, list[Any]] = {
            "Plan": [name for name, _ in rows],
            "Customers": [write.number(one.people) for _, one in rows],
            "Left": [write.number(one.ended) for _, one in rows],
            "Median": [_days(turn, one.median) for _, one in rows],
            "95 % interval": [_between(turn, one) for _, one in rows],
        }
        for days in _LOOKED_AFTER:
            columns[f"Day {days}"] = [_after(turn, one, days) for _, one in rows]
        clicking.table(
            columns,
            "churn.paying.plans",
            alt="How long customers stay, by plan",
            numbers=["Customers", "Left"],
            config={"Plan": st.column_config.TextColumn(width="medium")}
            | churn.right(columns, *(name for name in columns if name not in ("Plan", "Customers", "Left"))),
        )
        steps = range(len(curve.at))
        explaining.below(
            turn.place,
            "survival",
            {
                "days": [curve.at[step] for step in steps],
                "share": [curve.share[step] for step in steps],
                "low": [curve.low[step] for step in steps],
                "high": [curve.high[step] for step in steps],
                "at_risk": [curve.at_risk[step] for step in steps],
            },
            key="churn-survival-csv",
            hint="Day 90: the share that still pays 90 days after the first payment. The file has every step of the curve.",
        )


def _days(turn: Turn, days: float | None) -> str:
    return UNKNOWN if days is None else f"{turn.place.write.number(days)} days"


def _between(turn: Turn, curve: Survival) -> str:
    """The interval of the median; one that has no end yet is "349 days or more"."""
    if curve.median_low is None:
        return UNKNOWN
    if curve.median_high is None:
        return f"{_days(turn, curve.median_low)} or more"
    return f"{turn.place.write.number(curve.median_low)} – {_days(turn, curve.median_high)}"


def _after(turn: Turn, curve: Survival, days: int) -> str:
    """Unknown beyond the longest that anybody was seen."""
    return turn.place.write.percent(curve.after(days)) if curve.at and curve.at[-1] >= days else UNKNOWN


# ------------------------------------------------------------------------------------------------------- the people


def _behind(turn: Turn, session: Session, shown: _Told, click: Click, *, asked: Asked) -> Behind | None:
    found, question, answer = shown.found, "subscriptions", partial(turn.sight.answer, session)
    number: Number
    match click.of:
        case "churn.paying.table":
            row, number = _rows(found)[click.row], _COLUMNS[click.column]
            start = None if click.row == 0 else row.start
        case "churn.paying.chart":
            start = found.periods[click.row].start
            number = "voluntary" if click.column == "0" else "involuntary"
        case "churn.paying.now":
            start, number = None, _may_go(found)[click.row][0]
        case "churn.paying.reasons":
            name, _ = _by_reason(shown.leavers)[click.row]
            people = [one for one in answer(core.leavers, asked) if one.primary == name]
            chosen = [one for one in people if click.column == "Lost" or one.involuntary]
            shares = [Share(one.person_id, one.micros) for one in chosen]
            return _listed(turn, found, f"Lost, first reason: {_reason(name)}", question, shares)
        case "churn.paying.stated":
            reason = found.stated[click.row][0]
            ids = answer(core.stated_people, reason)
            return turn.behind(f"Cancelled, said: {label(reason)}", question, ids)
        case "churn.paying.plans":
            plan = found.plans[click.row - 1].plan if click.row else EVERYBODY
            ids = answer(core.curve_people, plan, ended=click.column == "Left")
            name = plan or "other plans" if click.row else "everybody"
            return turn.behind(f"{'Left' if click.column == 'Left' else 'Customers'}, {name}", question, ids)
        case _:
            return None
    told: tuple[Share, ...] = answer(core.people_of, asked, number, start=start)
    when = "" if number in ("leaving", "past_due") else f", {churn.said(turn, start) if start else 'in the period'}"
    rule = turn.rule_of_now(session, number, [one.person_id for one in told])
    return _listed(turn, found, f"{_SAID[number]}{when}", question, told, rule)


def _listed(
    turn: Turn, found: SubscriptionChurn, title: str, question: str, told: Sequence[Share], rule: Rule | None = None
) -> Behind:
    """People with what they paid a month."""
    people = tuple(one.person_id for one in told)
    amounts = tuple(one.micros for one in told)
    return turn.behind(title, question, people, amounts=amounts, currency=found.currency, rule=rule)
