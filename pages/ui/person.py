"""The parts of a person's page: head, timeline and its detail, identity, traits, billing, e-mails."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import streamlit as st

from gdp_core import identity_admin
from gdp_core.analytics import profile, timeline
from gdp_core.analytics.profile import Billing, Evidence, IdentifierRow, Mailbox, Profile
from gdp_core.analytics.timeline import After, Cut, Item, Names
from pages.ui import boundary, data, layout, state
from pages.ui.charts.stages import stage_history
from pages.ui.charts.style import CONFIG
from pages.ui.context import Here, here
from pages.ui.escape import clean, safe_text
from pages.ui.format import UNKNOWN, label
from pages.ui.people import STAGE_TONES, name_of

PAGE_SIZE = 50
TABS = {
    "timeline": "Timeline",
    "identity": "Identity",
    "traits": "Traits",
    "billing": "Billing",
    "mail": "E-mails",
}
_PERIODS = {"7": "Last 7 days", "30": "Last 30 days", "90": "Last 90 days", "365": "Last 12 months"}
_SOURCES = ("web", "app", "email", "stripe", "meta", "sms", "sales", "import", "custom", timeline.STAGE_SOURCE)
TAB = state.Field("person", "tab", default="timeline", choices=tuple(TABS))
CATEGORIES = state.Field("person", "category", kind="list", default=[])
SOURCES = state.Field("person", "from", kind="list", default=[], choices=_SOURCES)
NAMES = state.Field("person", "event", kind="list", default=[])
PERIOD = state.Field("person", "days", default=None, choices=tuple(_PERIODS))
HUMAN = state.Field("person", "human", kind="flag", default=False)
AFTER = state.Field("person", "after")
FIELDS = (TAB, CATEGORIES, SOURCES, NAMES, PERIOD, HUMAN, AFTER)
OPEN = "person.open"
_SHOWN: state.Slot[tuple[tuple[str, str, str], ...]] = state.Slot("person.shown", ())
_STATE_TONES = {"accepted": "green", "refused": "orange", "cut": "gray"}
_STATE_NAMES = {"accepted": "Joined", "refused": "Refused", "cut": "Taken apart"}
_REASONS = {
    "two_known_people": "a browser may not join two known people",
    "too_many_identifiers": "too many identifiers together",
}


def reason_text(reason: str | None) -> str:
    """Why a merge was refused, in words."""
    if not reason:
        return ""
    kind = reason.removeprefix("too_many_").removesuffix("_ids")
    return _REASONS.get(reason, f"too many {kind} identifiers" if reason.startswith("too_many_") else reason)


def head(place: Here, found: Profile) -> None:
    """Name, badges, how to reach them, the facts in a row, and the stages as a picture."""
    person, write = found.person, place.write
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.title(safe_text(name_of(place, person)), anchor=False, width="content")
        if person.stage:
            layout.badge(label(person.stage), STAGE_TONES[person.stage])
        if person.plan_name:
            layout.badge(person.plan_name, "blue")
        if person.is_internal:
            layout.badge("Internal: in no number", "gray", ":material/visibility_off:")
        if not person.is_known:
            layout.badge("Anonymous", "gray")
    reached = [place.sees(person.email), place.sees(person.phone), person.company]
    if any(reached):
        st.text(clean("   ·   ".join(text for text in reached if text)))
    currency = person.currency
    facts = {
        "Spent": write.money(person.total_spent_micros, currency) if currency else UNKNOWN,
        "MRR": write.money(person.mrr_micros, currency) if currency else UNKNOWN,
        "Events": write.number(person.total_events),
        "Last seen": write.ago(person.last_seen_at, place.now),
        "First seen": write.date_of(person.first_seen_at),
        "Came by": label(person.source),
    }
    with layout.card(key="person-head"):
        with st.grid(6, min_column_width=130, gap="small"):
            for name, value in facts.items():
                with st.container(gap=None):
                    st.caption(safe_text(name))
                    st.text(clean(value))
        if found.stages:
            st.plotly_chart(
                stage_history(found.stages, place.now, write),
                config=CONFIG,
                key="stage-history",
                alt=f"Stages over time, now {safe_text(label(found.stages[-1].stage))}",
            )


def tabs() -> str:
    """The choice of what to see below the head."""
    st.segmented_control(
        "Show", [*TABS], key=TAB.key, format_func=TABS.__getitem__, label_visibility="collapsed", required=True
    )
    return str(TAB.value)


def newest() -> None:
    """A callback: begin the timeline at its newest item."""
    AFTER.set("")


def older(after: After) -> None:
    """A callback: go on after an item."""
    AFTER.set(after.text)


def cut(place: Here) -> Cut:
    """What the timeline's fields narrow it to."""
    days = PERIOD.value
    return Cut(
        categories=tuple(CATEGORIES.value),
        sources=tuple(SOURCES.value),
        names=tuple(NAMES.value),
        since=place.now - timedelta(days=int(days)) if days in _PERIODS else None,
        human_only=bool(HUMAN.value),
    )


def timeline_filters(names: Names) -> None:
    """The row above the timeline."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        for field, title, options, spelt in (
            (CATEGORIES, "Category", names.categories, True),
            (SOURCES, "Source", _SOURCES, True),
            (NAMES, "Event", names.names, False),
        ):
            st.multiselect(
                safe_text(title),
                [*dict.fromkeys([*options, *field.value])],
                key=field.key,
                format_func=label if spelt else clean,
                placeholder=title,
                label_visibility="collapsed",
                on_change=newest,
                width=190,
            )
        st.selectbox(
            "Period",
            [*_PERIODS],
            key=PERIOD.key,
            index=None,
            format_func=_PERIODS.__getitem__,
            placeholder="Any time",
            label_visibility="collapsed",
            on_change=newest,
            width=160,
        )
        st.toggle("Hide machine events", key=HUMAN.key, on_change=newest)


def timeline_table(place: Here, items: Sequence[Item], after: After | None) -> None:
    """One page of the timeline; the button at the left opens an item."""
    write = place.write
    _SHOWN.set(tuple((item.kind, item.id, item.at.isoformat()) for item in items))
    columns: dict[str, list[Any]] = {
        "open": [":material/side_navigation:" if item.kind == "event" else "" for item in items],
        "When": [write.instant(item.at, seconds=True) for item in items],
        "What": [_what(item) for item in items],
        "Source": [[label(item.source)] for item in items],
        "Category": [label(item.category) if item.category else "" for item in items],
        "Value": [
            write.money(item.value_micros, item.currency) if item.value_micros is not None else "" for item in items
        ],
        "Detail": [_detail_line(place, item) for item in items],
    }
    config = {
        "open": st.column_config.ButtonColumn("", width=44, type="tertiary", key=OPEN, pinned=True),
        "When": st.column_config.TextColumn(width=165),
        "What": st.column_config.TextColumn(width="medium"),
        "Category": st.column_config.TextColumn(width=110),
        "Source": st.column_config.MultiselectColumn(
            options=[label(name) for name in _SOURCES],
            color=["blue", "violet", "orange", "green", "blue", "yellow", "red", "gray", "gray", "primary"],
        ),
        "Value": st.column_config.TextColumn(alignment="right", width=100),
        "Detail": st.column_config.TextColumn(width="large"),
    }
    layout.table(columns, alt="Timeline, newest first", config=config, height="content")
    with st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        if AFTER.value:
            st.button("Newest", icon=":material/first_page:", key="timeline-newest", on_click=newest)
        if after:
            st.button("Older", icon=":material/chevron_right:", key="timeline-older", on_click=older, args=(after,))


def _what(item: Item) -> str:
    if item.kind == "stage":
        return f"Became {label(item.name).lower()}" if item.name else "Left every stage"
    if item.kind == "mail":
        return f"E-mail {label(item.name.removeprefix('email_')).lower()}"
    return clean(item.name)


def _detail_line(place: Here, item: Item) -> str:
    if item.kind == "stage":
        return f"before: {label(item.summary).lower()}" if item.summary else ""
    parts = [place.sees(item.summary), _url(place, item.url), "machine" if item.is_machine else None]
    return clean(" · ".join(part for part in parts if part), longest=200)


def _url(place: Here, url: str | None) -> str | None:
    return url if url is None or place.may("pii.read") else url.partition("?")[0]


def opened(place: Here) -> None:
    """Open the item whose button was clicked."""
    hit, shown = state.clicked(OPEN), _SHOWN.get()
    if not hit or not 0 <= hit[0] < len(shown) or shown[hit[0]][0] != "event":
        return
    after = After.parse("|".join((shown[hit[0]][2], "event", shown[hit[0]][1])))
    found = place.read(timeline.read_detail, UUID(after.id), after.at) if after else None
    if found is not None:
        _event_drawer(place, found)


def _event_drawer(place: Here, found: timeline.Detail) -> None:
    @boundary.dialog(found.name, drawer=True, icon=":material/bolt:")
    def show() -> None:
        write = place.write
        with st.container(horizontal=True):
            layout.badge(label(found.source), "blue")
            if found.category:
                layout.badge(label(found.category), "gray")
            if found.is_machine:
                layout.badge("Machine", "gray", ":material/smart_toy:")
        layout.facts(
            {
                "When": f"{write.instant(found.occurred_at, seconds=True)} {write.zone_name(found.occurred_at)}",
                "Identifier": place.sees(found.identifier) or UNKNOWN,
                "Sent by": found.source_name,
                "Received": write.instant(found.received_at, seconds=True),
                "Applied": write.instant(found.applied_at, seconds=True),
                "Value": write.money(found.value_micros, found.currency) if found.currency else UNKNOWN,
            }
        )
        if found.properties:
            layout.heading("Properties")
            st.json(_seen(place, found.properties), expanded=2)
        if found.context:
            layout.heading("Context")
            layout.facts({label(name): _context(place, name, value) for name, value in found.context.items()})
        layout.heading("Raw ids")
        layout.facts(
            {"Event": str(found.id), "At the sender": place.sees(found.source_event_id) or UNKNOWN, "Type": found.type}
        )
        if found.metadata:
            layout.heading("Metadata")
            st.json(_seen(place, found.metadata), expanded=1)

    show()


def _context(place: Here, name: str, value: str) -> str:
    if name in ("url", "referrer"):
        return _url(place, value) or UNKNOWN
    return value if name.startswith("utm_") else place.sees(value) or UNKNOWN


def _seen(place: Here, value: Any) -> Any:
    """A JSON value with its texts masked for who may not see them."""
    if isinstance(value, str):
        return place.sees(value)
    if isinstance(value, Mapping):
        return {str(name): _seen(place, item) for name, item in value.items()}
    if isinstance(value, list):
        return [_seen(place, item) for item in value]
    return value


def identity_tab(
    place: Here, person_id: UUID, identifiers: Sequence[IdentifierRow], evidence: Sequence[Evidence]
) -> None:
    """Identifiers, the statements that join them, and taking them apart."""
    write = place.write
    layout.section("Identifiers")
    layout.table(
        {
            "Kind": [label(item.namespace) for item in identifiers],
            "Identifier": [clean(place.sees(item.value) or "") for item in identifiers],
            "Primary": [item.is_primary for item in identifiers],
            "Events": [write.number(item.events) for item in identifiers],
            "First seen": [write.instant(item.first_seen_at) for item in identifiers],
            "Last seen": [write.instant(item.last_seen_at) for item in identifiers],
        },
        alt="Identifiers of this person",
        config={"Events": st.column_config.TextColumn(alignment="right")},
        height="content" if len(identifiers) <= 25 else 600,
    )
    if place.may("identity.merge") and len(identifiers) > 1:
        _split_control(place, person_id, identifiers)
    layout.section("Evidence")
    if not evidence:
        layout.note("Nothing joins this identifier with another one.")
        return
    layout.table(
        {
            "State": [[_STATE_NAMES[item.state]] for item in evidence],
            "One": [clean(place.sees(item.a_label) or "") for item in evidence],
            "Other": [clean(place.sees(item.b_label) or "") for item in evidence],
            "Said by": [clean(item.source) for item in evidence],
            "When": [write.instant(item.occurred_at) for item in evidence],
            "Weight": [_weight(item) for item in evidence],
            "Why not": [reason_text(item.reason) for item in evidence],
        },
        alt="Statements that join identifiers",
        config={
            "State": st.column_config.MultiselectColumn(
                options=list(_STATE_NAMES.values()), color=[_STATE_TONES[name] for name in _STATE_NAMES]
            ),
            "Weight": st.column_config.ListColumn(
                help="Verified: stated under a signature or a server key. Explicit: somebody said they are one, not merely"
                " sent both at once. Merged: joined two people who were apart before.",
                width=170,
            ),
        },
        height="content" if len(evidence) <= 25 else 600,
        order=None if any(item.reason for item in evidence) else ["State", "One", "Other", "Said by", "When", "Weight"],
    )


def _weight(item: Evidence) -> list[str]:
    held = {"verified": item.verified, "explicit": item.explicit, "merged": item.merged}
    return [name for name, holds in held.items() if holds]


def _split_control(place: Here, person_id: UUID, identifiers: Sequence[IdentifierRow]) -> None:
    by_id = {str(item.actor_id): item for item in identifiers}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        chosen = st.multiselect(
            "Split off identifiers that belong to somebody else",
            [*by_id],
            key="split-choice",
            format_func=lambda key: clean(f"{label(by_id[key].namespace)}: {place.sees(by_id[key].value)}", longest=80),
            width=420,
        )
        clicked = st.button("Split off…", icon=":material/call_split:", key="split", disabled=not chosen)
    if clicked and chosen:
        rest = len(identifiers) - len(chosen)
        layout.confirm(
            "Split this person?",
            body=f"{place.write.number(len(chosen))} of {place.write.number(len(identifiers))} identifiers become another"
            f" person, with their events, traits, e-mails and payments; {place.write.number(rest)} stay. You can take it back.",
            button="Split off",
            act=lambda: _split(person_id, [UUID(key) for key in chosen]),
            key="split-confirm",
        )
    for item in place.read(identity_admin.read_splits, person_id):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            pairs = ", ".join(f"{place.sees(a)} / {place.sees(b)}" for a, b in item.pairs[:3])
            more = "" if len(item.pairs) <= 3 else f" and {len(item.pairs) - 3} more"
            layout.note(f"Taken apart {place.write.instant(item.at)} by {item.by}: {pairs}{more}")
            st.button(
                "Take back",
                key=f"undo-{item.at.timestamp()}",
                icon=":material/undo:",
                type="tertiary",
                on_click=_undo_split,
                args=(person_id, item.at),
            )


def _split(person_id: UUID, actors: Sequence[UUID]) -> str:
    place = here()
    with place.change("gdp_worker", timeout=120) as session:
        identity_admin.split(session, place.principal, person_id, set(actors), now=place.now)
    data.forget()
    return "Split off. The new person has their own profile now."


@boundary.guard
def _undo_split(person_id: UUID, at: Any) -> None:
    place = here()
    with place.change("gdp_worker", timeout=120) as session:
        identity_admin.undo_split(session, place.principal, person_id, at, now=place.now)
    data.forget()
    layout.done("Joined again.")


def traits_tab(place: Here, assertions: Sequence[profile.Assertion]) -> None:
    """Each trait with who said it and when; the history below each."""
    write = place.write
    if not assertions:
        with layout.empty(
            ":material/label:", "Nothing was said of this person", "Traits come from identify calls and from billing."
        ):
            return
    show_all = st.toggle("Show what was said before", key="traits-all")
    shown = [item for item in assertions if show_all or item.current]
    layout.table(
        {
            "Trait": [clean(item.key) for item in shown],
            "Value": [_trait(place, item.value) if item.op != "unset" else "(removed)" for item in shown],
            "Holds": [item.current for item in shown],
            "Said by": [clean(item.source) for item in shown],
            "Of": [clean(place.sees(item.identifier) or "") for item in shown],
            "When": [write.instant(item.occurred_at) for item in shown],
            "Learned": [write.instant(item.applied_at) for item in shown],
        },
        alt="Traits and where each came from",
        order=None if show_all else ["Trait", "Value", "Said by", "Of", "When", "Learned"],
        height="content" if len(shown) <= 25 else 700,
    )


def _trait(place: Here, value: Any) -> str:
    seen = _seen(place, value)
    return clean(seen if isinstance(seen, str) else str(seen), longest=300)


def billing_tab(place: Here, billing: Billing) -> None:
    """Subscriptions, payments, and what changed in what they pay a month."""
    write = place.write
    if not billing.subscriptions and not billing.payments:
        with layout.empty(":material/credit_card:", "No billing", "Nothing this person bought is known."):
            return
    layout.section("Subscriptions")
    layout.table(
        {
            "Plan": [clean(item.plan_name) for item in billing.subscriptions],
            "Status": [label(item.status) for item in billing.subscriptions],
            "MRR": [write.money(item.mrr_micros, item.currency) for item in billing.subscriptions],
            "Price": [
                f"{write.money(item.price_micros, item.currency)} {item.billing_cycle}"
                for item in billing.subscriptions
            ],
            "Started": [write.date_of(item.started_at) for item in billing.subscriptions],
            "Renews": [write.date_of(item.renews_at) for item in billing.subscriptions],
            "Ended": [write.date_of(item.cancelled_at) for item in billing.subscriptions],
            "Revenue": [write.money(item.total_revenue_micros, item.currency) for item in billing.subscriptions],
            "Id": [clean(place.sees(item.stripe_subscription_id) or "") for item in billing.subscriptions],
        },
        alt="Subscriptions",
        config={name: st.column_config.TextColumn(alignment="right") for name in ("MRR", "Price", "Revenue")},
        height="content",
    )
    layout.section("Payments")
    layout.table(
        {
            "When": [write.instant(item.at) for item in billing.payments],
            "What": [label(item.kind) for item in billing.payments],
            "Status": [label(item.status) for item in billing.payments],
            "Amount": [write.money(item.amount_micros, item.currency) for item in billing.payments],
            "Number": [clean(item.number) for item in billing.payments],
        },
        alt="Payments, newest first",
        config={"Amount": st.column_config.TextColumn(alignment="right")},
        height="content" if len(billing.payments) <= 25 else 600,
    )
    if billing.changes:
        layout.section("MRR changes")
        layout.table(
            {
                "When": [write.instant(item.at) for item in billing.changes],
                "Movement": [label(item.movement) for item in billing.changes],
                "From": [write.money(item.before_micros, item.currency) for item in billing.changes],
                "To": [write.money(item.after_micros, item.currency) for item in billing.changes],
                "Reason": [label(item.reason) if item.reason else "" for item in billing.changes],
            },
            alt="Changes of monthly recurring revenue",
            config={name: st.column_config.TextColumn(alignment="right") for name in ("From", "To")},
            height="content" if len(billing.changes) <= 25 else 600,
        )


def mail_tab(place: Here, mailbox: Mailbox) -> None:
    """E-mails with what became of each, and whether the person may be written to."""
    write = place.write
    for address in mailbox.suppressed:
        st.warning(f"{safe_text(place.sees(address))} must not be written to.", icon=":material/block:")
    for topic, choice, since in mailbox.consents:
        layout.note(f"{label(choice)} of {'everything' if topic == 'all' else topic} since {write.instant(since)}")
    if not mailbox.mails:
        with layout.empty(
            ":material/mail:", "No e-mail", "Nothing was sent to this person through a connected source."
        ):
            return
    layout.table(
        {
            "Sent": [write.instant(item.sent_at) for item in mailbox.mails],
            "Subject": [clean(place.sees(item.subject) or UNKNOWN) for item in mailbox.mails],
            "Status": [label(item.status) for item in mailbox.mails],
            "Campaign": [clean(item.campaign or "") for item in mailbox.mails],
            "Delivered": [write.instant(item.delivered_at) if item.delivered_at else "" for item in mailbox.mails],
            "Opened": [write.instant(item.opened_at) if item.opened_at else "" for item in mailbox.mails],
            "Clicked": [write.instant(item.clicked_at) if item.clicked_at else "" for item in mailbox.mails],
            "What happened": [_happened(place, item.happened) for item in mailbox.mails],
        },
        alt="E-mails, newest first",
        config={"Subject": st.column_config.TextColumn(width=280)},
        height="content" if len(mailbox.mails) <= 25 else 700,
    )
    layout.note("Opened and clicked are the first by a human; machine opens are counted under what happened.")


def _happened(place: Here, events: Sequence[profile.MailEvent]) -> str:
    counts: dict[str, int] = {}
    for event in events:
        name = label(event.kind).lower() + (" by machine" if event.is_machine else "")
        counts[name] = counts.get(name, 0) + 1
    details = [place.sees(event.detail) or "" for event in events if event.detail]
    parts = [name if count == 1 else f"{name} ×{count}" for name, count in counts.items()]
    return clean(", ".join(parts + details), longest=200)
