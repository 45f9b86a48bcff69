"""Every page there is, and links between them that keep the workspace and the period.

A folder is a section; its `__init__` is the registry of its pages. Addresses are flat (`/person?id=...`), so file names
are unique across sections; that is checked here, at import.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlencode

import streamlit as st

from pages import operate, people, understand
from pages.ui import state
from pages.ui.context import SCOPE_FIELDS, Here
from pages.ui.entries import Entry, Section
from pages.ui.escape import safe_text

_ROOT = Path(__file__).parent.parent
SECTIONS: tuple[Section, ...] = (understand.SECTION, people.SECTION, operate.SECTION)
HOME = "overview"


def _indexed() -> dict[str, tuple[Section, Entry]]:
    index: dict[str, tuple[Section, Entry]] = {}
    for section in SECTIONS:
        for entry in section.entries:
            if entry.name in index:
                raise ValueError(f"Two pages are called {entry.name}: addresses are flat, so give one another name.")
            index[entry.name] = (section, entry)
    return index


_INDEX: Mapping[str, tuple[Section, Entry]] = _indexed()


def entry(name: str) -> Entry:
    """A page of the registry. Raises KeyError."""
    return _INDEX[name][1]


def may_open(place: Here, name: str) -> bool:
    """Whether there is such a page and the role may open it."""
    return name in _INDEX and place.may(entry(name).action)


def page(name: str) -> Any:
    """The `st.Page` of a registered page. Raises KeyError."""
    section, found = _INDEX[name]
    return st.Page(
        _ROOT / section.folder / f"{name}.py",
        title=found.title,
        icon=found.icon,
        url_path=None if name == HOME else name,
        default=name == HOME,
        visibility="hidden" if found.hidden else "visible",
    )


@cache
def _target(name: str) -> Any:
    """A page as links know it: made once, because making one looks at the disk. The navigation has its own."""
    return page(name)


def pages() -> list[Any]:
    """Every page, hidden ones too: a role that may not see one is told so rather than shown another."""
    return [page(name) for name in _INDEX]


def parameters(place: Here, **more: str | None) -> dict[str, str]:
    """The URL parameters of a link: the workspace, the period where it is not the usual one, and `more`."""
    days = () if place.problem else SCOPE_FIELDS
    kept = {field.name: field.text(field.parse(state.query(field.name))) for field in days}
    return {"ws": place.workspace.slug} | {name: text for name, text in (kept | more).items() if text}


def link(
    place: Here,
    name: str,
    *,
    label: str | None = None,
    icon: str | None = None,
    disabled: bool = False,
    help: str | None = None,  # noqa: A002 - Streamlit's name for it
    width: Any = "content",
    **more: str | None,
) -> None:
    """A link to a page; `label` is plain text. What `more` says goes into its address."""
    st.page_link(
        _target(name),
        label=safe_text(label if label is not None else entry(name).title),
        icon=icon if icon is not None else entry(name).icon,
        disabled=disabled,
        help=safe_text(help) if help else None,
        width=width,
        query_params=parameters(place, **more),
    )


def go(place: Here, name: str, **more: str | None) -> NoReturn:
    """End this run and open a page instead of this one: of something that is no more, or was just made. The browser's
    Back does not lead here again; everything else is a link."""
    st.switch_page(_target(name), query_params=parameters(place, **more))


def download(place: Here, path: str, query: Mapping[str, str], *, text: str = "Export CSV", key: str) -> None:
    """A link to a file that one of the `/api/export/` routes streams."""
    address = f"{path}?{urlencode({'ws': place.workspace.slug} | dict(query))}"
    st.link_button(safe_text(text), address, icon=":material/download:", key=key)


def href(place: Here, name: str, **more: str | None) -> str:
    """The address of a page on this site, for table cells that are links."""
    return f"/{'' if name == HOME else name}?{urlencode(parameters(place, **more))}"
