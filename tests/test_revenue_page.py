"""The revenue page through the frame: its numbers, whose they are, what is saved, what its command says, bad input."""

import contextlib
import shlex
from datetime import UTC, date, datetime

import orjson
import pytest
from typer.testing import CliRunner

from gdp_core import clock
from gdp_core.analytics.revenue import Asked as Question
from gdp_core.db import rows
from jobs import report
from pages.ui.reporting import asking
from pages.ui.reporting.asking import Asked

from . import counting
from .browsing import words
from .crowd import rate
from .test_pipeline import track
from .test_report_pages import clicked, metrics, table
from .till import Till

HALF_YEAR = "2025-01-01..2025-06-30"


@pytest.fixture
def ws(database):
    return database.workspace(timezone="Europe/Berlin", base_currency="USD")


def at(month, day, hour=12, year=2025):
    return datetime(year, month, day, hour, tzinfo=UTC)


@pytest.fixture
def workspace(database, browser, ws, tmp_path, monkeypatch):
    """Ada stays and grows, Bob leaves and returns, Cleo leaves, Dora pays in euros and Emi in yen without a rate."""
    with counting.counted(database, tmp_path, ws, monkeypatch) as made:
        rate(database, ws, "EUR", "1.1", date(2025, 1, 1))
        rate(database, ws, "EUR", "1.2", date(2025, 4, 10))
        till = Till(database, ws)
        for name, currency in (("ada", "usd"), ("bob", "usd"), ("cleo", "usd"), ("dora", "eur"), ("emi", "jpy")):
            till.customer(name, at(1, 2))
            till.subscription(name, at(1, 5), currency=currency)
            till.invoice(name, at(1, 5), 2000, currency=currency)
        till.subscription("ada", at(3, 3), quantity=3, started=at(1, 5))
        till.subscription("bob", at(2, 10), "canceled", started=at(1, 5))
        till.subscription("bob", at(5, 10), sub="2")
        till.subscription("cleo", at(4, 20), "canceled", started=at(1, 5))
        till.refund("cleo", at(4, 21), 500)
        till.ring()
        made.till = till
        made.count()
        yield made


def listed(page):
    """Whom the drawer lists, by name."""
    found = [item.value for item in page.dataframe if "E-mail" in item.value.columns]
    return sorted(found[0]["Name"]) if found else None


def members(workspace, name):
    """Who is in a saved list, by name."""
    with workspace.database.web.transaction(workspace.id, read_only=True) as session:
        found = rows(
            session,
            "SELECT p.name FROM static_list l JOIN static_list_member m ON m.list_id = l.id JOIN person p"
            " ON p.id = m.person_id WHERE l.name = :name ORDER BY 1",
            name=name,
        )
    return [row.name for row in found]


def open_page(browser, period=HALF_YEAR, **asked):
    question = asking.text_of(Asked(Question(**({"interval": "month"} | asked))))
    return browser.open("revenue", period=period, q=question)


def link(page):
    """The address of a page, as one may send it to somebody."""
    found = page.query_params.items()
    return {name: text if isinstance(text, str) else text[0] for name, text in found if name != "ws"}


def periods(page):
    return [item.value for item in page.dataframe if item.value.columns[0] == "Period"]


def test_the_page_has_its_numbers_and_says_what_has_no_rate(browser, workspace):
    browser.sign_in(workspace.id)
    shown = open_page(browser)
    assert not shown.exception
    assert not shown.error
    # Ada 3 x 20 and Bob 20 in dollars, Dora 20 euros at 1.2
    expected = {"MRR": "$104", "ARR": "$1,248", "Paying customers": "4", "Committed MRR": "–", "Trial MRR": "–"}
    assert metrics(shown) | expected == metrics(shown)
    movements, staying, cash = periods(shown)
    whole = movements.iloc[0]
    assert [*whole[["Start", "New", "Reactivation", "Expansion", "Contraction", "Churn", "Rates", "End"]]] == [
        *("0", "$82.00", "$20.00", "$40.00", "0", "$40.00", "$2.00", "$104.00")
    ]
    assert [*movements["Closes"]][:2] == ["181 of 181 days", "30 of 30 days"]
    assert "= $104.00. It closes to the micro on 181 of 181 days." in words(shown)
    assert [*staying.iloc[0][["At start", "Lost"]]] == ["0", "0"]
    assert [*staying[staying["Period"] == "Apr 2025"][["At start", "Lost", "Customer churn"]].iloc[0]] == [
        "4",
        "1",
        "25%",
    ]
    assert [*cash.iloc[0][["Paid", "Refunded", "Kept"]]] == ["$82.00", "$5.00", "$77.00"]
    said = words(shown)
    assert "Listed by itself and in no other number: ¥2,000 of MRR; ¥2,000 of payments of the period" in said
    currencies = table(shown, "Currency")
    assert {row["Currency"]: (row["MRR"], row["In USD"], row["People"]) for _, row in currencies.iterrows()} == {
        "USD": ("$80.00", "$80.00", "2"),
        "EUR": ("€20.00", "$24.00", "1"),
        "JPY": ("¥2,000", "no rate", "1"),
    }
    alone = open_page(browser, currency="JPY")
    assert metrics(alone)["MRR"] == "¥2,000"
    assert "No exchange rate" not in words(alone)


ALL = ["ada", "bob", "cleo", "dora", "emi"]
NUMBERS = [
    ("revenue.movement-table", 0, "New", ALL),
    ("revenue.movement-table", 0, "Reactivation", ["bob"]),
    ("revenue.movement-table", 0, "Expansion", ["ada"]),
    ("revenue.movement-table", 0, "Churn", ["bob", "cleo"]),
    ("revenue.movement-table", 0, "Rates", ["dora"]),
    ("revenue.movement-table", 0, "End", ["ada", "bob", "dora", "emi"]),
    ("revenue.movement-table", 3, "Start", ["ada", "cleo", "dora", "emi"]),
    ("revenue.movement-table", 3, "Churn", ["cleo"]),
    ("revenue.staying", 3, "Lost", ["cleo"]),
    ("revenue.standing", 0, "People", ["ada", "bob", "dora", "emi"]),
    ("revenue.currencies", 0, "People", ["ada", "bob"]),
    ("revenue.currencies", 1, "People", ["dora"]),
    ("revenue.cash-table", 0, "Refunded", ["cleo"]),
    ("revenue.bridge", 4, "0", ["bob", "cleo"]),
    ("revenue.movements", 1, "4", ["bob"]),
    ("revenue.mrr", 1, "0", ["ada", "cleo", "dora", "emi"]),
    ("revenue.cash", 3, "1", ["cleo"]),
    ("revenue.months", 0, "At start", ["ada", "dora", "emi"]),
    ("revenue.months", 1, "Lost", ["cleo"]),
    ("revenue.worth", 6, "0", ALL),
]


def test_a_number_its_drawer_and_its_saved_list_are_the_same_people(browser, workspace):
    browser.sign_in(workspace.id, "MEMBER")
    shown = open_page(browser)
    for number, (of, row, column, people) in enumerate(NUMBERS):
        clicked(shown, of, row, column, save=f"List {number}")
        assert not shown.exception, of
        assert not shown.error, of
        assert listed(shown) == people, (of, row, column)
        assert members(workspace, f"List {number}") == people, (of, row, column)
    counted = open_page(browser).segmented_control[0].set_value("people").run()
    whole = periods(counted)[0].iloc[0]
    drawn = [len(people) for of, row, column, people in NUMBERS[:6] if column != "Rates"]
    assert [int(whole[column]) for column in ("New", "Reactivation", "Expansion", "Churn", "End")] == drawn


def test_what_arrives_between_a_look_and_a_click_is_in_both_or_in_neither(browser, workspace):
    browser.sign_in(workspace.id, "MEMBER")
    shown = open_page(browser)
    workspace.till.customer("fay", at(1, 2))
    workspace.till.subscription("fay", at(6, 5))
    workspace.till.ring()
    clicked(shown, "revenue.movement-table", 0, "End", save="Late")
    people = next(iter(table(shown, "What")["People"]))
    assert len(listed(shown)) == len(members(workspace, "Late")) == int(people)


def commanded(monkeypatch, line):
    """What the command of a page prints, as a shell would run it."""
    monkeypatch.setattr(report, "connected", contextlib.nullcontext)
    program, dash, module, *said = shlex.split(line)
    assert (program, dash, module, said[0]) == ("python", "-m", "jobs", "report")
    done = CliRunner().invoke(report.app, said[1:])
    assert done.exit_code == 0, done.output
    return orjson.loads(done.stdout)


def test_the_command_gives_the_same_numbers(browser, workspace, monkeypatch):
    browser.sign_in(workspace.id)
    shown = open_page(browser, view="net", margin=0.8, birth="signup")
    found = commanded(monkeypatch, shown.code[0].value)
    assert metrics(shown)["MRR"] == f"${found['standing']['mrr'] / 1e6:.0f}"
    assert metrics(shown)["Predicted LTV"] == f"${found['predicted']['value'] / 1e6:,.0f}"
    movements, _, cash = periods(shown)
    rows_of = [found["total"], *reversed(found["periods"])]
    for column, name in (("New", "new"), ("Churn", "churn"), ("End", "end"), ("Rates", "fx")):
        told = [f"${each['flow'][name] / 1e6:,.2f}" if each["flow"][name] else "0" for each in rows_of]
        assert [*movements[column]] == [text.replace("$-", "-$") for text in told]
    assert [*cash["Paid"]] == [
        f"${each['cash']['paid'] / 1e6:.2f}" if each["cash"]["paid"] else "0" for each in rows_of
    ]
    assert found["predicted"]["margin"] == 0.8


def test_a_link_and_a_saved_report_ask_the_same_again(browser, workspace):
    browser.sign_in(workspace.id, "MEMBER")
    shown = browser.open("revenue", period=HALF_YEAR)
    by_label = {item.label: item for item in shown.selectbox}
    by_label["Intervals"].set_value("week")
    by_label["Movements"].set_value("net")
    by_label["Currency"].set_value("EUR")
    shown.run()
    asked = asking.asked_in(Question, link(shown)["q"]).question
    assert asked == Question("week", "net", "EUR")
    again = browser.open("revenue", **link(shown))
    assert metrics(again) == metrics(shown)
    assert metrics(again)["MRR"] == "€20.00"
    (name,) = [item for item in shown.text_input if item.label == "Save this report as"]
    name.set_value("Euros by week")
    shown = shown.button(key="revenue.saved.new").click().run()
    assert shown.title[0].value == "Euros by week"


def test_an_empty_workspace_and_one_without_billing_say_what_to_do(database, browser, ws, tmp_path, monkeypatch):
    browser.sign_in(ws)
    with counting.counted(database, tmp_path, ws, monkeypatch) as made:
        assert "Nothing to count yet" in words(browser.open("revenue"))
        made.send(database.source(ws, "segment"), track("signup_completed", "u1", at=clock.now()))
        made.count()
        shown = browser.open("revenue")
    assert "No revenue yet" in words(shown)
    assert not shown.exception
    assert not shown.metric


BAD = [
    ({"q": '{"v":1,"ask":{"interval":"year"}}'}, "This link asks for something this page does not know"),
    ({"q": '{"v":1,"ask":{"currency":"euros"}}'}, "Choose a currency by its code, like USD."),
    ({"q": '{"v":1,"ask":{"margin":7.0}}'}, "A gross margin is more than 0 and at most 1."),
    ({"q": '{"v":1,"ask":{"currency":"XAU"}}'}, "No revenue in XAU"),
    ({"period": "2099-01-01..2099-02-01"}, "This period has not begun yet"),
    ({"period": "2025-06-30..2025-01-01"}, "Last 30 days"),
]


def test_bad_input_is_a_sentence(browser, workspace):
    browser.sign_in(workspace.id)
    for query, said in BAD:
        shown = browser.open("revenue", **({"period": HALF_YEAR} | query))
        assert not shown.exception
        assert said in words(shown)
        assert "reference" not in words(shown)
    assert metrics(shown)["Paying customers"] == "4"
