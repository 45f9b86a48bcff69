"""Merge reviews: merges that were refused, and whether they are one person after all."""

import streamlit as st

from gdp_core import identity_admin
from pages.ui import layout, reviews, state
from pages.ui.context import here

place = here()
FIELDS = (reviews.STATUS,)
state.adopt(FIELDS)
waiting = place.read(identity_admin.count_reviews)
layout.title("Merge reviews", "Statements that would join two people, refused until somebody looks at them")
st.segmented_control(
    "Show",
    [*reviews.STATUSES],
    key=reviews.STATUS.key,
    format_func=reviews.STATUSES.__getitem__,
    label_visibility="collapsed",
    required=True,
)
state.publish(FIELDS)

found = place.read(identity_admin.read_reviews, reviews.STATUS.value, 25)
if not found:
    layout.empty(
        ":material/task_alt:",
        "Nothing to review" if reviews.STATUS.value == "open" else "Nothing here",
        "When a sender states that two known people are one and may not decide it, it waits here.",
    )
for review in found:
    reviews.card(place, review)
if reviews.STATUS.value == "open" and waiting > len(found):
    layout.note(f"{place.write.number(waiting - len(found))} more wait behind these.")
