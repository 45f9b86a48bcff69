"""Retention of real people: what is known of three data sets comes out to the digit, and two other engines agree."""

import importlib.metadata
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID

import numpy as np
import pandas as pd
import pytest

from gdp_core.analytics.cohorts import LENGTHS
from gdp_core.analytics.retention import (
    Retention,
    RetentionCell,
    RetentionResult,
    retention,
    retention_people,
    source_columns,
)
from gdp_core.analytics.scope import Scope
from gdp_core.timeline.arrays import Timeline
from gdp_core.timeline.matching import Match

from .timelines_bulk import bulk

SHARED = Path(__file__).parents[2] / "shared" / "datasets"
RETAIL = SHARED / "online_retail_2010-12_2011-12.parquet"
MESSAGES = SHARED / "CollegeMsg.txt"


def cdnow_path() -> Path | None:
    """The orders of a record shop, in the wheel of a library that is not imported."""
    try:
        files = importlib.metadata.files("Lifetimes") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(file.locate()) for file in files if file.name == "CDNOW_master.txt"), None)


CDNOW = cdnow_path()


def scope_of(start: date, end: date, zone: str, now: datetime) -> Scope:
    return Scope(UUID(int=0), zone, "GBP", start, end, now)


def micros_of(times: pd.Series) -> np.ndarray:
    return times.dt.tz_convert("UTC").dt.tz_localize(None).astype("datetime64[us]").astype(np.int64).to_numpy()


def matrix(result: RetentionResult) -> list[list[int]]:
    """Rows of (people, returned...) of the cohorts that have people."""
    return [[one.people, *one.returned] for one in result.triangles[0].cohorts if one.people]


def counted(
    person: pd.Series, cohort: pd.Series, interval: pd.Series, after: pd.Series, columns: int
) -> list[list[int]]:
    """The same by pandas: distinct people by cohort and interval, from their rows after the first."""
    frame = pd.DataFrame({"person": person, "cohort": cohort, "interval": interval})
    sizes = frame.groupby("cohort").person.nunique()
    cells = (
        frame[after & (frame.interval < columns)].groupby(["cohort", "interval"]).person.nunique().unstack(fill_value=0)
    )
    cells = cells.reindex(index=sizes.index, columns=range(columns), fill_value=0)
    return [[size, *row] for size, row in zip(sizes.tolist(), cells.to_numpy().tolist(), strict=True)]


@pytest.fixture(scope="module")
def shop() -> pd.DataFrame:
    if not RETAIL.exists():
        pytest.skip("the Online Retail dataset is not beside the repository")
    lines = pd.read_parquet(RETAIL)
    assert len(lines) == 541_909
    lines = lines[lines.CustomerID.notna()].copy()
    lines["local"] = lines.InvoiceDate.dt.tz_localize("Europe/London")
    lines["micros"] = lines.Quantity * (lines.UnitPrice * 1e6).round().astype(np.int64)
    return lines.sort_values(["CustomerID", "local"], kind="stable").reset_index(drop=True)


def shop_timeline(lines: pd.DataFrame) -> Timeline:
    at = micros_of(lines.local)
    return bulk(
        lines.CustomerID.astype(int),
        at,
        np.where(lines.InvoiceNo.str.startswith("C"), "refund", "order"),
        properties={
            "value_micros": lines.micros,
            "currency": np.full(len(lines), "GBP"),
            "country": lines.Country.astype(str),
        },
        shards=2,
        watermark=int(at.max()),
    )


SHOP_YEAR = scope_of(date(2010, 12, 1), date(2011, 12, 10), "Europe/London", datetime(2011, 12, 10, tzinfo=UTC))


def months_of(times: pd.Series) -> pd.Series:
    return times.dt.year * 12 + times.dt.month


def test_the_december_cohort_of_a_shop(shop: pd.DataFrame):
    result = retention(shop_timeline(shop), SHOP_YEAR, Retention(cohort="month"))
    december = result.triangles[0].cohorts[0]
    known = "948 362 317 367 341 376 360 336 336 374 354 474 260"
    assert [december.people, *december.returned[1:]] == [int(one) for one in known.split()]
    assert december.states == ("mature",) * 12 + ("open",)
    assert result.triangles[0].people == 4_372
    assert result.triangles[0].averages[12].people == 0  # nobody's twelfth month is over
    assert result.triangles[0].averages[11].returned == 474

    month = months_of(shop.local)
    first = month.groupby(shop.CustomerID).transform("min")
    after = shop.groupby("CustomerID").cumcount() > 0
    assert matrix(result) == counted(shop.CustomerID, first, month - first, after, 13)


def test_the_december_cohort_of_clean_sales(shop: pd.DataFrame):
    clean = shop[~shop.InvoiceNo.str.startswith("C") & (shop.Quantity > 0) & (shop.UnitPrice > 0)]
    assert clean.CustomerID.nunique() == 4_338
    result = retention(shop_timeline(clean), SHOP_YEAR, Retention(cohort="month"))
    december = result.triangles[0].cohorts[0]
    assert [december.people, *december.returned[1:5]] == [885, 324, 286, 340, 321]
    by_name = Retention(Match(("order",)), Match(("order",)), cohort="month")
    everything = retention(shop_timeline(shop[(shop.Quantity > 0) & (shop.UnitPrice > 0)]), SHOP_YEAR, by_name)
    assert matrix(everything) == matrix(result)


def test_what_the_cohorts_of_a_shop_brought_is_exact(shop: pd.DataFrame):
    asked = Retention(cohort="month", value="value_micros", mode="on")
    result = retention(shop_timeline(shop), SHOP_YEAR, asked)
    month = months_of(shop.local)
    first = month.groupby(shop.CustomerID).transform("min")
    after = shop.groupby("CustomerID").cumcount() > 0
    known = shop[after].groupby([first[after], (month - first)[after]]).micros.sum().unstack(fill_value=0)
    assert [[*one.sums] for one in result.triangles[0].cohorts] == known.reindex(
        columns=range(13), fill_value=0
    ).to_numpy().tolist()
    assert sum(sum(one.sums) for one in result.triangles[0].cohorts) + shop[~after].micros.sum() == shop.micros.sum()


def test_every_number_of_a_shop_is_a_list(shop: pd.DataFrame):
    timeline, asked = shop_timeline(shop), Retention(cohort="month")
    cell = RetentionCell(date(2010, 12, 1), 12)
    listed = retention_people(timeline, SHOP_YEAR, asked, cell)
    assert len(listed) == 260
    of = shop[shop.CustomerID.isin(listed)]
    assert of.CustomerID.nunique() == 260
    assert (of.groupby("CustomerID").local.min() < "2011-01-01").all()
    assert (of.groupby("CustomerID").local.max() >= "2011-12-01").all()


@pytest.fixture(scope="module")
def orders() -> pd.DataFrame:
    if CDNOW is None:
        pytest.skip("the Lifetimes wheel, which has the CDNOW orders, is not installed")
    frame = pd.read_csv(
        CDNOW, sep=r"\s+", skiprows=1, names=["person", "day", "cds", "dollars"], dtype={"dollars": str}
    )
    frame["local"] = pd.to_datetime(frame.day.astype(str), format="%Y%m%d").dt.tz_localize("America/New_York")
    frame["micros"] = frame.dollars.str.replace(".", "").astype(np.int64) * 10_000  # two decimals, all of them
    assert (len(frame), frame.person.nunique(), frame.micros.sum()) == (69_659, 23_570, 2_500_315_630_000)
    return frame.sort_values(["person", "local"], kind="stable").reset_index(drop=True)


@pytest.mark.parametrize("unit", ["day", "week", "month"])
@pytest.mark.parametrize("rolling", [False, True])
def test_a_record_shop(orders: pd.DataFrame, unit: str, rolling: bool):
    timeline = bulk(
        orders.person,
        micros_of(orders.local),
        np.full(len(orders), "order"),
        properties={"value_micros": orders.micros},
    )
    scope = scope_of(date(1997, 1, 1), date(1997, 4, 1), "America/New_York", datetime(1998, 7, 1, tzinfo=UTC))
    asked = Retention(cohort="month", unit=unit, rolling=rolling, intervals=60, value="value_micros")
    result = retention(timeline, scope, asked)
    assert result.triangles[0].people == 23_570
    first = orders.groupby("person").local.transform("first")
    if rolling:
        interval = pd.Series((micros_of(orders.local) - micros_of(first)) // LENGTHS[unit])
    elif unit == "month":
        interval = months_of(orders.local) - months_of(first)
    else:
        days = orders.local.dt.tz_localize(None), first.dt.tz_localize(None)
        if unit == "week":
            days = tuple(one - pd.to_timedelta(one.dt.day_of_week, unit="D") for one in days)
        interval = (days[0] - days[1]).dt.days // (7 if unit == "week" else 1)
    after = orders.groupby("person").cumcount() > 0
    assert matrix(result) == counted(orders.person, months_of(first), interval, after, 61)
    inside = after & (interval <= 60)
    sums = orders[inside].groupby([months_of(first)[inside], interval[inside]]).micros.sum().unstack(fill_value=0)
    known = sums.reindex(columns=range(61), fill_value=0).to_numpy().tolist()
    assert [[*one.sums] for one in result.triangles[0].cohorts] == known


@pytest.fixture(scope="module")
def messages() -> pd.DataFrame:
    if not MESSAGES.exists():
        pytest.skip("the CollegeMsg dataset is not beside the repository")
    frame = pd.read_csv(MESSAGES, sep=" ")
    assert (len(frame), frame.src.nunique(), frame.duplicated().sum()) == (59_835, 1_350, 37)
    frame["local"] = pd.to_datetime(frame.time, unit="s", utc=True)
    return frame.sort_values(["src", "time"], kind="stable").reset_index(drop=True)


def test_day_7_and_day_30_of_a_social_app(messages: pd.DataFrame):
    timeline = bulk(messages.src, messages.time * 1_000_000, np.full(len(messages), "message"))
    scope = scope_of(date(2004, 4, 12), date(2004, 10, 27), "UTC", datetime(2004, 12, 31, tzinfo=UTC))
    result = retention(timeline, scope, source_columns(Retention()))
    day = messages.local.dt.tz_localize(None).dt.normalize()
    first = day.groupby(messages.src).transform("min")
    known = []
    for _, people in messages.groupby(first - pd.to_timedelta(first.dt.day_of_week, unit="D")):
        ages = (day - first).dt.days[people.index]
        known.append([people.src.nunique(), *(people.src[ages == age].nunique() for age in (7, 30))])
    assert matrix(result) == known
    everybody = result.triangles[0]
    assert [average.returned for average in everybody.averages] == [
        sum(row[1] for row in known),
        sum(row[2] for row in known),
    ]


def test_clickhouse_agrees_where_it_asks_the_same(messages: pd.DataFrame, tmp_path: Path):
    """Its retention() asks of fixed days: of those who came on the first, who came on each of the others."""
    chdb = pytest.importorskip("chdb", reason="the ClickHouse engine is not installed")
    zone, file = "America/Los_Angeles", tmp_path / "messages.parquet"
    messages[["src", "time"]].to_parquet(file)
    timeline = bulk(messages.src, messages.time * 1_000_000, np.full(len(messages), "message"), shards=3)
    for first in (date(2004, 5, 3), date(2004, 5, 31), date(2004, 9, 20)):
        scope = scope_of(first, date.fromordinal(first.toordinal() + 1), zone, datetime(2004, 12, 31, tzinfo=UTC))
        asked = Retention(occurrence="first_in_period", cohort="day", intervals=14)
        [cohort] = retention(timeline, scope, asked).triangles[0].cohorts
        days = ", ".join(
            f"toDate(toDateTime(assumeNotNull(time), '{zone}')) = toDate('{first}') + {number}" for number in range(15)
        )
        each = f"SELECT retention({days}) AS r FROM file('{file}', Parquet) GROUP BY src"
        theirs = str(chdb.query(f"SELECT arrayStringConcat(sumForEach(r), ' ') FROM ({each})", "TSV"))
        assert [cohort.people, *cohort.returned[1:]] == [int(one) for one in theirs.split()]
        assert cohort.people > 0
