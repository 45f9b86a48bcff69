"""Rows of a table that open something: the buttons in them, and which of them was clicked.

A click comes as a row's number, in the run after the table was drawn; what each row stands for is kept until then. The
table is a picture, so only a mouse can click in it: `chooser` is the same for a keyboard.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import streamlit as st

from pages.ui import state
from pages.ui.escape import clean, safe_text

T = TypeVar("T")


@dataclass(frozen=True)
class Buttons(Generic[T]):
    """A button in each row of one table; `key` is unique over all pages, what a row stands for is hashable.

    `then` is a callback: it may ask what was `clicked` before the page runs.
    """

    key: str
    icon: str = ":material/side_navigation:"
    then: Callable[[], None] | None = None

    def cells(self, rows: Sequence[T | None]) -> list[str]:
        """The cells of the buttons' column; `rows` is what the table's rows stand for, None what opens nothing."""
        self._shown.set(tuple(rows))
        return ["" if row is None else self.icon for row in rows]

    def column(self, title: str = "", *, pinned: bool = True, help: str | None = None) -> Any:  # noqa: A002 - Streamlit's name for it
        """The column of icons; what is pinned stands at the left and keeps its width."""
        return st.column_config.ButtonColumn(
            safe_text(title),
            width=56 if title else 44,
            type="tertiary",
            pinned=pinned,
            key=self.key,
            on_click=self.then,
            help=safe_text(help) if help else None,
        )

    def text_column(self, *, width: int) -> Any:
        """A column of texts that are buttons of the same rows; its cells are `escape.button_text`."""
        return st.column_config.ButtonColumn(
            width=width, alignment="left", type="tertiary", pinned=True, key=self._text_key, on_click=self.then
        )

    def clicked(self) -> T | None:
        """What the row stands for whose button caused this run, or that was picked in the `chooser`."""
        chosen = self._chosen.take()
        hit = state.clicked(self.key) or state.clicked(self._text_key)
        shown = self._shown.get()
        return shown[hit[0]] if hit and 0 <= hit[0] < len(shown) else chosen

    def chooser(self, label: str, names: Mapping[T, str]) -> None:
        """A select box of what the rows stand for; `label` is what it says while nothing is picked."""
        picked: state.Slot[T | None] = state.Slot(f"{self.key}.chooser", None)
        st.selectbox(
            safe_text(label),
            [*names],
            index=None,
            key=picked.key,
            format_func=lambda item: clean(names[cast(T, item)], longest=80),
            placeholder=label,
            label_visibility="collapsed",
            on_change=self._choose,
            args=(picked,),
            width=280,
        )

    def _choose(self, picked: state.Slot[T | None]) -> None:
        """A callback."""
        self._chosen.set(picked.get())
        picked.set(None)
        if self.then:
            self.then()

    @property
    def _shown(self) -> state.Slot[tuple[T | None, ...]]:
        return state.Slot(f"{self.key}.shown", ())

    @property
    def _chosen(self) -> state.Slot[T | None]:
        return state.Slot(f"{self.key}.chosen", None)

    @property
    def _text_key(self) -> str:
        return f"{self.key}.text"
