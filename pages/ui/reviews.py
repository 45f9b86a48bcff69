"""One merge review: both sides, why it was refused, and the decision."""

from uuid import UUID

import streamlit as st

from gdp_core import identity_admin
from gdp_core.identity_admin import Review, Side
from pages.ui import boundary, data, layout, nav, state
from pages.ui.context import Here, here
from pages.ui.escape import safe_text
from pages.ui.format import UNKNOWN, label
from pages.ui.people import STAGE_TONES
from pages.ui.person import identifier
from pages.ui.person.identity import reason_text

STATUSES = {"open": "Open", "accepted": "Merged", "dismissed": "Dismissed"}
STATUS = state.Field("reviews", "status", default="open", choices=tuple(STATUSES))


def card(place: Here, review: Review) -> None:
    """A review with its two sides."""
    key = f"{review.a.actor_id.hex[:12]}{review.b.actor_id.hex[:12]}"
    with st.container(border=True, key=f"review-{key}"):
        st.markdown(f"**Refused: {safe_text(reason_text(review.reason))}**")
        st.caption(f"Stated by {safe_text(review.source)}, {safe_text(place.write.ago(review.opened_at, place.now))}")
        left, right = st.columns(2)
        for column, side in ((left, review.a), (right, review.b)):
            with column:
                _side(place, side)
        if place.may("identity.merge"):
            _decision(review, key)


def _side(place: Here, side: Side) -> None:
    name = place.sees(side.name) or place.sees(side.email) or f"Visitor {str(side.person_id)[:8]}"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        nav.link(place, "person", label=name, id=str(side.person_id))
        if side.stage:
            layout.badge(label(side.stage), STAGE_TONES[side.stage])
    layout.facts(
        {
            "Identifier": identifier(place, side.identifier),
            "E-mail": place.sees(side.email) or UNKNOWN,
            "Identifiers": place.write.number(side.identifiers),
            "Events": place.write.number(side.total_events),
            "First seen": place.write.instant(side.first_seen_at),
            "Last seen": place.write.instant(side.last_seen_at),
        }
    )


def _decision(review: Review, key: str) -> None:
    pair = (review.a.actor_id, review.b.actor_id)
    with st.container(horizontal=True, horizontal_alignment="right", gap="small"):
        match STATUS.value:
            case "open":
                st.button("Not the same", key=f"dismiss-{key}", on_click=_dismiss, args=pair)
                if st.button("Merge…", key=f"accept-{key}", icon=":material/call_merge:"):
                    layout.confirm(
                        "Merge these two people?",
                        body="Their events, traits, e-mails and payments become those of one person. You can split them"
                        " again on their profile.",
                        button="Merge",
                        act=lambda: _accept(*pair),
                        key="merge-confirm",
                    )
            case "dismissed":
                st.button("Review again", key=f"reopen-{key}", on_click=_reopen, args=pair)


def _accept(a: UUID, b: UUID) -> str:
    place = here()
    with place.change("gdp_worker", timeout=120) as session:
        identity_admin.accept_review(session, place.principal, a, b, now=place.now)
    data.forget(place)
    return "Merged."


@boundary.guard
def _dismiss(a: UUID, b: UUID) -> None:
    place = here()
    with place.change() as session:
        identity_admin.dismiss_review(session, place.principal, a, b, now=place.now)
    data.forget(place)
    layout.done("Dismissed: they stay two people.")


@boundary.guard
def _reopen(a: UUID, b: UUID) -> None:
    place = here()
    with place.change() as session:
        identity_admin.reopen_review(session, place.principal, a, b, now=place.now)
    layout.done("Open again.")
