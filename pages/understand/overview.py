"""Overview: how the workspace does, and what needs somebody's attention."""

from pages.ui import layout
from pages.ui.context import here

place = here()
with layout.head("Overview", f"{layout.period_name(place)}"):
    layout.scope_bar(place)
