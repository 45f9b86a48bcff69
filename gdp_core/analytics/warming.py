"""Kernels are compiled before anybody asks: every report is asked once of two people, by a process of its own.

What it compiles is kept on disk, where the analyst and the dashboard find it; the memory a compiler takes goes with the
process. It decides no number. `python -m gdp_core.segments.warming` does it, for rules of segments too.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from itertools import product
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from gdp_core.analytics.activation import Activation, Candidates, Criterion, activation, candidates
from gdp_core.analytics.beginnings import Known
from gdp_core.analytics.breakdown import Breakdown
from gdp_core.analytics.calendar import micros
from gdp_core.analytics.engagement_churn import EngagementChurn, engagement_churn
from gdp_core.analytics.funnel.question import Exclusion, FactorQuestion, FunnelQuestion, Step
from gdp_core.analytics.funnel.report import funnel
from gdp_core.analytics.lifecycle import Lifecycle, LifecycleCell, lifecycle, lifecycle_people
from gdp_core.analytics.retention import Retention, retention
from gdp_core.analytics.scope import Scope
from gdp_core.analytics.stickiness import Stickiness, stickiness
from gdp_core.analytics.trends import Trend, TrendCell, trend, trend_people
from gdp_core.analytics.window import Window
from gdp_core.features.base import Aggregate, Feature, Tally
from gdp_core.features.measuring import measure
from gdp_core.settings import settings
from gdp_core.timeline import files
from gdp_core.timeline.arrays import EventColumn, PersonColumn, Shard, Timeline
from gdp_core.timeline.matching import Match
from gdp_core.timeline.values import Block, Values

_DAY = date(2026, 3, 2)
_NOW = datetime(2026, 3, 12, tzinfo=UTC)
_SCOPE = Scope(UUID(int=0), "UTC", "USD", _DAY, date(2026, 3, 9), _NOW, "none")
_A, _B = Match(("a",)), Match(("b",))
_NUMBER, _SIGNUP = "number", "signup_at"


class _Two:
    """A number of each event, and a signup of each person."""

    def event(self, field: str) -> EventColumn:
        """Of money no currency is known."""
        codes = np.arange(4, dtype=np.int32) % 2 if field == _NUMBER else np.full(4, -1, np.int32)
        return EventColumn((codes,), (1, 2.5))

    def person(self, field: str) -> PersonColumn:
        """Both signed up, and nothing else is known."""
        codes = np.zeros(2, np.int32) if field == _SIGNUP else np.full(2, -1, np.int32)
        return PersonColumn(codes, (micros(_SCOPE.since),))

    def whole(self, _field: str) -> None:
        """Both fields are coded."""

    def known(self) -> tuple[NDArray[np.int64], ...]:
        """At once."""
        return (np.zeros(4, np.int64),)


def _timeline() -> Timeline:
    at = micros(_SCOPE.since) + np.arange(4, dtype=np.int64) * 3_600_000_000
    shard = Shard(
        people=np.arange(2, dtype=np.int32),
        offsets=np.array([0, 2, 4], np.int64),
        at=at,
        code=np.array([0, 1, 0, 1], np.uint16),
        flags=np.zeros(4, np.uint8),
        live=np.ones(2, np.bool_),
    )
    return Timeline("warm", micros(_NOW), ("a", "b"), np.arange(2, dtype=np.int64), (shard,), _Two())


Ask = Callable[[Timeline], Any]


def warm(further: Iterable[Ask] = ()) -> None:
    """Ask every kernel for all it can be asked with. It takes minutes where nothing is kept yet, else a second."""
    timeline = _timeline()
    for ask in (*_funnels(), *_retentions(), *_trends(), *_others(), *further):
        ask(timeline)


def _funnels() -> Iterator[Ask]:
    three = (Step(_A), Step(_B, optional=True), Step(_B))
    by = Breakdown(_NUMBER)
    questions = [FunnelQuestion(three, order=order, breakdown=by) for order in ("ordered", "strict", "any")]
    questions.append(FunnelQuestion((Step(_A), Step(_B)), exclusions=(Exclusion(Match(("c",)), 1),)))
    questions.append(FunnelQuestion((Step(_A), Step(_B)), factors=FactorQuestion()))
    yield from (lambda on, asked=asked: funnel(on, _SCOPE, asked) for asked in questions)


def _retentions() -> Iterator[Ask]:
    questions = [Retention(occurrence=how) for how in ("first_ever", "first_in_period", "recurring")]
    questions += [Retention(rolling=rolling, value=_NUMBER) for rolling in (False, True)]
    questions += [Retention(mode="bracket", brackets=((1, 2), (3, None))), Retention(start=Known(_SIGNUP))]
    questions.append(Retention(breakdown=Breakdown(_NUMBER)))
    yield from (lambda on, asked=asked: retention(on, _SCOPE, asked) for asked in questions)


def _trends() -> Iterator[Ask]:
    questions = [Trend((_A, _B), measure="people", breakdown=Breakdown("person.plan")), Trend(cumulative=True)]
    for measure_, by in product(("sum", "average", "minimum", "median"), (None, Breakdown(_NUMBER))):
        questions.append(Trend(measure=measure_, field=_NUMBER, breakdown=by))  # type: ignore[arg-type]
    yield from (lambda on, asked=asked: trend(on, _SCOPE, asked) for asked in questions)
    yield lambda on: trend_people(on, _SCOPE, Trend(), TrendCell())


def _others() -> Iterator[Ask]:
    yield lambda on: lifecycle(on, _SCOPE, Lifecycle())
    yield lambda on: lifecycle_people(on, _SCOPE, Lifecycle(), LifecycleCell(_DAY, "active"))
    yield lambda on: stickiness(on, _SCOPE, Stickiness())
    yield lambda on: activation(on, _SCOPE, Activation((Criterion(_B),), start=_A))
    yield lambda on: activation(on, _SCOPE, Activation((Criterion(_B),)))
    yield lambda on: candidates(on, _SCOPE, Candidates(start=_A, support=1))
    yield lambda on: engagement_churn(on, _SCOPE, EngagementChurn(_A))
    kinds: tuple[Aggregate, ...] = ("count", "sum", "distinct", "days", "since", "first", "last")
    fields = {"sum": _NUMBER, "distinct": _NUMBER}
    features = [Feature(by, by, "", "", Tally(_A, by, Window.parse("30d"), fields.get(by))) for by in kinds]
    yield lambda on: measure(on, features, {}, micros(_NOW))
    yield lambda _on: Values.of(("a",)).and_those(Block.of(("a", "b")))


# ----------------------------------------------------------------------------------------------------- one at a time


def _folder() -> Path:
    return settings().data_dir / "tmp" / "warming"


def is_under_way() -> bool:
    """Whether a process compiles at the moment: who asks now would compile the same once more."""
    with files.alone(_folder()) as free:
        return not free


def wait() -> None:
    """Until no process compiles any more."""
    with files.alone(_folder(), patiently=True):
        return


def main(further: Iterable[Ask] = ()) -> None:
    """Compile what is not on disk yet; one process at a time."""
    with files.alone(_folder(), patiently=True):
        warm(further)
