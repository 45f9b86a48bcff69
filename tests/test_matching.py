"""Conditions: what they hold for, how they are written, and which rows of a timeline they mark."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdp_core.errors import InvalidInput
from gdp_core.timeline import matching
from gdp_core.timeline.arrays import NOTHING, PersonColumn
from gdp_core.timeline.matching import _SIGNS, Condition, Match, mark, people

from .timelines import Happened, Somebody, timeline_of

ODD = st.sampled_from(r"ab. \|*=!~^$<>?:")


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("plan=pro", "Pro", True),
        ("plan=pro|team", "team", True),
        ("plan=10", 10, True),
        ("plan=10", 10.0, True),
        ("plan=true", True, True),
        ("plan=1", True, False),
        ("plan=pro", None, False),
        ("plan!=pro", "free", True),
        ("plan!=pro", None, True),
        ("plan!=pro|free", "free", False),
        ("amount>=10", "10", True),
        ("amount>=10", 9.99, False),
        ("amount<10", "nine", False),
        ("amount<10", True, False),
        ("amount>0", None, False),
        ("url~PRICING", "/pricing?x=1", True),
        ("url!~pricing", "/blog", True),
        ("url!~pricing", None, True),
        ("url^=https", "https://acme.example", True),
        ("url$=.pdf", "a.pdf", True),
        ("plan?", "x", True),
        ("plan?", None, False),
        ("plan!?", None, True),
        ("a=b=c", "b=c", True),
        ("plan=pro ", "pro", False),
        ("plan=|", "", True),
        ("plan=|", "pro", False),
        (" plan? ", "x", True),
    ],
)
def test_what_holds(text, value, holds):
    assert Condition.parse(text).holds(value) is holds


@given(
    st.text(ODD, min_size=1).filter(lambda text: text == text.strip() and Condition(text, "set").name),
    st.sampled_from(list(_SIGNS)),
    st.lists(st.text(ODD | st.characters(codec="utf-8")), min_size=1, unique=True),
)
def test_what_is_written_is_read_again(field, sign, values):
    comparison = _SIGNS[sign]
    given = () if comparison in ("set", "not_set") else tuple(values)
    if comparison in ("gt", "gte", "lt", "lte"):
        given = ("12.5",)
    if comparison == "matches":
        given = (re.escape(values[0]),)
    condition = Condition(field, comparison, given)
    assert Condition.parse(condition.text) == condition


@given(st.lists(st.text(ODD, min_size=1).filter(lambda text: text == text.strip()), unique=True))
def test_names_that_are_written_are_read_again(names):
    match = Match(tuple(names))
    assert Match.parse(match.text) == match


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        ("*", ()),
        ("a|*", ()),
        (" a | b|", ("a", "b")),
        (r"a\|b", ("a|b",)),
        (r"\*", ("*",)),
        ("a*", ("a*",)),
        (r"C:\temp", (r"C:\temp",)),
        ("a\\", ("a\\",)),
    ],
)
def test_names_as_people_write_them(text, names):
    assert Match.parse(text) == Match(names)


@pytest.mark.parametrize("text", ["", "plan", "=pro", "amount>=ten", "?", "plan="])
def test_what_is_no_condition(text):
    with pytest.raises(InvalidInput):
        Condition.parse(text)


@pytest.mark.parametrize("codes", [1 << 16, 4])
def test_which_rows_are_marked(monkeypatch, codes):
    """Also where names and conditions are more than codes, and rows are told apart by what they meet."""
    monkeypatch.setattr(matching, "_CODES", codes)
    ada = Somebody(
        [Happened(1, "buy", {"plan": "pro"}), Happened(2, "buy", {"plan": 10}), Happened(3, "view")], {"stage": "lead"}
    )
    bob = Somebody([Happened(1, "buy"), Happened(4, "sell", {"plan": "PRO"})], {"stage": "active"})
    matches = [
        Match(("buy",)),
        Match(("buy", "sell"), (Condition("plan", "is", ("pro",)),)),
        Match((), (Condition("person.stage", "is", ("active",)),)),
        Match(("nothing",)),
        Match(("buy",), (Condition("plan", "not_set"), Condition("person.stage", "is", ("active",)))),
    ]
    for shards in (1, 2):
        timeline = timeline_of([ada, bob], shards=shards)
        marks = mark(timeline, matches)
        found = [
            [int(marks.bits[code]) for code in codes[shard.offsets[i] : shard.offsets[i + 1]]]
            for codes, shard in zip(marks.codes, timeline.shards, strict=True)
            for i in range(len(shard.people))
        ]
        assert found == [[0b00011, 0b00001, 0], [0b10101, 0b00110]]
        assert people(timeline, [Condition("person.stage", "is_not", ("lead",))]).tolist() == [False, True]


class _Whole:
    """A field of people that is numbers alone; of anything else it is codes."""

    def __init__(self, held: list[int | None]) -> None:
        self._held = held

    def person(self, _: str) -> PersonColumn:
        codes = [-1 if value is None else place for place, value in enumerate(self._held)]
        return PersonColumn(np.array(codes, np.int32), tuple(value or 0 for value in self._held))

    def whole(self, _: str) -> np.ndarray:
        return np.array([NOTHING if value is None else value for value in self._held])


@pytest.mark.parametrize("comparison", ["set", "not_set", "gt", "gte", "lt", "lte", "is", "is_not"])
@pytest.mark.parametrize("limit", [0, -5, 10, "10", 2**53 + 1])
def test_numbers_of_people_are_compared_as_any_other_field(comparison, limit):
    held = [None, 0, -5, 10, 2**53, 2**53 + 1, 2**62]
    timeline = replace(timeline_of([Somebody([])] * len(held)), columns=_Whole(held))
    condition = Condition("person.mrr_micros", comparison, (limit,))
    assert people(timeline, (condition,)).tolist() == [condition.holds(value) for value in held]


def test_too_much_at_once():
    with pytest.raises(InvalidInput, match="24"):
        mark(timeline_of([Somebody([Happened(1, "a")])]), [Match(("a",))] * 25)
    with pytest.raises(InvalidInput, match="person"):
        people(timeline_of([Somebody([])]), [Condition("plan", "is", ("x",))])


@pytest.mark.parametrize("field", ["", "person.", "properties.", "person.properties."])
def test_a_condition_names_a_field(field):
    with pytest.raises(InvalidInput, match="name of a field"):
        Condition(field, "set")
