"""The inbox's parts: its fields in the URL, the books, the list, one delivery in full, and replaying."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import streamlit as st

from gdp_core import replay
from gdp_core.analytics.inbox_view import (
    PAGE,
    STATES,
    DeliveryDetail,
    DeliveryRow,
    InboxFilter,
    Place,
    find,
    read_delivery,
)
from gdp_core.inbox import Balance
from pages.ui import boundary, data, layout, nav, state
from pages.ui.context import Here, here
from pages.ui.escape import clean, safe_text
from pages.ui.format import UNKNOWN, label
from pages.ui.rows import Buttons

NAMES = {
    "pending": "Waiting",
    "applied": "Applied",
    "duplicate": "Duplicate",
    "quarantined": "Set aside",
    "dead": "Given up",
}
TONES: dict[str, layout.Tone] = {
    "pending": "blue",
    "applied": "green",
    "duplicate": "gray",
    "quarantined": "orange",
    "dead": "red",
}
_MEANINGS = {
    "received": "Everything the door, an import or a backfill took in.",
    "applied": "Became events, people or billing.",
    "duplicate": "Said nothing new: it was known already.",
    "quarantined": "Could not be used; kept with its reason until it is replayed.",
    "dead": "Failed eight times; kept until it is replayed.",
    "erased": "Belonged to somebody who was erased.",
    "pending": "Waits to be applied.",
}
_WINDOWS = {
    "1h": ("Last hour", 1),
    "24h": ("Last 24 hours", 24),
    "7d": ("Last 7 days", 168),
    "30d": ("Last 30 days", 720),
}

STATE = state.Field("inbox", "state", default=None, choices=STATES)
SOURCE = state.Field("inbox", "source", default=None)
WHEN = state.Field("inbox", "when", default=None, choices=tuple(_WINDOWS))
AT = state.Field("inbox", "at")
ID = state.Field("inbox", "id")
FIELDS = (STATE, SOURCE, WHEN, AT, ID)
OPEN: Buttons[Place] = Buttons("inbox.open")


def chosen(place: Here) -> InboxFilter:
    """The filter that the page's fields make."""
    hours = _WINDOWS[WHEN.value][1] if WHEN.value else None
    return InboxFilter(
        state=STATE.value,
        source_id=_uuid(SOURCE.value),
        since=place.now.replace(second=0, microsecond=0) - timedelta(hours=hours) if hours else None,
    )


def first_page() -> None:
    """A callback: the filter changed, so the list begins again."""
    AT.set("")


def clear() -> None:
    """A callback: no filter."""
    for field in (STATE, SOURCE, WHEN):
        field.set(None)
    first_page()


def books(place: Here, balances: Sequence[Balance]) -> None:
    """Both ledgers as one table, and whether they add up."""
    wrong = [item for item in balances if item.difference]
    columns: dict[str, list[Any]] = {"": ["Deliveries", "Items in them"]}
    for name in _MEANINGS:
        columns[NAMES.get(name, label(name))] = [place.write.number(getattr(item, name)) for item in balances]
    columns["Difference"] = [place.write.number(item.difference) for item in balances]
    config: dict[str, Any] = {"": st.column_config.TextColumn(width=105)}
    for name, meaning in _MEANINGS.items():
        config[NAMES.get(name, label(name))] = st.column_config.TextColumn(alignment="right", help=meaning)
    config["Difference"] = st.column_config.TextColumn(
        alignment="right", help="Received less everything on its right. It must be 0."
    )
    layout.table(columns, alt="What was received and what became of it", config=config, height="content")
    if wrong:
        st.error(
            "The books do not add up: something that was received is not accounted for. Tell your administrator.",
            icon=":material/error:",
        )


def filters(sources: Sequence[tuple[str, str]]) -> None:
    """The row of filters; `sources` are (id, name)."""
    names = dict(sources)
    if SOURCE.value and SOURCE.value not in names:
        names[SOURCE.value] = "Removed source"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.segmented_control(
            "State",
            STATES,
            key=STATE.key,
            format_func=NAMES.__getitem__,
            on_change=first_page,
            label_visibility="collapsed",
        )
        st.selectbox(
            "Source",
            [*names],
            key=SOURCE.key,
            index=None,
            format_func=lambda item: clean(names[item], longest=60),
            placeholder="Any source",
            on_change=first_page,
            label_visibility="collapsed",
            width=190,
        )
        st.selectbox(
            "Received",
            [*_WINDOWS],
            key=WHEN.key,
            index=None,
            format_func=lambda item: _WINDOWS[item][0],
            placeholder="Any time",
            on_change=first_page,
            label_visibility="collapsed",
            width=170,
        )


def nothing(place: Here, received: bool) -> None:
    """Instead of a list without a filter; `received`: there were deliveries once."""
    if received:
        layout.empty(
            ":material/inbox:",
            "No delivery is kept",
            "All of them are older than the workspace keeps deliveries. What they became stays.",
        )
        return
    with layout.empty(
        ":material/inbox:", "Nothing has arrived yet", "Connect a source: what it sends appears here at once."
    ):
        nav.link(place, "sources", label="Connect a source")


def place_of_page() -> Place | None:
    """Where the shown page begins, from the URL; None for the first."""
    at, _, identifier = AT.value.partition("|")
    found = _uuid(identifier)
    try:
        return Place(datetime.fromisoformat(at), found) if found else None
    except ValueError:
        return None


def deliveries(place: Here, found: Sequence[DeliveryRow]) -> None:
    """The list; the button at the left opens a delivery."""
    write = place.write
    columns: dict[str, list[Any]] = {
        "open": OPEN.cells([row.place for row in found]),
        "Received": [write.instant(row.received_at, seconds=True) for row in found],
        "State": [[NAMES[row.state]] for row in found],
        "Source": [clean(row.source_name or row.source, longest=60) for row in found],
        "Route": [row.route for row in found],
        "Items": [write.number(row.facts) if row.state != "pending" else UNKNOWN for row in found],
        "Set aside": [write.number(row.aside) if row.aside else "" for row in found],
        "Tries": [write.number(row.attempts) for row in found],
        "Size": [write.size(row.size) for row in found],
        "Error": [clean(row.error or "") for row in found],
    }
    config: dict[str, Any] = {
        "open": OPEN.column(),
        "State": st.column_config.MultiselectColumn(
            options=list(NAMES.values()), color=[TONES[name] for name in NAMES], width=110
        ),
        "Received": st.column_config.TextColumn(width=170),
    }
    for name in ("Items", "Set aside", "Tries", "Size"):
        config[name] = st.column_config.TextColumn(alignment="right", width="small")
    order = [name for name in columns if name != "Error" or any(row.error for row in found)]
    layout.table(columns, alt="Deliveries that match the filters", config=config, height="content", order=order)


def pager(place: Here, found: Sequence[DeliveryRow], total: int) -> None:
    """How many there are, the way to one of them without a mouse, and to older ones."""
    said = (
        f"{place.write.number(total)}{'+' if total >= replay.MOST else ''} {'delivery' if total == 1 else 'deliveries'}"
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        names = {
            row.place: f"{place.write.instant(row.received_at, seconds=True)}  {row.source_name or row.source}"
            for row in found
        }
        OPEN.chooser("Open a delivery by time", names)
        st.space("stretch")
        st.caption(safe_text(said), width="content")
        if not AT.value and len(found) < PAGE:
            return
        st.button("Newest", icon=":material/first_page:", key="inbox-first", on_click=first_page, disabled=not AT.value)
        st.button(
            "Older",
            icon=":material/chevron_right:",
            key="inbox-older",
            on_click=_older,
            args=(found[-1].place if found else None,),
            disabled=len(found) < PAGE,
        )


def _older(after: Place | None) -> None:
    if after:
        AT.set(f"{after.received_at.isoformat()}|{after.id}")


def drawer(wanted: Place) -> None:
    """One delivery, at the right of the list."""

    @boundary.dialog("Delivery", drawer=True, icon=":material/inbox:", width="medium")
    def show() -> None:
        place = here()
        detail(place, place.read(read_delivery, place.principal, wanted))
        nav.link(place, "inbox", label="Open as a page", icon=":material/open_in_new:", id=str(wanted.id))

    show()


def detail_page(place: Here, identifier: str) -> None:
    """One delivery as a page of its own, for links."""
    nav.link(place, "inbox", label="All deliveries", icon=":material/arrow_back:")
    found = _uuid(identifier)
    where = place.read(find, found or UUID(int=0))
    layout.title("Delivery", str(where.id))
    detail(place, place.read(read_delivery, place.principal, where))


def detail(place: Here, found: DeliveryDetail) -> None:
    """Everything about one delivery that the role may see."""
    row, write = found.row, place.write
    with st.container(horizontal=True, vertical_alignment="center"):
        layout.badge(NAMES[row.state], TONES[row.state])
        if row.aside and row.state != "quarantined":
            layout.badge(f"{write.number(row.aside)} set aside", "orange")
        if (
            place.may("inbox.replay")
            and row.state != "pending"
            and st.button(
                "Replay",
                icon=":material/replay:",
                key=f"replay-{row.id}",
                help="Apply it again. What was applied stays applied once.",
            )
        ):
            _replay_one(row.id)
    pairs = {
        "Source": f"{row.source_name or 'Removed source'} ({label(row.source)})",
        "Received": f"{write.instant(row.received_at, seconds=True)} {write.zone_name(row.received_at)}",
        "Applied": write.instant(found.applied_at, seconds=True) if found.applied_at else UNKNOWN,
        "Route": f"{row.route}, {_TRUST[row.trust]}",
        "Items": f"{write.number(row.facts)}: {write.number(row.applied)} applied, {write.number(row.duplicate)} duplicate,"
        f" {write.number(row.aside)} set aside",
        "Tries": write.number(row.attempts),
        "Size": write.size(row.size),
    }
    if row.state == "pending":
        pairs["Next try"] = write.instant(row.run_at, seconds=True)
    if row.error:
        pairs["Error"] = row.error
    layout.facts(pairs)
    _rejects(place, found)
    _raw(place, found)


_TRUST = {"signed": "signed by its sender", "server": "sent with a server key", "browser": "sent with a browser key"}


def _rejects(place: Here, found: DeliveryDetail) -> None:
    if not found.rejects:
        return
    layout.heading(f"Set aside: {place.write.number(found.row.aside)}")
    columns: dict[str, list[Any]] = {
        "Item": [place.write.number(item.item) for item in found.rejects],
        "Code": [item.code for item in found.rejects],
        "Reason": [clean(item.reason or "Only members see the reason.") for item in found.rejects],
    }
    config = {
        "Item": st.column_config.TextColumn(width=60, alignment="right"),
        "Code": st.column_config.TextColumn(width=130),
    }
    layout.table(columns, alt="Items that could not be used, with the reason", config=config)
    if len(found.rejects) < found.row.aside:
        layout.note(f"The first {place.write.number(len(found.rejects))} are shown.")


def _raw(place: Here, found: DeliveryDetail) -> None:
    if found.body is None:
        layout.note("Headers and body are shown to members only: they hold personal data as it was sent.")
        return
    headers = {**(found.headers or {}), **{f"?{name}": text for name, text in (found.query or {}).items()}}
    if headers:
        layout.heading("Headers")
        columns = {"Name": [clean(name) for name in headers], "Value": [clean(str(text)) for text in headers.values()]}
        layout.table(columns, alt="Headers and parameters that were kept")
    layout.heading("Body")
    st.code(
        found.body.text or "(empty)",
        language="json" if found.body.language == "json" else None,
        wrap_lines=True,
        height=420 if len(found.body.text) > 1200 else "content",
    )
    if found.body.is_cut:
        layout.note(f"Only the beginning of {place.write.size(found.body.size)} is shown.")


def _replay_one(identifier: UUID) -> None:
    """Replay it and run the whole page again, which says so and closes the drawer."""
    place = here()
    with place.change("gdp_worker") as session:
        replay.replay(session, place.principal, [identifier], now=place.now)
    data.forget(place)
    layout.done("The delivery is applied again within a second.")
    st.rerun()


def ask_replay(place: Here, wanted: InboxFilter, total: int) -> None:
    """Ask before everything a filter finds is done again."""

    def act() -> str:
        again = here()
        with again.change("gdp_worker", timeout=120) as session:
            done = replay.replay_found(session, again.principal, wanted, now=again.now)
        data.forget(again)
        return f"{again.write.number(done)} {'delivery is' if done == 1 else 'deliveries are'} applied again."

    most = min(total, replay.MOST)
    said = f"the newest {place.write.number(most)}" if total >= replay.MOST else place.write.number(most)
    layout.confirm(
        f"Replay {said} {'delivery' if most == 1 else 'deliveries'}?",
        body="They are read again from their raw bodies by the sources as they are now. What was applied stays applied"
        " once; what was set aside or given up is tried again.",
        button="Replay",
        act=act,
        key="inbox-replay",
    )


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text or "")
    except ValueError:
        return None
