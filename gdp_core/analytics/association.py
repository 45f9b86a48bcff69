"""Which characteristics one group of people has more often than another: shares, their ratio, and how sure it is.

It says what goes together, never what causes what. Shares that are too few to tell are left out before, not after, the
correction for looking at many at once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Z = 1.959963984540054  # of a 95 % interval
_FEWEST_EXPECTED = 5  # in each of the four cells: fewer, and the test's distribution is not the true one


@dataclass(frozen=True, slots=True)
class Association:
    """One characteristic, by its place in what was compared.

    `ratio`: its share in the first group / in the second, None when that is 0; `low` and `high` a 95 % interval of it.
    `p`: how often chance alone would make so large a difference; `corrected`: the same after Benjamini and Hochberg.
    """

    place: int
    first: int
    second: int
    ratio: float | None
    low: float
    high: float
    p: float
    corrected: float


def associations(
    first: NDArray[np.int64], of_first: int, second: NDArray[np.int64], of_second: int, *, least: int = 30
) -> tuple[Association, ...]:
    """Of characteristics that first[i] of `of_first` and second[i] of `of_second` people have; surest first.

    Compared are those that at least `least` people have, and of which enough were to be expected in either group.
    """
    have, everybody = first + second, of_first + of_second
    if not of_first or not of_second:
        return ()
    smaller = min(of_first, of_second)
    expected = np.minimum(have, everybody - have) * (smaller / everybody)
    told = np.flatnonzero((have >= least) & (expected >= _FEWEST_EXPECTED))
    a, b = first[told].astype(np.float64), second[told].astype(np.float64)
    p = _by_chance(a, of_first, b, of_second)
    corrected = _corrected(p)
    low, high = _interval(a, of_first, b, of_second)
    found = [
        Association(
            int(place),
            int(first[place]),
            int(second[place]),
            float(first[place] / of_first / (second[place] / of_second)) if second[place] else None,
            float(low[index]),
            float(high[index]),
            float(p[index]),
            float(corrected[index]),
        )
        for index, place in enumerate(told)
    ]
    return tuple(sorted(found, key=lambda one: (one.corrected, one.p, one.place)))


def _by_chance(a: NDArray[np.float64], m: int, b: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Pearson's chi-squared test of a in m against b in n, two-sided, one degree of freedom."""
    from scipy.special import erfc  # a second and fifty megabytes, which few reports need

    share = (a + b) / (m + n)
    z = (a / m - b / n) / np.sqrt(share * (1 - share) * (1 / m + 1 / n))
    return np.asarray(erfc(np.abs(z) / np.sqrt(2)))


def _interval(
    a: NDArray[np.float64], m: int, b: NDArray[np.float64], n: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of the ratio of shares, by its logarithm (Katz); where nobody has it in a group, with a half added (Walter)."""
    half = np.where((a == 0) | (b == 0), 0.5, 0.0)
    a, b, m_, n_ = a + half, b + half, m + half, n + half
    centre = np.log(a / m_) - np.log(b / n_)
    spread = _Z * np.sqrt(1 / a - 1 / m_ + 1 / b - 1 / n_)
    return np.exp(centre - spread), np.exp(centre + spread)


def _corrected(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smallest rate of false discoveries at which each one counts (Benjamini and Hochberg 1995)."""
    order = np.argsort(p)[::-1]
    ranks = np.arange(len(p), 0, -1)
    corrected = np.empty_like(p)
    corrected[order] = np.minimum.accumulate(np.minimum(p[order] * len(p) / ranks, 1.0))
    return corrected
