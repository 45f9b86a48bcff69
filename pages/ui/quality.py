"""The Data quality page's parts: each check as a sentence, and the tables behind some of them."""

from datetime import timedelta
from typing import Any, NamedTuple

import streamlit as st

from gdp_core.analytics.quality import Check, Quality
from pages.ui import layout, nav
from pages.ui.context import Here
from pages.ui.escape import clean, icon_text, safe_text
from pages.ui.format import UNKNOWN, label

_SEVERITIES = {
    "bad": (":material/error:", "red"),
    "warn": (":material/warning:", "orange"),
    "info": (":material/info:", "blue"),
    "good": (":material/check_circle:", "green"),
}


class _Words(NamedTuple):
    title: str
    meaning: str
    link: str


_WORDS: dict[str, _Words] = {
    "conservation": _Words(
        "Unaccounted for",
        "Received less everything that became of it, over both books. It must read 0.",
        "See the books",
    ),
    "dead": _Words(
        "Deliveries given up", "They failed eight times in 30 days. Replay them once the reason is gone.", "See them"
    ),
    "rejects": _Words(
        "Items set aside", "Items of the last 30 days that name nobody, have no time or cannot be read.", "See them"
    ),
    "duplicates": _Words(
        "Duplicates", "Items of the last 30 days that were known already. Senders retry; they count once.", "See them"
    ),
    "conflicts": _Words(
        "Same id, other content",
        "A sender used one id for two contents. The one received first stands.",
        "See the inbox",
    ),
    "required": _Words(
        "Missing required properties",
        "Recent events without a property that the catalogue requires.",
        "Open the catalogue",
    ),
    "types": _Words(
        "Properties with several types", "A number here and a text there cannot be filtered or summed well.", "See them"
    ),
    "new": _Words(
        "Events with a new property", "A property that appeared in the last 7 days. Usual after a release.", "See them"
    ),
    "vanished": _Words(
        "Events that lost a property", "A property that the last 7 days of the event no longer carry.", "See them"
    ),
    "uncategorised": _Words(
        "Events without a category",
        "Categories tell what an event is for; roles and reports do not need them.",
        "See them",
    ),
    "unknown": _Words(
        "People without an id",
        "Visitors nobody knows yet: no user id, e-mail or phone. Usual for websites.",
        "See people",
    ),
    "reviews": _Words(
        "Merges to review", "Two known people whom a browser, or too many ids, would have joined.", "Review them"
    ),
    "unmapped": _Words(
        "Subscriptions without a plan",
        "Live subscriptions whose price no plan names; Stripe's own name is shown.",
        "Map plans",
    ),
    "problems": _Words(
        "Subscriptions with doubtful MRR", "A price in tiers or a coupon that Stripe has not told of yet.", "See plans"
    ),
    "refetch": _Words(
        "Billing to fetch again",
        "Two versions of an object in one second; run the Stripe backfill to settle them.",
        "See sources",
    ),
    "nobodys": _Words(
        "Subscriptions of nobody", "Their customer is not known yet: send client_reference_id or metadata.", "How to"
    ),
    "late": _Words("Late arrivals", "Events of the last 30 days that arrived more than a day later.", "See sources"),
    "skew": _Words(
        "Wrong clocks",
        "Sources whose senders' clocks are off by more than 30 seconds. Times were corrected.",
        "See sources",
    ),
}
_FIELDS = {"email": "E-mail", "signup_at": "Sign-up", "plan_name": "Plan", "source": "First-touch source"}


def verdict(place: Here, found: Quality) -> str:
    """The page's caption: what matters most."""
    bad = sum(item.severity == "bad" for item in found.checks)
    warn = sum(item.severity == "warn" for item in found.checks)
    if bad or warn:
        parts = [f"{place.write.number(bad)} serious"] * bool(bad) + [f"{place.write.number(warn)} to look at"] * bool(
            warn
        )
        return f"{len(found.checks)} checks: {', '.join(parts)}"
    return f"{len(found.checks)} checks, nothing needs you"


def checks(place: Here, found: Quality) -> None:
    """Every check in a card of its own: how many, what it means, where to go."""
    with st.grid(3, min_column_width=260, gap="small"):
        for item in found.checks:
            with layout.card(key=f"check-{item.kind}"):
                _check(place, item)


def _check(place: Here, item: Check) -> None:
    icon, colour = _SEVERITIES[item.severity]
    words, write = _WORDS[item.kind], place.write
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f":{safe_text(colour)}[{icon_text(icon)}]", width="content")
        layout.heading(words.title)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.markdown(f"### {write.number(item.count)}", width="content")
        if item.total:
            st.caption(f"of {write.number(item.total)} · {write.percent(item.count / item.total)}", width="content")
    layout.note(words.meaning)
    if nav.may_open(place, item.page) and (item.count or item.kind in ("conservation", "skew")):
        query: dict[str, Any] = dict(item.query)
        nav.link(place, item.page, label=words.link, icon=":material/arrow_forward:", **query)


def completeness(place: Here, found: Quality) -> None:
    """How many known people have what is usually wanted."""
    if not found.completeness or not found.completeness[0].total:
        layout.note("Nobody is known yet.")
        return
    write = place.write
    columns: dict[str, list[Any]] = {
        "Field": [_FIELDS.get(item.field, label(item.field)) for item in found.completeness],
        "Share of known people": layout.shares([item.count / item.total for item in found.completeness]),
        "Have it": [write.number(item.count) for item in found.completeness],
        "Lack it": [write.number(item.total - item.count) for item in found.completeness],
    }
    config: dict[str, Any] = {
        "Field": st.column_config.TextColumn(width=150),
        "Share of known people": layout.share_column(width="medium"),
        "Have it": st.column_config.TextColumn(alignment="right", width="small"),
        "Lack it": st.column_config.TextColumn(alignment="right", width="small"),
    }
    layout.table(columns, alt="How complete people are", config=config, height="content")


def timing(place: Here, found: Quality) -> None:
    """How events come in, by source."""
    if not found.timing:
        layout.note("No event of a live source happened in the last 30 days.")
        return
    write = place.write
    columns: dict[str, list[Any]] = {
        "Source": [clean(item.source) for item in found.timing],
        "Events": [write.number(item.events) for item in found.timing],
        "Usual delay": [_span(item.delay) for item in found.timing],
        "95% within": [_span(item.slow) for item in found.timing],
        "A day late": [
            f"{write.number(item.late)} ({write.percent(item.late / item.events)})" for item in found.timing
        ],
        "Corrected clocks": [
            f"{write.number(item.corrected)} ({write.percent(item.corrected / item.events)})" for item in found.timing
        ],
        "Clock is off by": [_span(item.skew) if item.skew is not None else UNKNOWN for item in found.timing],
    }
    config = {name: st.column_config.TextColumn(alignment="right") for name in columns if name != "Source"}
    layout.table(columns, alt="Delays and clocks by source", config=config, height="content")
    layout.note("Delay is from when an event happened, by its sender's corrected clock, to when it was received.")


def _span(span: timedelta) -> str:
    seconds = span.total_seconds()
    sign, size = ("-" if seconds < 0 else ""), abs(seconds)
    if size < 1:
        return f"{sign}{size * 1000:.0f} ms"
    if size < 120:
        return f"{sign}{size:.1f} s"
    if size < 7200:
        return f"{sign}{size / 60:.0f} min"
    return f"{sign}{size / 3600:.0f} h" if size < 172_800 else f"{sign}{size / 86_400:.0f} days"


def missing(place: Here, found: Quality) -> None:
    """Which required properties lack."""
    columns: dict[str, list[Any]] = {
        "Event": [clean(item.event) for item in found.missing],
        "Property": [clean(item.property) for item in found.missing],
        "Share without": layout.shares([item.count / item.total for item in found.missing]),
        "Without it": [place.write.number(item.count) for item in found.missing],
        "Events": [place.write.number(item.total) for item in found.missing],
        "open": [nav.href(place, "catalogue", event=item.event) for item in found.missing],
    }
    config: dict[str, Any] = {
        "Share without": layout.share_column(),
        "Without it": st.column_config.TextColumn(alignment="right"),
        "Events": st.column_config.TextColumn(alignment="right"),
        "open": st.column_config.LinkColumn("", display_text="Open", width="small"),
    }
    layout.table(columns, alt="Required properties that recent events lack", config=config, height="content")


def conflicts(place: Here, found: Quality) -> None:
    """Which properties have several types."""
    shown = found.conflicts[:50]
    columns: dict[str, list[Any]] = {
        "Event": [clean(item.event) for item in shown],
        "Property": [clean(item.property) for item in shown],
        "Types": [", ".join(f"{name} ({place.write.number(count)})" for name, count in item.types) for item in shown],
        "open": [nav.href(place, "catalogue", event=item.event) for item in shown],
    }
    config = {"open": st.column_config.LinkColumn("", display_text="Open", width="small")}
    layout.table(columns, alt="Properties with several types", config=config, height="content")
    if len(shown) < len(found.conflicts):
        layout.note(
            f"The first {place.write.number(len(shown))} of {place.write.number(len(found.conflicts))} are shown."
        )
