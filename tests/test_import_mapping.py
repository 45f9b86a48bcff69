"""Mappings: what a person may write, that it survives YAML, and what a wrong one says."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gdp_core.errors import InvalidInput
from gdp_core.importer.mapping import Mapping, bind, from_yaml, mapping_of

COLUMNS = ["user", "mail", "name", "when", "plan", "amount", "a:b"]
EVENT = {"person": "user", "event": "=seen", "time": "when"}


def parts(mapping: Mapping) -> tuple[list[str], list[str]]:
    plan = bind(mapping, COLUMNS, {}, day_first=True)
    return [trait.name for trait in plan.traits], [item.name for item in plan.properties]


_TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1).map(str.strip)


@example({"source": "a\x85b\u2028c  d\ne"})
@given(
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(["person", "anonymous", "event", "time", "id", "value", "currency", "source"], _TEXTS),
            "unit": st.sampled_from(["s", "ms", "us"]),
            "timezone": st.sampled_from(["Europe/London", "UTC"]),
            "day_first": st.booleans(),
            "traits": st.lists(_TEXTS).map(tuple),
            "properties": st.lists(_TEXTS).map(tuple),
        },
    )
)
def test_a_saved_mapping_round_trips(fields: dict[str, Any]) -> None:
    mapping = mapping_of(fields)
    assert from_yaml(mapping.to_yaml()) == mapping


def test_a_saved_mapping_is_what_a_person_would_write() -> None:
    mapping = Mapping(person="CustomerID", event="refund if InvoiceNo ^= 'C' else order", time="t", properties=("*",))
    assert mapping.to_yaml() == (
        "person: CustomerID\nevent: refund if InvoiceNo ^= 'C' else order\ntime: t\nproperties:\n- '*'\n"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("persn: user", "A mapping has no field “persn”; it has person, anonymous,"),
        ("unit: h", "“unit” cannot be used"),
        ("person: [1", "not valid YAML (line 1)"),
        ("- person", "must hold lines such as person: customer_id"),
        ("", "must hold lines"),
        ("person: !!python/object/apply:os.system ['true']", "not valid YAML"),
        ('person: "a\\0b"', "NUL"),
        ("x" * 200_000, "too large"),
    ],
)
def test_a_wrong_mapping_file_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        from_yaml(text)
    assert said in str(caught.value)


@given(st.text())
def test_any_text_is_a_mapping_or_one_sentence(text: str) -> None:
    try:
        found = from_yaml(text)
    except InvalidInput:
        return
    assert isinstance(found, Mapping)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"event": "=seen", "time": "when"}, "which column names the person"),
        ({"person": "user"}, "what the rows state"),
        ({"person": "user", "event": "=seen"}, "which column holds the time"),
        ({"person": "user", "traits": ["name"], "value": "amount"}, "belong to an event"),
        (EVENT | {"value": "amount"}, "Say the currency"),
        (EVENT | {"value": "amount", "currency": "=dollars"}, "is not a currency code"),
        (EVENT | {"person": "usr"}, "There is no column “usr”; did you mean “user”?"),
        (EVENT | {"traits": ["zzz"]}, "There is no column “zzz”; there are: user, mail,"),
        (EVENT | {"event": "amount * prize"}, "There is no column “prize”"),
        (EVENT | {"timezone": "London"}, "is not a time zone"),
        (EVENT | {"properties": ["plan", "name:plan"]}, "Two columns would be named “plan”"),
    ],
)
def test_a_mapping_that_does_not_fit_says_what_to_do(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        bind(mapping_of(fields), COLUMNS, {}, day_first=True)
    assert said in str(caught.value)


def test_names_columns_and_renames() -> None:
    mapping = mapping_of(EVENT | {"traits": ["name:First Name", "plan"], "properties": ["a:b", "amount:total"]})
    assert parts(mapping) == (["first_name", "plan"], ["a:b", "total"])


def test_a_star_is_every_column_that_nothing_else_takes_as_it_is() -> None:
    assert parts(mapping_of(EVENT | {"email": "mail", "traits": ["name"], "properties": ["*"]})) == (
        ["name"],
        ["plan", "amount", "a:b"],
    )
    priced = EVENT | {"value": "amount * 2", "currency": "=EUR", "properties": ["*", "plan:tier"]}
    assert parts(mapping_of(priced))[1] == ["tier", "mail", "name", "amount", "a:b"]
