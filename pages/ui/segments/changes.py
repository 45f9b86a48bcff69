"""What a version of a rule changed, line by line, as people read it."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Literal

Line = tuple[int, str]
"""How deep, and what it says."""
Sign = Literal["same", "added", "removed"]


def difference(before: Sequence[Line], after: Sequence[Line]) -> list[tuple[Sign, Line]]:
    """Both versions in one: the lines they share, those that came and those that went, in the order of reading."""
    told: list[tuple[Sign, Line]] = []
    for what, first, end, begin, last in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if what == "equal":
            told += [("same", line) for line in after[begin:last]]
            continue
        told += [("removed", line) for line in before[first:end]]
        told += [("added", line) for line in after[begin:last]]
    return told
