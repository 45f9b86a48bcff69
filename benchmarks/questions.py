"""What is measured of reports: six questions, and how this product answers each of them.

An answer is plain numbers, so that those of other engines can be compared with it before anything is timed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal
from uuid import UUID

import numpy as np

from benchmarks.crowd import START
from gdp_core.analytics.funnel.question import FunnelQuestion, Step
from gdp_core.analytics.funnel.report import funnel
from gdp_core.analytics.lifecycle import Lifecycle, lifecycle
from gdp_core.analytics.retention import Retention, retention
from gdp_core.analytics.scope import Scope
from gdp_core.analytics.trends import Trend, trend
from gdp_core.analytics.window import Window
from gdp_core.features.base import ANYTHING, Feature, Tally
from gdp_core.features.measuring import measure
from gdp_core.timeline.arrays import Timeline
from gdp_core.timeline.matching import Match

Answer = Callable[[], Any]

DAY = 86_400_000_000
WINDOW = 30 * DAY
FIRST_MONDAY = START - 2 * DAY
MONDAY = date(2024, 12, 30)
COLUMNS = 12
"""Weeks after the first one that retention looks at."""
THREE = ("signup", "product_viewed", "purchase")
SIX = ("session_started", "search", "product_viewed", "cart_added", "checkout_started", "purchase")
SCOPE = Scope(UUID(int=1), "UTC", "USD", date(2025, 1, 1), date(2026, 1, 1), datetime(2026, 1, 1, tzinfo=UTC), "none")

FUNNEL_3 = "3-step funnel, 30 days"
FUNNEL_6 = "6-step funnel, 30 days"
RETENTION = "weekly retention"
LIFECYCLE = "weekly lifecycle"
REFRESH = "features of everybody"
TREND = "unique people by day"
FUNNELS: Mapping[str, tuple[str, ...]] = {FUNNEL_3: THREE, FUNNEL_6: SIX}


@dataclass(frozen=True, slots=True)
class Told:
    """A feature: how many events (or of which name), on how many days, or when the last one was, in so many days."""

    event: str | None
    by: Literal["count", "days", "last"]
    days: int | None = None

    @property
    def since(self) -> int:
        """What is earlier does not count, microseconds."""
        return 0 if self.days is None else AT - self.days * DAY

    def feature(self, slug: str) -> Feature:
        """As the product defines it."""
        window = None if self.days is None else Window(self.days, "d")
        tally = Tally(Match((self.event,)) if self.event else ANYTHING, self.by, window)
        return Feature(slug, slug, "", "", tally)


AT = START + 273 * DAY
"""Features are those of this instant, 2025-10-01: a day like any other of the crowd."""
FEATURES = (
    Told(None, "days"),
    Told(None, "days", 30),
    Told("purchase", "count"),
    Told("purchase", "count", 30),
    Told("product_viewed", "count", 30),
    Told("email_clicked", "count", 90),
    Told("search", "count", 90),
    Told("invite_sent", "count"),
    Told("support_opened", "count"),
    Told("purchase", "last"),
    Told(None, "last"),
)
"""As many, and of the same kinds, as source document 000 asks for."""


def ours(timeline: Timeline) -> dict[str, Answer]:
    """The six questions to a timeline."""

    def steps(names: tuple[str, ...]) -> list[int]:
        asked = FunnelQuestion(tuple(Step(Match((name,))) for name in names), Window(30, "d"))
        return [step.people for step in funnel(timeline, SCOPE, asked).steps]

    def kept() -> dict[tuple[int, int], int]:
        found = retention(timeline, SCOPE, Retention(cohort="week", intervals=COLUMNS))
        return {
            ((cohort.start - MONDAY).days // 7, number): people
            for cohort in found.triangles[0].cohorts
            for number, people in enumerate(cohort.returned)
            if number and people
        }

    def lives() -> list[tuple[int, int, int]]:
        found = lifecycle(timeline, SCOPE, Lifecycle(interval="week"))
        return [(point.new, point.returning, point.resurrecting) for point in found.points if point.active]

    features = [told.feature(f"f{number}") for number, told in enumerate(FEATURES)]

    def told() -> list[int]:
        """Sums over everybody; of instants, the milliseconds since the year began."""
        found = measure(timeline, features, {}, AT).values
        return [_summed(found[:, place], one.by == "last") for place, one in enumerate(FEATURES)]

    def days() -> list[float | None]:
        return [people for people in trend(timeline, SCOPE, Trend(measure="people")).lines[0].values if people]

    return {
        FUNNEL_3: lambda: steps(THREE),
        FUNNEL_6: lambda: steps(SIX),
        RETENTION: kept,
        LIFECYCLE: lives,
        REFRESH: told,
        TREND: days,
    }


def _summed(values: Any, are_instants: bool) -> int:
    if are_instants:
        values = np.floor((values - START) / 1000)
    return int(np.nansum(values))
