"""What a browser tab remembers, by typed names; the only module that touches `st.session_state`.

What should survive a reload or be shared lives in the URL: a page declares its `Field`s, `adopt`s them before its
widgets and `publish`es them after. The URL wins when the user changed it (a link, Back, a bookmark), the widgets win
when they did. Nothing else writes the URL.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar, cast

import streamlit as st

from pages.ui.escape import storable

T = TypeVar("T")
Kind = Literal["text", "list", "flag", "number"]
_LONGEST = 1000


@dataclass(frozen=True)
class Slot(Generic[T]):
    """One remembered value of this tab, lost with it."""

    key: str
    default: T

    def get(self) -> T:
        """The value, or its default."""
        return cast(T, st.session_state.get(self.key, self.default))

    def set(self, value: T) -> None:
        """Remember it."""
        st.session_state[self.key] = value

    def clear(self) -> None:
        """Forget it."""
        st.session_state.pop(self.key, None)

    def take(self) -> T:
        """The value, forgotten by reading it."""
        value = self.get()
        self.clear()
        return value


@dataclass(frozen=True)
class Field:
    """A part of a page's URL and the key of the widget that shows it (`field.key`).

    `choices` are the only values taken from a URL, or texts that fit `pattern`; without either any text is. What is
    longer than `longest` is cut.
    """

    page: str
    name: str
    kind: Kind = "text"
    default: Any = ""
    choices: tuple[str, ...] | None = None
    pattern: str | None = None
    longest: int = _LONGEST

    @property
    def key(self) -> str:
        """The key to give the widget."""
        return f"{self.page}.{self.name}"

    @property
    def value(self) -> Any:
        """What the widget holds, or the default."""
        found = st.session_state.get(self.key, self.default)
        return self.default if found is None else found

    def set(self, value: Any) -> None:
        """Change it before its widget is drawn, or in a callback."""
        st.session_state[self.key] = value

    def parse(self, text: str | None) -> Any:
        """The value a URL gives; the default for what is missing or makes no sense."""
        if text is None:
            return self.default
        text = text[: self.longest]
        if self.kind == "list":
            return [part for part in text.split(",") if part and (self.choices is None or part in self.choices)]
        if self.kind == "flag":
            return text == "1"
        if self.kind == "number":
            return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else self.default
        fits = self.pattern is None or re.fullmatch(self.pattern, text)
        return text if fits and (self.choices is None or text in self.choices) else self.default

    def text(self, value: Any) -> str | None:
        """How a URL says a value; None for the default, which stays out of it."""
        if value is None or value == self.default:
            return None
        if self.kind == "list":
            return ",".join(value)
        return "1" if self.kind == "flag" else str(value)


_LAST_PAGE: Slot[str] = Slot("shell.page", "")
WORKSPACE: Slot[str | None] = Slot("shell.workspace", None)
"""The slug of the workspace this tab shows when the URL names none."""

NOTICE: Slot[str | None] = Slot("shell.notice", None)
"""A sentence to show once, after the next run: the outcome of what the user just did."""


def enter_workspace() -> None:
    """Before all else: a tab whose URL names another workspace than it showed (Back, a link) knows nothing of it yet."""
    named, shown = query("ws"), WORKSPACE.get()
    if named and shown and named != shown:
        forget_all()


def enter_page(name: str) -> None:
    """Note which page runs, so that a page entered anew takes its fields from the URL."""
    if _LAST_PAGE.get() != name:
        for key in [key for key in st.session_state if str(key).startswith("shell.url.")]:
            del st.session_state[key]
        _LAST_PAGE.set(name)


def adopt(fields: Sequence[Field]) -> None:
    """Before the widgets: take the fields from the URL if it is not what `publish` left there."""
    if not fields:
        return
    seen = _seen(fields)
    if st.session_state.get(_marker(fields)) != seen:
        for field in fields:
            st.session_state[field.key] = field.parse(seen[field.name])
        st.session_state[_marker(fields)] = seen


def publish(fields: Sequence[Field]) -> None:
    """After the widgets: make the URL say what they hold. A field without a widget on this page stays as it is."""
    if not fields:
        return
    seen = _seen(fields)
    wanted = {
        field.name: field.text(field.value) if field.key in st.session_state else seen[field.name] for field in fields
    }
    if wanted != seen:
        others = {name: st.query_params.get_all(name) for name in st.query_params if name not in wanted}
        st.query_params.from_dict({**others, **{name: text for name, text in wanted.items() if text is not None}})
    st.session_state[_marker(fields)] = wanted


def _seen(fields: Sequence[Field]) -> dict[str, str | None]:
    return {field.name: _parameter(field.name) for field in fields}


def _parameter(name: str) -> str | None:
    text = st.query_params.get(name)
    return None if text is None else storable(text)


def _marker(fields: Sequence[Field]) -> str:
    return f"shell.url.{fields[0].page}"


def begin(key: str, value: Any) -> None:
    """Give a widget that is about to be drawn its first value, unless it holds one already."""
    if key not in st.session_state:
        st.session_state[key] = value


def held(key: str) -> Any:
    """What a widget holds, in a callback or before it is drawn; None when it is not there."""
    return st.session_state.get(key)


def forget_under(prefix: str) -> None:
    """Forget everything whose key begins so."""
    for key in [key for key in st.session_state if str(key).startswith(prefix)]:
        del st.session_state[key]


def clicked(key: str) -> tuple[int, str] | None:
    """(row, label) of the table button that caused this run, by the key of its column; None: none did."""
    state = st.session_state.get(key)
    return None if state is None else (int(state["row"]), str(state["label"]))


def query(name: str) -> str | None:
    """One parameter of the URL, at most 1,000 characters of it."""
    text = _parameter(name)
    return None if text is None else text[:_LONGEST]


def replace_query(parameters: Mapping[str, str]) -> None:
    """Make the URL's parameters exactly these."""
    st.query_params.from_dict(dict(parameters))


def forget_all() -> None:
    """Forget everything this tab holds: somebody signed out or changed the workspace."""
    st.session_state.clear()
