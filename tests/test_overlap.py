"""Overlaps against Python's own sets."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdp_core.analytics.overlap import overlap, people_in
from gdp_core.errors import InvalidInput

NAMES = ("power users", "paying", "trial", "churned", "newsletter")


def arrays(sets):
    return {name: np.array(ids, np.int64) for name, ids in zip(NAMES, sets, strict=False)}


def share(part, whole):
    return part / whole if whole else None


@given(st.lists(st.lists(st.integers(0, 30)), min_size=2, max_size=5))
@settings(max_examples=200, deadline=None)
def test_every_number_is_that_of_sets(given_ids):
    named = arrays(given_ids)
    sets = {name: set(ids.tolist()) for name, ids in named.items()}
    found = overlap(named)
    everybody = set().union(*sets.values())
    common = set.intersection(*sets.values())
    assert found.sizes == {name: len(ids) for name, ids in sets.items()}
    assert (found.union, found.people, found.of_union) == (
        len(everybody),
        len(common),
        share(len(common), len(everybody)),
    )
    assert found.of_each == {name: share(len(common), len(ids)) for name, ids in sets.items()}
    regions = {}
    for person in everybody:
        key = tuple(name for name in sets if person in sets[name])
        regions.setdefault(key, set()).add(person)
    assert {region.sets: region.people for region in found.regions} == {key: len(who) for key, who in regions.items()}
    assert sum(region.people for region in found.regions) == found.union
    assert [region.people for region in found.regions] == sorted((len(who) for who in regions.values()), reverse=True)
    for key, who in regions.items():
        assert people_in(named, key).tolist() == sorted(who)
    assert [(pair.a, pair.b) for pair in found.pairs] == list(itertools.combinations(sets, 2))
    for pair in found.pairs:
        a, b = sets[pair.a], sets[pair.b]
        assert (pair.people, pair.of_a, pair.of_b, pair.of_union) == (
            len(a & b),
            share(len(a & b), len(a)),
            share(len(a & b), len(b)),
            share(len(a & b), len(a | b)),
        )
        assert people_in(named, (pair.a, pair.b), only=False).tolist() == sorted(a & b)


def test_lists_of_person_ids_overlap_too():
    ids = np.array(["b", "a", "c"], object)
    assert people_in({"x": ids, "y": ids[:1]}, ("x", "y")).tolist() == ["b"]


@pytest.mark.parametrize("count", [0, 1, 6])
def test_two_to_five_sets(count):
    with pytest.raises(InvalidInput, match="2 to 5"):
        overlap({str(n): np.array([n]) for n in range(count)})


@pytest.mark.parametrize("within", [(), ("nobody",), ("paying", "nobody")])
def test_a_region_is_of_sets_that_are_compared(within):
    with pytest.raises(InvalidInput, match="Choose"):
        people_in(arrays([[1], [2]]), within)


def test_a_million_people_in_each_of_five_sets():
    random = np.random.default_rng(7)
    named = {name: random.integers(0, 3_000_000, 1_000_000) for name in NAMES}
    found = overlap(named)
    assert len(found.regions) == 31
    assert found.sizes["paying"] == len(np.unique(named["paying"]))
