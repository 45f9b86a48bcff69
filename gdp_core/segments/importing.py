"""Rules of other systems as rules of ours. Four ways to write one are read; what cannot be meant here is said, not left out.

Our own (`rules.read`); field rules, {"operator": "AND", "conditions": [{"field", "operator", "value"}]}; event rules, a
list of {"condition": "event" | "property" | "cohort", ...} that must all hold; and one such condition by itself. Each may
stand under "rules" of a whole segment. Names in camelCase become those of our fields and features.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from typing import Any, Literal
from uuid import UUID

from gdp_core.analytics.window import Window
from gdp_core.errors import InvalidInput
from gdp_core.lake.tables import PERSON_FIELDS
from gdp_core.segments import rules
from gdp_core.segments.rules import DEEPEST, BadRule, Path, Problem, Rule

_Node = dict[str, Any]
_PLACES = {
    "signupDate": "signup_at",
    "firstActionDate": "first_action_at",
    "lastActionDate": "last_action_at",
    "lastEventAt": "last_seen_at",
    "createdAt": "first_seen_at",
    "firstSeen": "first_seen_at",
    "lastSeen": "last_seen_at",
    "totalSpent": "total_spent_micros",
    "lifetimeValue": "lifetime_value_micros",
    "mrr": "mrr_micros",
    "plan": "plan_name",
    "planName": "plan_name",
}
_OF_SUBSCRIPTION = {
    "status": "subscription_status",
    "plan": "plan_name",
    "planName": "plan_name",
    "mrr": "mrr_micros",
    "startDate": "subscription_started_at",
    "cancelAt": "subscription_ends_at",
    "cancelledAt": "subscription_ends_at",
}
_UNKNOWN = {
    "personId": "ids of another system mean nobody here; save these people as a list",
    "segment": "membership of a segment is a condition of its own; add it in the builder",
    "updatedAt": "when a record was changed is not kept of people",
    "computedAt": "features are always as of now here",
}
_TRAITS = ("metadata.", "traits.", "properties.")
_OPERATORS = {
    "eq": "is",
    "equals": "is",
    "in": "in",
    "contains": "contains",
    "gt": "gt",
    "gte": "gte",
    "lt": "lt",
    "lte": "lte",
}
_ORDERED = ("gt", "gte", "lt", "lte")
_MONEY = "lifetime_value"  # the feature that counts in micros
_MICROS = 1_000_000
_MOST_TIMES = 1_000_000
_RELATIVE = re.compile(r"\s*now\s*([+-])\s*([0-9]{1,9}\s*[a-z]+)\s*", re.IGNORECASE)
_MONTH = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])")


class _Unreadable(Exception):
    """Why a condition cannot be read, and the part of it that is to blame."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


WrittenAs = Literal["rule", "field_rules", "event_rules"]
"""Which format a rule was written in: ours, or one of the others."""
WRITTEN: dict[WrittenAs, str] = {"rule": "a rule", "field_rules": "field rules", "event_rules": "event rules"}


def read_any(given: object) -> Rule:
    """A rule from any of the four formats, as JSON text or as objects. Raises BadRule with everything that cannot be read."""
    return read_told(given)[0]


def read_told(given: object) -> tuple[Rule, WrittenAs]:
    """The same, and the format it was written in. One condition by itself is of the format whose condition it is."""
    loaded = rules.load(given)
    if isinstance(loaded, Mapping) and not loaded.keys() & {"match", "version"} and "rules" in loaded:
        loaded = rules.load(loaded["rules"])
    if isinstance(loaded, Mapping) and loaded.keys() & {"match", "version"}:
        return rules.read(loaded), "rule"
    problems: list[Problem] = []
    match = _outermost(loaded, problems)
    if problems:
        raise BadRule(problems)
    by_field = isinstance(loaded, Mapping) and not loaded.keys().isdisjoint({"conditions", "field"})
    return rules.read({"match": match}), "field_rules" if by_field else "event_rules"


def _outermost(given: object, problems: list[Problem]) -> _Node | None:
    if isinstance(given, list):
        return _group("all", given, (), problems)
    if isinstance(given, Mapping):
        if "conditions" in given:
            return _node(given, (), problems)
        if given.keys() & {"field", "condition", "eventType", "property", "cohortId"}:
            return _group("all", [given], (), problems)
    problems.append(
        Problem(
            (),
            "",
            'This is no rule of a format that can be read: begin with {"match": ...}, {"operator": "AND", "conditions":'
            ' [...]}, or [{"condition": "event", ...}].',
        )
    )
    return None


def _group(kind: str, parts: object, path: Path, problems: list[Problem]) -> _Node | None:
    if not isinstance(parts, list) or not parts:
        problems.append(Problem(path, "", "Give a list of conditions with at least one in it."))
    elif len(path) >= DEEPEST:
        problems.append(Problem(path, "", f"Groups can be at most {DEEPEST} deep: take this one out of another."))
    elif len(parts) > rules.MOST_CONDITIONS:
        problems.append(Problem(path, "", f"A rule has at most {rules.MOST_CONDITIONS} conditions: split it."))
    else:
        found = [_node(part, (*path, place), problems) for place, part in enumerate(parts)]
        return {"kind": kind, "of": found}
    return None


def _node(given: object, path: Path, problems: list[Problem]) -> _Node | None:
    """A condition or group; what is wrong with it is added to the problems."""
    if isinstance(given, Mapping) and "conditions" in given:
        kind = {"AND": "all", "OR": "any"}.get(str(given.get("operator", "AND")).upper())
        if kind is None:
            problems.append(Problem(path, "operator", "Conditions are joined by AND or OR."))
        for name in _unknown(given, ("operator", "conditions", *_OF_SEGMENT)):
            problems.append(Problem(path, name, _not_read(name)))
        return _group(kind or "all", given["conditions"], path, problems)
    try:
        return _condition(given)
    except _Unreadable as error:
        problems.append(Problem(path, error.field, str(error)))
        return None


_OF_SEGMENT = ("name", "description", "segmentId", "createdAt", "updatedAt", "enabled", "actionType", "actionConfig")
"""What stands beside the rules of a segment and is no part of who is meant."""


def _condition(given: object) -> _Node:
    if not isinstance(given, Mapping):
        raise _Unreadable("", f"A condition is an object, and this is {_shown(given)}.")
    if "field" in given:
        _only(given, "field", "operator", "value")
        return _compared("field", given)
    kinds: dict[str, tuple[str, Callable[[Mapping[str, Any]], _Node]]] = {
        "event": ("eventType", _event),
        "property": ("property", _property),
        "cohort": ("cohortId", _cohort),
    }
    kind = given.get("condition") or next((kind for kind, (name, _) in kinds.items() if name in given), None)
    if not isinstance(kind, str) or kind not in kinds:
        raise _Unreadable("condition", f"A condition is one of event, property and cohort, and this is {_shown(kind)}.")
    return kinds[kind][1](given)


# ---------------------------------------------------------------------------------------------------------- events


def _event(given: Mapping[str, Any]) -> _Node:
    _only(given, "condition", "eventType", "eventCount", "eventWindow")
    name = _text(given, "eventType")
    performed: _Node = {"kind": "performed", "event": {"names": [name]}}
    if given.get("eventWindow") is not None:
        performed["when"] = {"last": _length("eventWindow", given["eventWindow"])}
    counts = _counts(given.get("eventCount"))
    found = [{**performed, "how": how, "times": times} for how, times in counts]
    return found[0] if len(found) == 1 else {"kind": "all", "of": found}


def _counts(given: object) -> list[tuple[str, int]]:
    """How often, as our conditions say it; not given: at least once."""
    if given is None:
        return [("at_least", 1)]
    if not isinstance(given, Mapping) or not given or given.keys() - {"gte", "lte"}:
        raise _Unreadable("eventCount", 'Say how often like {"gte": 3}, {"lte": 5} or both.')
    for times in given.values():
        if isinstance(times, bool) or not isinstance(times, int) or not 0 <= times <= _MOST_TIMES:
            raise _Unreadable("eventCount", f"A count is a whole number from 0 on, and this is {_shown(times)}.")
    least, most = given.get("gte"), given.get("lte")
    if least is not None and most is not None:
        if least > most:
            raise _Unreadable("eventCount", f"Nothing happens at least {least} and at most {most} times.")
        return [("exactly", least)] if least == most else [("at_least", least), ("at_most", most)]
    return [("at_least", least)] if least is not None else [("at_most", int(most or 0))]


# ------------------------------------------------------------------------------------------------ fields, features


def _property(given: Mapping[str, Any]) -> _Node:
    _only(given, "condition", "property", "operator", "value")
    return _compared("property", given)


def _compared(key: str, given: Mapping[str, Any]) -> _Node:
    """A field of the person or a feature, compared."""
    name = _text(given, key)
    said = given.get("operator")
    op = _OPERATORS.get(said) if isinstance(said, str) else None
    if op is None:
        raise _Unreadable("operator", f"There is no operator {_shown(said)}; use one of {', '.join(_OPERATORS)}.")
    if "value" not in given:
        raise _Unreadable("value", "Give a value to compare with.")
    short = name.removeprefix("features.")
    why = _UNKNOWN.get(short.removeprefix("person."))
    if why is not None:
        raise _Unreadable(key, f"{name} cannot be read: {why}.")
    if short != name:
        return _feature(_snake(short), op, given["value"])
    field = _field(name)
    if field.endswith("_at"):
        return _instant(field, op, given["value"])
    return _person(field, op, given["value"])


def _field(name: str) -> str:
    """A field of people by the name another system gives it; what we have no field for is a trait of that name."""
    short = name.removeprefix("person.")
    for prefix in _TRAITS:
        if short.startswith(prefix):
            return short.removeprefix(prefix)
    if short.startswith("subscription."):
        short = short.removeprefix("subscription.")
        return _OF_SUBSCRIPTION.get(short, short)
    if short in _PLACES:
        return _PLACES[short]
    return _snake(short) if _snake(short) in PERSON_FIELDS else short


def _person(field: str, op: str, value: object) -> _Node:
    if value is None and op == "is":
        return {"kind": "person", "field": field, "op": "not_set"}
    values = _values(op, value)
    if field.endswith("_micros"):
        values = [round(_number(one) * _MICROS) for one in values]
    if op in _ORDERED:
        values = [_number(one) for one in values]
    return {"kind": "person", "field": field, "op": "is" if op == "in" else op, "values": values}


def _feature(slug: str, op: str, value: object) -> _Node:
    if op == "contains":
        raise _Unreadable("operator", "A feature is compared as a number: use eq, in, gt, gte, lt or lte.")
    values = _values(op, value)
    if all(isinstance(one, str) for one in values) and op in ("is", "in"):
        return {"kind": "feature", "feature": slug, "op": "is", "texts": values}
    found: list[_Node] = [
        {"kind": "feature", "feature": slug, "op": "is" if op == "in" else op, "values": [_feature_number(slug, one)]}
        for one in values
    ]
    return found[0] if len(found) == 1 else {"kind": "any", "of": found}


def _feature_number(slug: str, value: object) -> float:
    number = _number(value)
    return round(number * _MICROS) if slug == _MONEY else number


def _instant(field: str, op: str, value: object) -> _Node:
    """An instant compared with now, or with a day: that day is part of eq, gte and lte, and not of gt and lt."""
    if value is None and op == "is":
        return {"kind": "person", "field": field, "op": "not_set"}
    if not isinstance(value, str):
        raise _Unreadable(
            "value", f"Compare an instant with “now - 30d” or a day like 2026-01-31, not {_shown(value)}."
        )
    condition: _Node = {"kind": "person", "field": field}
    relative = _RELATIVE.fullmatch(value)
    if relative:
        if op not in _ORDERED:
            raise _Unreadable("operator", "With “now - 30d” use gt, gte, lt or lte.")
        return _from_now(condition, op, relative[1], _length("value", relative[2]))
    try:
        day = date.fromisoformat(value)
        following = (day + timedelta(days=1)).isoformat()
    except (ValueError, OverflowError):
        raise _Unreadable("value", f"{_shown(value)} is neither “now - 30d” nor a day like 2026-01-31.") from None
    since = {**condition, "op": "on_or_after", "day": following if op == "gt" else day.isoformat()}
    before = {**condition, "op": "before", "day": day.isoformat() if op == "lt" else following}
    if op in ("gt", "gte"):
        return since
    if op in ("lt", "lte"):
        return before
    if op == "is":
        return {"kind": "all", "of": [since, before]}
    raise _Unreadable("operator", "A day is compared by eq, gt, gte, lt or lte.")


def _from_now(condition: _Node, op: str, sign: str, length: str) -> _Node:
    later = op in ("gt", "gte")
    if sign == "-":
        return {**condition, "op": "within_last" if later else "longer_ago", "length": length}
    ahead = {**condition, "op": "further_ahead", "length": length}
    known = {**condition, "op": "set"}
    return ahead if later else {"kind": "all", "of": [known, {"kind": "not", "of": [ahead]}]}


# --------------------------------------------------------------------------------------------------------- cohorts


def _cohort(given: Mapping[str, Any]) -> _Node:
    """A month of signing up, or one of our segments by its id."""
    _only(given, "condition", "cohortId")
    name = _text(given, "cohortId")
    if _MONTH.fullmatch(name):
        return {"kind": "person", "field": "cohort", "op": "is", "values": [name]}
    try:
        return {"kind": "segment", "segment": str(UUID(name))}
    except ValueError:
        raise _Unreadable(
            "cohortId",
            f"{_shown(name)} is no cohort here: give the month of signing up, like 2026-01, or the id of a segment.",
        ) from None


# ---------------------------------------------------------------------------------------------------------- values


def _values(op: str, value: object) -> list[Any]:
    """What is compared with: several for `in`, else one."""
    if op == "in":
        if not isinstance(value, list) or not value:
            raise _Unreadable("value", "With “in” give a list of values.")
        values = value
    else:
        values = [value]
    for one in values:
        if not isinstance(one, str | int | float):
            raise _Unreadable("value", f"A value is a text, a number, or true or false, and this is {_shown(one)}.")
    return values


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Unreadable("value", f"This is compared as a number, and {_shown(value)} is none.")
    return value


def _length(key: str, given: object) -> str:
    try:
        return Window.parse(str(given)).text
    except InvalidInput as error:
        raise _Unreadable(key, str(error)) from None


def _text(given: Mapping[str, Any], key: str) -> str:
    found = given.get(key)
    if not isinstance(found, str) or not found.strip():
        raise _Unreadable(key, f"{key} is missing: name it.")
    return found.strip()


def _only(given: Mapping[str, Any], *known: str) -> None:
    for name in _unknown(given, known):
        raise _Unreadable(name, _not_read(name))


def _unknown(given: Mapping[str, Any], known: Iterable[str]) -> list[str]:
    return [str(name) for name in given if name not in known and given[name] is not None]


def _not_read(name: str) -> str:
    return f"“{name[:60]}” is nothing that can be read here: leave it out, or add it in the builder."


def _shown(given: object) -> str:
    if given is None:
        return "nothing"
    text = str(given)
    return repr(text if len(text) <= 60 else f"{text[:60]}…")


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
