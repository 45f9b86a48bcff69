"""The widgets of the one condition that is open, made of the fields its kind has.

What a field is decides its widget: events, their filters, a time, a comparison, a length, a day, a choice, texts;
`looks.py` says what it is called and when it counts. What the model refuses is said beside the field it is about. A
callback begins with the node as it is then: several widgets may have changed since it was drawn.
"""

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import Any, Literal, Union, get_args, get_origin

import streamlit as st

from gdp_core.analytics.window import Window
from gdp_core.errors import InvalidInput
from gdp_core.segments.conditions.base import (
    NUMBER_WORDS,
    Compared,
    Day,
    Event,
    Length,
    Value,
    When,
)
from gdp_core.segments.rules import Problem
from gdp_core.timeline.matching import as_text
from pages.ui import state
from pages.ui.escape import clean, safe_text
from pages.ui.format import label
from pages.ui.reporting.picking import UNITS
from pages.ui.segments import tree
from pages.ui.segments.drafting import Desk, Work
from pages.ui.segments.looks import (
    ALONE,
    AS_IT_IS,
    KIND_OF,
    LOOKS,
    NEVER,
    ORDER,
    ORDERED,
    PARTS,
    Look,
    Scale,
    Where,
    at,
    changed,
    comparisons_of,
    filter_scale,
    hints,
    is_never,
    is_text_feature,
    mapping,
    only_what_counts,
    ops_of,
    put,
    whole,
)
from pages.ui.segments.offers import Offered, Offers, spell_field, spell_property
from pages.ui.segments.tree import Node

_NEVER_MATTERS = "Does not matter"
_DECIDES = ("field", "feature", "other", "by")
"""What is chosen here decides how what stands beside it is compared and shown."""
_LONGEST = 10**9 - 1  # as many digits as a length may have
_EXACT = 2**53  # larger whole numbers are not themselves in a browser
_PLAIN = (str, int, float)
_LETTER = 8  # pixels of a label's letter
_TIMES: dict[str, str] = {
    "": "At any time",
    "last": "In the last",
    "ago": "Longer ago than",
    "ago last": "Between two lengths ago",
    "since until": "Between days",
    "after": "After an instant of theirs",
    "after during": "Within a time after an instant of theirs",
}


@dataclass(eq=False)
class Editor:
    """The widgets of one node. `problems` are those of this node."""

    desk: Desk
    offers: Offers
    node: Node
    problems: Sequence[Problem]
    _said: set[Problem] = field(default_factory=set)

    # ---------------------------------------------------------------------------------------------------- the whole

    def draw(self) -> None:
        """All fields that count, in the order in which they read."""
        kind = str(self.node["kind"])
        with st.container(gap="small"):
            row: list[str] = []
            for name in ORDER.get(kind, tuple(KIND_OF[kind].model_fields)):
                if name == "kind" or not self._counts(kind, name):
                    continue
                if _is_wide(hints(kind)[name]):
                    self._row(kind, row)
                    row = []
                    self._field(kind, name)
                else:
                    row.append(name)
            self._row(kind, row)
        self._rest()

    def _counts(self, kind: str, name: str) -> bool:
        if kind == "feature":  # a text is compared with texts, everything else with a number
            if name == "texts":
                return is_text_feature(self.offers, self.node) or bool(self.node.get("texts"))
            if name in ("other", "values", "factor") and is_text_feature(self.offers, self.node):
                return False
        if name == "times" and is_never(self.node):
            return False
        return self._look(kind, name).shown(self.node)

    def _row(self, kind: str, names: Sequence[str]) -> None:
        if not names:
            return
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            for name in names:
                self._field(kind, name)
        for name in names:
            self._complain(name)

    def _look(self, kind: str, name: str) -> Look:
        return LOOKS.get((kind, name)) or Look(label(name))

    # ----------------------------------------------------------------------------------------------------- one field

    def _field(self, kind: str, name: str) -> None:
        """The widget that what a field is asks for."""
        hint, look = hints(kind)[name], self._look(kind, name)
        inner, optional = _bare(hint)
        if inner is Event:
            self._event(name, look)
        elif inner is When:
            self._when(name, "When" if look.title == label(name) else look.title)
        elif inner is Compared:
            self._compared((name,), look, optional=optional)
        elif inner == Length:
            self._length((name,), look.title, optional=optional)
        elif inner == Day:
            self._day((name,), look.title)
        elif inner is bool or get_origin(inner) in (Literal, Union, types.UnionType):
            self._choice(name, look, inner, optional=optional)
        elif (kind, name) == ("person", "values"):
            offered, scale = self.offers.texts(kind, name, self.node), look.scale(self.offers, self.node)
            self._values(("values",), str(self.node.get("op", "is")), offered, look.title, scale)
        elif (kind, name) == ("feature", "values"):
            self._numbers(("values",), str(self.node.get("op")), look.scale(self.offers, self.node), "Value")
        elif get_origin(inner) is tuple:
            self._several(kind, name, look, get_args(inner)[0])
        elif inner in (int, float) or _bare_number(inner):
            self._number((name,), look.title, is_whole=inner is int or _bare_number(inner) is int, width=look.width)
        else:
            self._name(kind, name, look, optional=optional)

    def _event(self, name: str, look: Look) -> None:
        found = mapping(self.node.get(name))
        names = [one for one in found.get("names") or () if isinstance(one, str)]
        offered = self.offers.events
        key = self._key(name, "names")
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            state.begin(key, names)
            st.multiselect(
                safe_text(look.title),
                [*dict.fromkeys([*offered, *names])],
                key=key,
                format_func=lambda option: offered.get(option, clean(option, longest=80)),
                placeholder="Anything: choose events",
                accept_new_options=True,  # one that is still to come
                on_change=partial(self._take, (name, "names"), key),
                width="stretch",
            )
            self._select(
                (name, "machines"),
                "By",
                {False: "people only", True: "machines too"},
                bool(found.get("machines", False)),
                width=136,
            )
        rows = [mapping(row) for row in found.get("where") or ()]
        fields = self.offers.properties(names)
        for number, row in enumerate(rows):
            self._where(name, number, row, fields)
        st.button(
            "Add a filter" if not rows else "Add another filter",
            icon=":material/filter_alt:",
            type="tertiary",
            key=self._key(name, "add"),
            on_click=partial(self._change_rows, name, lambda found: [*found, {"comparison": "is"}]),
        )
        self._complain(name)

    def _where(self, name: str, number: int, row: Node, fields: Offered) -> None:
        where: Where = (name, "where", number)
        comparison = str(row.get("comparison", "is"))
        chosen = row.get("field")
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.button(
                "",
                icon=":material/close:",
                help="Remove this filter",
                type="tertiary",
                key=self._key(*where, "remove"),
                width=36,
                on_click=partial(self._change_rows, name, lambda found: [*found[:number], *found[number + 1 :]]),
            )
            st.caption("where" if number == 0 else "and", width=44)
            self._pick((*where, "field"), "Field of the event", fields, chosen, width=200, bare=True)
            self._select((*where, "comparison"), "Comparison", comparisons_of(row), comparison, width=156, bare=True)
            offered = self.offers.values(str(chosen)) if chosen else {}
            self._values((*where, "values"), comparison, offered, "Value", filter_scale(row), bare=True)
        self._complain(f"{name}.where.{number}")

    def _change_rows(self, name: str, change: Callable[[list[Any]], list[Any]]) -> None:
        """A callback: other filters of an event."""
        rows = list(mapping(self._now().get(name)).get("where") or ())
        self._set((name, "where"), change(rows), anew=True)

    def _when(self, name: str, title: str) -> None:
        found = mapping(self.node.get(name))
        parts = [part for part in When.model_fields if found.get(part) is not None]
        mode = _mode(parts)
        shown = mode.split() if mode is not None else parts
        key = self._key(name, "mode")
        state.begin(key, mode)
        st.selectbox(
            safe_text(title),
            [*_TIMES],
            key=key,
            format_func=_TIMES.__getitem__,
            placeholder="Several at once",
            on_change=partial(self._choose_time, name, key),
            width=230,
        )
        for part in shown:
            if part in ("last", "ago", "during"):
                self._length((name, part), _TIME_TITLES[part, len(shown) > 1], optional=False)
            elif part == "after":
                self._pick((name, part), "Instant", self.offers.instants, found.get(part), width=190)
            else:
                self._day((name, part), "First day" if part == "since" else "Last day")

    def _choose_time(self, name: str, key: str) -> None:
        """A callback: other parts of a time, with something in each."""
        today = self.offers.sight.place.scope.today
        usual = {
            "last": "30d",
            "ago": "7d",
            "since": today.replace(day=1).isoformat(),
            "until": today.isoformat(),
            "after": "signup_at",
            "during": "7d",
        }
        before = mapping(self._now().get(name))
        parts = str(state.held(key) or "").split()
        self._set((name,), {part: before.get(part) or usual[part] for part in parts}, anew=True)

    def _compared(self, where: Where, look: Look, *, optional: bool) -> None:
        found = mapping(at(self.node, where))
        op, scale = found.get("op", None if optional else "gte"), look.scale(self.offers, self.node)
        key = self._key(*where, "op")
        state.begin(key, op)
        st.selectbox(
            safe_text(look.title),
            [*NUMBER_WORDS],
            key=key,
            format_func=NUMBER_WORDS.__getitem__,
            placeholder=_NEVER_MATTERS,
            index=None if optional else 0,
            on_change=partial(self._choose_op, where, key, scale),
            width=150,
        )
        if op:
            self._numbers((*where, "values"), str(op), scale, "Number")

    def _choose_op(self, where: Where, key: str, scale: Scale) -> None:
        """A callback: another comparison, with as many numbers as it needs."""
        op = state.held(key)
        if op is None:
            self._set(where, None)
            return
        numbers = list(mapping(at(self._now(), where)).get("values") or [scale.stored(1)])
        needed = 2 if op == "between" else 1
        self._set(where, {"op": op, "values": (numbers * needed)[:needed]})

    def _length(self, where: Where, title: str, *, optional: bool) -> None:
        amount, unit = _window(at(self.node, where))
        keys = self._key(*where, "amount"), self._key(*where, "unit")
        state.begin(keys[0], amount)
        state.begin(keys[1], unit)
        take = partial(self._take_length, where, keys)
        width = max(128 if optional else 110, _LETTER * len(title))
        with st.container(horizontal=True, vertical_alignment="bottom", gap="xxsmall", width=width + 116):
            st.number_input(
                safe_text(title),
                min_value=1,
                max_value=_LONGEST,
                value=None if optional or amount is None else "min",
                step=1,
                key=keys[0],
                placeholder="No limit" if optional else "How many",
                on_change=take,
                width=width,
            )
            st.selectbox(
                "Unit",
                [*UNITS],
                key=keys[1],
                format_func=_UNITS.__getitem__,
                on_change=take,
                label_visibility="hidden",
                width=110,
            )

    def _take_length(self, where: Where, keys: tuple[str, str]) -> None:
        """A callback."""
        amount, unit = state.held(keys[0]), state.held(keys[1])
        self._set(where, None if amount is None else f"{int(amount)}{unit}")

    def _day(self, where: Where, title: str) -> None:
        key = self._key(*where)
        state.begin(key, _date(at(self.node, where)))
        st.date_input(
            safe_text(title),
            value=None,
            min_value=date(1990, 1, 1),
            max_value=date(8999, 12, 31),
            key=key,
            format="YYYY-MM-DD",
            on_change=partial(self._take, where, key),
            width=150,
        )

    def _choice(self, name: str, look: Look, inner: Any, *, optional: bool) -> None:
        options = [True, False] if inner is bool else _literals(inner)
        if (self.node["kind"], name) == ("person", "op"):
            options = ops_of(str(self.node.get("field", "")), str(self.node.get("op", "is")))
        if (self.node["kind"], name) == ("feature", "op"):
            options = self._feature_ops(options)
        if name == "how":
            self._often(look, options)
            return
        words = {option: look.words.get(option, label(str(option)).lower()) for option in options}
        self._select((name,), look.title, words, self.node.get(name), width=look.width, optional=optional)

    def _often(self, look: Look, options: Sequence[Any]) -> None:
        """How often, where never is exactly 0 times."""
        chosen = NEVER if is_never(self.node) else self.node.get("how")
        words = {option: look.words[option] for option in [*options, NEVER]}
        self._select(("how",), look.title, words, chosen, width=look.width, take=self._choose_often)

    def _choose_often(self, key: str) -> None:
        """A callback."""
        how, times = state.held(key), self._now().get("times")
        said = {"how": "exactly", "times": 0} if how == NEVER else {"how": how, "times": times or 1}
        self._change(lambda node: {**node, **said}, anew=True)

    def _feature_ops(self, options: list[Any]) -> list[Any]:
        if is_text_feature(self.offers, self.node):
            return ["is", "is_not"]
        return [one for one in options if one != "between"] if self.node.get("other") else options

    def _values(self, where: Where, op: str, offered: Offered, title: str, scale: Scale, *, bare: bool = False) -> None:
        if op in ALONE:
            st.space("stretch")
        elif op in ORDERED:
            self._numbers(where, op, scale, title, bare=bare)
        elif op == "matches":
            self._text(where, "Regular expression", "For example ^/pricing", bare=bare)
        elif op in PARTS and scale.times == 1 and len(list(at(self.node, where) or ())) <= 1:
            self._text(where, title, "Type a text", bare=bare)
        else:
            self._texts(where, title, offered, scale, bare=bare)

    def _numbers(self, where: Where, op: str, scale: Scale, title: str, *, bare: bool = False) -> None:
        """One number, or two for "between"."""
        found = list(at(self.node, where) or ())
        needed = 2 if op == "between" else 1
        keys = [self._key(*where, op == "between", place) for place in range(needed)]
        for place, key in enumerate(keys):
            number = _number(found[place]) if place < len(found) else None
            state.begin(key, None if number is None else float(scale.shown(number)))
            st.number_input(
                safe_text(_with_unit(title, scale) if place == 0 else "And"),
                value=None,
                key=key,
                format="%.10g",
                placeholder="Number",
                label_visibility="collapsed" if bare else "visible",
                on_change=partial(self._take_numbers, where, keys, scale),
                width=130 if bare or not scale.unit else 170,
            )
        if bare and scale.unit:
            st.caption(safe_text(scale.unit), width="content")

    def _take_numbers(self, where: Where, keys: Sequence[str], scale: Scale) -> None:
        """A callback."""
        found = [state.held(key) for key in keys]
        self._set(where, [whole(scale.stored(number)) for number in found if number is not None])

    def _texts(
        self, where: Where, title: str, offered: Offered, scale: Scale = AS_IT_IS, *, bare: bool = False
    ) -> None:
        """Texts, and what is kept as a number of which people read another."""
        given = [as_text(scale.shown(value)) for value in at(self.node, where) or () if isinstance(value, _PLAIN)]
        if scale.times != 1:
            offered = {as_text(scale.shown(value)): as_text(scale.shown(value)) for value in offered}
        key = self._key(*where, "texts")
        state.begin(key, given)
        st.multiselect(
            safe_text(_with_unit(title, scale)),
            [*dict.fromkeys([*offered, *given])],
            key=key,
            format_func=lambda option: offered.get(option, clean(option, longest=80)),
            accept_new_options=True,
            placeholder="Choose, or type and press Enter",
            label_visibility="collapsed" if bare else "visible",
            on_change=partial(self._take_texts, where, key, scale),
            width="stretch",
        )
        if bare and scale.unit:
            st.caption(safe_text(scale.unit), width="content")

    def _take_texts(self, where: Where, key: str, scale: Scale) -> None:
        """A callback."""
        self._set(where, [scale.stored(text) for text in state.held(key) or ()])

    def _several(self, kind: str, name: str, look: Look, item: Any) -> None:
        if get_origin(item) is not Literal:
            self._texts((name,), look.title, self.offers.texts(kind, name, self.node))
            self._complain(name)
            return
        key = self._key(name)
        state.begin(key, [one for one in self.node.get(name) or () if one in get_args(item)])
        st.pills(
            safe_text(look.title),
            list(get_args(item)),
            key=key,
            selection_mode="multi",
            format_func=lambda option: label(str(option)).lower(),
            on_change=partial(self._take, (name,), key),
        )
        self._complain(name)

    def _text(self, where: Where, title: str, placeholder: str, *, bare: bool = False) -> None:
        """One text, kept as soon as the box is left."""
        given = list(at(self.node, where) or ())
        key = self._key(*where, "text")
        state.begin(key, as_text(given[0]) if given and isinstance(given[0], str | int | float) else "")
        st.text_input(
            safe_text(title),
            key=key,
            placeholder=placeholder,
            label_visibility="collapsed" if bare else "visible",
            on_change=partial(self._take_text, where, key),
            width="stretch",
        )

    def _take_text(self, where: Where, key: str) -> None:
        """A callback."""
        text = state.held(key)
        self._set(where, [text] if text else [])

    def _number(self, where: Where, title: str, *, is_whole: bool, width: Any) -> None:
        key = self._key(*where)
        number = _number(at(self.node, where))
        if number is not None and abs(number) >= _EXACT:
            number = None  # of a draft that was written elsewhere; what is wrong with it is said beside
        state.begin(key, None if number is None else int(number) if is_whole else number)
        st.number_input(
            safe_text(title),
            value=None if number is None else "min",
            step=1 if is_whole else None,
            format="%d" if is_whole else "%.10g",
            key=key,
            on_change=partial(self._take, where, key, anew=where == ("times",)),  # 0 times is never
            width=width,
        )

    def _name(self, kind: str, name: str, look: Look, *, optional: bool) -> None:
        """A name of something that is there."""
        match kind, name:
            case "person", "field":
                offered = self.offers.traits
            case "feature", _:
                offered = self.offers.features
            case "segment", _:
                offered = self.offers.segments
            case "list", _:
                offered = self.offers.lists
            case _, "same":
                offered = self.offers.shared(self.node)
            case "amount", _:
                offered = self.offers.amounts(self.node)
            case _:
                offered = self.offers.texts(kind, name, self.node)
        found = self.node.get(name)
        if (kind, name) == ("person", "field") and found:
            offered = dict(offered) | {str(found): spell_field(str(found).removeprefix("person."))}
        placeholder = "Choose" if not optional else "No other" if kind == "feature" else "Any"
        self._pick((name,), look.title, offered, found, width=look.width, placeholder=placeholder)

    # ------------------------------------------------------------------------------------------------ small widgets

    def _pick(
        self,
        where: Where,
        title: str,
        offered: Offered,
        chosen: Any,
        *,
        width: Any,
        bare: bool = False,
        placeholder: str = "Choose",
    ) -> None:
        """One of what is offered, or nothing; something else can be typed."""
        key = self._key(*where)
        first = str(chosen) if chosen else None
        state.begin(key, first)
        st.selectbox(
            safe_text(title),
            [*dict.fromkeys([*offered, *([first] if first else [])])],
            index=None,
            key=key,
            format_func=lambda option: offered.get(option, clean(self._gone(where, option), longest=80)),
            placeholder=placeholder,
            accept_new_options=where[-1] in ("field", "same", "channel", "topic", "seed"),
            label_visibility="collapsed" if bare else "visible",
            on_change=partial(self._take, where, key, anew=where[-1] in _DECIDES),
            width=width,
        )

    def _gone(self, where: Where, option: str) -> str:
        """What is spelt as itself, unless it is an id of something that is not there any more."""
        return "Deleted: choose another" if where[-1] in ("segment", "people") else spell_property(option)

    def _select(
        self,
        where: Where,
        title: str,
        words: Mapping[Any, str],
        chosen: Any,
        *,
        width: Any,
        bare: bool = False,
        optional: bool = False,
        take: Callable[[str], None] | None = None,
    ) -> None:
        """One of a few."""
        key = self._key(*where)
        state.begin(key, chosen if chosen in words else None if optional else next(iter(words)))
        st.selectbox(
            safe_text(title),
            [*words],
            index=None if optional else 0,
            key=key,
            format_func=lambda option: words.get(option, str(option)),
            placeholder=_NEVER_MATTERS,
            label_visibility="collapsed" if bare else "visible",
            on_change=partial(take, key) if take else partial(self._take, where, key, anew=where[-1] in _DECIDES),
            width=width,
        )

    # ---------------------------------------------------------------------------------------------------- changing

    def _key(self, *parts: object) -> str:
        return self.desk.key(self.node["id"], *parts)

    def _now(self) -> Node:
        """The node as it is when a callback runs."""
        work = self.desk.work
        path = tree.path_of(work.root, self.node["id"])
        return self.node if path is None else tree.at(work.root, path)

    def _take(self, where: Where, key: str, *, anew: bool = False) -> None:
        """A callback: what a widget holds."""
        value = state.held(key)
        self._set(where, value.isoformat() if isinstance(value, date) else value, anew=anew)

    def _set(self, where: Where, value: Any, *, anew: bool = False) -> None:
        """A callback's work: another value within the node; None takes it out."""
        decides = where[-1] in _DECIDES

        def edit(node: Node) -> Node:
            after = put(node, where, value)
            return changed(self.offers, node, after) if decides else after

        self._change(edit, anew=anew)

    def _change(self, edit: Callable[[Node], Node], *, anew: bool = False) -> None:
        """A callback's work: another node. `anew`: its other widgets begin again with what it says."""

        def make(work: Work) -> Work:
            path = tree.path_of(work.root, self.node["id"])
            if path is None:
                return work
            return replace(work, root=tree.put(work.root, path, only_what_counts(edit(tree.at(work.root, path)))))

        self.desk.change(make, anew=self.node["id"] if anew else None)

    # --------------------------------------------------------------------------------------------------- complaints

    def _complain(self, prefix: str) -> None:
        """Say what is wrong with a field, once."""
        for problem in self.problems:
            if problem not in self._said and (problem.field == prefix or problem.field.startswith(f"{prefix}.")):
                self._tell(problem)

    def _rest(self) -> None:
        for problem in self.problems:
            if problem not in self._said:
                self._tell(problem)

    def _tell(self, problem: Problem) -> None:
        self._said.add(problem)
        tell(_said(problem))


def told(node: Node, problem: Problem) -> str:
    """What is wrong with a condition that is closed: the field and the message."""
    look = LOOKS.get((str(node.get("kind")), problem.field.partition(".")[0]))
    said = _said(problem)
    return f"{look.title}: {said}" if look and said == problem.message else said


def _said(problem: Problem) -> str:
    """What is wrong, in the words of what is to be done."""
    return (
        _CHOOSE.get(problem.field.rpartition(".")[2], problem.message)
        if problem.message == _NEEDED
        else problem.message
    )


_NEEDED = "This is needed."
_CHOOSE = {
    "field": "Choose a field.",
    "feature": "Choose a feature.",
    "segment": "Choose a segment.",
    "people": "Choose a list.",
    "stages": "Choose a stage.",
}


def tell(message: str) -> None:
    """What is wrong, in a line."""
    st.markdown(f":red[:material/error: {safe_text(message)}]")


_UNITS = {unit: name.removesuffix(" of 30 days") for unit, name in UNITS.items()}
_TIME_TITLES = {
    ("last", False): "So long",
    ("last", True): "At most so long ago",
    ("ago", False): "So long",
    ("ago", True): "At least so long ago",
    ("during", False): "Within",
    ("during", True): "Within",
}


def _mode(parts: Sequence[str]) -> str | None:
    """Which of the usual ways to say a time uses these parts."""
    found = set(parts)
    if found and found < {"since", "until"}:
        found = {"since", "until"}
    return next((mode for mode in _TIMES if set(mode.split()) == found), None)


def _is_wide(hint: Any) -> bool:
    inner, _ = _bare(hint)
    return inner is Event or (get_origin(inner) is tuple and get_args(inner)[0] not in _IN_ROW)


_IN_ROW = (Value,)


def _bare(hint: Any) -> tuple[Any, bool]:
    """A type without None, and whether None is one of its values."""
    if get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint):
        others = tuple(one for one in get_args(hint) if one is not type(None))
        return (others[0] if len(others) == 1 else Union[others]), True  # noqa: UP007 - made of what is given
    return hint, False


def _bare_number(hint: Any) -> type | None:
    """int or float of an annotated number."""
    found = getattr(hint, "__origin__", None)
    return found if found in (int, float) else None


def _literals(hint: Any) -> list[Any]:
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [value for part in get_args(hint) for value in _literals(part)]


def _with_unit(title: str, scale: Scale) -> str:
    return f"{title} ({scale.unit})" if scale.unit else title


def _window(text: Any) -> tuple[int | None, str]:
    try:
        found = Window.parse(str(text))
    except InvalidInput:
        return None, "d"
    return found.amount, found.unit


def _date(text: Any) -> date | None:
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        return None


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
