"""Many values at once: read as they were written, found again, and compared exactly as each of them by itself."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdp_core.analytics.measures import read_numbers
from gdp_core.timeline import matching, values
from gdp_core.timeline.arrays import MISSING, PersonColumn
from gdp_core.timeline.matching import Condition, decided, numbers_of
from gdp_core.timeline.values import Block, Values, types_of

ODD = [
    "",
    "Straße",
    "STRASSE",
    "İ",
    "ı",
    "ﬁ",
    "ς",
    "Σ",
    "a\\b",
    'say "so"',
    "10",
    "10.0",
    " 4 ",
    "١٢",
    "1e3",
    "true",
    "\x1c5",
]
ODD += [10, 10.0, 2.5, -0.0, 0, True, False, 2**53, float(2**60), 2**63 - 1, '["vip", 10]', "[1", "a,b", "null"]
TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from("aßİς1. []"), max_size=6)
ANY = st.sampled_from(ODD) | TEXTS | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
MANY = st.lists(ANY | st.booleans(), unique_by=lambda value: (type(value), value), max_size=40)
ALIKE = ["is", "is_not", "contains", "not_contains", "starts_with", "ends_with", "includes", "not_includes"]
LIMITS = ["gt", "gte", "lt", "lte"]


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done for many is done for few, too."""
    monkeypatch.setattr(values, "_AT_ONCE", 7)
    monkeypatch.setattr(matching, "_FEW", 0)


def same(found: Any, wanted: Any) -> bool:
    return [(type(one), one) for one in found] == [(type(one), one) for one in wanted]


@settings(max_examples=300)
@given(MANY, st.integers(0, 40))
def test_they_are_what_was_written(given: list[Any], cut: int) -> None:
    found = Values(Block.of(given[:cut]), Block.of(given[cut:]))
    assert len(found) == len(given)
    assert same(found, given)
    assert same((found[place] for place in range(len(given))), given)
    assert same(found[1:-1], given[1:-1])
    assert types_of(found) == types_of(given)


@settings(max_examples=300)
@given(MANY, MANY)
def test_those_of_a_layer_have_the_codes_of_the_same_values(before: list[Any], then: list[Any]) -> None:
    merged, codes = Values.of(before).and_those(Block.of(then))
    assert same(merged[: len(before)], before)
    assert same((merged[code] for code in codes.tolist()), then)
    assert len(merged) == len({(type(one), repr(one)) for one in (*before, *then)})


@settings(max_examples=400)
@given(MANY, st.sampled_from(ALIKE), st.lists(ANY | st.sampled_from(["\ud800"]), min_size=1, max_size=5))
def test_all_at_once_are_compared_as_each_alone(given: list[Any], comparison: Any, wanted: list[Any]) -> None:
    condition = Condition("plan", comparison, tuple(wanted))
    expected = [*map(condition.holds, given), condition.holds(None)]
    for column in (Values.of(given), tuple(given)):
        for _ in range(2):  # the second time it is known
            assert decided(PersonColumn(np.empty(0, np.int32), column), condition).tolist() == expected


@settings(max_examples=300)
@given(MANY, st.sampled_from(LIMITS), st.sampled_from([0, 10, "10", 2.5, 2**53, -1.5]))
def test_numbers_are_compared_as_each_alone(given: list[Any], comparison: Any, limit: Any) -> None:
    condition = Condition("amount", comparison, (limit,))
    column = PersonColumn(np.empty(0, np.int32), Values.of(given))
    assert decided(column, condition).tolist() == [*map(condition.holds, given), condition.holds(None)]
    assert numbers_of(Values.of(given)).tolist() == pytest.approx(numbers_of(tuple(given)).tolist(), nan_ok=True)


def test_whole_numbers_stay_exact() -> None:
    exact = [2**62 + 1, -(2**62) - 1, 0]
    assert read_numbers(Values.of(exact))[0].tolist() == exact


def test_a_number_of_very_many_digits_is_read_as_a_float() -> None:
    assert same(Values.of([10**30, 2**64 - 1]), [1e30, 2**64 - 1])


def test_lists_and_objects_are_their_text() -> None:
    texts = pa.chunked_array([['["a", 1]', '{"b": null}', "1.50", '"x"']], pa.large_string()).chunk(0)
    found = Values(Block.read(texts.slice(1)))
    assert same(found, ['{"b": null}', 1.5, "x"])
    assert same(Values(Block.read(texts)), ['["a", 1]', '{"b": null}', 1.5, "x"])


def test_a_column_without_values_holds_nothing() -> None:
    column = PersonColumn(np.array([MISSING], np.int32), Values())
    assert decided(column, Condition("plan", "is_not", ("pro",))).tolist() == [True]
    assert decided(column, Condition("plan", "contains", ("pro",))).tolist() == [False]
    assert not column.values
