"""The Sources page: its fields in the URL, and a module for each of its parts."""

from gdp_core.errors import NotFound
from gdp_core.sources import SOURCES, source
from pages.ui import layout, state
from pages.ui.format import label

TABS = {"sources": "Connected", "import": "Import a file"}
TAB = state.Field("sources", "tab", default="sources", choices=tuple(TABS))
ID = state.Field("sources", "id")
CONNECT = state.Field("sources", "connect", default=None, choices=tuple(item.key for item in SOURCES))
FIELDS = (TAB, ID, CONNECT)

STATES: dict[str, tuple[str, layout.Tone, str]] = {
    "live": ("Live", "green", ":material/check_circle:"),
    "quiet": ("Quiet", "gray", ":material/bedtime:"),
    "never": ("Waiting", "blue", ":material/hourglass_empty:"),
    "rejecting": ("Rejecting", "red", ":material/error:"),
    "by_hand": ("By hand", "gray", ":material/upload_file:"),
}


def title_of(key: str) -> str:
    """What a kind of source is called, also when it is none of ours any more."""
    try:
        return source(key).title
    except NotFound:
        return label(key)
