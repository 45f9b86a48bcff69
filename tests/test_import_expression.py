"""The mapping's small language: what it means, against Python as an oracle, and that nothing but InvalidInput leaves it."""

from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gdp_core.errors import InvalidInput
from gdp_core.importer.expression import bind
from gdp_core.sources.payload import Unusable

COLUMNS = ["InvoiceNo", "Quantity", "UnitPrice", "CustomerID", "Unit Price", "Größe", "a:b"]
ROW = ["C536379", "-3", "2.55", "", "19.99", "7", "x"]


def value(source: str, row: list[Any] = ROW) -> Any:
    return bind(source, COLUMNS).evaluate(row)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Quantity*UnitPrice", Decimal("-7.65")),
        ("refund if InvoiceNo ^= 'C' else order", "refund"),
        ("refund if InvoiceNo ^= C5363 else order", "refund"),
        ("InvoiceNo if CustomerID = null else null", "C536379"),
        ("null if CustomerID = null else InvoiceNo", None),
        ('"Unit Price" * 2', Decimal("39.98")),
        ("Größe + 1", Decimal(8)),
        ("1 + 2 * 3 - Größe / 2", Decimal("3.5")),
        ("-(Quantity + 1) * 2", Decimal(4)),
        ("a if Quantity > 0 else b if Quantity = -3 else c", "b"),
        ("yes if not Quantity > 0 and UnitPrice >= 2.55 or 0 else no", "yes"),
        ("big if Quantity < -2 and (UnitPrice > 9 or Größe = 7) else small", "big"),
        ("'it''s' if Größe != 8 else null", "it's"),
        ("CustomerID * 2", None),
        ("=  a fixed text", "a fixed text"),
        ("a:b", "x"),
        ("0.1 + 0.2 + Quantity * 0", Decimal("0.3")),
        ("InvoiceNo < 'D' ", True),
    ],
)
def test_means(source: str, expected: Any) -> None:
    assert value(source) == expected


def test_numbers_compare_by_value_and_texts_by_letter() -> None:
    assert value("Quantity < 10 and Quantity > -20") is True  # by letter, "-3" > "-20" is false
    assert value("UnitPrice = 2.550") is True
    assert value("InvoiceNo = 2") is False
    assert value("CustomerID < 1 or CustomerID > 1") is False  # null is in no order


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("Quantity*UnitPrce", "did you mean “UnitPrice”?"),
        ("InvoicNo ^= 'C'", "did you mean “InvoiceNo”?"),
        ("order", "write =order"),
        ("Quantity > UnitPrce", "did you mean “UnitPrice”?"),
        ('"Unit Prise" * 2', "did you mean “Unit Price”?"),
        ("Quantity *", "At position 11 of “Quantity *”: expected a column, a number or a text, found the end."),
        ("(Quantity", "At position 10 of “(Quantity”: expected “)”, found the end."),
        ("Quantity)", "At position 9 of “Quantity)”: expected an operator or the end, found “)”."),
        ("a if Quantity", "expected “else”, found the end"),
        ("Quantity = 1 = 2", "a comparison has two sides"),
        ("1 = 2", "name a column on one side"),
        ("'abc", "the quotation mark ' is never closed"),
        ("Quantity ; 1", "At position 10 of “Quantity ; 1”"),
        ("__import__('os')", "expected an operator or the end, found “(”"),
        ("", "empty"),
        ("=", "Write a text after"),
        ("(" * 100 + "1", "nested more than 40 deep"),
        ("1" + "+1" * 200, "at most 200 words"),
    ],
)
def test_says_what_is_wrong_and_where(source: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        bind(source, COLUMNS)
    assert said in str(caught.value)


@pytest.mark.parametrize("source", ["InvoiceNo * 2", "UnitPrice / 0", "-InvoiceNo", "InvoiceNo > 5"])
def test_what_a_row_cannot_give_is_the_rows_problem(source: str) -> None:
    with pytest.raises(Unusable) as caught:
        value(source)
    assert caught.value.code == "bad_number"


_LEAVES = st.sampled_from(["Quantity", "UnitPrice", "7", "0", "2.5"])


def _joined(inner: st.SearchStrategy[str], signs: list[str]) -> st.SearchStrategy[str]:
    return st.tuples(inner, st.sampled_from(signs), inner).map(" ".join)


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(_joined(inner, ["+", "-", "*"]), inner.map("( {} )".format), inner.map("- {}".format))


_SUMS = st.recursive(_LEAVES, _grown, max_leaves=8)
_COMPARISONS = _SUMS.flatmap(
    lambda left: st.tuples(st.sampled_from(["=", "!=", "<", ">", "<=", ">="]), _SUMS).map(
        lambda rest: f"Quantity * 0 + {left} {rest[0]} {rest[1]}"
    )
)
_CONDITIONS = st.recursive(
    _COMPARISONS,
    lambda inner: st.one_of(_joined(inner, ["and", "or"]), inner.map("not {}".format), inner.map("( {} )".format)),
    max_leaves=5,
)


@given(_SUMS, _CONDITIONS, _SUMS)
def test_precedence_is_pythons(yes: str, condition: str, no: str) -> None:
    source = f"{yes} if {condition} else {no}"
    assume(len(source.split()) < 150)
    words = [
        {"=": "==", "Quantity": "q", "UnitPrice": "p"}.get(word)
        or (f"Decimal('{word}')" if word[0].isdigit() else word)
        for word in source.split()
    ]
    expected = eval(" ".join(words), {"q": Decimal(-3), "p": Decimal("2.55"), "Decimal": Decimal})
    assert value(source, ["", Decimal(-3), Decimal("2.55"), None, None, None, None]) == Decimal(expected)


_ODD = ["9" * 60, '"Unit Price"', "\0", "\udc80", "\n"]
_SIGNS = "if else and or not null order ( ) + - * / = ^= < ' \" 'x' 1 1e99 .5 1_0 é ٣ ² $".split()
_WORDS = st.sampled_from([*COLUMNS, *_SIGNS, *_ODD])
_CELLS = st.one_of(
    st.none(),
    st.text(),
    st.floats(),
    st.integers(),
    st.booleans(),
    st.decimals(),
    st.datetimes(),
    st.sampled_from(["1e999", "£1,200.50", "-5", "007", "NaN", "Infinity", "1_000"]),
    st.lists(st.integers()),
)


@given(
    st.one_of(st.text(), st.lists(_WORDS, max_size=30).map(" ".join)),
    st.lists(_CELLS, min_size=len(COLUMNS), max_size=len(COLUMNS)),
)
def test_nothing_but_invalid_input_leaves_it(source: str, row: list[Any]) -> None:
    with suppress(InvalidInput):
        bind(source, COLUMNS).evaluate(row)
