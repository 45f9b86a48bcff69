"""What each kind of condition offers: what its fields are called, in which order they read, which choices have words, when
a field counts, and how much of what is stored one of what is shown is.

A kind without an entry gets its fields by their names. `begun` and `changed` make conditions; the numbers people see stay
as they are whatever else they choose, and what is stored follows.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, get_type_hints

from pydantic_core import PydanticUndefined

from gdp_core.analytics.measures import is_money
from gdp_core.money import MICROS
from gdp_core.segments.conditions import KINDS
from gdp_core.segments.conditions.base import COMPARISON_WORDS, NUMBER_WORDS, Condition
from gdp_core.segments.conditions.person import DATED, RELATIVE, is_in_micros
from gdp_core.timeline.matching import number
from pages.ui.segments.offers import Offers
from pages.ui.segments.tree import Node

KIND_OF: Mapping[str, type[Condition]] = {kind.model_fields["kind"].default: kind for kind in KINDS}
Where = tuple[str | int, ...]
"""Where a value is within a node."""
NUMBERS = ("gt", "gte", "lt", "lte")
ALONE = ("set", "not_set")
ORDERED = (*NUMBERS, "between")
PARTS = ("contains", "not_contains", "starts_with", "ends_with")  # compared with a part of a text, mostly one
DATED_WORDS = {
    "within_last": "in the last",
    "longer_ago": "longer ago than",
    "within_next": "in the next",
    "further_ahead": "further ahead than",
    "before": "before the day",
    "on_or_after": "on or after the day",
    "anniversary": "has its anniversary today",
}
PERSON_WORDS = COMPARISON_WORDS | {"between": "is between"} | DATED_WORDS
_MONEY_OPS = ("is", "is_not", *ORDERED, *ALONE)


@dataclass(frozen=True, slots=True)
class Scale:
    """One of what is shown is `times` of what is stored; `unit` is said beside it."""

    times: float = 1.0
    unit: str = ""

    def shown(self, value: Any) -> Any:
        """What is stored as people see it; what is no number is itself."""
        found = number(value) if isinstance(value, str | int | float) else None
        return value if self.times == 1 or found is None else whole(found / self.times)

    def stored(self, value: Any) -> Any:
        """The other way round."""
        found = number(value) if isinstance(value, str | int | float) else None
        return value if self.times == 1 or found is None else whole(found * self.times)


AS_IT_IS = Scale()
PERCENT = Scale(0.01, "%")
MONEY_SCALE = Scale(float(MICROS), "in its currency")


@dataclass(frozen=True, slots=True)
class Look:
    """How a field is shown. `words` of its choices; `shown` whether it counts for what the node says."""

    title: str
    words: Mapping[Any, str] = field(default_factory=dict)
    shown: Callable[[Node], bool] = lambda _: True
    scale: Callable[[Offers, Node], Scale] = lambda _offers, _node: AS_IT_IS
    width: int | Literal["stretch"] = 176


def _feature_scale(offers: Offers, node: Node) -> Scale:
    feature = offers.around.features.get(str(node.get("feature")))
    match feature.kind if feature else "":
        case "money":
            return Scale(float(MICROS), offers.sight.place.workspace.base_currency)
        case "share":
            return PERCENT
    return Scale(1.0, feature.unit if feature else "")


def is_text_feature(offers: Offers, node: Node) -> bool:
    """Whether what a feature says of people is a text."""
    feature = offers.around.features.get(str(node.get("feature")))
    return bool(feature and feature.kind == "text")


def _amount_scale(_: Offers, node: Node) -> Scale:
    return MONEY_SCALE if node.get("by") != "distinct" and is_money(str(node.get("field") or "x")) else AS_IT_IS


def _person_scale(_: Offers, node: Node) -> Scale:
    return MONEY_SCALE if is_in_micros(str(node.get("field") or "")) else AS_IT_IS


def filter_scale(row: Node) -> Scale:
    """Of the values with which a filter compares a field of events."""
    return MONEY_SCALE if is_money(str(row.get("field") or "x")) else AS_IT_IS


def is_never(node: Node) -> bool:
    """Whether it says that something was not done at all."""
    return node.get("how") == "exactly" and node.get("times") == 0


NEVER = "never"
HOW = {
    "at_least": "at least",
    "exactly": "exactly",
    "at_most": "at most",
    "first": "for the first time",
    NEVER: "never",  # exactly 0 times
}
_IN = {True: "is in", False: "is not in"}
LOOKS: Mapping[tuple[str, str], Look] = {
    ("performed", "event"): Look("Did"),
    ("performed", "how"): Look("How often", HOW),
    ("performed", "times"): Look("Times", shown=lambda node: node.get("how") != "first", width=104),
    ("person", "field"): Look("Field", width=220),
    ("person", "op"): Look("Comparison", PERSON_WORDS, width=200),
    ("person", "values"): Look(
        "Value", shown=lambda node: node.get("op", "is") not in (*DATED, *ALONE), scale=_person_scale
    ),
    ("person", "day"): Look("Day", shown=lambda node: node.get("op") in ("before", "on_or_after")),
    ("person", "length"): Look("How long", shown=lambda node: node.get("op") in RELATIVE),
    ("feature", "feature"): Look("Feature", width=260),
    ("feature", "op"): Look("Comparison", NUMBER_WORDS, width=140),
    ("feature", "values"): Look("Value", shown=lambda node: not node.get("other"), scale=_feature_scale),
    ("feature", "other"): Look("Or another feature", width=240),
    ("feature", "factor"): Look("Times as much", shown=lambda node: bool(node.get("other")), width=120),
    ("feature", "texts"): Look("One of", width="stretch"),
    ("not_since", "event"): Look("Did this"),
    ("not_since", "other"): Look("And not this since"),
    ("not_since", "ago"): Look("At least so long ago"),
    ("not_since", "within"): Look("And at most so long ago"),
    ("not_since", "same"): Look("With the same", width=200),
    ("sequence", "event"): Look("Did this"),
    ("sequence", "then"): Look("Then this"),
    ("sequence", "followed"): Look("The second", {True: "followed", False: "did not follow"}, width=150),
    ("sequence", "within"): Look("Within"),
    ("sequence", "same"): Look("With the same", width=200),
    ("sequence", "when"): Look("The first happened"),
    ("stopped", "event"): Look("Did"),
    ("stopped", "times"): Look("At least so many times", width=150),
    ("stopped", "active"): Look("In a period of"),
    ("stopped", "quiet"): Look("And not in the last"),
    ("resumed", "event"): Look("Does again"),
    ("resumed", "recent"): Look("In the last"),
    ("resumed", "quiet"): Look("After a pause of"),
    ("regularly", "event"): Look("Does"),
    ("regularly", "at_least"): Look("In at least", width=104),
    ("regularly", "of"): Look("Of the last", width=104),
    ("regularly", "period"): Look("Periods of"),
    ("amount", "event"): Look("Of the events"),
    ("amount", "by"): Look(
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
    ("amount", "field"): Look("Of the field", width=200),
    ("amount", "compared"): Look("Is", scale=_amount_scale),
    ("subscription", "statuses"): Look("Status is one of", width="stretch"),
    ("subscription", "plans"): Look("Plan is one of", width="stretch"),
    ("subscription", "mrr"): Look("Worth a month", scale=lambda _offers, _node: MONEY_SCALE),
    ("subscription", "started"): Look("Began", {"within_last": "in the last", "longer_ago": "longer ago than"}),
    ("subscription", "length"): Look("How long", shown=lambda node: bool(node.get("started"))),
    ("subscription", "ending"): Look("Cancellation", {True: "is scheduled", False: "is not scheduled"}),
    ("email", "did"): Look("They", width="stretch"),
    ("email", "how"): Look("How often", HOW),
    ("email", "times"): Look("Times", width=104),
    ("email", "campaigns"): Look("Of these campaigns only", width="stretch"),
    ("email", "machines"): Look("Whose opens", {False: "people only", True: "machines too"}),
    ("consent", "state"): Look("Says", {"opted_in": "opted in", "opted_out": "opted out", "unknown": "nothing yet"}),
    ("consent", "topic"): Look("About the topic", width=200),
    ("suppression", "suppressed"): Look("An address", {True: "is suppressed", False: "is not suppressed"}),
    ("suppression", "reasons"): Look("Because it", shown=lambda node: node.get("suppressed", True), width="stretch"),
    ("deal", "stages"): Look("A deal stands in one of", width="stretch"),
    ("deal", "least"): Look("For at least"),
    ("deal", "most"): Look("For at most"),
    ("segment", "segment"): Look("The segment", width=320),
    ("segment", "member"): Look("The person", _IN),
    ("list", "people"): Look("The list", width=320),
    ("list", "member"): Look("The person", {True: "is on it", False: "is not on it"}),
    ("cohort", "since"): Look("Signed up on or after"),
    ("cohort", "until"): Look("And on or before"),
    ("cohort", "sources"): Look("Came first from one of", width="stretch"),
    ("churn", "compared"): Look("Risk", scale=lambda _offers, _node: PERCENT),
    ("random", "low"): Look("From percent", width=120),
    ("random", "high"): Look("To percent", width=120),
    ("random", "seed"): Look("Dealt by", width=160),
}
ORDER: Mapping[str, tuple[str, ...]] = {
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
    mine, theirs = hints(kind), hints(str(before["kind"])) if before and before.get("kind") in KIND_OF else {}
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


def changed(offers: Offers, before: Node, after: Node) -> Node:
    """A condition of which a field, a feature or the kind is another now: comparisons that it does not have go, and the
    numbers that people see stay.
    """
    old = dict(_scales(offers, before))
    for where, scale in [*_scales(offers, after)]:
        was = old.get(where)
        if was is not None and was.times != scale.times:
            after = put(after, where, [scale.stored(was.shown(value)) for value in at(after, where) or ()])
    return _settled(offers, after)


def _settled(offers: Offers, node: Node) -> Node:
    """With comparisons that its fields have."""
    kind, found = str(node["kind"]), dict(node)
    if kind == "feature" and is_text_feature(offers, node):
        found["op"] = "is_not" if found.get("op") == "is_not" else "is"
        return {name: value for name, value in found.items() if name not in ("other", "factor")} | {"values": []}
    if kind == "feature" and (found.pop("texts", None) or not (found.get("values") or found.get("other"))):
        found |= {"op": "gte", "values": [_feature_scale(offers, node).stored(1)]}
    if kind == "person" and found.get("field"):
        ops = ops_of(str(found["field"]))
        if found.get("op", "is") not in ops:
            found = {name: value for name, value in found.items() if name not in ("day", "length")} | {"op": ops[0]}
        if found["op"] in RELATIVE:
            found.setdefault("length", "30d")
    for name in _EVENTS:
        event = found.get(name)
        if isinstance(event, Mapping) and event.get("where"):
            found[name] = {**event, "where": [_settled_row(row) for row in event["where"]]}
    return found


_EVENTS = ("event", "other", "then")


def _settled_row(row: Node) -> Node:
    return row if row.get("comparison", "is") in comparisons_of(row) else {**row, "comparison": "is"}


def _scales(offers: Offers, node: Node) -> Iterator[tuple[Where, Scale]]:
    """Where numbers of a condition stand, and how they are shown."""
    kind = str(node["kind"])
    for name, value in node.items():
        if name in _EVENTS and isinstance(value, Mapping):
            for place, row in enumerate(value.get("where") or ()):
                yield (name, "where", place, "values"), filter_scale(row)
        elif (look := LOOKS.get((kind, name))) is not None:
            inner: Where = ("values",) if isinstance(value, Mapping) and "values" in value else ()
            if inner or name == "values":
                yield (name, *inner), look.scale(offers, node)


def ops_of(name: str, chosen: str | None = None) -> list[str]:
    """The comparisons of a field of people: days for what is an instant, numbers for money; texts and numbers first for the
    rest. What is `chosen` is among them.
    """
    if name.endswith("_at"):
        found = [*DATED_WORDS, *ALONE]
    elif is_in_micros(name):
        found = [*_MONEY_OPS]
    else:
        found = [op for op in PERSON_WORDS if op not in DATED_WORDS] + [*DATED_WORDS]
    return found if chosen is None or chosen in found else [*found, chosen]


def comparisons_of(row: Node) -> Mapping[str, str]:
    """Those of a filter's field."""
    if filter_scale(row) is AS_IT_IS:
        return COMPARISON_WORDS
    return {op: word for op, word in COMPARISON_WORDS.items() if op in _MONEY_OPS}


def only_what_counts(node: Node) -> dict[str, Any]:
    """Without fields that what was just said makes meaningless."""
    kind = str(node["kind"])
    return {
        name: value for name, value in node.items() if (look := LOOKS.get((kind, name))) is None or look.shown(node)
    }


@cache
def hints(kind: str) -> Mapping[str, Any]:
    """The types of a kind's fields."""
    return get_type_hints(KIND_OF[kind], include_extras=True)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


# ----------------------------------------------------------------------------------------------- values within a node


def mapping(value: Any) -> Mapping[str, Any]:
    """What is no mapping as an empty one: a draft may hold anything."""
    return value if isinstance(value, Mapping) else {}


def at(node: Any, where: Where) -> Any:
    """The value there, or None."""
    for part in where:
        if isinstance(part, int):
            node = node[part] if isinstance(node, Sequence) and part < len(node) else None
        else:
            node = mapping(node).get(part)
    return node


def put(container: Any, where: Where, value: Any) -> Any:
    """With another value there; None takes it out of a mapping."""
    if not where:
        return value
    part, *rest = where
    if isinstance(part, int):
        return [put(item, tuple(rest), value) if place == part else item for place, item in enumerate(container)]
    inner = put(mapping(container).get(part), tuple(rest), value)
    found = {**mapping(container), part: inner}
    return {name: item for name, item in found.items() if item is not None}


def whole(found: float) -> int | float:
    """As JSON writes it shortest."""
    rounded = round(found, 9)
    return int(rounded) if abs(rounded) < 2**53 and rounded == int(rounded) else rounded
