"""A source's connection guide with the real address and key: the one Markdown text that is not escaped.

The guide is ours; what is filled into it is made by us too (addresses, keys, secrets) and checked to be nothing that
Markdown reads.
"""

import re
from dataclasses import dataclass

from gdp_core.sources.base import Source

_PLAIN = re.compile(r"[\w:/.,+=\[\]-]*")


@dataclass(frozen=True, slots=True)
class Filling:
    """What goes into a guide. `hook` ends the webhook's address; `key` is a tracking key, `secret` a signing secret."""

    door: str
    slug: str
    hook: str
    key: str
    secret: str


def guide_text(kind: Source, filling: Filling) -> str:
    """The guide as Markdown. Raises ValueError for a filling that is no plain address or key."""
    for value in (filling.door, filling.slug, filling.hook, filling.key, filling.secret):
        if not _PLAIN.fullmatch(value):
            raise ValueError("a guide takes plain addresses and keys only")
    text = kind.guide.replace(f"/hooks/{kind.key}/{{key}}", f"/hooks/{kind.key}/{filling.hook}")
    for name in ("door", "key", "secret"):
        text = text.replace(f"{{{name}}}", getattr(filling, name))
    return text.replace("--workspace SLUG", f"--workspace {filling.slug}")
