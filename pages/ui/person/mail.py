"""The tab E-mails: each with what became of it, and whether the person may be written to."""

from collections.abc import Sequence

import streamlit as st

from gdp_core.analytics.profile import Mailbox, MailEvent
from pages.ui import layout
from pages.ui.context import Here
from pages.ui.escape import clean, safe_text
from pages.ui.format import UNKNOWN, label


def tab(place: Here, mailbox: Mailbox) -> None:
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
    columns = {
        "Sent": [write.instant(item.sent_at) for item in mailbox.mails],
        "Subject": [clean(place.sees(item.subject) or UNKNOWN) for item in mailbox.mails],
        "Status": [label(item.status) for item in mailbox.mails],
        "Campaign": [clean(item.campaign or "") for item in mailbox.mails],
        "Delivered": [write.instant(item.delivered_at) if item.delivered_at else "" for item in mailbox.mails],
        "Opened": [write.instant(item.opened_at) if item.opened_at else "" for item in mailbox.mails],
        "Clicked": [write.instant(item.clicked_at) if item.clicked_at else "" for item in mailbox.mails],
        "What happened": [_happened(place, item.happened) for item in mailbox.mails],
    }
    always = ("Sent", "Subject", "Status", "Opened", "What happened")
    layout.table(
        columns,
        alt="E-mails, newest first",
        config={
            "Subject": st.column_config.TextColumn(width=275),
            **{name: st.column_config.TextColumn(width=128) for name in ("Delivered", "Opened", "Clicked")},
        },
        height="content" if len(mailbox.mails) <= 25 else 700,
        order=[name for name, cells in columns.items() if name in always or any(cells)],
    )
    layout.note("Opened and clicked are the first by a human; machine opens are counted under what happened.")


def _happened(place: Here, events: Sequence[MailEvent]) -> str:
    counts: dict[str, int] = {}
    for event in events:
        name = label(event.kind).lower() + (" by machine" if event.is_machine else "")
        counts[name] = counts.get(name, 0) + 1
    details = [place.sees(event.detail) or "" for event in events if event.detail]
    parts = [name if count == 1 else f"{name} ×{count}" for name, count in counts.items()]
    return clean(", ".join(parts + details), longest=200)
