"""Builder: a segment's rule, built by clicking and counted while it is built. `?id=` changes one that is saved."""

from uuid import UUID

from pages.ui import nav, state
from pages.ui.context import here
from pages.ui.reporting import sight
from pages.ui.segments import building

place = here()
state.adopt(building.FIELDS)
nav.link(place, "segments", label="Segments", icon=":material/arrow_back:")
shown = sight.look(place, None)
if shown is None:
    sight.wait(place)
else:
    sight.late(place, shown)
    building.show(UUID(building.ID.value) if building.ID.value else None)
state.publish(building.FIELDS)
