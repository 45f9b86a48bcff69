"""A year of a real shop, line by line: the known sums come out exactly."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from gdp_core.importer.chunks import open_import
from gdp_core.importer.mapping import Mapping
from gdp_core.sources.facts import Delivery, Fact
from gdp_core.sources.importing import normalise

FILE = Path(__file__).parents[2] / "shared" / "datasets" / "online_retail_2010-12_2011-12.parquet"
MAPPING = Mapping(
    person="CustomerID",
    anonymous="null if CustomerID != null else InvoiceNo",
    event="refund if InvoiceNo ^= 'C' else order",
    time="InvoiceDate",
    timezone="Europe/London",
    value="Quantity*UnitPrice",
    currency="=GBP",
    properties=("*",),
)


@pytest.mark.skipif(not FILE.exists(), reason="the Online Retail dataset is not beside the repository")
def test_online_retail_reproduces_its_known_numbers() -> None:
    source = open_import(FILE, MAPPING)
    keys: set[str] = set()
    customers: set[str] = set()
    rows = nameless = cancelled = micros = 0
    first = last = None
    for chunk in source.chunks():
        assert chunk.rejects == ()
        delivery = Delivery(
            UUID(int=0),
            UUID(int=0),
            UUID(int=0),
            "import",
            "chunk",
            "server",
            datetime(2026, 1, 1, tzinfo=UTC),
            chunk.body,
        )
        for fact in normalise(delivery):
            assert isinstance(fact, Fact)
            assert fact.event is not None
            rows += 1
            keys.add(fact.key)
            [actor] = fact.actors
            nameless += actor.namespace == "anonymous"
            if actor.namespace == "user":
                customers.add(actor.value)
            cancelled += fact.event.name == "refund"
            micros += fact.event.value_micros or 0
            first, last = first or fact, fact
    assert (rows, source.total_rows, len(keys)) == (541_909, 541_909, 541_909)
    assert sum(not key.endswith(":1") for key in keys) == 5_268  # exact duplicates, all kept
    assert (len(customers), nameless, cancelled) == (4_372, 135_080, 9_288)
    assert micros == 9_747_747_934_000  # 9,747,747.93 when rounded to pence
    assert first is not None
    assert last is not None
    assert first.occurred_at == datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
    assert last.occurred_at == datetime(2011, 12, 9, 12, 50, tzinfo=UTC)
    assert first.actors[0].value == "17850"
