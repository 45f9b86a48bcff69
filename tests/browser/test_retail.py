"""A year of a real shop, imported by the command line, shows its known numbers in the browser."""

from pathlib import Path

import pytest

from .conftest import Arrive
from .product import ROOT, Product

FILE = ROOT.parent / "shared" / "datasets" / "online_retail_2010-12_2011-12.parquet"
MAPPING = (
    *("--person", "CustomerID"),
    *("--anonymous", "null if CustomerID != null else InvoiceNo"),
    *("--event", "refund if InvoiceNo ^= 'C' else order"),
    *("--time", "InvoiceDate"),
    *("--timezone", "Europe/London"),
    *("--value", "Quantity*UnitPrice"),
    *("--currency", "=GBP"),
    *("--property", "*"),
    *("--source", "Online shop"),
)


@pytest.mark.heavy
@pytest.mark.skipif(not FILE.exists(), reason="the Online Retail dataset is not beside the repository")
def test_a_year_of_a_shop_in_the_browser(product: Product, arrive: Arrive, tmp_path: Path) -> None:
    slug = product.workspace("Retail")
    command = ("import", str(FILE), "--workspace", slug, *MAPPING, "--rejects", str(tmp_path / "rejects.csv"))
    product.command(*command)
    visitor = arrive(product.member("OWNER", slug))

    def numbers() -> dict[str, str]:
        visitor.open("catalogue", ws=slug)
        cards = visitor.page.get_by_test_id("stMetric").all()
        said = {
            card.get_by_test_id("stMetricLabel").inner_text().strip(): card.get_by_test_id("stMetricValue").inner_text()
            for card in cards
        }
        events = {row["Event"]: row["In all"] for row in visitor.rows("Event types with their volume")}
        visitor.open("quality", ws=slug)
        return said | events | {"unaccounted": visitor.key("check-conservation").get_by_role("heading").inner_text()}

    known = {
        "Events of all time": "541,909",  # rows
        "Known people": "4,372",  # customers
        "Events of visitors": "135,080",  # rows without a customer
        "Value of events": "£9,747,747.93",
        "order": "532,621",
        "refund": "9,288",  # rows of cancellations
        "unaccounted": "0",
    }
    assert {name: text for name, text in numbers().items() if name in known} == known

    visitor.open("sources", ws=slug)
    assert "Online shop" in visitor.text
    assert "541,909" in visitor.text
    visitor.open("people", ws=slug, q="17850")
    visitor.open_row("People who match the filters")
    visitor.page.get_by_role("dialog").get_by_role("link", name="Open full profile").click()
    visitor.page.wait_for_url("**/person?*")
    visitor.settle()
    timeline = visitor.rows("Timeline, newest first")
    assert {row["What"] for row in timeline if not row["What"].startswith("Became")} == {"order", "refund"}
    assert any(row["Value"].lstrip("-").startswith("£") for row in timeline)

    product.command(*command)  # again: nothing changes
    assert {name: text for name, text in numbers().items() if name in known} == known
