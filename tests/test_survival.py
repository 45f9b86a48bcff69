"""Survival curves: published figures of a real data set, and the estimate written out by hand."""

import csv
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import CensoredData, ecdf

from gdp_core.analytics.survival import survival

from .conftest import ROOT

TELCO = ROOT.parent / "shared/datasets/Telco-Customer-Churn.csv"


@pytest.fixture(scope="module")
def telco():
    if not TELCO.exists():
        pytest.skip("the Telco data set is not beside the repository")
    with TELCO.open() as file:
        return list(csv.DictReader(file))


def curve_of(customers):
    return survival([int(row["tenure"]) for row in customers], [row["Churn"] == "Yes" for row in customers])


def test_the_published_figures_of_a_telephone_company(telco):
    curve = curve_of(telco)
    assert (curve.people, curve.ended) == (7043, 1869)
    assert round(curve.after(12), 4) == 0.8432
    assert round(curve.after(72), 4) == 0.5928
    assert (curve.median, curve.median_low, curve.median_high) == (None, None, None)
    monthly = curve_of([row for row in telco if row["Contract"] == "Month-to-month"])
    assert monthly.median == 35
    assert monthly.median_low <= 35 <= monthly.median_high


def test_five_belts_that_broke_and_five_that_did_not():
    """The example of a textbook: W. J. Conover, Practical Nonparametric Statistics, page 91."""
    curve = survival([77, 47, 81, 56, 80, 62, 60, 43, 71, 37], [True] * 5 + [False] * 5)
    assert curve.at == (47, 56, 77, 80, 81)
    assert curve.share == pytest.approx((0.875, 0.75, 0.5, 0.25, 0))
    assert curve.at_risk == (8, 7, 3, 2, 1)
    assert curve.median == 77
    assert (curve.after(46.9), curve.after(47), curve.after(200)) == (1, 0.875, 0)


def test_the_interval_is_scipys_wherever_that_has_one():
    lasted, ended = [1, 2, 3, 4, 4, 6, 7], [True, False, True, True, False, True, False]
    curve = survival(lasted, ended)
    sample = CensoredData(
        uncensored=[t for t, e in zip(lasted, ended, strict=True) if e],
        right=[t for t, e in zip(lasted, ended, strict=True) if not e],
    )
    expected = ecdf(sample).sf.confidence_interval(0.95, method="log-log")
    assert curve.low == pytest.approx(expected.low.evaluate(curve.at))
    assert curve.high == pytest.approx(expected.high.evaluate(curve.at))


def test_nobody_anybody_and_everybody():
    assert survival([], []).people == 0
    nobody_left = survival([5, 9], [False, False])
    assert (nobody_left.at, nobody_left.share, nobody_left.low, nobody_left.high) == ((9,), (1,), (1,), (1,))
    assert nobody_left.median is None
    gone = survival([3, 3], [True, True])
    assert (gone.at, gone.share, gone.low, gone.high, gone.median) == ((3,), (0,), (0,), (1,), 3)


lives = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=40)


@given(lives)
@settings(max_examples=200, deadline=None)
def test_the_curve_is_the_product_of_who_stayed(told):
    curve = survival([days for days, _ in told], [left for _, left in told])
    share = Fraction(1)
    for day in range(13):
        at_risk = sum(days >= day for days, _ in told)
        leaving = sum(days == day and left for days, left in told)
        if leaving:
            share *= 1 - Fraction(leaving, at_risk)
        if day < max(days for days, _ in told) or leaving:
            assert curve.after(day) == pytest.approx(float(share), abs=1e-12)
        if leaving:
            assert curve.at_risk[curve.at.index(day)] == at_risk
    reached = [day for day in curve.at if curve.after(day) <= 0.5 + 1e-9]
    assert curve.median == (min(reached) if reached else None)
    assert all(low <= at <= high for low, at, high in zip(curve.low, curve.share, curve.high, strict=True))
