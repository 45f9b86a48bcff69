"""The regression behind the early warning: against scipy's own minimum, on real customers, and on nothing to learn."""

import csv

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from gdp_core.analytics.logistic import Calibration, calibrate, evaluate, fit

from .conftest import ROOT

TELCO = ROOT.parent / "shared" / "datasets" / "Telco-Customer-Churn.csv"
_NUMBERS = ("tenure", "MonthlyCharges", "SeniorCitizen")
_WORDS = (
    "Contract",
    "InternetService",
    "PaymentMethod",
    "OnlineSecurity",
    "TechSupport",
    "PaperlessBilling",
    "Partner",
)


def made(people: int, weights: tuple[float, ...], seed: int):
    rng = np.random.default_rng(seed)
    values = rng.normal(3, 2, (people, len(weights)))
    return values, rng.random(people) < expit((values - 3) @ np.array(weights) - 0.5)


def test_it_is_the_minimum_of_the_penalised_loss():
    values, happened = made(400, (0.8, -0.3, 0.0), 1)
    found = fit(values, happened, penalty=2.0)
    standard = (values - values.mean(axis=0)) / values.std(axis=0)

    def loss(beta):
        odds = standard @ beta[1:] + beta[0]
        return (np.logaddexp(0, odds) - happened * odds).sum() + 2.0 * (beta[1:] ** 2).sum() / 2

    best = minimize(loss, np.zeros(4), tol=1e-12)
    assert np.allclose([found.intercept, *found.weights], best.x, atol=1e-4)
    assert loss(np.array([found.intercept, *found.weights])) <= best.fun + 1e-9
    assert np.allclose(found.odds(values), standard @ best.x[1:] + best.x[0], atol=1e-3)
    assert np.allclose(found.parts(values).sum(axis=1) + found.intercept, found.odds(values))


def test_what_separates_perfectly_and_what_is_the_same_for_all_break_nothing():
    values = np.column_stack([np.arange(100.0), np.full(100, 7.0)])
    found = fit(values, np.arange(100) >= 50)
    assert found.weights[1] == 0
    assert 0 < found.weights[0] < 20
    assert np.isfinite(found.odds(values)).all()
    assert evaluate(expit(found.odds(values)), np.arange(100) >= 50).auc == 1


def test_the_same_people_give_the_same_model():
    values, happened = made(5000, (0.5, 0.1), 2)
    assert fit(values, happened) == fit(values.copy(), happened.copy())


def test_probabilities_come_true_after_calibration():
    values, happened = made(20_000, (1.0, -0.5), 3)
    overconfident = 3 * fit(values[:5000], happened[:5000]).odds(values) + 1
    found = calibrate(overconfident[5000:12_000], happened[5000:12_000])
    assert found.slope == pytest.approx(1 / 3, rel=0.1)
    judged = evaluate(found.probabilities(overconfident[12_000:]), happened[12_000:])
    raw = evaluate(expit(overconfident[12_000:]), happened[12_000:])
    assert judged.error < 0.02 < raw.error
    assert judged.brier < min(raw.brier, judged.base_brier)
    assert judged.auc == pytest.approx(raw.auc)


def test_odds_that_say_the_opposite_say_nothing():
    values, happened = made(1000, (1.0,), 4)
    found = calibrate(-values[:, 0], happened)
    assert found.slope == 0
    assert found.probabilities(values[:, 0]) == pytest.approx(happened.mean())


def test_an_auc_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(5)
    said, happened = rng.integers(0, 6, 60) / 6, rng.random(60) < 0.4
    pairs = [
        1.0 if a > b else 0.5 if a == b else 0.0 for a in said[happened].tolist() for b in said[~happened].tolist()
    ]
    found = evaluate(said, happened)
    assert found.auc == pytest.approx(np.mean(pairs))
    assert found.auc_low < found.auc < found.auc_high
    assert sum(one.people for one in found.bins) == found.people == 60
    assert found.brier == pytest.approx(np.mean((said - happened) ** 2))


def test_nothing_to_learn_is_worth_nothing():
    rng = np.random.default_rng(6)
    values, happened = rng.normal(size=(6000, 5)), rng.random(6000) < 0.3
    found = fit(values[:2000], happened[:2000])
    said = calibrate(found.odds(values[2000:4000]), happened[2000:4000])
    judged = evaluate(said.probabilities(found.odds(values[4000:])), happened[4000:])
    assert judged.auc_low < 0.5 < judged.auc_high
    assert abs(judged.auc - 0.5) < 0.05
    assert judged.brier == pytest.approx(judged.base_brier, abs=0.005)


@pytest.mark.skipif(not TELCO.exists(), reason="the shared data sets are not here")
def test_customers_of_a_telephone_company():
    with TELCO.open() as file:
        told = list(csv.DictReader(file))
    happened = np.array([row["Churn"] == "Yes" for row in told])
    assert (len(told), happened.sum()) == (7043, 1869)
    columns = [np.log1p([float(row[name]) for row in told]) for name in _NUMBERS]
    for name in _WORDS:
        columns += [
            np.array([row[name] == word for row in told], float) for word in sorted({row[name] for row in told})[1:]
        ]
    values = np.column_stack(columns)
    part = np.arange(len(told)) % 3  # the file is in no order
    found = fit(values[part == 0], happened[part == 0])
    said = calibrate(found.odds(values[part == 1]), happened[part == 1])
    judged = evaluate(said.probabilities(found.odds(values[part == 2])), happened[part == 2])
    assert judged.auc > 0.80
    assert judged.auc_low > 0.80
    assert judged.error < 0.03
    assert judged.brier < 0.75 * judged.base_brier
    tenure = found.parts(values)[:, 0]
    assert np.corrcoef(tenure, values[:, 0])[0, 1] < -0.99  # who has been there for long stays
    assert said == calibrate(found.odds(values[part == 1]), happened[part == 1])
    assert isinstance(said, Calibration)
