"""Texts as they are searched: folded, and cut into words. Pure."""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache


def tokens_of(texts: Iterable[str | None]) -> set[str]:
    """Lower-case search tokens: every text whole, and its words."""
    return set().union(*(_tokens(text) for text in texts if text))


@lru_cache(maxsize=1 << 15)
def _tokens(text: str) -> frozenset[str]:
    folded = fold(text)
    words = re.split(r"[\s@.,;:/|()\[\]\"'+_-]+", folded)
    return frozenset({folded[:200], *(word[:100] for word in words if len(word) > 1)})


def one_line(text: str, longest: int) -> str:
    """What somebody typed as one line: no NUL, single spaces, nothing around it, at most so many characters."""
    return " ".join(text.replace("\x00", "").split())[:longest]


def fold(text: str) -> str:
    """Text as it is compared in a search: lower case, no accents, one space."""
    folded = text.casefold()
    if folded.isascii():
        return " ".join(folded.split())
    decomposed = unicodedata.normalize("NFKD", folded)
    return " ".join("".join(char for char in decomposed if not unicodedata.combining(char)).split())
