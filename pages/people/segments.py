"""Segments: who is meant by rules, kept up to date."""

from pages.ui import layout, state
from pages.ui.context import arrived
from pages.ui.segments import acting, bringing, listed, starters

place = arrived()
state.adopt(listed.FIELDS)
found, has_draft = listed.read(place), listed.draft_of(place)
with layout.head("Segments", "People who meet a rule, counted again and again"):
    if found.segments:
        listed.new_button(place, has_draft=has_draft)
acting.undo(place)
if found.segments:
    listed.searched(found)
else:
    listed.none_yet(place, has_draft=has_draft)
    state.publish(listed.FIELDS)
starters.gallery(place, found.segments)
bringing.section(place)
acting.deleted(place)
