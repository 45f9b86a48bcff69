"""Overview: how the workspace does, how fresh its data is, and what needs somebody's attention."""

import streamlit as st

from gdp_core.analytics import customers, health, overview
from pages.ui import boundary, data, layout, nav
from pages.ui.charts import bars
from pages.ui.charts.style import CONFIG
from pages.ui.context import Here, here
from pages.ui.escape import safe_text
from pages.ui.format import label
from pages.ui.overview import attention_line, kpi, source_line, stage_table

place = here()
empty = data.remembered(place, overview.is_empty)
with layout.head("Overview", "" if empty else layout.period_sentence(place)):
    if not empty:
        layout.scope_bar(place)
layout.remark(place.problem)

if empty:
    with layout.empty(
        ":material/rocket_launch:",
        "No data yet",
        "Connect a source and people appear here within seconds of the first event, or import a file of past events.",
        key="first-steps",
    ):
        if nav.may_open(place, "sources") and place.may("sources.write"):
            nav.link(place, "sources", label="Connect a source", icon=":material/power:")
        if nav.may_open(place, "sources") and place.may("imports.run"):
            nav.link(place, "sources", label="Import a file", icon=":material/upload_file:", tab="import")
    st.stop()


@boundary.fragment(parallel=True)
def headlines(place: Here) -> None:
    with st.skeleton(height=190):
        metrics = data.remembered(place, overview.read_metrics, place.scope)
        with st.grid(5, min_column_width=168, gap="small"):
            for metric in metrics:
                kpi(place, metric)


@boundary.fragment(parallel=True)
def people_and_attention(place: Here) -> None:
    left, right = st.columns([2, 1], gap="small")
    with left, layout.card("New people by source", key="new-people"), st.skeleton(height=280):
        _new_people(place)
    with right, layout.card("Needs attention", key="attention"), st.skeleton(height=280):
        _attention(place)


def _new_people(place: Here) -> None:
    result = data.remembered(place, overview.read_new_people, place.scope)
    if not result.total:
        layout.note("Nobody was seen for the first time in this period.")
        return
    st.plotly_chart(
        bars.people_by_source(result, place.write),
        config=CONFIG,
        alt=f"{safe_text(result.total)} new people, most of them from {safe_text(label(result.series[0][0]))}",
    )


def _attention(place: Here) -> None:
    found = data.remembered(place, health.read_attention, place.now)
    if not found:
        st.markdown(":green[:material/check_circle:] Everything runs as it should.")
    for item in found:
        attention_line(place, item)


@boundary.fragment(parallel=True)
def money_and_sources(place: Here) -> None:
    left, right = st.columns([2, 1], gap="small")
    with left, layout.card("Revenue by month", key="revenue"), st.skeleton(height=280):
        _revenue(place)
    with right, layout.card("Data freshness", key="freshness"), st.skeleton(height=280):
        found = data.remembered(place, health.read_sources, place.now)
        if not found:
            layout.note("No source is connected.")
        for item in found:
            source_line(place, item)


def _revenue(place: Here) -> None:
    money = data.remembered(place, overview.read_money, place.scope)
    rest = ", ".join(place.write.money(micros, currency) for currency, micros in money.rest.items())
    if not any(month.paid or month.returned for month in money.months) and not rest:
        layout.note("No payment was recorded in the last twelve months.")
        return
    st.plotly_chart(
        bars.revenue_by_month(money, place.write), config=CONFIG, alt="Net revenue of the last twelve months"
    )
    layout.note(
        "Paid invoices and one-off payments minus refunds and lost disputes; the running month is hatched."
        + (f" Without an exchange rate, so not included: {rest}." if rest else "")
    )


@boundary.fragment(parallel=True)
def stages(place: Here) -> None:
    with layout.card("People by stage and source", key="stages"), st.skeleton(height=280):
        stage_table(place, data.remembered(place, customers.read_stages, place.now))


headlines(place)
people_and_attention(place)
money_and_sources(place)
stages(place)
