"""The controls that report pages share: events, conditions, of whom, a breakdown, a window.

They offer what there is: events with their volume, the fields that were received, the most frequent values. What a link
names beside that is offered too. A value is known before its widget is drawn, so that a button can say what it opens;
a row that is not complete yet counts for nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

import streamlit as st

from gdp_core.analytics.breakdown import Breakdown
from gdp_core.analytics.calendar import Interval
from gdp_core.analytics.fields import Fields, is_personal, read_fields, read_groups
from gdp_core.analytics.measures import MONEY
from gdp_core.analytics.window import Unit, Window
from gdp_core.timeline.arrays import Value
from gdp_core.timeline.matching import Comparison, Condition, Match, as_text
from pages.ui import data
from pages.ui.context import Here
from pages.ui.escape import clean, safe_text
from pages.ui.reporting.asking import Who
from pages.ui.reporting.drafts import Draft, Rows
from pages.ui.reporting.sight import Sight

ANY = ""
"""Stands for any event in a picker; nothing picked is no event yet."""
COMPARISONS: dict[Comparison, str] = {
    "is": "is",
    "is_not": "is not",
    "contains": "contains",
    "not_contains": "does not contain",
    "starts_with": "starts with",
    "ends_with": "ends with",
    "gt": "is more than",
    "gte": "is at least",
    "lt": "is less than",
    "lte": "is at most",
    "set": "is known",
    "not_set": "is not known",
}
UNITS: dict[Unit, str] = {
    "s": "seconds",
    "min": "minutes",
    "h": "hours",
    "d": "days",
    "w": "weeks",
    "mo": "months of 30 days",
}
INTERVALS: dict[Interval, str] = {"day": "By day", "week": "By week", "month": "By month"}
_NUMBERS = ("gt", "gte", "lt", "lte")
_ALONE = ("set", "not_set")
_EXACT = 2**53  # whole numbers below it are themselves as a float, and fit an address


def fields_of(place: Here) -> Fields:
    """What a question can name here. A segment or list that was saved a moment ago is among it."""
    return replace(data.remembered(place, read_fields, place.now), groups=place.read(read_groups))


# --------------------------------------------------------------------------------------------------------- events


def picked(draft: Draft, begins: Sequence[str] | None, *path: object) -> tuple[str, ...] | None:
    """One or several events, () for any; None while none is picked. `begins` likewise."""
    first = [] if begins is None else list(begins) or [ANY]
    found = draft.value(first, *path)
    if not found:
        return None
    return () if ANY in found else tuple(found)


def events(draft: Draft, place: Here, fields: Fields, title: str, *path: object, **looks: Any) -> None:
    """The picker of events whose value `picked` has read. `looks` are the widget's."""
    known = dict(fields.events)
    chosen = [name for name in draft.value([], *path) if name]

    def name(option: str) -> str:
        if option == ANY:
            return "Any event"
        count = f" · {place.write.number(known[option])} in 30 d" if option in known else ""
        return clean(f"{option}{count}", longest=80)

    st.multiselect(
        safe_text(title),
        [ANY, *dict.fromkeys([*known, *chosen])],
        key=draft.key(*path),
        format_func=name,
        placeholder="Choose an event",
        **looks,
    )


# ----------------------------------------------------------------------------------------------------- conditions


def field_name(field: str, groups: Mapping[str, str] | None = None) -> str:
    """A field as pickers spell it; `groups` are the names of segments and lists among them."""
    if groups and field in groups:
        return clean(groups[field], longest=60)
    found = Condition(field, "set")
    return clean(f"{found.name} (person)" if found.of_person else found.name, longest=60)


def allowed(place: Here, fields: Sequence[str]) -> list[str]:
    """Those fields that the role may ask by, once each."""
    return [name for name in dict.fromkeys(fields) if place.may("pii.read") or not is_personal(name)]


class Conditions:
    """Rows of conditions that can be added and removed."""

    def __init__(self, draft: Draft, begins: Sequence[Condition], path: str) -> None:
        self._draft = draft
        self._path = path
        self._rows = Rows[Condition | None](draft, path, begins)

    @property
    def value(self) -> tuple[Condition, ...]:
        """Those that are complete."""
        found = (self._condition(number, begins) for number, begins in self._rows)
        return tuple(condition for condition in found if condition is not None)

    @property
    def summary(self) -> str:
        """In a few words, for the button that opens them; "" for none."""
        found = self.value
        if not found:
            return ""
        values = "" if found[0].comparison in _ALONE else f" {' or '.join(map(as_text, found[0].values))}"
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        return clean(f"{found[0].name} {COMPARISONS[found[0].comparison]}{values}{more}", longest=60)

    def draw(self, sight: Sight, fields: Sequence[str]) -> None:
        """The rows, and the button for another one."""
        for number, begins in self._rows:
            self._row(sight, fields, number, begins)
        st.button(
            "Add a condition",
            icon=":material/add:",
            type="tertiary",
            key=self._draft.key(self._path, "add"),
            on_click=self._rows.add,
            args=(None,),
        )

    def _parts(self, number: int, begins: Condition | None) -> tuple[str | None, Comparison]:
        field = self._draft.value(begins.field if begins else None, self._path, number, "field")
        comparison: Comparison = self._draft.value(
            begins.comparison if begins else "is", self._path, number, "comparison"
        )
        return field, comparison

    def _values(self, number: int, begins: Condition | None, comparison: Comparison) -> tuple[Value, ...]:
        """What the widget holds; what it began with, 10 or "10", while it still says the same."""
        first = begins.values if begins and begins.comparison == comparison else ()
        if comparison in _ALONE:
            return ()
        if comparison in _NUMBERS:
            told = float(first[0]) if first else None
            found = self._draft.value(told, self._path, number, "number")
            if found is None:
                return ()
            if len(first) == 1 and found == told:
                return first
            return (int(found) if abs(found) < _EXACT and found == int(found) else found,)
        texts = tuple(map(as_text, first))
        chosen = tuple(self._draft.value(list(texts), self._path, number, "values"))
        return first if chosen == texts else chosen

    def _condition(self, number: int, begins: Condition | None) -> Condition | None:
        field, comparison = self._parts(number, begins)
        values = self._values(number, begins, comparison)
        if field is None or (comparison not in _ALONE and not values):
            return None
        return Condition(field, comparison, values)

    def _row(self, sight: Sight, fields: Sequence[str], number: int, begins: Condition | None) -> None:
        draft, path = self._draft, self._path
        field, comparison = self._parts(number, begins)
        values = self._values(number, begins, comparison)
        with st.container(horizontal=True, vertical_alignment="center", gap="small", width=650):
            st.selectbox(
                "Field",
                allowed(sight.place, [*fields, *([field] if field else [])]),
                index=None,
                key=draft.key(path, number, "field"),
                format_func=field_name,
                placeholder="Field",
                label_visibility="collapsed",
                width=200,
            )
            st.selectbox(
                "Comparison",
                [*COMPARISONS],
                key=draft.key(path, number, "comparison"),
                format_func=COMPARISONS.__getitem__,
                label_visibility="collapsed",
                width=150,
            )
            if comparison in _NUMBERS:
                st.number_input(
                    "Number",
                    value=None,
                    key=draft.key(path, number, "number"),
                    placeholder="Number",
                    label_visibility="collapsed",
                    width="stretch",
                )
            elif comparison not in _ALONE:
                offered = sight.values(field) if field else ()
                st.multiselect(
                    "Values",
                    [*dict.fromkeys([*offered, *map(as_text, values)])],
                    key=draft.key(path, number, "values"),
                    format_func=lambda value: clean(value, longest=80),
                    accept_new_options=True,
                    placeholder="Values",
                    label_visibility="collapsed",
                    width="stretch",
                )
            else:
                st.space("stretch")
            removal(draft, "condition", partial(self._rows.remove, number), path, number)


# ----------------------------------------------------------------------------------------------- events with conditions


class Event:
    """One or several events and what must hold for them, in a row."""

    def __init__(self, draft: Draft, begins: Match | None, path: str) -> None:
        self._draft = draft
        self._path = path
        self._begins = begins
        self.conditions = Conditions(draft, begins.conditions if begins else (), f"{path}.where")

    @property
    def names(self) -> tuple[str, ...] | None:
        """The events, () for any; None while none is picked."""
        return picked(self._draft, self._begins.names if self._begins else None, self._path)

    @property
    def value(self) -> Match | None:
        """What it matches; None while no event is picked."""
        names = self.names
        return None if names is None else Match(names, self.conditions.value)

    def draw(
        self,
        sight: Sight,
        fields: Fields,
        title: str,
        *,
        also: str = "",
        extra: Callable[[], None] | None = None,
        **looks: Any,
    ) -> None:
        """The picker, and the button that opens the conditions and `extra`. `also` is what extra says on the button."""
        events(self._draft, sight.place, fields, title, self._path, **({"label_visibility": "collapsed"} | looks))
        said = " · ".join(part for part in (self.conditions.summary, also) if part)
        with st.popover(
            safe_text(said or "Conditions", longest=60),
            icon=":material/filter_alt:",
            key=self._draft.key(self._path, "conditions"),
        ):
            st.markdown("**Only events for which all of this holds**")
            self.conditions.draw(sight, [*fields.of_events(self.names or ()), *fields.of_people])
            if extra:
                extra()


def removal(draft: Draft, what: str, remove: Callable[[], None], *path: object, disabled: bool = False) -> None:
    """The button at the right of a row that takes it away."""
    icon_button(draft, ":material/close:", f"Remove this {what}", remove, *path, "remove", disabled=disabled)


def icon_button(
    draft: Draft, icon: str, name: str, act: Callable[[], None], *path: object, disabled: bool = False
) -> None:
    """A small button without words; `name` says what it does."""
    st.button(
        "",
        help=safe_text(name),
        icon=icon,
        type="tertiary",
        key=draft.key(*path),
        on_click=act,
        disabled=disabled,
        width=36,
    )


# ---------------------------------------------------------------------------------------------------------- people


class People:
    """Of whom a report counts: conditions on people, and one of the segments or saved lists."""

    def __init__(self, draft: Draft, groups: Mapping[str, str]) -> None:
        begins = draft.asked.who
        self._draft = draft
        self._lists = {UUID(field.rpartition(":")[2]): name.removeprefix("In ") for field, name in groups.items()}
        self._conditions = Conditions(draft, begins.conditions, "who.where")
        self._list = draft.value(begins.list_id, "who", "list")

    @property
    def value(self) -> Who:
        """What they hold."""
        return Who(self._conditions.value, self._list)

    def draw(self, sight: Sight, fields: Fields) -> None:
        """A button that opens them, and says what they are."""
        listed = self._lists.get(self._list, "a segment or list that was deleted") if self._list else ""
        said = " · ".join(part for part in (self._conditions.summary, f"in {listed}" if listed else "") if part)
        with st.popover(
            safe_text(said or "Everybody", longest=60), icon=":material/group:", key=self._draft.key("who", "popover")
        ):
            st.markdown("**Only people for whom all of this holds**")
            self._conditions.draw(sight, fields.of_people)
            st.selectbox(
                "And who are in the segment or list",
                [*dict.fromkeys([*self._lists, *([self._list] if self._list else [])])],
                index=None,
                key=self._draft.key("who", "list"),
                format_func=lambda item: clean(self._lists.get(item, "A segment or list that was deleted"), longest=80),
                placeholder="Any segment or list" if self._lists else "There is no segment or saved list yet",
                width=360,
            )


# ------------------------------------------------------------------------------------------- by what, and how long


def broken_down(draft: Draft, begins: Breakdown | None) -> Breakdown | None:
    """By which field a report is split, and into how many groups."""
    field = draft.value(begins.field if begins else None, "by")
    most = draft.value(begins.most if begins else Breakdown("x").most, "by", "most")
    return Breakdown(field, most) if field else None


def breakdown(draft: Draft, place: Here, fields: Fields) -> None:
    """The picker of the field whose value `broken_down` has read."""
    field, groups = draft.value(None, "by"), fields.groups
    offered = [*fields.of_events(), *fields.of_people, *groups]
    st.selectbox(
        "Break down by",
        allowed(place, [*offered, *([field] if field else [])]),
        index=None,
        key=draft.key("by"),
        format_func=lambda name: field_name(name, groups),
        placeholder="Break down by",
        label_visibility="collapsed",
        width=176,
    )


def choice(draft: Draft, title: str, options: Mapping[Any, str], *path: object, width: int) -> None:
    """A select box of a few named options, without its label."""
    st.selectbox(
        safe_text(title),
        [*options],
        key=draft.key(*path),
        format_func=options.__getitem__,
        label_visibility="collapsed",
        width=width,
    )


def number_field(draft: Draft, fields: Fields, *path: object) -> None:
    """The picker of a field of events that is added up."""
    st.selectbox(
        "Of the field",
        [*dict.fromkeys([MONEY, *fields.of_events(), draft.value(MONEY, *path)])],
        key=draft.key(*path),
        format_func=lambda name: "value (money)" if name == MONEY else field_name(name),
        label_visibility="collapsed",
        width=176,
    )


def window(draft: Draft, begins: Window, path: str = "window") -> Window:
    """A length of time."""
    amount, unit = draft.value(begins.amount, path, "amount"), draft.value(begins.unit, path, "unit")
    return Window(int(amount or 1), unit)


def window_fields(draft: Draft, title: str, path: str = "window") -> None:
    """The two fields whose value `window` has read."""
    st.number_input(
        safe_text(title),
        min_value=1,
        max_value=100_000,
        step=1,
        key=draft.key(path, "amount"),
        label_visibility="collapsed",
        width=104,
    )
    st.selectbox(
        "Unit",
        [*UNITS],
        key=draft.key(path, "unit"),
        format_func=UNITS.__getitem__,
        label_visibility="collapsed",
        width=108,
    )
