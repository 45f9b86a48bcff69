"""Which column means what: the mapping a person writes as flags, as a form or as YAML, and its binding to a file.

A mapping knows names only; `bind` checks them against the columns of one file and gives the plan by which its rows are
read. Everything a person can get wrong ends here in one InvalidInput sentence, before a row is read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from gdp_core.errors import InvalidInput
from gdp_core.importer import cells, expression
from gdp_core.importer.cells import Cell
from gdp_core.importer.expression import Evaluate, Expression, unknown_column
from gdp_core.importer.times import Times, Unit
from gdp_core.sources import people, web

_LONGEST_YAML = 100_000


class Mapping(BaseModel):
    """How the rows of a file become facts. Names are column names; `traits` and `properties` may rename: `COL:name`.

    A property named like a field of an event (url, referrer, utm_source, session_id, ...) fills that field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    person: str | None = Field(None, description="Column of the person's id.")
    anonymous: str | None = Field(None, description="Column or expression of an anonymous id (visitor, basket).")
    email: str | None = Field(None, description="Column of the e-mail address.")
    phone: str | None = Field(None, description="Column of the phone number.")
    event: str | None = Field(None, description="Column, expression or =name of the event; none for people only.")
    time: str | None = Field(None, description="Column of when it happened.")
    unit: Unit | None = Field(None, description="Of numeric times: s, ms or us. Unset: told from their size.")
    timezone: str = Field("UTC", description="Zone of times that carry none, such as Europe/London.")
    day_first: bool | None = Field(None, description="Whether 3/4/2024 is 3 April. Unset: told from the file.")
    id: str | None = Field(None, description="Column of the row's own id. Unset: the row's hash and occurrence.")
    value: str | None = Field(None, description="Column or expression of an amount of money, in main units.")
    currency: str | None = Field(None, description="Column, or =USD, of the currency of the value.")
    traits: tuple[str, ...] = Field((), description="Columns that say something of the person.")
    properties: tuple[str, ...] = Field((), description="Columns of the event, or * for all not used otherwise.")
    source: str | None = Field(None, description="Which files belong together; unset: by the file's name.")

    @field_validator("*")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        if "\0" in str(value):
            raise ValueError("it contains a NUL character")
        return value

    def to_yaml(self) -> str:
        """The mapping as a file that `from_yaml` reads back; unset fields are left out."""
        fields = self.model_dump(mode="json", exclude_defaults=True)
        readable = self.model_dump_json().isprintable()  # PyYAML folds U+0085 and its like unless they are escaped
        return yaml.safe_dump(fields, sort_keys=False, allow_unicode=readable, width=1_000)


def from_yaml(text: str) -> Mapping:
    """A saved mapping. Raises InvalidInput naming the field that is wrong."""
    if len(text) > _LONGEST_YAML:
        raise InvalidInput("The mapping file is too large; it holds a few lines of YAML.")
    try:
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        raise InvalidInput(
            f"The mapping file is not valid YAML{where}; write lines such as person: customer_id."
        ) from None
    if not isinstance(data, dict):
        raise InvalidInput("The mapping file must hold lines such as person: customer_id.")
    return mapping_of(data)


def mapping_of(fields: dict[str, Any]) -> Mapping:
    """A mapping from loose values (flags, a form, YAML). Raises InvalidInput naming the field that is wrong."""
    try:
        return Mapping.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "mapping"
        if first["type"] == "extra_forbidden":
            raise InvalidInput(f"A mapping has no field “{field}”; it has {', '.join(Mapping.model_fields)}.") from None
        raise InvalidInput(
            f"The mapping's “{field}” cannot be used: {first['msg'].removeprefix('Value error, ')}."
        ) from None


class Part(NamedTuple):
    """A trait or property: its name, the position of its column, and what makes a cell of it a JSON value."""

    name: str
    position: int
    convert: Callable[[Cell], Cell]


@dataclass(frozen=True, slots=True)
class Plan:
    """A mapping bound to the columns of one file: a function of a row for each part, None for parts not mapped."""

    person: Evaluate | None
    anonymous: Evaluate | None
    email: Evaluate | None
    phone: Evaluate | None
    event: Evaluate | None
    time: Evaluate | None
    times: Times
    id: Evaluate | None
    value: Evaluate | None
    currency: Evaluate | None
    traits: tuple[Part, ...]
    properties: tuple[Part, ...]


def bind(mapping: Mapping, columns: Sequence[str], types: dict[str, cells.Type], day_first: bool) -> Plan:
    """The plan for a file with `columns` of `types`, whose ambiguous dates put the day first or not.

    Raises InvalidInput for an unknown column and for a mapping that makes no fact.
    """
    _require(mapping)
    bound = {name: _column(getattr(mapping, name), columns) for name in ("person", "email", "phone", "time", "id")} | {
        name: _expression(getattr(mapping, name), columns) for name in ("anonymous", "event", "value", "currency")
    }
    taken = {column for part in bound.values() if part and part.plain for column in part.columns}
    traits = _named(mapping.traits, columns, types, people.trait_name)
    taken.update(_split(trait, columns)[0] for trait in mapping.traits)
    evaluate = {name: part.evaluate if part else None for name, part in bound.items()}
    return Plan(
        **evaluate,
        times=Times(mapping.unit, mapping.timezone, day_first),
        traits=traits,
        properties=_named(_spread(mapping.properties, columns, taken), columns, types),
    )


def _require(mapping: Mapping) -> None:
    if not (mapping.person or mapping.anonymous or mapping.email or mapping.phone):
        raise InvalidInput("Say which column names the person, with --person, --anonymous or --email.")
    if not mapping.event and not mapping.traits and not (mapping.email or mapping.phone):
        raise InvalidInput(
            "Say what the rows state: an event with --event COL or --event =name, or traits with --trait."
        )
    if mapping.event and not mapping.time:
        raise InvalidInput("Say which column holds the time of the event, with --time.")
    if not mapping.event and (mapping.value or mapping.properties):
        raise InvalidInput("A value and properties belong to an event; name it with --event COL or --event =name.")
    if mapping.value and not mapping.currency:
        raise InvalidInput("Say the currency of the value, with --currency COL or --currency =USD.")
    if mapping.currency and mapping.currency.startswith("=") and not web.currency_code(mapping.currency[1:]):
        raise InvalidInput(f"“{mapping.currency[1:]}” is not a currency code; write one such as =USD.")


def _column(name: str | None, columns: Sequence[str]) -> Expression | None:
    if not name:
        return None
    if name not in columns:
        raise unknown_column(name, columns)
    return expression.bind(name, columns)


def _expression(source: str | None, columns: Sequence[str]) -> Expression | None:
    return expression.bind(source, columns) if source else None


def _split(item: str, columns: Sequence[str]) -> tuple[str, str]:
    """`COL` or `COL:name` as (column, name); a colon that is part of a column's own name splits nothing."""
    column, colon, name = item.rpartition(":")
    if item in columns or not colon or not name.strip():
        return item, item
    return column, name.strip()


def _spread(items: Sequence[str], columns: Sequence[str], taken: set[str]) -> list[str]:
    """`items` with `*` replaced by every column that no other option takes as it is."""
    if "*" not in items:
        return list(items)
    named = [item for item in items if item != "*"]
    gone = taken | {_split(item, columns)[0] for item in named}
    return named + [column for column in columns if column not in gone]


def _named(
    items: Sequence[str],
    columns: Sequence[str],
    types: dict[str, cells.Type],
    spelled: Callable[[str], str] = str.strip,
) -> tuple[Part, ...]:
    named: dict[str, Part] = {}
    for item in items:
        column, given = _split(item, columns)
        name = spelled(given)
        if column not in columns:
            raise unknown_column(column, columns)
        if name in named:
            raise InvalidInput(f"Two columns would be named “{name}”; rename one, for example {column}:other.")
        named[name] = Part(name, columns.index(column), cells.TYPED[types.get(column, "text")])
    return tuple(named.values())
