"""The overview's small parts: a headline number, a line of attention, a source's freshness, the stage table."""

from collections.abc import Sequence
from typing import Any, Literal

import streamlit as st

from gdp_core.analytics.customers import StageCell, average_days
from gdp_core.analytics.health import Attention, SourceHealth
from gdp_core.analytics.overview import Metric
from gdp_core.tables.people import FIRST_TOUCH, STAGES
from pages.ui import layout, nav
from pages.ui.context import Here
from pages.ui.escape import clean, safe_text
from pages.ui.format import Format, label

_SEVERITIES = {
    "bad": ":red[:material/error:]",
    "warn": ":orange[:material/warning:]",
    "info": ":blue[:material/info:]",
}
_STATES = {
    "fresh": ":green[:material/check_circle:]",
    "quiet": ":gray[:material/bedtime:]",
    "stale": ":red[:material/error:]",
    "waiting": ":blue[:material/hourglass_empty:]",
}


def kpi(place: Here, metric: Metric) -> None:
    """One headline with its trend, its days and its definition."""
    write, told = place.write, metric.declared
    value = _value(write, metric)
    change = (write.points if told.unit == "ratio" else write.change)(metric.compared, metric.before)
    difference = round((metric.compared or 0) - (metric.before or 0), 6)
    cut = place.scope.is_running and told.unit != "money" and len(metric.days) > 2
    days = metric.days[:-1] if cut else metric.days  # the running day would look like a fall
    rest = ", ".join(write.money(micros, currency) for currency, micros in metric.rest.items())
    extra = f" Without an exchange rate, so not in it: {rest}." if rest else ""
    colour: Literal["gray", "green", "red"] = "gray"
    if change and difference and told.good != "neither":
        colour = "green" if (difference > 0) == (told.good == "up") else "red"
    st.metric(
        safe_text(told.title),
        safe_text(value),
        safe_text(change) if change and difference else (0 if change else None),
        delta_arrow="auto" if not difference else ("up" if difference > 0 else "down"),
        delta_color=colour,
        help=safe_text(told.definition + extra, longest=800),
        border=True,
        height="stretch",
        chart_data=list(days) if len(days) > 1 and any(days) else None,
    )


def _value(write: Format, metric: Metric) -> str:
    match metric.declared.unit:
        case "money":
            return write.money_short(None if metric.value is None else int(metric.value))
        case "ratio":
            return write.percent(metric.value)
        case "seconds":
            return write.lasting(metric.value)
        case "count":
            return write.compact(metric.value)


def _attention_text(place: Here, item: Attention) -> str:
    write, n = place.write, place.write.number(item.count)
    one = item.count == 1
    ago = write.ago(item.at, place.now)
    text = {
        "dead": f"{n} {'delivery' if one else 'deliveries'} could not be applied",
        "rejects": f"{n} {'item was' if one else 'items were'} rejected",
        "stale_source": f"{item.name} is silent: last data {ago}",
        "waiting_source": f"{item.name} has sent nothing yet",
        "reviews": f"{n} {'merge' if one else 'merges'} to review",
        "unmapped": f"{n} {'subscription has' if one else 'subscriptions have'} no mapped plan",
        "late": f"{n} {'delivery waits' if one else 'deliveries wait'} for more than 5 minutes",
        "failed_job": f"The job {item.name} failed {ago}",
        "no_worker": f"No worker runs: last seen {ago}",
    }[item.kind]
    return clean(text)


def attention_line(place: Here, item: Attention) -> None:
    """Something that needs attention, as a link to where it is dealt with."""
    with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small"):
        st.markdown(_SEVERITIES[item.severity], width="content")
        text = _attention_text(place, item)
        if nav.may_open(place, item.page):
            query: dict[str, Any] = dict(item.query)
            nav.link(place, item.page, label=text, icon="", **query)
        else:
            st.text(text)


def source_line(place: Here, source: SourceHealth) -> None:
    """How fresh one source is."""
    when = {"waiting": "Waiting for the first event"}.get(source.state, place.write.ago(source.received_at, place.now))
    problems = [
        f"{place.write.number(count)} {word}"
        for count, word in ((source.dead, "not applied"), (source.quarantined, "rejected"))
        if count
    ]
    with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small"):
        st.markdown(_STATES[source.state], width="content")
        with st.container(gap=None):
            st.markdown(f"**{safe_text(source.name)}**")
            st.caption(safe_text(" · ".join([label(source.source), when, *problems])))


def stage_table(place: Here, cells: Sequence[StageCell]) -> None:
    """Stages down, first-touch sources across: everybody, and in a second table the last 30 days."""
    sources = [name for name in (*FIRST_TOUCH, None) if any(cell.source == name for cell in cells)]
    stages = [name for name in (*STAGES, None) if any(cell.stage == name for cell in cells)]
    found = {(cell.stage, cell.source): cell for cell in cells}

    def column(source: str | None) -> list[str]:
        listed = [found.get((stage, source)) for stage in stages]
        return [_cell(place, cell.people, cell.last_30_days) if cell else "" for cell in listed]

    totals = [
        _cell(
            place,
            sum(cell.people for cell in cells if cell.stage == stage),
            sum(cell.last_30_days for cell in cells if cell.stage == stage),
        )
        for stage in stages
    ]
    columns = {"Stage": [label(stage) if stage else "Anonymous" for stage in stages], "All sources": totals}
    columns |= {label(source) if source else "Unknown": column(source) for source in sources}
    columns["Days to subscribe"] = [_days_to_subscribe(place, cells, stage) for stage in stages]
    config = {name: st.column_config.TextColumn(alignment="right") for name in columns if name != "Stage"}
    config["Stage"] = st.column_config.TextColumn(pinned=True)
    layout.table(columns, alt="People by stage and first-touch source", config=config)
    layout.note(
        "In brackets: first seen in the last 30 days. Days to subscribe: from first seen to first paid, on average."
    )


def _cell(place: Here, people: int, recent: int) -> str:
    return f"{place.write.number(people)} ({place.write.number(recent)})" if recent else place.write.number(people)


def _days_to_subscribe(place: Here, cells: Sequence[StageCell], stage: str | None) -> str:
    days = average_days([cell for cell in cells if cell.stage == stage])
    return place.write.number(days, decimals=1) if days is not None else ""
