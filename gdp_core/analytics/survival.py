"""How long people stay, when many have not left yet: the Kaplan-Meier estimate, its interval and its median.

It knows durations and whether they ended, in any unit; what a beginning and an end are is the report's business.
"""

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Z = 1.959963984540054  # 95 % of a normal distribution lie within so many deviations
_EXACTLY = 1e-12  # a product of fractions that should be 0.5 may miss it by a few units in the last place


@dataclass(frozen=True, slots=True)
class Survival:
    """The share still there after each duration of `at`, as steps; before the first it is 1, after the last unknown.

    `at` are the durations after which somebody left, and the longest one seen. `low` and `high` bound the share with 95 %
    confidence (exponential Greenwood). A median is None as long as more than half are still there.
    """

    at: tuple[float, ...]
    share: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    at_risk: tuple[int, ...]  # who had not left, and was seen that long
    people: int
    ended: int
    median: float | None
    median_low: float | None
    median_high: float | None

    def after(self, duration: float) -> float:
        """The share still there after a duration."""
        place = bisect_right(self.at, duration) - 1
        return 1.0 if place < 0 else self.share[place]


def survival(durations: ArrayLike, ended: ArrayLike) -> Survival:
    """The curve of people who were seen for `durations` (not below 0), and of whom those `ended` had left by then."""
    lasted = np.asarray(durations, np.float64)
    left = np.asarray(ended, np.bool_)
    if not len(lasted):
        return Survival((), (), (), (), (), 0, 0, None, None, None)
    from scipy.stats import CensoredData, ecdf  # a second and fifty megabytes, which few reports need

    found = ecdf(CensoredData(uncensored=lasted[left], right=lasted[~left])).sf
    at_risk = len(lasted) - np.searchsorted(np.sort(lasted), found.quantiles)
    leaving = np.diff(np.searchsorted(np.sort(lasted[left]), found.quantiles, side="right"), prepend=0)
    low, high = _bounds(found.probabilities, at_risk, leaving)
    shown = leaving > 0
    shown[-1] = True
    at, share, low, high = (values[shown] for values in (found.quantiles, found.probabilities, low, high))
    return Survival(
        at=tuple(at.tolist()),
        share=tuple(share.tolist()),
        low=tuple(low.tolist()),
        high=tuple(high.tolist()),
        at_risk=tuple(at_risk[shown].tolist()),
        people=len(lasted),
        ended=int(left.sum()),
        median=_half(at, share),
        median_low=_half(at, low),
        median_high=_half(at, high),
    )


def _bounds(
    share: NDArray[np.float64], at_risk: NDArray[np.int64], leaving: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The exponential Greenwood interval (Sawyer). Where nobody has left it is 1; where nobody is left it has no value,
    so that the upper bound stays what it was."""
    inner = (share > 0) & (share < 1)
    variance = np.cumsum(np.where(inner, leaving / np.maximum(at_risk * (at_risk - leaving), 1), 0))
    log = np.log(share, out=np.full_like(share, -1.0), where=inner)
    spread = np.exp(_Z * np.sqrt(variance) / -log)
    low = np.where(inner, np.exp(log * spread), share)
    high = np.where(inner, np.exp(log / spread), 1.0)
    if not inner[-1] and share[-1] == 0:
        high[-1] = high[-2] if len(high) > 1 else 1.0
    return low, high


def _half(at: NDArray[np.float64], share: NDArray[np.float64]) -> float | None:
    """The first duration after which no more than half are there."""
    below = np.flatnonzero(share <= 0.5 + _EXACTLY)
    return float(at[below[0]]) if len(below) else None
