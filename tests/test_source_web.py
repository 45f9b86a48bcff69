"""Where and when: campaigns out of URLs, machines, money, and clocks that are wrong."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdp_core.sources import web
from gdp_core.sources.payload import Unusable

NOW = datetime(2026, 11, 20, 8, 0, 0, tzinfo=UTC)


def seconds(amount: float) -> timedelta:
    return timedelta(seconds=amount)


def test_without_a_time_it_happened_when_it_arrived() -> None:
    assert web.when(None, None, NOW) == (NOW, None)
    assert web.when("", "2026-11-20T08:00:00Z", NOW) == (NOW, None)


def test_a_senders_clock_is_corrected_by_when_it_sent() -> None:
    fast = NOW + timedelta(hours=2)
    assert web.when((fast - seconds(5)).isoformat(), fast.isoformat(), NOW) == (NOW - seconds(5), fast - seconds(5))
    slow = NOW - timedelta(days=400)
    assert web.when((slow - seconds(5)).isoformat(), slow.isoformat(), NOW) == (NOW - seconds(5), slow - seconds(5))


def test_history_is_kept() -> None:
    assert web.when("2010-06-01T12:00:00Z", None, NOW) == (datetime(2010, 6, 1, 12, tzinfo=UTC), None)
    kept, original = web.when("2010-06-01T12:00:00Z", (NOW - seconds(1)).isoformat(), NOW)
    assert (kept, original) == (datetime(2010, 6, 1, 12, 0, 1, tzinfo=UTC), datetime(2010, 6, 1, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    ("ahead", "kept"),
    [
        (timedelta(minutes=4), timedelta(minutes=4)),
        (timedelta(minutes=5), timedelta(minutes=5)),
        (timedelta(minutes=6), timedelta(minutes=5)),
        (timedelta(hours=23), timedelta(minutes=5)),
        (timedelta(hours=23, seconds=1), timedelta(0)),
        (timedelta(days=3_000), timedelta(0)),
    ],
)
def test_the_future_is_clamped(ahead: timedelta, kept: timedelta) -> None:
    stated = NOW + ahead
    assert web.when(stated.isoformat(), None, NOW) == (NOW + kept, stated if ahead != kept else None)


def test_an_offset_wins() -> None:
    assert web.when("2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z", NOW, offset=3047) == (
        NOW - seconds(3.047),
        datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert web.when(None, None, NOW, offset=-(10**9)) == (NOW, None)


@pytest.mark.parametrize(
    ("stated", "instant"),
    [
        ("2026-11-20T08:00:00Z", NOW),
        ("2026-11-20T08:00:00", NOW),
        ("2026-11-20 08:00:00+00:00", NOW),
        ("2026-11-20T13:30:00+05:30", NOW),
        ("2026-11-20T08:00:00.123456789Z", NOW + timedelta(microseconds=123456)),
        (1795161600, NOW),
        (1795161600.5, NOW + seconds(0.5)),
        (1795161600_000, NOW),
        (1795161600_000_000, NOW),
        ("1795161600", NOW),
        ("1795161600000", NOW),
        ("1795161600.5", NOW + seconds(0.5)),
        ("2026-11-20", datetime(2026, 11, 20, tzinfo=UTC)),
        (None, None),
        ("", None),
    ],
)
def test_times_are_read_as_they_are_written(stated: Any, instant: datetime | None) -> None:
    assert web.instant(stated) == instant


@pytest.mark.parametrize(
    "stated",
    ["soon", "2026-13-01", "0001-01-01T00:00:00+14:00", "1" * 400, 1e300, -1e18, True, [], {}, "1970-01-01", 0.1, 5],
)
def test_a_time_that_is_none_is_refused(stated: Any) -> None:
    with pytest.raises(Unusable) as refused:
        web.when(stated, None, NOW)
    assert refused.value.code == "bad_timestamp"


times = st.one_of(
    st.none(),
    st.text(max_size=30),
    st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=14)), None])).map(datetime.isoformat),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(10**17), 10**17),
)
offsets = st.one_of(st.none(), st.integers(-(10**18), 10**18), st.text(max_size=3), st.booleans())


@settings(max_examples=3_000, deadline=None)
@given(timestamp=times, sent_at=times, offset=offsets, days=st.integers(-3_000, 30_000))
def test_no_time_lies_ahead_or_before_1990(timestamp: Any, sent_at: Any, offset: Any, days: int) -> None:
    received = NOW + timedelta(days=days)
    try:
        occurred, original = web.when(timestamp, sent_at, received, offset=offset)
    except Unusable:
        return
    assert web.OLDEST <= occurred <= received + web.AHEAD
    assert occurred.utcoffset() == timedelta(0)
    assert original is None or original != occurred


def test_campaigns_come_from_the_url_and_what_is_stated_wins() -> None:
    columns, clicks = web.web(
        url="https://x.test/?utm_source=a&utm_source=b&utm_medium=%20&gclid=G%2B1&gbraid=B&other=1",
        search="?utm_term=t&gclid=other",
        referrer="$direct",
        stated={"utm_source": "stated", "fbclid": "F", "ttclid": None, "utm_campaign": ""},
    )
    expected = {"utm_source": "stated", "utm_term": "t", "gclid": "G+1", "fbclid": "F"}
    assert {name: value for name, value in columns.items() if value and name != "url"} == expected
    assert clicks == {"gbraid": "B"}


@settings(max_examples=500, deadline=None)
@given(url=st.text(max_size=60).map(lambda text: f"http://[{text}?utm_source={text}"), ip=st.text(max_size=20))
def test_any_url_and_address_can_be_given(url: str, ip: str) -> None:
    columns, _ = web.web(url=url, search=url, referrer=url, user_agent=url, ip=ip, stated={"gclid": url})
    assert "\0" not in (columns["utm_source"] or "")
    assert len(columns["gclid"] or "") <= web.MAX_TEXT


@pytest.mark.parametrize(
    ("agent", "machine"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36", False),
        ("Mozilla/5.0 (Linux; Android 10; CUBOT X18) Chrome/140.0 Mobile Safari/537.36", False),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", True),
        ("Mozilla/5.0 HeadlessChrome/140.0", True),
        ("Slackbot-LinkExpanding 1.0", True),
        ("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", True),
        ("python-requests/2.32", True),
        ("curl/8.5", True),
        (None, False),
    ],
)
def test_known_machines(agent: str | None, machine: bool) -> None:
    assert web.is_machine(agent) is machine


def test_addresses() -> None:
    assert [web.ip_address(v) for v in ("203.0.113.9", " ::1 ", "0.0.0.0", "fe80::1%eth0", "x", None, 7)] == [
        "203.0.113.9",
        "::1",
        None,
        None,
        None,
        None,
        None,
    ]
    assert web.truncated_ip("203.0.113.9") == "203.0.113.0"
    assert web.truncated_ip("2001:db8:1:2::3") == "2001:db8:1::"
    assert web.truncated_ip("nonsense") is None


@pytest.mark.parametrize(
    ("properties", "worth"),
    [
        ({"revenue": 39.95, "currency": "usd"}, (39_950_000, "USD")),
        ({"revenue": "39.95"}, (39_950_000, None)),
        ({"value": 4}, (None, None)),
        ({"value": 4, "currency": "EUR"}, (4_000_000, "EUR")),
        ({"value": 4, "currency": "euros"}, (None, None)),
        ({"revenue": -5, "value": 9, "currency": "GBP"}, (-5_000_000, "GBP")),
        ({"revenue": "1e999999", "currency": "USD"}, (None, None)),
        ({"revenue": "NaN", "currency": "USD"}, (None, None)),
        ({"revenue": True, "currency": "USD"}, (None, None)),
        ({"revenue": {"a": 1}}, (None, None)),
        ({"revenue": "9" * 30}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_money_is_what_says_so(properties: dict[str, Any], worth: tuple[int | None, str | None]) -> None:
    assert web.worth(properties) == worth
