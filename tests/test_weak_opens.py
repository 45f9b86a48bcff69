"""An opened mail may be a mail program's doing: of "any event" it is none, whatever is asked; by its name it counts."""

from datetime import timedelta

import pytest

from gdp_core.analytics.activation import Activation, Criterion, activation
from gdp_core.analytics.calendar import micros
from gdp_core.analytics.counting import ANYTHING
from gdp_core.analytics.funnel.question import FunnelQuestion, Step
from gdp_core.analytics.funnel.report import funnel
from gdp_core.analytics.lifecycle import Lifecycle, lifecycle
from gdp_core.analytics.retention import Retention, retention
from gdp_core.analytics.scope import Scope
from gdp_core.analytics.stickiness import Stickiness, stickiness
from gdp_core.analytics.trends import Trend, trend
from gdp_core.lake.connection import Lake
from gdp_core.lake.writing import flush, watermark
from gdp_core.timeline.arrays import WEAK
from gdp_core.timeline.matching import Match
from gdp_core.timeline.store import Store

from .conftest import NOW
from .door import encryption_keys  # noqa: F401
from .test_mail import SENT, Mailer, tell
from .timelines import Happened, Somebody, timeline_of

DAY = 86_400_000_000
OPENED, VISIT = Match(("email_opened",)), Match(("visit",))
FIRST = (NOW - timedelta(days=30)).date()


def scope(workspace_id):
    return Scope(workspace_id, "UTC", "USD", FIRST, NOW.date(), NOW, "none")


def active(timeline, over, match=ANYTHING):
    return sum(point.active for point in lifecycle(timeline, over, Lifecycle(match, interval="month")).points)


@pytest.fixture
def opened_only(ws):
    """Somebody who visited once and has since opened a mail every day."""
    began = micros(NOW - timedelta(days=28))
    later = [Happened(began + day * DAY, "email_opened", flags=int(WEAK)) for day in range(1, 10)]
    return timeline_of([Somebody([Happened(began, "visit"), *later])]), scope(ws)


def test_opening_mails_is_not_coming_back(opened_only):
    timeline, over = opened_only
    cohort = retention(timeline, over, Retention(VISIT, ANYTHING, unit="day", intervals=5)).triangles[0].cohorts
    assert [one.returned for one in cohort if one.people] == [(0,) * 6]
    cohort = retention(timeline, over, Retention(VISIT, OPENED, unit="day", intervals=5)).triangles[0].cohorts
    assert [one.returned for one in cohort if one.people] == [(0, 1, 1, 1, 1, 1)]


def test_opening_mails_converts_and_activates_nobody(opened_only):
    timeline, over = opened_only
    for match, reached in ((ANYTHING, 0), (OPENED, 1)):
        steps = funnel(timeline, over, FunnelQuestion((Step(VISIT), Step(match)))).steps
        assert [step.people for step in steps] == [1, reached]
        asked = Activation((Criterion(match),), start=VISIT)
        assert activation(timeline, over, asked).total.activated == reached


def test_opening_mails_is_no_activity(opened_only):
    timeline, over = opened_only
    assert stickiness(timeline, over, Stickiness(ANYTHING)).people[0] == 1
    assert (trend(timeline, over, Trend((ANYTHING,))).lines[0].total, active(timeline, over)) == (1, 1)
    assert (trend(timeline, over, Trend((OPENED,))).lines[0].total, active(timeline, over, OPENED)) == (9, 1)
    assert trend(timeline, over, Trend((ANYTHING,), everything=True)).lines[0].total == 10


def test_from_the_mailer_to_the_report(database, ws, tmp_path):
    """An open that Resend told of makes nobody active, and a click does."""
    mailer, store = Mailer(ws, database.source(ws, "resend")), Store(tmp_path / "timeline", ws)

    def seen():
        flush(lake, database.worker, ws, NOW)
        store.refresh(lake, since=watermark(lake, ws), complete_at=micros(NOW))
        return store.open(lake)

    with Lake(database.dsn, str(tmp_path / "lake"), memory="300MB") as lake:
        tell(database, mailer.email("delivered", 5), mailer.email("opened", 60))
        assert SENT.date() >= FIRST
        timeline = seen()
        assert (active(timeline, scope(ws)), active(timeline, scope(ws), OPENED)) == (0, 1)
        tell(database, mailer.clicked(90))
        assert active(seen(), scope(ws)) == 1
