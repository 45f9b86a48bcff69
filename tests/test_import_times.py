"""When a row happened, in every way that files write it."""
# ruff: noqa: DTZ001 (wall-clock times without a zone are the subject)

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdp_core.errors import InvalidInput
from gdp_core.importer.times import Times, Unit, day_first, zone_named
from gdp_core.sources.payload import Unusable

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read(cell: object, unit: Unit | None = None, zone: str = "UTC", first: bool = True) -> str:
    micros = Times(unit, zone, first).micros(cell)
    assert micros is not None
    return (EPOCH + timedelta(microseconds=micros)).isoformat().removesuffix("+00:00")


@pytest.mark.parametrize(
    "written",
    [
        "2010-12-01 08:26:00", "2010-12-01T08:26:00Z", "2010-12-01T09:26:00+01:00", "2010-12-01 08:26:00 UTC",
        "2010-12-01T08:26:00.000000+00:00", "20101201T082600", "2010-12-01 8:26", "2010/12/1 08:26", "1/12/2010 8:26",
        "01.12.2010, 08:26", "1-12-10 8:26 AM", "01 Dec 2010 08:26", "Dec 1, 2010 8:26 am", "1-Dec-10 08:26:00",
        "Wed, 01 Dec 2010 08:26:00 +0000", "Wed Dec 01 2010 09:26:00 GMT+0100 (Central European Standard Time)",
        "1291191960", "1291191960.0", "1291191960000", "1291191960000000", 1291191960, 1291191960.0,
        datetime(2010, 12, 1, 8, 26), datetime(2010, 12, 1, 9, 26, tzinfo=timezone(timedelta(hours=1))),
    ],
)  # fmt: skip
def test_the_same_instant_in_many_hands(written: object) -> None:
    assert read(written) == "2010-12-01T08:26:00"


def test_a_date_is_its_midnight_in_the_zone() -> None:
    assert read("2024-07-01", zone="Europe/London") == "2024-06-30T23:00:00"
    assert read("20240701", zone="Europe/London") == "2024-06-30T23:00:00"
    assert read(date(2024, 7, 1), zone="Asia/Kathmandu") == "2024-06-30T18:15:00"


def test_eight_digits_are_unix_time_where_the_unit_says_so() -> None:
    with pytest.raises(Unusable):
        Times("s").micros("20240701")  # in 1970
    assert read("946684800", unit="s") == "2000-01-01T00:00:00"
    assert read("946684800123", unit="ms") == "2000-01-01T00:00:00.123000"
    assert read("946684800123456", unit="us") == "2000-01-01T00:00:00.123456"


def test_a_skipped_hour_and_a_doubled_hour_are_settled() -> None:
    assert read("2024-03-31 01:30", zone="Europe/London") == "2024-03-31T01:30:00"  # 01:00-02:00 did not exist
    assert read("2024-10-27 01:30", zone="Europe/London") == "2024-10-27T00:30:00"  # the first of two
    assert read("2026-03-08 02:30", zone="America/New_York") == "2026-03-08T07:30:00"
    assert read("2026-11-01 01:30", zone="America/New_York") == "2026-11-01T05:30:00"


@given(
    st.datetimes(min_value=datetime(1990, 1, 2), max_value=datetime(2099, 12, 30)),
    st.sampled_from(
        ["UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu"]
    ),
)
def test_wall_clock_time_is_zoneinfos(wall: datetime, zone: str) -> None:
    expected = wall.replace(tzinfo=zone_named(zone)).astimezone(UTC).isoformat().removesuffix("+00:00")
    assert read(wall.isoformat(), zone=zone) == expected
    assert read(wall, zone=zone) == expected
    assert read(wall.strftime("%d/%m/%Y %H:%M:%S.%f"), zone=zone) == expected


def test_day_and_month_by_the_first_that_tells() -> None:
    assert day_first(["1/2/2024", "3/13/2024", "31/1/2024"]) is False
    assert day_first(["1/2/2024", None, "13.3.2024"]) is True
    assert day_first(["1/2/2024", "3/4/2024"]) is None
    assert day_first(["2024-01-02", "1/1/2024"]) is True  # nothing to choose
    assert day_first(["1/2/2024"] * 5_000 + ["1/13/2024"]) is False  # however far down
    assert read("3/4/2024", first=True) == "2024-04-03T00:00:00"
    assert read("3/4/2024", first=False) == "2024-03-04T00:00:00"


@pytest.mark.parametrize("cell", ["hello", "31/02/2024", "2024-13-01", "12:30", "13:61", True, [1], "1/1/24 13:00 pm"])
def test_what_is_no_time_is_the_rows_problem(cell: object) -> None:
    with pytest.raises(Unusable) as caught:
        Times().micros(cell)
    assert caught.value.code == "bad_timestamp"


@pytest.mark.parametrize("cell", ["0001-01-01", "1970-01-01", "9999-12-31", "1291191960000", "-5", "1e9", 10**30])
def test_other_centuries_are_mistakes(cell: object) -> None:
    with pytest.raises(Unusable):
        Times("s").micros(cell)


def test_nothing_is_no_time() -> None:
    assert [Times().micros(cell) for cell in (None, "", "  ", "NULL", "\\N", float("nan"))] == [None] * 6


@given(
    st.one_of(
        st.text(), st.from_regex(r"[0-9/:. TZ+apm-]{4,25}", fullmatch=True), st.floats(), st.integers(), st.datetimes()
    )
)
def test_nothing_but_unusable_leaves_it(cell: object) -> None:
    try:
        micros = Times(zone="America/New_York").micros(cell)
    except Unusable:
        return
    assert micros is None or micros > 0


def test_an_unknown_zone_is_said() -> None:
    for name in ("Europe/Londn", "", "../etc/passwd", "Europe"):
        with pytest.raises(InvalidInput, match="time zone"):
            zone_named(name)
