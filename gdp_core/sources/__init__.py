"""The registry of sources: add one by its file and a line here."""

from gdp_core.errors import NotFound
from gdp_core.sources.base import Source
from gdp_core.sources.generic import GENERIC
from gdp_core.sources.importing import IMPORT
from gdp_core.sources.posthog import POSTHOG
from gdp_core.sources.resend import RESEND
from gdp_core.sources.segment import SEGMENT
from gdp_core.sources.stripe import STRIPE

SOURCES: tuple[Source, ...] = (STRIPE, SEGMENT, POSTHOG, RESEND, GENERIC, IMPORT)

_BY_KEY = {source.key: source for source in SOURCES}
if len(_BY_KEY) < len(SOURCES):
    raise ValueError("two sources have the same key")


def source(key: str) -> Source:
    """The source of that key. Raises NotFound."""
    try:
        return _BY_KEY[key]
    except KeyError:
        raise NotFound(f"There is no source {key[:40]!r}; there are {', '.join(_BY_KEY)}.") from None
