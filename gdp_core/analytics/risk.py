"""How much more often people with a feature leave than people without it: the risk ratio, its interval, its certainty.

It says what goes together, never what causes what. Features that too few have, or lack, are left out before the
correction for looking at many at once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_Z = 1.959963984540054  # 95 % of a normal distribution lie within so many deviations


@dataclass(frozen=True, slots=True)
class Risk:
    """One feature, by its place. `have` people have it, of whom `have_left` left; `others` do not.

    `ratio` of the two shares: None when none of the others left; `low` and `high` a 95 % interval of it. `p`: how often
    chance alone would make so large a difference; `corrected`: the same after Benjamini and Hochberg. `excess`: how many
    fewer would have left at the others' rate.
    """

    place: int
    have: int
    have_left: int
    others: int
    others_left: int
    ratio: float | None
    low: float
    high: float
    p: float
    corrected: float
    excess: float


def risks(features: NDArray[np.bool_], left: NDArray[np.bool_], *, least: int) -> tuple[Risk, ...]:
    """Of F features of N people (F, N) and who of them left (N); what explains most first.

    Compared are those that at least `least` people have and as many do not.
    """
    people, leavers = len(left), int(left.sum())
    have = features.sum(axis=1)
    both = (features & left).sum(axis=1)
    told = np.flatnonzero((have >= least) & (people - have >= least))
    if not len(told) or not 0 < leavers < people:
        return ()
    cells = [
        (int(both[place]), int(have[place]), leavers - int(both[place]), people - int(have[place])) for place in told
    ]
    from scipy.stats import (
        false_discovery_control,
        fisher_exact,
    )  # a second and fifty megabytes, which few reports need

    p = [fisher_exact([[a, m - a], [b, n - b]]).pvalue for a, m, b, n in cells]
    corrected = false_discovery_control(p, method="bh")
    found = [
        _risk(int(place), *cell, float(chance), float(certain))
        for place, cell, chance, certain in zip(told, cells, p, corrected, strict=True)
    ]
    return tuple(sorted(found, key=lambda risk: (-risk.excess, risk.place)))


def _risk(place: int, a: int, m: int, b: int, n: int, p: float, corrected: float) -> Risk:
    """The interval is of the logarithm (Katz); where nobody left on a side, with a half added (Walter)."""
    half = 0.5 if 0 in (a, b) else 0.0
    centre = np.log((a + half) / (m + half)) - np.log((b + half) / (n + half))
    spread = _Z * np.sqrt(1 / (a + half) - 1 / (m + half) + 1 / (b + half) - 1 / (n + half))
    return Risk(
        place=place,
        have=m,
        have_left=a,
        others=n,
        others_left=b,
        ratio=(a / m) / (b / n) if b else None,
        low=float(np.exp(centre - spread)),
        high=float(np.exp(centre + spread)),
        p=p,
        corrected=corrected,
        excess=a - m * b / n,
    )
