"""Builder: a segment's rule, built by clicking and counted while it is built. `?id=` changes one that is saved."""

from uuid import UUID

from gdp_core.errors import NotFound
from pages.ui import nav, state
from pages.ui.context import arrived
from pages.ui.reporting import sight
from pages.ui.segments import building

place = arrived()
state.adopt(building.FIELDS)
nav.link(place, "segments", label="Segments", icon=":material/arrow_back:")
try:
    segment_id = UUID(building.ID.value) if building.ID.value else None
except ValueError:
    raise NotFound("This address names no segment: open one from the list.") from None
shown = sight.look(place, None)
if shown is None:
    sight.wait(place)
else:
    sight.late(place, shown)
    building.show(segment_id)
state.publish(building.FIELDS)
