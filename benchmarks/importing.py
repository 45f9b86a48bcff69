"""How fast a file is imported, from its bytes to people: lines of invoices with an expression and every property.

The peer is the ceiling: Postgres's own COPY of the same file into a plain table in the same run.
"""

import csv
import random
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.rig import rig, row
from gdp_core import clock
from gdp_core.importer.mapping import Mapping
from gdp_core.importer.run import run_import

ROWS = 100_000
CUSTOMERS = 4_000
ATTEMPTS = 3  # each another file; the median counts
MAPPING = Mapping(
    person="customer",
    anonymous="invoice if customer = null else null",
    event="refund if invoice ^= 'C' else order",
    time="at",
    timezone="Europe/London",
    value="quantity * unit_price",
    currency="=GBP",
    properties=("*",),
)


def run() -> list[dict[str, Any]]:
    """Rows with name, value, unit, peer, peer_value, ratio."""
    with rig("import") as bench, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lines.csv"
        rates = []
        for attempt in range(ATTEMPTS):
            _write(file, attempt * ROWS)
            begun = time.perf_counter()
            result = run_import(bench.worker, bench.workspace_id, bench.source_id, file, MAPPING, now=clock.now())
            rates.append(result.applied / (time.perf_counter() - begun))
        ceiling = _copy(bench.admin, file)
    rate = statistics.median(rates)
    return [row("import of a CSV file", rate, "rows/s", "COPY into a plain table", ROWS / ceiling)]


def _write(file: Path, start_at: int) -> None:
    dice = random.Random(11)
    start = datetime(2025, 1, 1, tzinfo=UTC)
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(("invoice", "stock", "description", "quantity", "at", "unit_price", "customer", "country"))
        for number in range(start_at, start_at + ROWS):
            invoice = number // 20
            mark = "C" if invoice % 7 == 0 else ""
            customer = "" if invoice % 4 == 0 else 12_000 + invoice * 7919 % CUSTOMERS
            at = (start + timedelta(minutes=invoice * 20)).strftime("%Y-%m-%d %H:%M:%S")
            stock = dice.randrange(3000)
            words = (f"{mark}{invoice}", stock, f"ARTICLE {stock} IN A BOX", dice.randrange(1, 40), at)
            writer.writerow((*words, dice.randrange(10, 999) / 100, customer, "United Kingdom"))


def _copy(admin: str, file: Path) -> float:
    with psycopg.connect(admin) as connection:
        connection.execute(
            "CREATE TABLE plain (invoice text, stock text, description text, quantity int, at timestamp,"
            " unit_price numeric, customer text, country text)"
        )
        begun = time.perf_counter()
        with connection.cursor().copy("COPY plain FROM STDIN (FORMAT csv, HEADER)") as copy:
            copy.write(file.read_bytes())
        connection.commit()
        return time.perf_counter() - begun
