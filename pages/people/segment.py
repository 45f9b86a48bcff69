"""Segment: what one says, who is in it, how that changed, and why. `?id=` names it."""

from uuid import UUID

from gdp_core.errors import NotFound
from gdp_core.segments import keeping
from pages.ui import layout, nav, state
from pages.ui.context import arrived
from pages.ui.segments import one, versions

place = arrived()
state.adopt(one.FIELDS)
nav.link(place, "segments", label="Segments", icon=":material/arrow_back:")
try:
    asked = UUID(str(one.ID.value))
except ValueError:
    raise NotFound("This address names no segment: open one from the list of segments.") from None
found = place.read(keeping.read_segment, asked)
one.head(place, found)
layout.remark(place.problem)
match one.tabs():
    case "people":
        one.people(place, found)
    case "overlap":
        one.overlap(place, found)
    case "versions":
        versions.show(place, found)
    case "history":
        versions.history(place, found)
    case "why":
        one.explanation(place, found)
    case _:
        one.overview(place, found)
state.publish(one.FIELDS)
