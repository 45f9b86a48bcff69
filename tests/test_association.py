"""Shares compared: against scipy's own tests, intervals and correction."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, false_discovery_control
from scipy.stats.contingency import relative_risk

from gdp_core.analytics.association import associations


@settings(max_examples=200, deadline=None)
@given(
    st.integers(40, 2000),
    st.integers(40, 2000),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=12),
)
def test_every_number_is_that_of_scipy(of_first, of_second, shares):
    first = np.array([round(of_first * one) for one, _ in shares])
    second = np.array([round(of_second * other) for _, other in shares])
    found = associations(first, of_first, second, of_second)
    tables = [np.array([[a, of_first - a], [b, of_second - b]]) for a, b in zip(first, second, strict=True)]

    def is_told(place: int) -> bool:
        have = first[place] + second[place]
        if have < 30 or have == of_first + of_second:
            return False
        return bool((chi2_contingency(tables[place], correction=False).expected_freq >= 5 - 1e-9).all())

    told = [place for place in range(len(shares)) if is_told(place)]
    assert sorted(one.place for one in found) == told
    assume(told)
    chance = [chi2_contingency(tables[place], correction=False).pvalue for place in told]
    corrected = dict(zip(told, false_discovery_control(chance), strict=True))
    for one in found:
        assert (one.first, one.second) == (first[one.place], second[one.place])
        assert one.p == pytest.approx(chance[told.index(one.place)], abs=1e-12)
        assert one.corrected == pytest.approx(corrected[one.place], abs=1e-12)
        if one.first and one.second:
            theirs = relative_risk(one.first, of_first, one.second, of_second)
            assert one.ratio == pytest.approx(theirs.relative_risk)
            assert (one.low, one.high) == pytest.approx(tuple(theirs.confidence_interval()))
        else:
            assert one.ratio == (None if one.first else 0.0)
            assert 0 < one.low < one.high
    assert [one.corrected for one in found] == sorted(one.corrected for one in found)


def test_what_is_too_rare_or_has_nobody_to_compare_with_is_left_out():
    assert associations(np.array([29, 30]), 100, np.array([0, 0]), 100)[0].place == 1
    assert associations(np.array([40]), 100, np.array([3]), 5) == ()
    assert associations(np.array([40]), 100, np.array([0]), 0) == ()
    assert associations(np.array([100]), 100, np.array([100]), 100) == ()
    assert associations(np.array([], np.int64), 100, np.array([], np.int64), 100) == ()
