"""The revenue page's parts: the question in widgets, and the answer in numbers, charts and tables."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from typing import Any

import streamlit as st
from sqlmodel import Session

from gdp_core.analytics import payments, revenue
from gdp_core.analytics.fields import Fields
from gdp_core.analytics.ltv import Birth, Cohort
from gdp_core.analytics.movements import Flow
from gdp_core.analytics.revenue import MEANINGS, Asked, Earlier, Headcount, Number, Period, Revenue, View
from gdp_core.analytics.shares import Share
from gdp_core.money import MICROS
from gdp_core.segments.rules import Rule
from pages.ui import data, layout, nav, state
from pages.ui.charts import retention as triangles
from pages.ui.charts import revenue as charts
from pages.ui.charts import trend
from pages.ui.context import Here
from pages.ui.reporting import clicking, explaining, picking
from pages.ui.reporting.behind import Behind
from pages.ui.reporting.clicking import Click
from pages.ui.reporting.drafts import Draft
from pages.ui.reporting.explaining import Command
from pages.ui.reporting.page import Report, Turn
from pages.ui.reporting.sight import Sight

VIEWS: dict[View, str] = {"ledger": "Every movement", "net": "Net of each customer"}
BIRTHS: dict[Birth, str] = {"first_payment": "their first payment", "signup": "their signup"}
ALL = ""
"""Stands for all currencies: a picker takes None for nothing picked."""
COUNTED = {"money": "Money", "people": "People"}
SHOW = state.Field("revenue", "show", default="money", choices=tuple(COUNTED))
DEFINITION = (
    "A customer is a person with everything they pay; internal people are left out. {mrr} Per item: its price times its"
    " quantity, a year divided by 12, a week times 52/12, a day times 365/12; coupons that last for ever are taken off,"
    " others are not. Committed: {committed} Each day, start + new + reactivation + expansion - contraction - churn +"
    " exchange rates = end, to the micro. New: {new} Reactivation: {reactivation} Expansion: {expansion} Contraction:"
    " {contraction} Churn: {churn} Exchange rates: {fx} A movement is converted at its own day's rate. Net revenue"
    " retention: {nrr} Gross revenue retention: {grr} Customer churn: {customer_churn} Gross MRR churn: {gross_mrr_churn}"
    " ARPA: {arpa} Realised lifetime value: {realised_ltv} Predicted: {predicted_ltv} An amount without an exchange rate"
    " is listed by itself and added to nothing."
).format(**MEANINGS)

_NAMES = ("start", "new", "reactivation", "expansion", "contraction", "churn", "fx", "end")
_COLUMNS: dict[str, Number] = {
    "Start": "start",
    "New": "new",
    "Reactivation": "reactivation",
    "Expansion": "expansion",
    "Contraction": "contraction",
    "Churn": "churn",
    "Rates": "fx",
    "End": "end",
    "Lost": "lost",
    "At start": "start",
    "Paid": "paid",
    "Refunded": "refunded",
    "Lost in disputes": "disputed",
}
_SAID: dict[Number, str] = {
    "start": "Customers at the start",
    "new": "New customers",
    "reactivation": "Customers who came back",
    "expansion": "Customers who pay more",
    "contraction": "Customers who pay less",
    "churn": "Customers who went to zero",
    "fx": "Customers revalued by exchange rates",
    "lost": "Customers at the start who are at zero at the end",
    "end": "Customers at the end",
    "trials": "Running trials",
    "leaving": "Subscriptions set to end",
    "paid": "Who paid",
    "refunded": "Who got money back",
    "disputed": "Whose payment was lost in a dispute",
}
_TALL = 560  # pixels


def usual_question(place: Here, _: Fields) -> Asked:
    """As fine as the period can be read."""
    days = place.scope.days
    return Asked("day" if days <= 31 else "week" if days <= 120 else "month")


class Form:
    """The question as it stands in the widgets."""

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self._begins: Asked = draft.asked.question

    @property
    def question(self) -> Asked:
        """What it asks. Raises InvalidInput."""
        draft, begins = self.draft, self._begins
        percent = draft.value(None if begins.margin is None else round(begins.margin * 100, 2), "margin")
        return Asked(
            interval=draft.value(begins.interval, "interval"),
            view=draft.value(begins.view, "view"),
            currency=draft.value(begins.currency or ALL, "currency") or None,
            margin=percent / 100 if percent else None,
            birth=draft.value(begins.birth, "birth"),
        )

    def draw(self, sight: Sight, fields: Fields, people: picking.People) -> None:
        """How the period is cut, in which currency, of whom."""
        draft, place = self.draft, sight.place
        with (
            layout.card(key="revenue-question"),
            st.container(horizontal=True, vertical_alignment="center", gap="small"),
        ):
            picking.choice(draft, "Intervals", picking.INTERVALS, "interval", width=136)
            picking.choice(draft, "Movements", VIEWS, "view", width=190)
            known = data.remembered(place, payments.read_currencies)
            base, chosen = place.scope.currency, draft.value(ALL, "currency")
            st.selectbox(
                "Currency",
                [ALL, *dict.fromkeys([*known, *([chosen] if chosen else [])])],
                key=draft.key("currency"),
                format_func=lambda code: f"{code} alone" if code else f"All, in {base}",
                label_visibility="collapsed",
                width=150,
            )
            people.draw(sight, fields)
            with st.popover("More", icon=":material/tune:", key=draft.key("more")):
                st.number_input(
                    "Gross margin for predicted lifetime value, in %",
                    min_value=0.01,
                    max_value=100.0,
                    value=None,
                    placeholder="None: revenue, not margin",
                    key=draft.key("margin"),
                    width=320,
                )
                st.selectbox(
                    "A cohort of lifetime value begins with",
                    [*BIRTHS],
                    key=draft.key("birth"),
                    format_func=BIRTHS.__getitem__,
                    width=320,
                )


REPORT = Report("revenue", "revenue", "Revenue", usual_question, Form, lambda _: (), more=(SHOW,))


def command(turn: Turn) -> Command:
    """The command that gives the same numbers."""
    asked: Asked = turn.question
    made = Command("revenue", turn.place).option("--interval", asked.interval, "month")
    made.option("--view", asked.view, "ledger").option("--currency", asked.currency)
    made.option("--margin", asked.margin).option("--birth", asked.birth, "first_payment")
    return made.compared(turn.sight.scope)


# ------------------------------------------------------------------------------------------------------ in numbers


def headline(place: Here, found: Revenue) -> None:
    """Where it stands, and how much of it stays, compared with the period before."""
    now, total, before = found.standing, found.total, found.earlier
    money, write = partial(place.write.money_short, currency=found.currency), place.write
    was: Earlier | None = before
    with layout.numbers():
        _money(place, "MRR", now.mrr, was.mrr if was else None, found.currency, MEANINGS["mrr"])
        layout.metric("ARR", money(now.arr), help=MEANINGS["arr"])
        layout.metric("Committed MRR", money(now.committed), help=f"{MEANINGS['committed']} Known of today only.")
        layout.metric("Trial MRR", money(now.trial), help=f"{MEANINGS['trial']} Known of today only.")
        clicking.metric(
            Click("revenue.standing", 0, "Customers"),
            "Paying customers",
            write.number(now.customers),
            change=write.change(now.customers, was.customers) if was else None,
            difference=now.customers - was.customers if was else 0,
            help=MEANINGS["customers"],
        )
        _money(place, "ARPA", now.arpa, was.arpa if was else None, found.currency, MEANINGS["arpa"])
        for name, key in (("Net revenue retention", "nrr"), ("Gross revenue retention", "grr")):
            ratio, then = getattr(total.ratios, key), getattr(was.ratios, key) if was else None
            layout.metric(
                name,
                write.percent(ratio),
                change=write.points(ratio, then),
                difference=round(ratio - then, 3) if ratio is not None and then is not None else 0,
                help=f"{MEANINGS[key]} Of {write.number(total.days)} days.",
            )


def _money(place: Here, name: str, now: int | None, then: int | None, currency: str, meaning: str) -> None:
    layout.metric(
        name,
        place.write.money_short(now, currency),
        change=place.write.change(now, then),
        difference=now - then if now is not None and then else 0,
        help=meaning,
    )


def without_rate(place: Here, found: Revenue) -> None:
    """What could not be converted, and what to do about it."""
    rest = {
        "MRR": found.standing.rest,
        "payments of the period": found.total.cash.rest,
        "payments of cohorts": _added(found.realised.cohorts),
    }
    said = [
        f"{', '.join(place.write.money(amount, code) for code, amount in amounts.items())} of {name}"
        for name, amounts in rest.items()
        if amounts
    ]
    if not said:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="revenue-rates"):
        layout.badge("No exchange rate", "orange", ":material/currency_exchange:")
        layout.note(f"Listed by itself and in no other number: {'; '.join(said)}.")
        if nav.may_open(place, "settings"):
            nav.link(place, "settings", label="Exchange rates", icon=":material/settings:", tab="rates")


def _added(cohorts: Sequence[Cohort]) -> dict[str, int]:
    found: dict[str, int] = {}
    for cohort in cohorts:
        for code, amount in cohort.rest.items():
            found[code] = found.get(code, 0) + amount
    return found


def standing(place: Here, found: Revenue) -> None:
    """What MRR is made of now, and in which currencies; each number of people opens them."""
    write, now = place.write, found.standing
    left, right = st.columns(2, gap="small")
    with left, layout.card("Where it stands", key="revenue-standing"):
        leaving = None if now.committed is None else now.committed - now.mrr
        rows = _standing_rows(found)
        amounts = {"end": now.mrr, "leaving": leaving, "trials": now.trial}
        clicking.table(
            {
                "What": [name for _, name, _ in rows],
                "MRR": [write.money(amounts[number], found.currency) for number, _, _ in rows],
                "People": [_count(place, people) for _, _, people in rows],
            },
            "revenue.standing",
            alt="What MRR is made of, with its people",
            numbers=("People",),
            config=_right("MRR"),
        )
        if now.committed is None:
            layout.note(
                "Trials and subscriptions that are set to end are known of today, not of a period that is over."
            )
        else:
            layout.note(
                f"Without what is set to end, MRR is {write.money(now.committed, found.currency)}: committed MRR."
            )
    with right, layout.card("By currency", key="revenue-currencies"):
        clicking.table(
            {
                "Currency": [item.currency for item in found.currencies],
                "MRR": [write.money(item.mrr, item.currency) for item in found.currencies],
                f"In {found.currency}": [
                    "no rate" if item.in_base is None else write.money(item.in_base, found.currency)
                    for item in found.currencies
                ],
                "People": [_count(place, item.customers) for item in found.currencies],
            },
            "revenue.currencies",
            alt="MRR by currency, with its customers",
            numbers=("People",),
            config=_right("MRR", f"In {found.currency}"),
        )
        explaining.below(
            place,
            "mrr by currency",
            {
                "currency": [item.currency for item in found.currencies],
                "mrr": [item.mrr / MICROS for item in found.currencies],
                f"in_{found.currency.lower()}": [
                    None if item.in_base is None else item.in_base / MICROS for item in found.currencies
                ],
                "customers": [item.customers for item in found.currencies],
            },
            key="revenue-currencies-csv",
            hint="Somebody who pays in two is in both.",
        )


def _standing_rows(found: Revenue) -> list[tuple[Number, str, int | None]]:
    now = found.standing
    return [
        ("end", "MRR", now.customers),
        ("leaving", "of it set to end", now.leaving),
        ("trials", "Trials, not in MRR", now.trials),
    ]


def _count(place: Here, people: int | None) -> str:
    return place.write.number(people)


def _right(*names: str) -> dict[str, Any]:
    return {name: st.column_config.TextColumn(alignment="right") for name in names}


# -------------------------------------------------------------------------------------------------------- over time


def _name(place: Here, found: Revenue, period: Period) -> str:
    """An interval as axes and tables spell it."""
    write = place.write
    if period is found.total:
        return "Whole period"
    if period.cut and period.days > 1:
        return f"{write.short_day(period.start)} – {write.short_day(period.end - timedelta(days=1))}"
    return write.month(period.start) if period.days >= 28 else write.short_day(period.start)


def over_time(place: Here, found: Revenue) -> None:
    """MRR at the end of every interval, and what it is that moved it in the whole period."""
    write, flow = place.write, found.total.flow
    left, right = st.columns([3, 2], gap="small")
    with left, layout.card("MRR", key="revenue-mrr"):
        levels = [period.flow.end for period in found.periods]
        clicking.chart(
            trend.lines(
                [period.start for period in found.periods],
                [
                    trend.Line(
                        "MRR",
                        [level / MICROS for level in levels],
                        [
                            f"{write.money(period.flow.end, found.currency)}, {write.number(period.customers.end)} customers"
                            f"<br>at the end of {_name(place, found, period)}"
                            for period in found.periods
                        ],
                        _final(found),
                    )
                ],
            ),
            "revenue.mrr",
            alt=f"MRR from {write.money(flow.start, found.currency)} to {write.money(flow.end, found.currency)}",
        )
    with right, layout.card("What moved it", key="revenue-bridge"):
        clicking.chart(
            charts.bridge(flow, write, found.currency),
            "revenue.bridge",
            alt=_identity(place, found),
        )


def _final(found: Revenue) -> int:
    """How many intervals are over."""
    return len(found.periods) - (found.standing.committed is not None)


def _identity(place: Here, found: Revenue) -> str:
    """The lines of the whole period as a sum."""
    flow, money = found.total.flow, partial(place.write.money, currency=found.currency)
    return (
        f"{money(flow.start)} + {money(flow.new)} new + {money(flow.reactivation)} reactivation + {money(flow.expansion)}"
        f" expansion − {money(flow.contraction)} contraction − {money(flow.churn)} churn"
        f" {'−' if flow.fx < 0 else '+'} {money(abs(flow.fx))} exchange rates = {money(flow.end)}"
    )


def movements(place: Here, found: Revenue) -> None:
    """What moved MRR in every interval: as bars, and as a table that closes."""
    write, total = place.write, found.total
    with layout.card("Movements", key="revenue-movements"):
        clicking.chart(
            charts.movements(
                [_name(place, found, period) for period in found.periods],
                [period.flow for period in found.periods],
                write,
                found.currency,
            ),
            "revenue.movements",
            alt=_identity(place, found),
        )
        layout.note(
            f"{_identity(place, found)}. It closes to the micro on {write.number(total.closed_days)} of"
            f" {write.number(total.days)} days."
        )
        st.segmented_control(
            "Show",
            [*COUNTED],
            key=SHOW.key,
            format_func=COUNTED.__getitem__,
            required=True,
            label_visibility="collapsed",
        )
        periods = _listed(found)
        counts = SHOW.value == "people"
        columns: dict[str, list[str]] = {"Period": [_name(place, found, period) for period in periods]}
        for column in ("Start", "New", "Reactivation", "Expansion", "Contraction", "Churn", "Rates", "End"):
            name = _COLUMNS[column]
            if counts and name == "fx":
                continue
            columns[column] = [
                _count(place, getattr(period.customers, name)) if counts else _amount(place, found, period.flow, name)
                for period in periods
            ]
        numbers = [column for column in columns if column != "Period"]
        columns["Closes"] = [
            f"{write.number(period.closed_days)} of {write.number(period.days)} days"
            if period.days > 1
            else ("Yes" if period.closed_days else "No")
            for period in periods
        ]
        clicking.table(
            columns,
            "revenue.movement-table",
            alt="What moved MRR in every interval",
            numbers=numbers,
            config={"Period": st.column_config.TextColumn(pinned=True, width=110)}
            | {"Closes": st.column_config.TextColumn(alignment="right", width=130)},
            height=_height(len(periods)),
        )
        explaining.below(place, "mrr movements", _movements_csv(found), key="revenue-movements-csv")


def _listed(found: Revenue) -> list[Period]:
    """The rows of a table of intervals: the whole period first, then the newest."""
    return [found.total, *reversed(found.periods)]


def _height(rows: int) -> int:
    return min(_TALL, layout.ROW_HEIGHT * (rows + 1) + 3)


def _amount(place: Here, found: Revenue, flow: Flow, name: str) -> str:
    micros: int = getattr(flow, name)
    return place.write.money(micros, found.currency) if micros else "0"


def _movements_csv(found: Revenue) -> dict[str, list[Any]]:
    periods = found.periods
    return (
        {"start_day": [period.start for period in periods], "end_day": [period.end for period in periods]}
        | {f"mrr_{name}": [getattr(period.flow, name) / MICROS for period in periods] for name in _NAMES}
        | {
            f"customers_{name}": [getattr(period.customers, name) for period in periods]
            for name in Headcount.__dataclass_fields__
        }
        | {"closed_days": [period.closed_days for period in periods], "days": [period.days for period in periods]}
    )


def staying(place: Here, found: Revenue) -> None:
    """How much of revenue and of the customers stays, by interval."""
    write, periods = place.write, _listed(found)
    with layout.card("What stays", key="revenue-staying"):
        ratios = {
            "Customer churn": "customer_churn",
            "Gross MRR churn": "gross_mrr_churn",
            "Gross revenue retention": "grr",
            "Net revenue retention": "nrr",
        }
        columns = {
            "Period": [_name(place, found, period) for period in periods],
            "At start": [_count(place, period.customers.start) for period in periods],
            "Lost": [_count(place, period.customers.lost) for period in periods],
        }
        columns |= {
            title: [write.percent(getattr(period.ratios, name)) for period in periods] for title, name in ratios.items()
        }
        clicking.table(
            columns,
            "revenue.staying",
            alt="Customers at the start of every interval, and how many of them and of their MRR stayed",
            numbers=("At start", "Lost"),
            config={"Period": st.column_config.TextColumn(pinned=True, width=110)} | _right(*ratios),
            height=_height(min(len(periods), 9)),
        )
        csv: dict[str, list[Any]] = {
            "start_day": [period.start for period in found.periods],
            "end_day": [period.end for period in found.periods],
            "customers": [period.customers.start for period in found.periods],
            "lost": [period.customers.lost for period in found.periods],
        }
        csv |= {
            name: [getattr(period.ratios, name) for period in found.periods]
            for name in (*ratios.values(), "stripe_churn")
        }
        explaining.below(place, "revenue retention", csv, key="revenue-staying-csv")
        layout.note(
            f"Lost are customers at the start who are at zero at the end. In Stripe's way, churn of the last 30 days is"
            f" {write.percent(found.stripe_churn)}: every time somebody went to zero, of customers at the start and new ones."
        )


def money(place: Here, found: Revenue) -> None:
    """What was paid and given back, by interval."""
    write, periods = place.write, _listed(found)
    with layout.card("Payments and refunds", key="revenue-cash"):
        if not any((period.cash.paid, period.cash.refunded, period.cash.disputed) != (0, 0, 0) for period in periods):
            layout.note("Nothing was paid or given back in this period.")
            return
        clicking.chart(
            charts.cash(
                [_name(place, found, period) for period in found.periods],
                [period.cash for period in found.periods],
                write,
                found.currency,
            ),
            "revenue.cash",
            alt=f"{write.money(found.total.cash.paid, found.currency)} were paid",
        )
        columns = {"Period": [_name(place, found, period) for period in periods]}
        columns |= {
            title: [
                write.money(getattr(period.cash, name), found.currency) if getattr(period.cash, name) else "0"
                for period in periods
            ]
            for title, name in (("Paid", "paid"), ("Refunded", "refunded"), ("Lost in disputes", "disputed"))
        }
        columns["Kept"] = [write.money(period.cash.kept, found.currency) for period in periods]
        clicking.table(
            columns,
            "revenue.cash-table",
            alt="Payments and refunds of every interval",
            numbers=("Paid", "Refunded", "Lost in disputes"),
            config={"Period": st.column_config.TextColumn(pinned=True, width=110)} | _right("Kept"),
            height=_height(min(len(periods), 9)),
        )
        names = ("paid", "refunded", "disputed", "kept")
        csv: dict[str, list[Any]] = {"start_day": [period.start for period in found.periods]}
        csv |= {name: [getattr(period.cash, name) / MICROS for period in found.periods] for name in names}
        explaining.below(place, "payments", csv, key="revenue-cash-csv")


# --------------------------------------------------------------------------------------------------- lifetime value


def worth(place: Here, found: Revenue, birth: Birth) -> None:
    """What customers of each month have brought until now, as a triangle and a table."""
    write, cohorts = place.write, found.realised.cohorts
    with layout.card("Realised lifetime value", key="revenue-worth"):
        if not cohorts:
            layout.note("Nobody has paid yet: lifetime value begins with the first payment.")
            return
        width = max(1, len(found.realised.mean))
        clicking.chart(
            triangles.triangle(
                ["Average", *(f"{write.month(each.month)}   {write.number(each.people)}" for each in cohorts)],
                [f"M{month}" for month in range(width)],
                [cell for cell, _, _ in _cells(place, found)],
            ),
            "revenue.worth",
            alt="What the members of each cohort have brought, month by month",
        )
        layout.note(
            f"Per member, paid and not given back until the end of each month since {BIRTHS[birth]}; months that are not over are"
            " left out. At the left: the month, and how many. Click a cell to see its people and what each brought."
        )
        rest = any(each.rest for each in cohorts)
        table = st.expander("As a table", icon=":material/table:", on_change="rerun", key="revenue-worth-as-table")
        if table.open:
            with table:
                columns = {
                    "Cohort": [write.month(each.month) for each in cohorts],
                    "Members": [_count(place, each.people) for each in cohorts],
                    "Brought so far": [write.money(each.so_far, found.currency) for each in cohorts],
                    "Per member": [write.money(each.so_far_per_member, found.currency) for each in cohorts],
                }
                if rest:
                    columns["Without a rate"] = [
                        ", ".join(write.money(amount, code) for code, amount in each.rest.items()) for each in cohorts
                    ]
                clicking.table(
                    columns,
                    "revenue.worth-table",
                    alt="Cohorts with what they have brought so far",
                    numbers=("Members",),
                    config=_right("Brought so far", "Per member"),
                    height=_height(len(cohorts)),
                )
                explaining.below(place, "lifetime value", _worth_csv(found, width), key="revenue-worth-csv")


def _cells(place: Here, found: Revenue) -> list[tuple[triangles.Cell, Cohort | None, int]]:
    """The cells of the picture, and which cohort and month each is of; no cohort: the average."""
    write, code = place.write, found.currency
    cohorts, mean = found.realised.cohorts, found.realised.mean
    values = [list(each.per_member) for each in cohorts]
    most = max((value for row in [mean, *values] for value in row), default=0) or 1
    made: list[tuple[triangles.Cell, Cohort | None, int]] = []
    for month, value in enumerate(mean):
        hover = f"On average by the end of month {month}: {write.money(value, code)}"
        made.append((_cell(place, found, 0, month, value, most, hover), None, month))
    for row, (cohort, brought) in enumerate(zip(cohorts, values, strict=True), 1):
        for month, value in enumerate(brought):
            hover = (
                f"{write.month(cohort.month)}, by the end of month {month}: {write.money(value, code)} per member"
                f"<br>{write.money(cohort.cumulative[month], code)} of {write.number(cohort.people)} members"
            )
            made.append((_cell(place, found, row, month, value, most, hover), cohort, month))
    return made


def _cell(place: Here, found: Revenue, row: int, month: int, value: int, most: int, hover: str) -> triangles.Cell:
    level = min(1.0, max(0.0, value / most))
    return triangles.Cell(row, month, level, "mature", place.write.money_compact(value, found.currency), hover)


def _worth_csv(found: Revenue, width: int) -> dict[str, list[Any]]:
    cohorts = found.realised.cohorts
    csv: dict[str, list[Any]] = {
        "cohort": [each.month for each in cohorts],
        "members": [each.people for each in cohorts],
        "so_far": [each.so_far / MICROS for each in cohorts],
    }
    for month in range(width):
        csv[f"ltv_m{month}"] = [
            each.per_member[month] / MICROS if month < len(each.per_member) else None for each in cohorts
        ]
    return csv


def predicted(place: Here, found: Revenue) -> None:
    """Predicted lifetime value, what it is made of, and what it takes for granted."""
    write, made = place.write, found.predicted
    with layout.card("Predicted lifetime value", key="revenue-predicted"):
        with st.container(horizontal=True, vertical_alignment="center"):
            layout.metric(
                "Predicted LTV", write.money_short(made.value, found.currency), help=MEANINGS["predicted_ltv"]
            )
            layout.metric("ARPA", write.money_short(made.arpa, found.currency), help=MEANINGS["arpa"])
            layout.metric(
                "Customer churn a month",
                write.percent(made.churn),
                help="The mean of the six whole months before the current one.",
            )
        margin = f", times a gross margin of {write.percent(made.margin)}" if made.margin else ""
        if made.value is None:
            layout.note(
                "There is no prediction: nobody left in the six months before this one."
                if made.churn == 0
                else "There is no prediction: it needs customers now, and a whole month before this one that began with some."
            )
        else:
            layout.note(
                f"{write.money(made.arpa, found.currency)} ARPA ÷ {write.percent(made.churn)} mean monthly churn{margin} ="
                f" {write.money(made.value, found.currency)}. It takes for granted that churn and ARPA stay as they are, that"
                f" old customers leave as often as new ones, and that nobody comes back"
                f"{'' if made.margin else '; it is revenue, not profit'}."
            )
        months = list(reversed(made.months))
        clicking.table(
            {
                "Month": [write.month(each.start) for each in months],
                "At start": [_count(place, each.customers) for each in months],
                "Lost": [_count(place, each.lost) for each in months],
                "Customer churn": [write.percent(each.churn) for each in months],
            },
            "revenue.months",
            alt="Customer churn of the six months before the current one",
            numbers=("At start", "Lost"),
            config=_right("Customer churn"),
        )


# ------------------------------------------------------------------------------------------------------- the people


def behind(turn: Turn, session: Session, found: Revenue, click: Click) -> Behind | None:
    """The people of the number that was clicked, and what of it is theirs."""
    place, asked = turn.place, turn.question
    sight = turn.sight
    if click.of in ("revenue.worth", "revenue.worth-table"):
        return _cohort_behind(turn, session, found, click)
    if click.of == "revenue.months":
        month: date = list(reversed(found.predicted.months))[click.row].start
        number: Number = _COLUMNS[click.column]
        who = sight.answer(session, revenue.people_of_month, asked, number, month)
        return _opened(turn, found.currency, f"{_SAID[number]}, {place.write.month(month)}", who)
    if click.of == "revenue.currencies":
        code = found.currencies[click.row].currency
        who = sight.answer(session, revenue.people_of, replace(asked, currency=code), "end")
        return _opened(turn, code, f"Customers who pay in {code}", who)
    cell = _clicked(found, click)
    if cell is None:
        return None
    number, period = cell
    start = None if period is found.total else period.start
    who = sight.answer(session, revenue.people_of, asked, number, start=start)
    when = "" if period is found.total or number in ("trials", "leaving") else f", {_name(place, found, period)}"
    rule = turn.rule_of_now(session, number, [share.person_id for share in who])
    return _opened(turn, found.currency, f"{_SAID[number]}{when}", who, rule)


def _opened(turn: Turn, currency: str, title: str, who: Sequence[Share], rule: Rule | None = None) -> Behind:
    asked: Asked = turn.question
    said = f"{picking.INTERVALS[asked.interval].lower()}, {VIEWS[asked.view].lower()}"
    said += f", {asked.currency} alone" if asked.currency else ""
    people = tuple(share.person_id for share in who)
    amounts = tuple(share.micros for share in who)
    return turn.behind(title, said, people, amounts=amounts, currency=currency, rule=rule)


def _cohort_behind(turn: Turn, session: Session, found: Revenue, click: Click) -> Behind:
    """The members of a cohort, or behind an average those of all cohorts that are so old."""
    cohorts, until = found.realised.cohorts, None
    if click.of == "revenue.worth":
        _, cohort, until = _cells(turn.place, found)[click.row]
        chosen = [cohort] if cohort else [each for each in cohorts if len(each.cumulative) > until]
    else:
        chosen = [cohorts[click.row]]
    who = [
        share
        for each in chosen
        for share in turn.sight.answer(session, revenue.cohort_of, turn.question, each.month, until=until)
    ]
    named = f"Cohort of {turn.place.write.month(chosen[0].month)}" if len(chosen) == 1 else f"{len(chosen)} cohorts"
    when = "so far" if until is None else f"until the end of month {until}"
    return _opened(turn, found.currency, f"{named}, brought {when}", who)


def _clicked(found: Revenue, click: Click) -> tuple[Number, Period] | None:
    """Which number of which interval."""
    if click.of == "revenue.standing":
        return _standing_rows(found)[click.row][0], found.total
    if click.of == "revenue.mrr":
        row = click.row if click.column == "0" else click.row + max(0, _final(found) - 1)
        return "end", found.periods[row]
    if click.of == "revenue.bridge":
        return (charts.LINES[click.row], found.total) if click.row < len(charts.LINES) else None
    if click.of == "revenue.movements":
        return charts.LINES[int(click.column)], found.periods[click.row]
    if click.of == "revenue.cash":
        return charts.CASH[int(click.column)], found.periods[click.row]
    if click.of in ("revenue.movement-table", "revenue.staying", "revenue.cash-table"):
        return _COLUMNS[click.column], _listed(found)[click.row]
    return None
