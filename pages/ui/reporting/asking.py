"""A question as the text of an address, and read from it again: compact JSON with the number of its form.

What is saved under a name is the same content. Any question of core is written by its fields, the usual ones left out,
so that a link stays short and a field that is added later does not break it. A text that is no question raises
InvalidInput; what is read has been checked by the question itself.
"""

import types
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import orjson

from gdp_core.analytics.breakdown import Breakdown
from gdp_core.analytics.window import Window
from gdp_core.errors import InvalidInput
from gdp_core.timeline.matching import Comparison, Condition, Match

VERSION = 1
LONGEST = 8_000  # characters of an address
_MOST_ITEMS = 400
_LONGEST_TEXT = 500
Q = TypeVar("Q")
_REFUSED = "This link asks for something this page does not know, so it shows its usual question."


@dataclass(frozen=True, slots=True)
class Who:
    """Of whom a report counts: people for whom all conditions hold, and who are in a saved list. Neither: everybody."""

    conditions: tuple[Condition, ...] = ()
    list_id: UUID | None = None

    @property
    def is_everybody(self) -> bool:
        """Whether nobody is left out."""
        return not self.conditions and self.list_id is None


EVERYBODY = Who()


@dataclass(frozen=True, slots=True)
class Asked:
    """A whole question of a page: what is asked, and of whom. The period is in the address by itself."""

    question: Any
    who: Who = EVERYBODY


def content(asked: Asked) -> dict[str, Any]:
    """As JSON, to be saved."""
    found: dict[str, Any] = {"ask": _written(asked.question)}
    return found if asked.who.is_everybody else found | {"who": _written(asked.who)}


def asked_of(kind: type[Any], version: int, found: Mapping[str, Any]) -> Asked:
    """What `content` wrote, as a question of this kind. Raises InvalidInput."""
    try:
        if version != VERSION:
            raise ValueError(version)
        return Asked(_read(kind, found["ask"]), _read(Who, found.get("who", {})))
    except (KeyError, ValueError, TypeError):
        raise InvalidInput(_REFUSED) from None


def text_of(asked: Asked) -> str:
    """As an address says it."""
    return text_of_content(VERSION, content(asked))


def text_of_content(version: int, found: Mapping[str, Any]) -> str:
    """What was saved, as an address says it."""
    return orjson.dumps({"v": version, **found}).decode()


def asked_in(kind: type[Any], text: str) -> Asked:
    """What `text_of` wrote. Raises InvalidInput."""
    try:
        found = orjson.loads(text)
        return asked_of(kind, found["v"], found)
    except (ValueError, TypeError, KeyError):
        raise InvalidInput(_REFUSED) from None


# ------------------------------------------------------------------------------------------------------- writing


def _written(value: Any) -> Any:
    match value:
        case Window():
            return value.text
        case Condition():
            return [value.field, value.comparison, *value.values]
        case Match():
            return [*value.names, *map(_written, value.conditions)]
        case Breakdown():
            return value.field if value.most == Breakdown(value.field).most else [value.field, value.most]
        case tuple():
            return [_written(item) for item in value]
        case UUID() | date():
            return str(value)
    if is_dataclass(value):
        return {
            name: _written(getattr(value, name))
            for name, (_, usual) in _parts(_kind_of(value)).items()
            if getattr(value, name) != usual
        }
    return value


# ------------------------------------------------------------------------------------------------------- reading


def _read(kind: Any, found: Any) -> Any:
    """A value of a type. Raises ValueError, TypeError, KeyError, or the question's own InvalidInput."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _one_of(get_args(kind), found)
    if origin is Literal:
        return _checked(
            found, any(found is item or (found == item and type(found) is type(item)) for item in get_args(kind))
        )
    if origin is tuple:
        return _tuple(get_args(kind), _listed(found))
    if kind in _FORMS:
        return _FORMS[kind](found)
    if isinstance(kind, type) and is_dataclass(kind):
        parts = _parts(kind)
        unknown = set(_checked(found, isinstance(found, dict))) - set(parts)
        return kind(**{name: _read(parts[name][0], item) for name, item in _checked(found, not unknown).items()})
    if kind is float:
        return float(_checked(found, type(found) in (int, float)))
    return _checked(found, type(found) is kind and (kind is not str or len(found) <= _LONGEST_TEXT))


def _one_of(kinds: tuple[Any, ...], found: Any) -> Any:
    if found is None:
        return _checked(found, type(None) in kinds)
    for kind in kinds:
        try:
            return _read(kind, found)
        except (ValueError, TypeError, KeyError):
            continue
    raise ValueError(found)


def _tuple(kinds: tuple[Any, ...], found: list[Any]) -> tuple[Any, ...]:
    if kinds[-1] is Ellipsis:
        return tuple(_read(kinds[0], item) for item in found)
    return tuple(_read(kind, item) for kind, item in zip(kinds, found, strict=True))


def _match(found: Any) -> Match:
    items = _listed(found)
    names = tuple(_read(str, item) for item in items if not isinstance(item, list))
    return Match(names, tuple(_condition(item) for item in items if isinstance(item, list)))


def _condition(found: Any) -> Condition:
    field, comparison, *values = _listed(found)
    for value in values:
        _checked(value, isinstance(value, str | int | float | bool))
    return Condition(_read(str, field), _read(Comparison, comparison), tuple(values))


def _breakdown(found: Any) -> Breakdown:
    field, *most = found if isinstance(found, list) else (found,)
    return Breakdown(_read(str, field), *(_read(int, item) for item in most))


def _listed(found: Any) -> list[Any]:
    listed: list[Any] = _checked(found, isinstance(found, list) and len(found) <= _MOST_ITEMS)
    return listed


def _checked(found: Any, holds: bool) -> Any:
    if not holds:
        raise ValueError(found)
    return found


_FORMS: Mapping[Any, Any] = {
    Window: lambda found: Window.parse(_read(str, found)),
    Condition: _condition,
    Match: _match,
    Breakdown: _breakdown,
    UUID: lambda found: UUID(_read(str, found)),
    date: lambda found: date.fromisoformat(_read(str, found)),
}


def _kind_of(value: Any) -> Any:
    return type(value)


@cache
def _parts(kind: Any) -> dict[str, tuple[Any, Any]]:
    """Each field's type and usual value; dataclasses.MISSING where there is none."""
    hints = get_type_hints(kind)
    return {part.name: (hints[part.name], part.default) for part in fields(kind)}
