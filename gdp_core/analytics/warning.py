"""The early warning: who of the people who use the product will fall silent, learned from those who did and did not.

At a date A somebody is looked at who had a core event in the baseline before it, [A - b, A); fallen silent is who then has
none in [A, A + w). So it is engagement churn at T = A + w, and every feature is measured just before A. Dates lie w apart,
back from the last one that is mature, so no outcome overlaps the next one's features. The newest date is held out: a
model is judged there, on a time it has not seen; the one before calibrates it; the older ones teach it.

A model says what each feature adds to somebody's odds. Where there is too little history, or where it is no better than
chance on the held-out date, it says so and gives nobody a score. The same history makes the same model.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter
from sqlmodel import Session

from gdp_core.analytics.calendar import instant, micros
from gdp_core.analytics.engagement_churn import BASELINE, QUIET, EngagementChurn, people_at, told_apart
from gdp_core.analytics.logistic import Calibration, Evaluation, Logistic, calibrate, evaluate, fit
from gdp_core.analytics.window import Window
from gdp_core.db import one, rows
from gdp_core.features.base import Feature
from gdp_core.features.keeping import Scores
from gdp_core.features.measuring import DAY, Measured, measure
from gdp_core.money import MICROS
from gdp_core.timeline.arrays import Timeline
from gdp_core.timeline.matching import Match

SLUG = "churn_risk"
LEAST_PEOPLE, LEAST_OF_EACH = 200, 30
_FEWEST_DATES, _MOST_DATES = 3, 13
_LONG_AGO = 730.0  # days: who never did something is like who did it so long ago


@dataclass(frozen=True, slots=True)
class Model:
    """A trained model: what it looks at, and how good it was on people and a time it had not seen.

    `features` are the model's own: with the events that a role meant when it was trained. `dates` are those it learned
    from, then the one it was calibrated on and the one it was judged on, `at` that.
    """

    core: Match
    quiet: Window
    baseline: Window
    features: tuple[Feature, ...]
    logistic: Logistic
    calibration: Calibration
    dates: tuple[datetime, ...]
    learned_from: int  # people at dates
    fell_silent: int  # of them
    judged: Evaluation

    @property
    def at(self) -> datetime:
        """The held-out date."""
        return self.dates[-1]

    @property
    def is_useful(self) -> bool:
        """Whether it is surely better than chance; else nobody gets a score."""
        return self.judged.auc_low > 0.5 and self.calibration.slope > 0

    @property
    def sentence(self) -> str:
        """What it is worth, for people."""
        judged = self.judged
        told = f"AUC {judged.auc:.2f}, 95 % between {judged.auc_low:.2f} and {judged.auc_high:.2f}"
        if not self.is_useful:
            return f"On people it had not seen it is no better than chance ({told}), so nobody is given a score."
        return (
            f"Of somebody who fell silent and somebody who stayed, both unknown to it, it rated the first higher in"
            f" {judged.auc:.0%} of all cases ({told}). What it says is off by {100 * judged.error:.1f} percentage points"
            " on average."
        )


@dataclass(frozen=True, slots=True)
class TooLittle:
    """Why there is no model."""

    reason: str

    @property
    def sentence(self) -> str:
        """For people."""
        return f"Not enough data: {self.reason}"


@dataclass(frozen=True, slots=True)
class Warned:
    """The newest model of a workspace, or why it has none; `checked_at`: when that was last found to hold."""

    version: int
    trained_at: datetime
    checked_at: datetime
    outcome: Model | TooLittle


def read_warned(session: Session) -> Warned | None:
    """What was trained last; None before anything was."""
    row = one(session, "SELECT version, trained_at, checked_at, model FROM churn_model ORDER BY version DESC LIMIT 1")
    return Warned(row.version, row.trained_at, row.checked_at, from_text(row.model)) if row else None


@dataclass(frozen=True, slots=True)
class Band:
    """People by their score: at least `low` and less than `high`, or 1 too where that is 1. `paying`: who of them pays."""

    low: float
    high: float
    people: int
    paying: int


_EDGES = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)
_IN_BAND = (
    "FROM person_feature f JOIN person p ON p.id = f.person_id AND p.workspace_id = f.workspace_id"
    " WHERE f.feature = :slug AND f.number >= :low AND (f.number < :high OR :high = 1)"
)


def read_bands(session: Session) -> tuple[Band, ...]:
    """The people who have a score, the likeliest to fall silent first."""
    found = []
    for high, low in pairwise(_EDGES):
        row = one(
            session,
            f"SELECT count(*) AS people, count(*) FILTER (WHERE p.mrr_micros > 0) AS paying {_IN_BAND}",
            slug=SLUG,
            low=low,
            high=high,
        )
        found.append(Band(low, high, row.people, row.paying))
    return tuple(found) if any(band.people for band in found) else ()


def band_people(session: Session, band: Band, *, paying: bool = False) -> tuple[UUID, ...]:
    """The people of a band by id, or only those who pay."""
    found = rows(
        session,
        f"SELECT p.id {_IN_BAND} AND (p.mrr_micros > 0 OR NOT :paying) ORDER BY 1",
        slug=SLUG,
        low=band.low,
        high=band.high,
        paying=paying,
    )
    return tuple(row.id for row in found)


# ------------------------------------------------------------------------------------------------------- training


def train(
    timeline: Timeline,
    features: Sequence[Feature],
    roles: Mapping[str, Match],
    now: datetime,
    *,
    quiet: Window = QUIET,
    baseline: Window = BASELINE,
    executor: Executor | None = None,
) -> Model | TooLittle:
    """Learn from the history that is mature at `now`, or say why that is too little."""
    if "core" not in roles:
        return TooLittle("no event has the role “core”; choose under Settings what using the product is.")
    asked = EngagementChurn(roles["core"], quiet, baseline)
    dates = _dates(timeline, asked, min(timeline.watermark, micros(now)))
    if len(dates) < _FEWEST_DATES:
        needed = (baseline.micros + (_FEWEST_DATES + 1) * quiet.micros) // DAY
        return TooLittle(
            f"it needs a history of about {needed} days: to learn from, to be calibrated and to be judged."
        )
    terms = told_apart(features, roles)
    seen = [_observed(timeline, asked, terms, date, executor) for date in dates]
    learned = _Observed(
        np.concatenate([one.values for one in seen[:-2]]), np.concatenate([one.silent for one in seen[:-2]])
    )
    for name, part in (("learn from", learned), ("be calibrated on", seen[-2]), ("be judged on", seen[-1])):
        if lacking := part.lacking:
            return TooLittle(f"of the people to {name}, {lacking}.")
    used = _explaining(learned)
    logistic = fit(learned.values[:, used], learned.silent)
    calibration = calibrate(logistic.odds(seen[-2].values[:, used]), seen[-2].silent)
    judged = evaluate(calibration.probabilities(logistic.odds(seen[-1].values[:, used])), seen[-1].silent)
    return Model(
        core=asked.core,
        quiet=quiet,
        baseline=baseline,
        features=tuple(terms[place] for place in used),
        logistic=logistic,
        calibration=calibration,
        dates=tuple(map(instant, dates)),
        learned_from=len(learned.silent),
        fell_silent=int(learned.silent.sum()),
        judged=judged,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Observed:
    """People at a date, or at several: what is known of them (N, F), and who then fell silent (N)."""

    values: NDArray[np.float64]
    silent: NDArray[np.bool_]

    @property
    def lacking(self) -> str:
        """What there is too little of; nothing when it is enough."""
        people, silent = len(self.silent), int(self.silent.sum())
        if people < LEAST_PEOPLE:
            return f"there are {people} and {LEAST_PEOPLE} are needed"
        if silent < LEAST_OF_EACH:
            return f"{silent} fell silent and {LEAST_OF_EACH} are needed"
        if people - silent < LEAST_OF_EACH:
            return f"{people - silent} stayed and {LEAST_OF_EACH} are needed"
        return ""


def _explaining(learned: _Observed) -> list[int]:
    """The columns a model may use: those whose weight says what they say alone.

    Of two features that tell nearly the same one may get a weight against all evidence, to make up for the other. It
    would be given to people as a reason, so it is left out; what is left is fitted again until all agree.
    """
    values, silent = learned.values, learned.silent
    alone = values[silent].mean(axis=0) - values[~silent].mean(axis=0)
    used = list(range(values.shape[1]))
    while used:
        weights = fit(values[:, used], silent).weights
        agreeing = [place for place, weight in zip(used, weights, strict=True) if weight * alone[place] > 0]
        if len(agreeing) == len(used):
            break
        used = agreeing
    return used


def _dates(timeline: Timeline, asked: EngagementChurn, complete: int) -> list[int]:
    """The dates to look at people, in microseconds, ascending: full baselines and mature outcomes, at midnights UTC."""
    begins = [int(shard.at.min()) for shard in timeline.shards if shard.rows]
    if not begins:
        return []
    newest = complete // DAY * DAY - asked.quiet.micros
    oldest = min(begins) + asked.baseline.micros
    count = min(_MOST_DATES, (newest - oldest) // asked.quiet.micros + 1)
    return [newest - number * asked.quiet.micros for number in reversed(range(count))]


def _observed(
    timeline: Timeline, asked: EngagementChurn, terms: Sequence[Feature], date: int, executor: Executor | None
) -> _Observed:
    found = measure(timeline, terms, {}, date, executor=executor)
    active = people_at(timeline, asked, date + asked.quiet.micros, "active", executor=executor)
    churned = people_at(timeline, asked, date + asked.quiet.micros, "churned", executor=executor)
    people = np.searchsorted(timeline.numbers, active)
    return _Observed(_values(found, people), np.isin(active, churned, assume_unique=True))


def _values(found: Measured, people: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N, F) what a model sees: orders of magnitude count, not amounts; never is long ago."""
    columns = []
    for place, feature in enumerate(found.features):
        told = found.numbers(place)[people]
        if feature.kind in ("since", "instant"):
            columns.append(np.log1p(np.fmin(told, _LONG_AGO)))
        else:
            amounts = told / MICROS if feature.kind == "money" else told
            columns.append(np.sign(amounts) * np.log1p(np.abs(amounts)))
    return np.array(columns).reshape(len(columns), len(people)).T


# -------------------------------------------------------------------------------------------------------- scoring


def scores(timeline: Timeline, model: Model, now: datetime, *, executor: Executor | None = None) -> Scores | None:
    """How likely it is that people fall silent, as of the last midnight UTC; None from a model that is of no use.

    Of whoever had a core event in the baseline before. The parts are what each feature adds to the log odds.
    """
    if not model.is_useful:
        return None
    at = micros(now) // DAY * DAY
    found = measure(timeline, model.features, {}, at, executor=executor)
    asked = EngagementChurn(model.core, model.quiet, model.baseline)
    active = people_at(timeline, asked, at + model.quiet.micros, "active", executor=executor)
    people = np.searchsorted(timeline.numbers, active)
    seen = _values(found, people)
    values = np.full(timeline.people, np.nan)
    parts = np.zeros((timeline.people, len(model.features)))
    values[people] = np.round(model.calibration.probabilities(model.logistic.odds(seen)), 3)
    parts[people] = np.round(model.logistic.parts(seen) * model.calibration.slope, 2)
    return Scores(SLUG, values, tuple(one.slug for one in model.features), parts)


# --------------------------------------------------------------------------------------------------------- as text

_TEXT: TypeAdapter[Model | TooLittle] = TypeAdapter(Model | TooLittle)


def to_text(outcome: Model | TooLittle) -> str:
    """The outcome as JSON that `from_text` reads: the same text for the same outcome."""
    return _TEXT.dump_json(outcome, indent=2).decode()


def from_text(text: str) -> Model | TooLittle:
    """What `to_text` wrote."""
    return _TEXT.validate_json(text)
