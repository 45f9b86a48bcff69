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


_UNWANTED = re.compile("[\x00\u202a-\u202e\u2066-\u2069]")  # NUL, and what turns the text around it the other way


def one_line(text: str, longest: int) -> str:
    """What somebody typed as one line: no NUL, nothing that reverses what stands beside it, single spaces, nothing around
    it, at most so many characters.
    """
    return " ".join(_UNWANTED.sub("", text).split())[:longest]


def is_visible(text: str) -> bool:
    """Whether there is anything to see: more than spaces, controls and what has no width."""
    return any(unicodedata.category(char)[0] not in "CZ" for char in text)


def is_whole(text: str) -> bool:
    """Whether no character is half of one (a lone surrogate), which nothing can store or send."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def fold(text: str) -> str:
    """Text as it is compared in a search: lower case, no accents, one space."""
    folded = text.casefold()
    if folded.isascii():
        return " ".join(folded.split())
    decomposed = unicodedata.normalize("NFKD", folded)
    return " ".join("".join(char for char in decomposed if not unicodedata.combining(char)).split())
