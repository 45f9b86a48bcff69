"""The parts every page is made of: its head, cards, numbers, empty states, tables, confirmations.

Texts given to these are plain: they are escaped here. Icons are Material symbols.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Literal

import pandas as pd
import streamlit as st

from gdp_core.analytics.scope import PRESETS
from pages.ui import state
from pages.ui.boundary import dialog
from pages.ui.context import COMPARE, PERIOD, Here
from pages.ui.escape import clean, icon_text, safe_text

Tone = Literal["red", "orange", "yellow", "blue", "green", "violet", "gray", "primary"]
_BADGES: dict[Tone, str] = {
    "red": ":red-badge[",
    "orange": ":orange-badge[",
    "yellow": ":yellow-badge[",
    "blue": ":blue-badge[",
    "green": ":green-badge[",
    "violet": ":violet-badge[",
    "gray": ":gray-badge[",
    "primary": ":primary-badge[",
}
ROW_HEIGHT = 35
_FACT_NAMES = 118  # pixels
_DAYS: state.Slot[Any] = state.Slot("scope.days", None)
_PERIODS = {"7d": "Last 7 days", "30d": "Last 30 days", "90d": "Last 90 days", "365d": "Last 12 months"}
_COMPARED = {"previous": "vs previous period", "year": "vs a year earlier", "none": "No comparison"}


@contextmanager
def head(title: str, caption: str = "") -> Iterator[None]:
    """The page's title with one line below it; what is drawn inside stands at the right, on the title's line."""
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        with st.container(gap=None, width="content"):
            st.title(safe_text(title), anchor=False)
            if caption:
                st.caption(safe_text(caption))
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small", width="content"):
            yield


def title(text: str, caption: str = "") -> None:
    """A page's title without anything at its right."""
    with st.container(gap=None):
        st.title(safe_text(text), anchor=False)
        if caption:
            st.caption(safe_text(caption))


def section(text: str) -> None:
    """The heading of a section within a page."""
    st.subheader(safe_text(text), anchor=False)


def scope_bar(place: Here, *, compares: bool = True) -> None:
    """The period and, where the page `compares`, with what, in the URL and in every link."""
    periods = [*_PERIODS]
    if PERIOD.value not in periods:
        periods.append(PERIOD.value)  # chosen days
    st.selectbox(
        "Period",
        periods,
        format_func=lambda item: _PERIODS.get(item, "No such days" if place.problem else period_name(place)),
        key=PERIOD.key,
        label_visibility="collapsed",
        width=190 if len(periods) == len(_PERIODS) else 260,
    )
    shown = (place.scope.start, place.scope.end - timedelta(days=1))
    if _DAYS.get() is None or _are_chosen(_DAYS.get()):  # else the last day is still to be chosen
        _DAYS.set(shown)
    with st.popover("Days", icon=":material/date_range:", key="scope-days"):
        st.date_input(
            "First and last day",
            max_value=max(place.scope.today, shown[1]),  # a link may name days to come
            key=_DAYS.key,
            format="YYYY-MM-DD",
            on_change=_choose_days,
        )
    if compares:
        st.selectbox(
            "Compare with",
            [*_COMPARED],
            format_func=_COMPARED.__getitem__,
            key=COMPARE.key,
            label_visibility="collapsed",
            width=190,
        )


def remark(*sentences: str | None) -> None:
    """What the page could not do as its address asks; nothing for None."""
    for sentence in filter(None, sentences):
        st.warning(safe_text(sentence), icon=":material/info:")


def _are_chosen(days: Any) -> bool:
    return isinstance(days, tuple) and len(days) == 2


def _choose_days() -> None:
    days = _DAYS.get()
    if _are_chosen(days):
        PERIOD.set(f"{days[0].isoformat()}..{days[1].isoformat()}")


def period_name(place: Here) -> str:
    """The scope's days in words: Last 30 days, or 1 Jan 2026 – 31 Mar 2026."""
    scope = place.scope
    preset = next((name for name, days in PRESETS.items() if days == scope.days), None)
    if preset and scope.is_running and scope.end == scope.today + timedelta(days=1):
        return _PERIODS[preset]
    return f"{place.write.day(scope.start)} – {place.write.day(scope.end - timedelta(days=1))}"


def period_sentence(place: Here) -> str:
    """The scope's days and what they are compared with, in words."""
    earlier = place.scope.earlier()
    if earlier is None:
        return period_name(place)
    last = earlier.end - timedelta(days=1)
    return f"{period_name(place)}, compared with {place.write.day(earlier.start)} – {place.write.day(last)}"


@contextmanager
def card(text: str | None = None, *, height: Any = "stretch", key: str | None = None) -> Iterator[None]:
    """A bordered box with a small heading; neighbours in columns get the same height."""
    with st.container(border=True, height=height, key=key):
        if text:
            heading(text)
        yield


def heading(text: str) -> None:
    """A card's own heading."""
    st.markdown(f"**{safe_text(text)}**")


def note(text: str) -> None:
    """A line of small grey text."""
    st.caption(safe_text(text, longest=1000))


def notes(sentences: Sequence[str]) -> None:
    """What a report says beside its numbers, in one line; nothing for nothing."""
    if sentences:
        note(" ".join(sentences))


def badge(text: str, tone: Tone = "gray", icon: str | None = None) -> None:
    """A small coloured label."""
    # Not st.badge: it escapes brackets once more, which makes a link of what was escaped already.
    st.markdown(f"{_BADGES[tone]}{icon_text(icon or '')} {safe_text(text)}]", width="content")


def facts(pairs: Mapping[str, str], *, names: int = _FACT_NAMES) -> None:
    """A list of names (so many pixels wide) and values. Values are literal to the last character, because people copy
    them.
    """
    with st.container(gap="xsmall"):
        for name, value in pairs.items():
            with st.container(horizontal=True, wrap=False, gap="small"):
                st.caption(safe_text(name), width=names)
                st.text(clean(value, longest=500), width="stretch")


def empty(icon: str, text: str, what_to_do: str = "", *, key: str | None = None) -> Any:
    """An empty state: an icon, a fact, what to do. Use the container it returns for the one button or link."""
    box = st.container(border=True, horizontal_alignment="center", key=key, gap="small")
    with box:
        st.space("small")
        st.markdown(f"### {icon_text(icon)}", text_alignment="center")
        st.markdown(f"**{safe_text(text)}**", text_alignment="center")
        if what_to_do:
            st.caption(safe_text(what_to_do, longest=600), text_alignment="center")
        inner = st.container(horizontal=True, horizontal_alignment="center")
        st.space("small")
    return inner


def table(
    columns: Mapping[str, Sequence[Any]],
    *,
    alt: str,
    config: Mapping[str, Any] | None = None,
    height: Any = "auto",
    key: str | None = None,
    order: Sequence[str] | None = None,
    none: str | None = None,
) -> None:
    """A read-only table: column heading -> values. Cells are literal; `alt` says in one sentence what it shows, `none`
    what is said instead of a table without rows.
    """
    if none and not any(columns.values()):
        note(none)
        return
    frame = pd.DataFrame({name: pd.Series(list(values), dtype=_dtype(values)) for name, values in columns.items()})
    st.dataframe(
        frame,
        hide_index=True,
        column_config=dict(config) if config else None,
        column_order=list(order) if order else None,
        row_height=ROW_HEIGHT,
        height=height,
        alt=alt,
        key=key,
    )


def shares(values: Sequence[float]) -> list[float]:
    """Shares from 0 to 1 as cells of a `share_column`."""
    return [100 * value for value in values]


def share_column(*, width: Any = None) -> Any:
    """A column of bars with a percentage, for `shares`."""
    return st.column_config.ProgressColumn(format="%.3g%%", min_value=0, max_value=100, width=width)


def metric(
    name: str,
    value: str,
    *,
    change: str | None = None,
    difference: float = 0,
    good: Literal["up", "down", "neither"] = "up",
    help: str = "",  # noqa: A002 - Streamlit's name for it
    border: bool = True,
) -> None:
    """A headline number. `change` says how it moved and `difference` which way; None where nothing can be said."""
    colour: Literal["gray", "green", "red"] = "gray"
    if difference and good != "neither":
        colour = "green" if (difference > 0) == (good == "up") else "red"
    st.metric(
        safe_text(name),
        safe_text(value),
        None if change is None else safe_text(change) if difference else 0,
        delta_arrow="auto" if not difference else ("up" if difference > 0 else "down"),
        delta_color=colour,
        help=safe_text(help, longest=800) if help else None,
        border=border,
        height="stretch",
    )


def numbers(most: int = 4) -> Any:
    """A row for `st.metric`s: all of them side by side on a wide screen, half of them on a narrow one."""
    return st.grid(most, min_column_width=225, gap="small")


def _dtype(values: Sequence[Any]) -> Any:
    return "object" if any(isinstance(value, list | str) or value is None for value in values) else None


def confirm(
    title_text: str,
    *,
    body: str,
    button: str,
    act: Callable[[], str | None],
    expected: str | None = None,
    key: str = "confirm",
) -> None:
    """Open a dialog that does `act` once the user agreed, having typed `expected` where that is given.

    `act` returns the sentence of the toast; what it raises is shown in the dialog, which stays open. It opens in the
    run it is called in: call it when its button was clicked.
    """

    @dialog(title_text)
    def ask() -> None:
        st.markdown(safe_text(body, longest=2000))
        typed = st.text_input(f"Type {safe_text(expected)} to confirm", key=f"{key}.typed") if expected else None
        with st.container(horizontal=True, horizontal_alignment="right"):
            if st.button("Cancel", key=f"{key}.cancel"):
                st.rerun()
            ready = expected is None or (typed or "").strip() == expected
            agreed = st.button(safe_text(button), type="primary", key=f"{key}.agree", disabled=not ready)
        if agreed:
            said = act()
            if said:
                state.NOTICE.set(said)
            st.rerun()

    ask()


def done(text: str) -> None:
    """Say after the next run that something was done."""
    state.NOTICE.set(text)


def say_what_was_done() -> None:
    """Show what `done` left, once. The frame calls it."""
    said = state.NOTICE.take()
    if said:
        st.toast(safe_text(said), icon=":material/check_circle:")
