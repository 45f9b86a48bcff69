"""The overview's numbers: periods, comparisons, internal people, currencies, freshness, attention."""

import uuid
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from gdp_core.analytics import customers, health, overview, scope
from gdp_core.analytics.workspace import read_freshness
from gdp_core.db import insert, run
from gdp_core.errors import InvalidInput
from gdp_core.tables.operations import JobRun

from .crowd import (
    BEFORE,
    DAY,
    NOW,
    actor_id,
    fill,
    give_back,
    identify,
    internal,
    page_view,
    person_id,
    rate,
    stage,
    subscription,
    track,
)


def period(ws, text="30d", *, now=NOW, timezone="UTC", currency="USD", compare="previous"):
    return scope.scope(ws, timezone=timezone, currency=currency, now=now, period=text, compare=compare)


@pytest.fixture
def segment(database, ws):
    return database.source(ws, "segment")


def read(database, ws, reader, *args):
    with database.web.transaction(ws, read_only=True) as session:
        return reader(session, *args)


def metrics(database, ws, of):
    return {item.name: item for item in read(database, ws, overview.read_metrics, of)}


def test_a_period_ends_now_and_is_compared_with_one_that_ends_at_the_same_time():
    of = period(uuid.uuid4(), "7d")
    assert (of.start, of.end) == (date(2026, 11, 12), date(2026, 11, 19))
    assert of.until == NOW
    assert of.is_running
    earlier = of.earlier()
    assert (earlier.start, earlier.end) == (date(2026, 11, 5), date(2026, 11, 12))
    assert earlier.until == NOW - 7 * DAY
    assert period(uuid.uuid4(), compare="none").earlier() is None


def test_a_period_keeps_the_wall_clock_over_a_change_of_clocks():
    now = datetime(2026, 10, 27, 9, 0, tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)
    of = period(uuid.uuid4(), "7d", now=now, timezone="Europe/Berlin")
    assert of.earlier().until.astimezone(ZoneInfo("Europe/Berlin")).hour == 9
    assert (of.until - of.earlier().until) == 7 * DAY + timedelta(hours=1)


def test_chosen_days_include_both_ends():
    of = period(uuid.uuid4(), "2026-01-01..2026-01-31")
    assert of.days == 31
    assert not of.is_running


@pytest.mark.parametrize(
    "text", ["", "8d", "2026-01-31..2026-01-01", "2026-01-01", "x..y", "0001-01-01..9999-12-31", "1..2", "'"]
)
def test_a_period_that_makes_no_sense_is_refused(text):
    with pytest.raises(InvalidInput, match=r"period"):
        period(uuid.uuid4(), text)


def test_new_and_active_people_against_the_period_before(database, ws, segment):
    fill(database, ws, segment, page_view("a1", message="1", at=NOW - 40 * DAY), at=NOW - 40 * DAY)
    fill(
        database,
        ws,
        segment,
        page_view("a1", message="2", at=NOW - 3 * DAY),
        page_view("a2", message="3", at=NOW - 2 * DAY),
        page_view("a3", message="4", at=NOW - 2 * DAY),
    )
    found = metrics(database, ws, period(ws))
    assert (found["new_people"].value, found["new_people"].before) == (2, 1)
    assert (found["active_people"].value, found["active_people"].before) == (3, 1)
    assert len(found["new_people"].days) == 30
    assert found["new_people"].days[-3] == 2
    assert found["events"].value == 3


def test_the_running_day_is_left_out_of_the_comparison_of_events(database, ws, segment):
    fill(database, ws, segment, track(message="1", at=NOW - timedelta(hours=1)), track(message="2", at=NOW - 2 * DAY))
    found = metrics(database, ws, period(ws))["events"]
    assert (found.value, found.compared, found.before) == (2, 1, 0)


def test_a_late_evening_counts_for_the_workspaces_own_day(database):
    ws = database.workspace("tokyo", timezone="Asia/Tokyo")
    segment = database.source(ws, "segment")
    late = datetime(2026, 11, 16, 20, 0, tzinfo=UTC)  # the 17th in Tokyo
    fill(database, ws, segment, page_view("a1", message="1", at=late), at=late)
    found = metrics(database, ws, period(ws, "7d", timezone="Asia/Tokyo"))
    assert found["new_people"].days[-2:] == (1, 0)
    assert found["active_people"].days[-2:] == (1, 0)


def test_internal_people_are_in_no_number(database, ws, segment):
    stripe = database.source(ws, "stripe")
    fill(
        database,
        ws,
        segment,
        identify("u1", message="i1"),
        track(user="u1", message="t1"),
        track(user="u2", message="t2"),
    )
    subscription(database, ws, stripe, actor_id(database, ws, "u1"))
    inside = person_id(database, ws, "u1")
    stage(database, ws, inside, NOW - 2 * DAY, "churned", "trial")
    internal(database, ws, inside)
    found = metrics(database, ws, period(ws))
    assert found["new_people"].value == 1
    assert found["active_people"].value == 1
    assert found["events"].value == 1
    assert found["mrr"].value == 0
    assert found["trial_to_paid"].value is None
    assert not any(month.paid for month in read(database, ws, overview.read_money, period(ws)).months)
    assert sum(cell.people for cell in read(database, ws, customers.read_stages, NOW)) == 1
    assert read(database, ws, overview.read_new_people, period(ws)).total == 1


def test_mrr_is_converted_by_day_and_the_rest_is_told(database, ws, segment):
    stripe = database.source(ws, "stripe")
    fill(database, ws, segment, *(track(user=f"u{n}", message=f"m{n}") for n in range(3)))
    rate(database, ws, "EUR", "1.10", date(2026, 11, 1))
    rate(database, ws, "EUR", "1.20", date(2026, 11, 15))
    subscription(database, ws, stripe, actor_id(database, ws, "u0"), mrr=10_000_000)
    subscription(database, ws, stripe, actor_id(database, ws, "u1"), mrr=10_000_000, currency="EUR", at=NOW - 5 * DAY)
    subscription(database, ws, stripe, actor_id(database, ws, "u2"), mrr=7_000_000, currency="JPY")
    found = metrics(database, ws, period(ws))["mrr"]
    assert found.value == 22_000_000
    assert dict(found.rest) == {"JPY": 7_000_000}
    assert found.before == 0
    assert found.days[-6:] == (21_000_000, 21_000_000, 22_000_000, 22_000_000, 22_000_000, 22_000_000)


def test_mrr_is_compared_with_the_same_time_of_the_earlier_day(database, ws, segment):
    stripe = database.source(ws, "stripe")
    fill(database, ws, segment, *(track(user=f"u{n}", message=f"m{n}") for n in range(2)))
    week_ago = NOW - 7 * DAY
    subscription(database, ws, stripe, actor_id(database, ws, "u0"), mrr=10_000_000, at=week_ago - timedelta(hours=1))
    subscription(database, ws, stripe, actor_id(database, ws, "u1"), mrr=20_000_000, at=week_ago + timedelta(hours=1))
    found = metrics(database, ws, period(ws, "7d"))["mrr"]
    assert (found.value, found.before) == (30_000_000, 10_000_000)


def test_an_earlier_mrr_is_converted_by_the_rate_of_its_own_last_day(database, ws, segment):
    stripe = database.source(ws, "stripe")
    fill(database, ws, segment, track(user="u0", message="m0"))
    rate(database, ws, "EUR", "1.10", date(2026, 1, 1))
    rate(database, ws, "EUR", "1.30", date(2026, 7, 1))  # after both periods, before the day that asks
    subscription(database, ws, stripe, actor_id(database, ws, "u0"), mrr=10_000_000, currency="EUR", at=NOW - 300 * DAY)
    found = metrics(database, ws, period(ws, "2026-04-01..2026-04-30"))["mrr"]
    assert (found.value, found.before) == (11_000_000, 11_000_000)


def test_an_evening_in_america_is_in_the_events_of_today(database):
    ws = database.workspace("west", timezone="America/Los_Angeles")
    segment = database.source(ws, "segment")
    now = datetime(2026, 11, 19, 3, 0, tzinfo=UTC)  # seven in the evening of the 18th
    fill(database, ws, segment, track(message="1", at=now - timedelta(hours=1)), at=now)
    found = metrics(database, ws, period(ws, "7d", now=now, timezone="America/Los_Angeles"))["events"]
    assert (found.value, found.compared, found.days[-1]) == (1, 0, 1)


def test_a_morning_in_tokyo_leaves_the_running_utc_day_out_of_the_comparison(database):
    ws = database.workspace("east", timezone="Asia/Tokyo")
    segment = database.source(ws, "segment")
    now = datetime(2026, 11, 18, 20, 0, tzinfo=UTC)  # five in the morning of the 19th; UTC's 18th is not over
    fill(database, ws, segment, track(message="1", at=now - timedelta(hours=8)), at=now)
    found = metrics(database, ws, period(ws, "7d", now=now, timezone="Asia/Tokyo"))["events"]
    assert (found.value, found.compared) == (1, 0)


def test_trial_to_paid_is_of_the_trials_that_ended(database, ws, segment):
    fill(database, ws, segment, *(track(user=f"u{n}", message=f"m{n}") for n in range(3)))
    for user, became in (("u0", "active"), ("u1", "lead"), ("u2", "lead")):
        stage(database, ws, person_id(database, ws, user), NOW - 3 * DAY, became, "trial")
    found = metrics(database, ws, period(ws))["trial_to_paid"]
    assert found.value == pytest.approx(1 / 3)
    assert found.before is None


def test_money_by_month_is_paid_minus_given_back(database, ws, segment):
    stripe = database.source(ws, "stripe")
    fill(
        database,
        ws,
        segment,
        track(user="u0", message="m0"),
        track("order", user="u0", message="v", value=5, currency="USD"),
    )
    actor = actor_id(database, ws, "u0")
    subscription(database, ws, stripe, actor, mrr=30_000_000, at=NOW - 40 * DAY)
    give_back(database, ws, stripe, actor, 12_000_000)
    give_back(database, ws, stripe, actor, 1_000_000, currency="JPY")
    money = read(database, ws, overview.read_money, period(ws))
    months = {month.month: month for month in money.months}
    assert len(money.months) == 12
    assert months[date(2026, 10, 1)].paid == 30_000_000
    assert months[date(2026, 11, 1)].returned == 12_000_000
    assert months[date(2026, 11, 1)].paid == 5_000_000
    assert dict(money.rest) == {"JPY": -1_000_000}


def test_at_most_four_series_and_whole_weeks(database, ws, segment):
    visits = [
        page_view(f"v{n}", message=f"v{n}", at=BEFORE - n * DAY, source=source, medium=medium)
        for n, (source, medium) in enumerate(
            [("google", "cpc")] * 9
            + [("newsletter", "email")] * 7
            + [("facebook", "social")] * 5
            + [("bing", "organic")] * 3
            + [("x.example", "referral")] * 2
        )
    ]
    fill(database, ws, segment, *visits, page_view("bare", message="bare"))
    days = read(database, ws, overview.read_new_people, period(ws))
    assert [name for name, _ in days.series] == ["paid_ads", "email_campaign", "social", "all others"]
    assert days.total == 27
    weeks = read(database, ws, overview.read_new_people, period(ws, "90d"))
    assert weeks.interval == "week"
    assert all(start.weekday() == 0 for start in weeks.starts)
    assert weeks.starts[0] >= period(ws, "90d").start
    assert weeks.cut
    whole = read(database, ws, overview.read_new_people, period(ws, "2026-09-07..2026-10-25"))
    assert (whole.interval, whole.cut, len(whole.starts)) == ("week", False, 7)
    assert read(database, ws, overview.read_new_people, period(ws, "2026-09-07..2026-10-26")).cut


def test_stages_by_source_with_their_last_thirty_days(database, ws, segment):
    fill(
        database,
        ws,
        segment,
        page_view("a1", message="p1", at=NOW - 90 * DAY, source="google", medium="cpc"),
        at=NOW - 90 * DAY,
    )
    fill(
        database,
        ws,
        segment,
        page_view("a2", message="p2", source="google", medium="cpc"),
        identify("u1", message="i1"),
    )
    cells = {
        (cell.stage, cell.source): (cell.people, cell.last_30_days)
        for cell in read(database, ws, customers.read_stages, NOW)
    }
    assert cells[("marketing", "paid_ads")] == (2, 1)
    assert cells[("lead", None)] == (1, 1)


def test_every_number_of_the_customer_table_is_its_people(database, ws, segment):
    for user, source, age in (("a1", "google", 90), ("a2", "google", 1), ("a3", "facebook", 2), ("a4", None, 3)):
        at, campaign = NOW - age * DAY, {"source": source, "medium": "cpc"} if source else {}
        fill(database, ws, segment, page_view(user, message=user, at=at, **campaign), at=at)
    fill(database, ws, segment, identify("u8", message="u8"), identify("u9", message="u9"))
    internal(database, ws, person_id(database, ws, "u9"))
    subscription(database, ws, database.source(ws, "stripe"), actor_id(database, ws, "a2"))
    cells = read(database, ws, customers.read_stages, NOW)
    for which in ("people", "last_30_days", "subscribed"):
        for cell in cells:
            asked = customers.CustomerCell(cell.stage, cell.source, which)
            assert len(read(database, ws, customers.read_customers, asked, NOW)) == getattr(cell, which)
        everybody = read(database, ws, customers.read_customers, customers.CustomerCell(which=which), NOW)
        assert len(set(everybody)) == sum(getattr(cell, which) for cell in cells)
    assert sum(cell.people for cell in cells) == 5
    of_none = read(database, ws, customers.read_customers, customers.CustomerCell(source=None), NOW)
    assert of_none == (person_id(database, ws, "u8"),)
    table = customers.table_json(cells, NOW)
    assert sum(row["count_30d"] for row in table["rows"]) == 4


def test_an_empty_workspace_says_so(database, ws, segment):
    assert read(database, ws, overview.is_empty)
    found = metrics(database, ws, period(ws))
    assert [item.value for item in found.values()] == [0, 0, 0, None, 0]
    assert read(database, ws, overview.read_new_people, period(ws)).total == 0
    assert read(database, ws, customers.read_stages, NOW) == ()
    (source,) = read(database, ws, health.read_sources, NOW)
    assert source.state == "waiting"
    fill(database, ws, segment, track())
    assert not read(database, ws, overview.is_empty)


def test_numbers_of_one_workspace_do_not_count_in_another(database, ws, segment):
    other = database.workspace("other")
    fill(database, ws, segment, track(), page_view("a1", message="p1"))
    assert metrics(database, other, period(other))["events"].value == 0
    assert read(database, other, overview.is_empty)


def test_a_source_that_used_to_send_daily_is_stale_after_a_day(database, ws, segment):
    for day in range(12, 1, -1):
        fill(database, ws, segment, track(message=f"m{day}", at=NOW - day * DAY), at=NOW - day * DAY)
    (found,) = read(database, ws, health.read_sources, NOW)
    assert found.state == "stale"
    assert found.received_at == NOW - 2 * DAY
    assert [item.kind for item in read(database, ws, health.read_attention, NOW)] == ["stale_source"]
    fill(database, ws, segment, track(message="now"))
    assert read(database, ws, health.read_sources, NOW)[0].state == "fresh"
    assert read(database, ws, health.read_attention, NOW) == ()


def test_what_needs_attention(database, ws, segment):
    stripe = database.source(ws, "stripe")
    fill(database, ws, segment, track(), track(user=None, message="bad"), identify("u1", message="i"))
    subscription(database, ws, stripe, actor_id(database, ws, "u1"))
    with database.worker.transaction(ws) as session:
        run(
            session,
            "INSERT INTO merge_review (a, b, workspace_id, reason, status, opened_at) VALUES (:a, :b, :ws, 'two_known_people', 'open', :now)",
            a=uuid.uuid4(),
            b=uuid.uuid4(),
            ws=ws,
            now=NOW,
        )
        insert(
            session,
            JobRun,
            [
                {
                    "id": uuid.uuid4(),
                    "job": "fold",
                    "started_at": NOW - timedelta(hours=1),
                    "state": "failed",
                    "detail": {},
                }
            ],
        )
        insert(
            session,
            JobRun,
            [
                {
                    "id": uuid.uuid4(),
                    "job": "due",
                    "started_at": NOW - timedelta(hours=1),
                    "state": "failed",
                    "detail": {},
                }
            ],
        )
        insert(session, JobRun, [{"id": uuid.uuid4(), "job": "due", "started_at": NOW, "state": "done", "detail": {}}])
        run(
            session,
            "INSERT INTO ops.heartbeat (process, pid, at, detail) VALUES ('worker-1', 1, :at, '{}')",
            at=NOW - timedelta(minutes=9),
        )
    found = {(item.kind, item.name): item for item in read(database, ws, health.read_attention, NOW)}
    assert set(found) == {
        ("failed_job", "fold"),
        ("no_worker", ""),
        ("rejects", ""),
        ("reviews", ""),
        ("unmapped", ""),
        ("waiting_source", "stripe"),
    }
    assert [item.severity for item in read(database, ws, health.read_attention, NOW)] == [
        "bad",
        "bad",
        "warn",
        "warn",
        "info",
        "info",
    ]
    assert found[("rejects", "")].count == 1
    assert (found[("unmapped", "")].page, found[("unmapped", "")].query) == ("settings", (("tab", "plans"),))
    assert found[("waiting_source", "stripe")].query == (("id", str(stripe)),)


def test_freshness_changes_when_something_arrives_and_when_it_is_applied(database, ws, segment):
    empty = read(database, ws, read_freshness)
    assert (empty.received_at, empty.waiting) == (None, 0)
    fill(database, ws, segment, track())
    applied = read(database, ws, read_freshness)
    assert (applied.received_at, applied.waiting) == (NOW, 0)
    assert applied.version != empty.version
