"""Audit log: who changed what, when and from where, and whether the log itself is intact."""

import streamlit as st

from gdp_core.accounts import audit
from gdp_core.analytics import audit_view
from pages.ui import auditing, layout, state
from pages.ui.context import here
from pages.ui.escape import safe_text

place = here()
state.adopt(auditing.FIELDS)
checked = False
with layout.head("Audit log", f"Who changed what; times in {place.write.zone_name(place.now)}"):
    checked = st.button(
        "Check the log",
        icon=":material/verified:",
        key="audit-verify",
        help="Each entry carries a hash of the one before it: a changed or missing entry shows.",
    )
if checked:
    broken = place.read(audit.verify)
    if broken is None:
        st.success("The log is intact: no entry was changed or removed.", icon=":material/verified:")
    else:
        st.error(
            f"The log was altered at or just before entry {safe_text(broken)}. Compare it with a backup.",
            icon=":material/error:",
        )

actions, users = place.read(audit_view.read_choices, place.principal)
if actions:
    auditing.filters(actions, users)
state.publish(auditing.FIELDS)
found = place.read(audit_view.read_audit, place.principal, auditing.chosen(), auditing.before())
if found:
    auditing.changes(place, found)
    auditing.pager(found)
elif auditing.chosen() == audit_view.AuditFilter():
    layout.empty(
        ":material/history:", "Nothing was changed yet", "Sign-ins, settings, keys and imports are listed here."
    )
else:
    with layout.empty(":material/search_off:", "No change matches", "Remove a filter to see more."):
        st.button("Clear filters", on_click=auditing.clear, key="audit-clear")
