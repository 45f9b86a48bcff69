"""The tab Identity: identifiers, the statements that join them, and taking them apart."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import streamlit as st

from gdp_core import identity_admin
from gdp_core.analytics.profile import Evidence, IdentifierRow
from pages.ui import boundary, data, layout, nav, state
from pages.ui.context import Here, here
from pages.ui.escape import clean
from pages.ui.format import label
from pages.ui.person import identifier

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


def tab(place: Here, person_id: UUID, identifiers: Sequence[IdentifierRow], evidence: Sequence[Evidence]) -> None:
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
            "One": [identifier(place, item.a_label) for item in evidence],
            "Other": [identifier(place, item.b_label) for item in evidence],
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
    held = {"Verified": item.verified, "Explicit": item.explicit, "Merged": item.merged}
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
            pairs = ", ".join(f"{identifier(place, a)} / {identifier(place, b)}" for a, b in item.pairs[:3])
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
        stays = identity_admin.split(session, place.principal, person_id, set(actors), now=place.now)
    data.forget(place)
    state.replace_query(nav.parameters(place, id=str(stays), tab="identity"))
    return "Split off. The new person has their own profile now."


@boundary.guard
def _undo_split(person_id: UUID, at: Any) -> None:
    place = here()
    with place.change("gdp_worker", timeout=120) as session:
        identity_admin.undo_split(session, place.principal, person_id, at, now=place.now)
    data.forget(place)
    layout.done("Joined again.")
