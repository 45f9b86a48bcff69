"""The widgets of the one condition that is open, made of the fields its kind has.

What a field is decides its widget: events, their filters, a time, a comparison, a length, a day, a choice, texts. `_LOOKS`
says what a field is called, which choices have words, and when it counts; a kind without an entry gets its fields by
their names. What the model refuses is said beside the field it is about.
"""

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache, partial
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import streamlit as st
from pydantic_core import PydanticUndefined

from gdp_core.analytics.measures import is_money
from gdp_core.analytics.window import Window
from gdp_core.errors import InvalidInput
from gdp_core.money import MICROS
from gdp_core.segments.conditions import KINDS
from gdp_core.segments.conditions.base import (
    COMPARISON_WORDS,
    NUMBER_WORDS,
    Compared,
    Condition,
    Day,
    Event,
    Length,
    Value,
    When,
)
from gdp_core.segments.conditions.person import DATED, RELATIVE
from gdp_core.segments.rules import Problem
from gdp_core.timeline.matching import as_text
from pages.ui import state
from pages.ui.escape import clean, safe_text
from pages.ui.format import label
from pages.ui.reporting.picking import UNITS
from pages.ui.segments import tree
from pages.ui.segments.drafting import Desk, Work
from pages.ui.segments.offers import Offered, Offers, spell_field
from pages.ui.segments.tree import Node

KIND_OF: Mapping[str, type[Condition]] = {kind.model_fields["kind"].default: kind for kind in KINDS}
Where = tuple[str | int, ...]
"""Where a value is within a node."""
_NUMBERS = ("gt", "gte", "lt", "lte")
_ALONE = ("set", "not_set")
_ORDERED = (*_NUMBERS, "between")
_DATED_WORDS = {
    "within_last": "in the last",
    "longer_ago": "longer ago than",
    "within_next": "in the next",
    "further_ahead": "further ahead than",
    "before": "before the day",
    "on_or_after": "on or after the day",
    "anniversary": "has its anniversary today",
}
_PERSON_WORDS = COMPARISON_WORDS | {"between": "is between"} | _DATED_WORDS
_NEVER_MATTERS = "Does not matter"
_TIMES: dict[str, str] = {
    "": "At any time",
    "last": "In the last",
    "ago": "Longer ago than",
    "ago last": "Between two lengths ago",
    "since until": "Between days",
    "after": "After an instant of theirs",
    "after during": "Within a time after an instant of theirs",
}


@dataclass(frozen=True, slots=True)
class _Look:
    """How a field is shown. `words` of its choices; `shown` whether it counts for what the node says; `scale` how much of
    what is stored one of what is shown is."""

    title: str
    words: Mapping[Any, str] = field(default_factory=dict)
    shown: Callable[[Node], bool] = lambda _: True
    scale: Callable[[Offers, Node], float] = lambda _offers, _node: 1.0
    width: int | Literal["stretch"] = 176


def _feature_scale(offers: Offers, node: Node) -> float:
    feature = offers.around.features.get(str(node.get("feature")))
    kind = feature.kind if feature else ""
    return float(MICROS) if kind == "money" else 0.01 if kind == "share" else 1.0


def _is_text_feature(offers: Offers, node: Node) -> bool:
    feature = offers.around.features.get(str(node.get("feature")))
    return bool(feature and feature.kind == "text")


def _amount_scale(_: Offers, node: Node) -> float:
    return float(MICROS) if node.get("by") != "distinct" and is_money(str(node.get("field") or "x")) else 1.0


def _person_scale(_: Offers, node: Node) -> float:
    return float(MICROS) if str(node.get("field", "")).endswith("_micros") else 1.0


_HOW = {"at_least": "at least", "exactly": "exactly", "at_most": "at most", "first": "for the first time"}
_IN = {True: "is in", False: "is not in"}
_LOOKS: Mapping[tuple[str, str], _Look] = {
    ("performed", "event"): _Look("Did"),
    ("performed", "how"): _Look("How often", _HOW),
    ("performed", "times"): _Look("Times", shown=lambda node: node.get("how") != "first", width=104),
    ("person", "field"): _Look("Field", width=220),
    ("person", "op"): _Look("Comparison", _PERSON_WORDS, width=200),
    ("person", "values"): _Look(
        "Value", shown=lambda node: node.get("op", "is") not in (*DATED, *_ALONE), scale=_person_scale
    ),
    ("person", "day"): _Look("Day", shown=lambda node: node.get("op") in ("before", "on_or_after")),
    ("person", "length"): _Look("How long", shown=lambda node: node.get("op") in RELATIVE),
    ("feature", "feature"): _Look("Feature", width=260),
    ("feature", "op"): _Look("Comparison", NUMBER_WORDS, width=140),
    ("feature", "values"): _Look("Value", shown=lambda node: not node.get("other"), scale=_feature_scale),
    ("feature", "other"): _Look("Or another feature", width=240),
    ("feature", "factor"): _Look("Times as much", shown=lambda node: bool(node.get("other")), width=120),
    ("feature", "texts"): _Look("One of", width="stretch"),
    ("not_since", "event"): _Look("Did this"),
    ("not_since", "other"): _Look("And not this since"),
    ("not_since", "ago"): _Look("At least so long ago"),
    ("not_since", "within"): _Look("And at most so long ago"),
    ("not_since", "same"): _Look("With the same", width=200),
    ("sequence", "event"): _Look("Did this"),
    ("sequence", "then"): _Look("Then this"),
    ("sequence", "followed"): _Look("The second", {True: "followed", False: "did not follow"}, width=150),
    ("sequence", "within"): _Look("Within"),
    ("sequence", "same"): _Look("With the same", width=200),
    ("sequence", "when"): _Look("The first happened"),
    ("stopped", "event"): _Look("Did"),
    ("stopped", "times"): _Look("At least so many times", width=150),
    ("stopped", "active"): _Look("In a period of"),
    ("stopped", "quiet"): _Look("And not in the last"),
    ("resumed", "event"): _Look("Does again"),
    ("resumed", "recent"): _Look("In the last"),
    ("resumed", "quiet"): _Look("After a pause of"),
    ("regularly", "event"): _Look("Does"),
    ("regularly", "at_least"): _Look("In at least", width=104),
    ("regularly", "of"): _Look("Of the last", width=104),
    ("regularly", "period"): _Look("Periods of"),
    ("amount", "event"): _Look("Of the events"),
    ("amount", "by"): _Look(
        "Take",
        {
            "sum": "the total",
            "average": "the average",
            "min": "the least",
            "max": "the greatest",
            "distinct": "the number of different values",
        },
        width=220,
    ),
    ("amount", "field"): _Look("Of the field", width=200),
    ("amount", "compared"): _Look("Is", scale=_amount_scale),
    ("subscription", "statuses"): _Look("Status is one of", width="stretch"),
    ("subscription", "plans"): _Look("Plan is one of", width="stretch"),
    ("subscription", "mrr"): _Look("Worth a month", scale=lambda _offers, _node: float(MICROS)),
    ("subscription", "started"): _Look("Began", {"within_last": "in the last", "longer_ago": "longer ago than"}),
    ("subscription", "length"): _Look("How long", shown=lambda node: bool(node.get("started"))),
    ("subscription", "ending"): _Look("Cancellation", {True: "is scheduled", False: "is not scheduled"}),
    ("email", "did"): _Look("They", width="stretch"),
    ("email", "how"): _Look("How often", _HOW),
    ("email", "times"): _Look("Times", width=104),
    ("email", "campaigns"): _Look("Of these campaigns only", width="stretch"),
    ("email", "machines"): _Look("Whose opens", {False: "people only", True: "machines too"}),
    ("consent", "state"): _Look("Says", {"opted_in": "opted in", "opted_out": "opted out", "unknown": "nothing yet"}),
    ("consent", "topic"): _Look("About the topic", width=200),
    ("suppression", "suppressed"): _Look("An address", {True: "is suppressed", False: "is not suppressed"}),
    ("suppression", "reasons"): _Look("Because it", shown=lambda node: node.get("suppressed", True), width="stretch"),
    ("deal", "stages"): _Look("A deal stands in one of", width="stretch"),
    ("deal", "least"): _Look("For at least"),
    ("deal", "most"): _Look("For at most"),
    ("segment", "segment"): _Look("The segment", width=320),
    ("segment", "member"): _Look("The person", _IN),
    ("list", "people"): _Look("The list", width=320),
    ("list", "member"): _Look("The person", {True: "is on it", False: "is not on it"}),
    ("cohort", "since"): _Look("Signed up on or after"),
    ("cohort", "until"): _Look("And on or before"),
    ("cohort", "sources"): _Look("Came first from one of", width="stretch"),
    ("churn", "compared"): _Look("Risk in percent", scale=lambda _offers, _node: 0.01),
    ("random", "low"): _Look("From percent", width=120),
    ("random", "high"): _Look("To percent", width=120),
    ("random", "seed"): _Look("Dealt by", width=160),
}
_ORDER: Mapping[str, tuple[str, ...]] = {
    "sequence": ("event", "when", "followed", "then", "within", "same"),
    "stopped": ("event", "times", "active", "quiet"),
    "regularly": ("event", "at_least", "of", "period"),
    "amount": ("event", "when", "by", "field", "compared"),
    "email": ("did", "campaigns", "how", "times", "machines", "when"),
    "segment": ("member", "segment"),
    "list": ("member", "people"),
}


def begun(kind: str, before: Node | None = None) -> dict[str, Any]:
    """A new condition of a kind: what its fields usually are, and what another one said that this kind can say too."""
    model = KIND_OF[kind]
    made: dict[str, Any] = {"kind": kind}
    mine, theirs = _hints(kind), _hints(str(before["kind"])) if before and before.get("kind") in KIND_OF else {}
    for name, info in model.model_fields.items():
        if name == "kind":
            continue
        if before is not None and name in before and theirs.get(name) == mine[name]:
            made[name] = before[name]
        elif info.default is not PydanticUndefined and info.default is not None:
            found = info.default
            made[name] = (
                found.model_dump(mode="json", exclude_none=True) if hasattr(found, "model_dump") else _listed(found)
            )
    return made


@cache
def _hints(kind: str) -> Mapping[str, Any]:
    return get_type_hints(KIND_OF[kind], include_extras=True)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


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
        box = st.container(gap="small")
        top = st.container()
        with box:
            row: list[str] = []
            for name in _ORDER.get(kind, tuple(KIND_OF[kind].model_fields)):
                if name == "kind" or not self._counts(kind, name):
                    continue
                if _is_wide(_hints(kind)[name]):
                    self._row(kind, row)
                    row = []
                    self._field(kind, name)
                else:
                    row.append(name)
            self._row(kind, row)
        with top:
            self._rest()

    def _counts(self, kind: str, name: str) -> bool:
        if kind == "feature":  # a text is compared with texts, everything else with a number
            if name == "texts":
                return _is_text_feature(self.offers, self.node) or bool(self.node.get("texts"))
            if name in ("other", "values", "factor") and _is_text_feature(self.offers, self.node):
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

    def _look(self, kind: str, name: str) -> _Look:
        return _LOOKS.get((kind, name)) or _Look(label(name))

    # ----------------------------------------------------------------------------------------------------- one field

    def _field(self, kind: str, name: str) -> None:
        """The widget that what a field is asks for."""
        hint, look = _hints(kind)[name], self._look(kind, name)
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
            self._values(("values",), str(self.node.get("op", "is")), self.offers.texts(kind, name, self.node), look)
        elif (kind, name) == ("feature", "values"):
            self._numbers(("values",), str(self.node.get("op")), look.scale(self.offers, self.node), "Value")
        elif get_origin(inner) is tuple:
            self._several(kind, name, look, get_args(inner)[0])
        elif inner in (int, float) or _bare_number(inner):
            self._number((name,), look.title, whole=inner is int or _bare_number(inner) is int, width=look.width)
        else:
            self._name(kind, name, look, optional=optional)

    def _event(self, name: str, look: _Look) -> None:
        found = _mapping(self.node.get(name))
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
        rows = [_mapping(row) for row in found.get("where") or ()]
        fields = self.offers.properties(names)
        for number, row in enumerate(rows):
            self._where(name, number, row, fields)
        st.button(
            "Add a filter" if not rows else "Add another filter",
            icon=":material/filter_alt:",
            type="tertiary",
            key=self._key(name, "add"),
            on_click=partial(self._set, (name, "where"), [*map(dict, rows), {"comparison": "is"}], anew=True),
        )
        self._complain(name)

    def _where(self, name: str, number: int, row: Node, fields: Offered) -> None:
        where: Where = (name, "where", number)
        comparison = str(row.get("comparison", "is"))
        chosen = row.get("field")
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.caption("where" if number == 0 else "and", width=44)
            self._pick((*where, "field"), "Field of the event", fields, chosen, width=200, bare=True)
            self._select((*where, "comparison"), "Comparison", COMPARISON_WORDS, comparison, width=156, bare=True)
            offered = self.offers.values(str(chosen)) if chosen else {}
            scale = float(MICROS) if chosen and is_money(str(chosen)) else 1.0
            self._values((*where, "values"), comparison, offered, _Look("Value", scale=lambda *_: scale), bare=True)
            rows = [_mapping(one) for one in _mapping(self.node.get(name)).get("where") or ()]
            st.button(
                "",
                icon=":material/close:",
                help="Remove this filter",
                type="tertiary",
                key=self._key(*where, "remove"),
                width=36,
                on_click=partial(
                    self._set,
                    (name, "where"),
                    [dict(one) for place, one in enumerate(rows) if place != number],
                    anew=True,
                ),
            )
        self._complain(f"{name}.where.{number}")

    def _when(self, name: str, title: str) -> None:
        found = _mapping(self.node.get(name))
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
        before = _mapping(self._now().get(name))
        parts = str(state.held(key) or "").split()
        self._set((name,), {part: before.get(part) or usual[part] for part in parts}, anew=True)

    def _compared(self, where: Where, look: _Look, *, optional: bool) -> None:
        found = _mapping(_at(self.node, where))
        op = found.get("op", None if optional else "gte")
        key = self._key(*where, "op")
        state.begin(key, op)
        st.selectbox(
            safe_text(look.title),
            [*NUMBER_WORDS],
            key=key,
            format_func=NUMBER_WORDS.__getitem__,
            placeholder=_NEVER_MATTERS,
            index=None if optional else 0,
            on_change=partial(self._choose_op, where, key),
            width=150,
        )
        if op:
            self._numbers((*where, "values"), str(op), look.scale(self.offers, self.node), "Number")

    def _choose_op(self, where: Where, key: str) -> None:
        """A callback: another comparison, with as many numbers as it needs."""
        op = state.held(key)
        if op is None:
            self._set(where, None)
            return
        numbers = list(_mapping(_at(self._now(), where)).get("values") or [1])
        needed = 2 if op == "between" else 1
        self._set(where, {"op": op, "values": (numbers * needed)[:needed]})

    def _length(self, where: Where, title: str, *, optional: bool) -> None:
        amount, unit = _window(_at(self.node, where))
        keys = self._key(*where, "amount"), self._key(*where, "unit")
        state.begin(keys[0], amount)
        state.begin(keys[1], unit)
        take = partial(self._take_length, where, keys)
        with st.container(horizontal=True, vertical_alignment="bottom", gap="xxsmall", width=244 if optional else 226):
            st.number_input(
                safe_text(title),
                min_value=1,
                max_value=100_000,
                value=None if optional or amount is None else "min",
                step=1,
                key=keys[0],
                placeholder="No limit" if optional else "How many",
                on_change=take,
                width=128 if optional else 110,
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
        state.begin(key, _date(_at(self.node, where)))
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

    def _choice(self, name: str, look: _Look, inner: Any, *, optional: bool) -> None:
        options = [True, False] if inner is bool else _literals(inner)
        if (self.node["kind"], name) == ("person", "op"):
            options = _ops_of(str(self.node.get("field", "")), str(self.node.get("op", "is")))
        if (self.node["kind"], name) == ("feature", "op"):
            options = self._feature_ops(options)
        words = {option: look.words.get(option, label(str(option)).lower()) for option in options}
        self._select((name,), look.title, words, self.node.get(name), width=look.width, optional=optional)

    def _feature_ops(self, options: list[Any]) -> list[Any]:
        if _is_text_feature(self.offers, self.node):
            return ["is", "is_not"]
        return [one for one in options if one != "between"] if self.node.get("other") else options

    def _values(self, where: Where, op: str, offered: Offered, look: _Look, *, bare: bool = False) -> None:
        if op in _ALONE:
            st.space("stretch")
        elif op in _ORDERED:
            self._numbers(where, op, look.scale(self.offers, self.node), look.title, bare=bare)
        elif op == "matches":
            self._text(where, "Regular expression", bare=bare)
        else:
            self._texts(where, look.title, offered, bare=bare)

    def _numbers(self, where: Where, op: str, scale: float, title: str, *, bare: bool = False) -> None:
        """One number, or two for "between"; stored as `scale` times what is shown."""
        found = list(_at(self.node, where) or ())
        needed = 2 if op == "between" else 1
        keys = [self._key(*where, op == "between", place) for place in range(needed)]
        for place, key in enumerate(keys):
            number = _number(found[place]) if place < len(found) else None
            state.begin(key, None if number is None else number / scale)
            st.number_input(
                safe_text(title if place == 0 else "And"),
                value=None,
                key=key,
                format="%.10g",
                placeholder="Number",
                label_visibility="collapsed" if bare else "visible",
                on_change=partial(self._take_numbers, where, keys, scale),
                width=130,
            )

    def _take_numbers(self, where: Where, keys: Sequence[str], scale: float) -> None:
        """A callback."""
        found = [state.held(key) for key in keys]
        self._set(where, [_whole(number * scale) for number in found if number is not None])

    def _texts(self, where: Where, title: str, offered: Offered, *, bare: bool = False) -> None:
        given = [as_text(value) for value in _at(self.node, where) or () if isinstance(value, str | int | float)]
        key = self._key(*where, "texts")
        state.begin(key, given)
        st.multiselect(
            safe_text(title),
            [*dict.fromkeys([*offered, *given])],
            key=key,
            format_func=lambda option: offered.get(option, clean(option, longest=80)),
            accept_new_options=True,
            placeholder="Choose or type",
            label_visibility="collapsed" if bare else "visible",
            on_change=partial(self._take, where, key),
            width="stretch",
        )

    def _several(self, kind: str, name: str, look: _Look, item: Any) -> None:
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

    def _text(self, where: Where, title: str, *, bare: bool = False) -> None:
        given = list(_at(self.node, where) or ())
        key = self._key(*where, "text")
        state.begin(key, as_text(given[0]) if given and isinstance(given[0], str | int | float) else "")
        st.text_input(
            safe_text(title),
            key=key,
            placeholder="For example ^/pricing",
            label_visibility="collapsed" if bare else "visible",
            on_change=partial(self._take_text, where, key),
            width="stretch",
        )

    def _take_text(self, where: Where, key: str) -> None:
        """A callback."""
        text = state.held(key)
        self._set(where, [text] if text else [])

    def _number(self, where: Where, title: str, *, whole: bool, width: Any) -> None:
        key = self._key(*where)
        number = _number(_at(self.node, where))
        state.begin(key, None if number is None else int(number) if whole else number)
        st.number_input(
            safe_text(title),
            value=None if number is None else "min",
            step=1 if whole else None,
            format="%d" if whole else "%.10g",
            key=key,
            on_change=partial(self._take, where, key),
            width=width,
        )

    def _name(self, kind: str, name: str, look: _Look, *, optional: bool) -> None:
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
            on_change=partial(self._take, where, key),
            width=width,
        )

    def _gone(self, where: Where, option: str) -> str:
        """What is spelt as itself, unless it is an id of something that is not there any more."""
        return "Deleted: choose another" if where[-1] in ("segment", "people") else option

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
            on_change=partial(self._take, where, key),
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

    def _take(self, where: Where, key: str) -> None:
        """A callback: what a widget holds."""
        value = state.held(key)
        self._set(where, value.isoformat() if isinstance(value, date) else value)

    def _set(self, where: Where, value: Any, *, anew: bool = False) -> None:
        """A callback's work: another value within the node; None takes it out."""

        def edit(work: Work) -> Work:
            path = tree.path_of(work.root, self.node["id"])
            if path is None:
                return work
            node = _put(tree.at(work.root, path), where, value)
            return replace(work, root=tree.put(work.root, path, _only_what_counts(node)))

        self.desk.change(edit, anew=anew)

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
    look = _LOOKS.get((str(node.get("kind")), problem.field.partition(".")[0]))
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


def _ops_of(name: str, chosen: str) -> list[str]:
    """The comparisons of a field of people: days for what is an instant, texts and numbers for the rest first."""
    dated, others = [*_DATED_WORDS], [op for op in _PERSON_WORDS if op not in _DATED_WORDS]
    found = [*dated, *_ALONE] if name.endswith("_at") else [*others, *dated]
    return [*found, *([chosen] if chosen not in found else [])]


def _only_what_counts(node: Node) -> dict[str, Any]:
    """Without fields that what was just said makes meaningless."""
    kind = str(node["kind"])
    return {
        name: value for name, value in node.items() if (look := _LOOKS.get((kind, name))) is None or look.shown(node)
    }


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


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _at(node: Any, where: Where) -> Any:
    for part in where:
        if isinstance(part, int):
            node = node[part] if isinstance(node, Sequence) and part < len(node) else None
        else:
            node = _mapping(node).get(part)
    return node


def _put(container: Any, where: Where, value: Any) -> Any:
    """With another value there; None takes it out of a mapping."""
    if not where:
        return value
    part, *rest = where
    if isinstance(part, int):
        return [_put(item, tuple(rest), value) if place == part else item for place, item in enumerate(container)]
    inner = _put(_mapping(container).get(part), tuple(rest), value)
    found = {**_mapping(container), part: inner}
    return {name: item for name, item in found.items() if item is not None}


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


def _whole(number: float) -> int | float:
    """As JSON writes it shortest."""
    rounded = round(number, 9)
    return int(rounded) if abs(rounded) < 2**53 and rounded == int(rounded) else rounded
