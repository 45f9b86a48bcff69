"""What a version of a rule changed, line by line, as people read it."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Literal

import streamlit as st

from pages.ui.escape import safe_text

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


def show(before: Sequence[Line], after: Sequence[Line]) -> None:
    """The same, drawn."""
    with st.container(gap=None):
        for sign, (depth, text) in difference(before, after):
            with st.container(horizontal=True, gap="small", wrap=False):
                st.space(max(1, 22 * depth))
                st.markdown(f"{_SIGNS[sign]}{safe_text(text, longest=500)}{_ENDS[sign]}")


_SIGNS: dict[Sign, str] = {"same": "", "added": ":green[:material/add: ", "removed": ":red[:material/remove: "}
_ENDS: dict[Sign, str] = {"same": "", "added": "]", "removed": "]"}
