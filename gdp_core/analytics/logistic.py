"""Logistic regression that explains itself, and how well its probabilities hold on people it has not seen.

Plain numbers in and out; it knows nothing of people or features. The same numbers give the same result: nothing is
random.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Z = 1.959963984540054  # 95 % of a normal distribution lie within so many deviations
_TURNS, _HALVINGS, _NEAR = 100, 40, 1e-10
_DIGITS = 9  # kept of what is fitted: sums on another processor may differ in the last ones

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Logistic:
    """log odds = intercept + the sum of weight * (value - mean) / scale over the columns."""

    intercept: float
    weights: tuple[float, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]

    def parts(self, values: Floats) -> Floats:
        """What each column of (N, F) values adds to the log odds, against somebody who is average in it."""
        return np.asarray((values - np.array(self.means)) / np.array(self.scales) * np.array(self.weights))

    def odds(self, values: Floats) -> Floats:
        """(N,) log odds."""
        return np.asarray(self.parts(values).sum(axis=1) + self.intercept)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Log odds made probabilities, so that of those with p a share of p holds (Platt): expit(slope * odds + offset)."""

    slope: float
    offset: float

    def probabilities(self, odds: Floats) -> Floats:
        """(N,) from 0 to 1."""
        return _share(self.slope * odds + self.offset)


@dataclass(frozen=True, slots=True)
class Bin:
    """A tenth of the people, by rising probability: what was said of them on average, and what came true."""

    people: int
    said: float
    happened: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good probabilities were. `auc`: how often one of whom it came true was rated above one of whom it did not, with
    a 95 % interval (Hanley and McNeil 1982). `brier`: the mean squared error; `base_brier` that of saying the average of
    everybody. `error`: by how much the bins are off, on average over people.
    """

    people: int
    happened: int
    auc: float
    auc_low: float
    auc_high: float
    brier: float
    base_brier: float
    error: float
    bins: tuple[Bin, ...]


def fit(values: Floats, happened: Flags, *, penalty: float = 1.0) -> Logistic:
    """Fit (N, F) values to what happened (N) by Newton's method, with an L2 penalty on the standardised weights.

    A column that is the same for everybody gets the weight 0.
    """
    means, spread = values.mean(axis=0), values.std(axis=0)
    scales = np.where(spread > _NEAR * np.maximum(1, np.abs(means)), spread, 1.0)
    design = np.column_stack([np.ones(len(values)), np.where(scales == spread, (values - means) / scales, 0.0)])
    found = _newton(design, happened.astype(np.float64), np.array([0.0, *[penalty] * values.shape[1]]))
    return Logistic(_kept(found[0]), *(tuple(map(_kept, part)) for part in (found[1:], means, scales)))


def _newton(design: Floats, target: Floats, penalties: Floats) -> Floats:
    """The minimum of the penalised log loss; steps that lead uphill are halved."""

    def loss(beta: Floats) -> float:
        odds = design @ beta
        return float((np.logaddexp(0, odds) - target * odds).sum() + penalties @ beta**2 / 2)

    beta = np.zeros(design.shape[1])
    now = loss(beta)
    for _ in range(_TURNS):
        chance = _share(design @ beta)
        slope = design.T @ (chance - target) + penalties * beta
        curve = (design * (chance * (1 - chance))[:, None]).T @ design + np.diag(penalties + _NEAR)
        step = np.linalg.solve(curve, slope)
        for halved in range(_HALVINGS):
            after = loss(beta - step / 2**halved)
            if after <= now:
                break
        else:
            break
        beta, gained, now = beta - step / 2**halved, now - after, after
        if gained <= _NEAR * max(1.0, abs(now)) and np.abs(step).max() < _NEAR**0.5:
            break
    return beta


def _kept(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")


def calibrate(odds: Floats, happened: Flags) -> Calibration:
    """Fit probabilities to what happened, of people the odds were not fitted to.

    Odds that say the opposite of what happened say nothing: then everybody gets the same probability.
    """
    offset, slope = _newton(np.column_stack([np.ones(len(odds)), odds]), happened.astype(np.float64), np.full(2, _NEAR))
    if slope <= 0:
        share = happened.mean()
        return Calibration(0.0, _kept(np.log(share / (1 - share))))
    return Calibration(_kept(slope), _kept(offset))


def evaluate(said: Floats, happened: Flags, *, bins: int = 10) -> Evaluation:
    """How good the probabilities `said` are. Both things must have happened to somebody."""
    people, positive = len(said), int(happened.sum())
    auc = _auc(said, happened)
    spread = _Z * _auc_error(auc, positive, people - positive)
    order = np.argsort(said, kind="stable")
    shown = [
        Bin(len(part), float(said[part].mean()), float(happened[part].mean()))
        for part in np.array_split(order, min(bins, people))
    ]
    return Evaluation(
        people=people,
        happened=positive,
        auc=auc,
        auc_low=max(0.0, auc - spread),
        auc_high=min(1.0, auc + spread),
        brier=float(((said - happened) ** 2).mean()),
        base_brier=float(happened.mean() * (1 - happened.mean())),
        error=sum(one.people * abs(one.said - one.happened) for one in shown) / people,
        bins=tuple(shown),
    )


def _share(odds: Floats) -> Floats:
    """Log odds as shares from 0 to 1."""
    from scipy.special import expit  # a second and fifty megabytes, which few reports need

    return np.asarray(expit(odds))


def _auc(said: Floats, happened: Flags) -> float:
    """Ties count half."""
    positive = int(happened.sum())
    from scipy.stats import rankdata  # a second and fifty megabytes, which few reports need

    ranks = rankdata(said)[happened].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * (len(said) - positive)))


def _auc_error(auc: float, positive: int, negative: int) -> float:
    """The standard error of an AUC."""
    twice, same = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (positive - 1) * (twice - auc**2) + (negative - 1) * (same - auc**2)
    return float(np.sqrt(max(0.0, spread) / (positive * negative)))
