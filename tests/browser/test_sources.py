"""An engineer's first hour: connect, send with the vendors' own clients, watch it arrive, and deal with what does not."""

import base64
import time
from pathlib import Path

import orjson
import pytest
import stripe
from playwright.sync_api import Locator
from segment.analytics.client import Client as SegmentClient

from tests import stripe_story

from .conftest import Arrive, House
from .product import Product
from .visitor import Visitor

PEOPLE = "People who match the filters"
INBOX = "Deliveries that match the filters"
BOOKS = "What was received and what became of it"
STRIPE_SECRET = "whsec_browser_test_secret"


@pytest.fixture
def visitor(house: House, arrive: Arrive) -> Visitor:
    return arrive(house.owner)


def connect(visitor: Visitor, house: House, kind: str, name: str) -> Locator:
    """Connect a source through the page; returns its health card."""
    visitor.open("sources", ws=house.slug)
    visitor.key(f"connect-{kind}").get_by_role("button").click()
    dialog = visitor.page.get_by_role("dialog")
    dialog.get_by_label("Name", exact=True).fill(name)
    dialog.get_by_role("button", name="Connect", exact=True).click()
    visitor.page.wait_for_url("**/sources?*id=*")
    visitor.settle()
    return visitor.page.get_by_text("Health", exact=True).locator(
        "xpath=ancestor::*[@data-testid='stVerticalBlock'][1]"
    )


def key_of(visitor: Visitor) -> str:
    return visitor.key("new-key-card").locator("code").inner_text().strip()


def test_segment_from_connecting_to_the_person(visitor: Visitor, house: House, product: Product) -> None:
    health = connect(visitor, house, "segment", "Website")
    assert "Waiting for the first event" in health.inner_text()
    key = key_of(visitor)
    errors: list[Exception] = []
    client = SegmentClient(key, host=product.door, on_error=lambda error, _items: errors.append(error))
    client.identify("user_ada", {"email": "ada@lovelace.example", "firstName": "Ada", "lastName": "Lovelace"})
    client.page("user_ada", "Docs", "Pricing", {"url": "https://story.example/pricing"})
    client.track("user_ada", "joined_the_club", {"level": 3, "colour": "green"})
    client.flush()
    client.join()
    assert errors == []
    visitor.until(lambda: "Received" in health.inner_text(), "what was sent, on the open page")
    visitor.until(lambda: "joined_the_club" in visitor.text, "its event, on the open page")

    visitor.until(
        lambda: visitor.table(PEOPLE).count() > 0,
        "the person among the people",
        again=lambda: visitor.open("people", ws=house.slug, q="lovelace"),
    )
    (row,) = visitor.rows(PEOPLE)
    assert row["Name"] == "Ada Lovelace"
    assert row["E-mail"] == "ada@lovelace.example"
    visitor.open("sources", ws=house.slug)
    assert "Live" in visitor.text
    visitor.open(ws=house.slug)
    assert visitor.page.get_by_test_id("stMetric").count() == 5


def test_a_key_is_shown_once(visitor: Visitor, house: House) -> None:
    connect(visitor, house, "posthog", "App")
    key = key_of(visitor)
    visitor.page.reload()
    visitor.settle()
    assert key not in visitor.page.content()
    visitor.open("keys", ws=house.slug)
    assert key not in visitor.page.content()
    assert any(key.startswith(row["Key"].rstrip("…")) for row in visitor.rows("Keys and whether they work"))


def test_stripe_from_the_secret_to_the_subscription(visitor: Visitor, house: House, product: Product) -> None:
    health = connect(visitor, house, "stripe", "Payments")
    address = visitor.page.locator("code", has_text="/hooks/stripe/").last.inner_text().strip()
    customer = {"id": "cus_1", "object": "customer", "email": "grace@hopper.example", "name": "Grace Hopper"}
    customer |= {"created": stripe_story.T0, "metadata": {}, "deleted": False}
    bodies = [
        orjson.dumps(stripe_story.event("evt_1", "customer.created", 0, customer)),
        orjson.dumps(stripe_story.event("evt_2", "customer.subscription.created", 5, stripe_story.subscription())),
    ]

    def send(body: bytes) -> int:
        header = stripe.WebhookSignature.generate_signature_header(body.decode(), STRIPE_SECRET)
        return product.deliver(address, content=body, headers={"stripe-signature": header}).status_code

    assert "No secret is set yet" in visitor.text
    assert send(bodies[0]) == 401
    visitor.page.get_by_label("Signing secret", exact=True).fill(STRIPE_SECRET)
    visitor.press("Set the secret")
    assert STRIPE_SECRET not in visitor.page.content()
    visitor.until(lambda: send(bodies[0]) == 200, "believing the new secret, two seconds later at most")
    assert send(bodies[1]) == 200
    forged = {"stripe-signature": "t=1,v1=00"}
    assert product.deliver(address, content=bodies[0], headers=forged).status_code == 401
    visitor.until(lambda: "Received" in health.inner_text(), "the webhook, on the open page")

    visitor.until(
        lambda: (
            [(row["Name"], row["MRR"]) for row in visitor.rows(PEOPLE)] == [("Grace Hopper", "$20.00")]
            if visitor.table(PEOPLE).count()
            else False
        ),
        "the customer among the people, with what they pay",
        again=lambda: visitor.open("people", ws=house.slug, q="grace@hopper.example"),
    )


def test_what_is_rejected_waits_with_its_reason(visitor: Visitor, house: House, product: Product) -> None:
    connect(visitor, house, "segment", "Careless backend")
    basic = "Basic " + base64.b64encode(f"{key_of(visitor)}:".encode()).decode()
    body = {"event": "of_nobody", "messageId": f"nobody-{time.time_ns()}"}
    answer = product.deliver(f"{product.door}/v1/track", json=body, headers={"authorization": basic})
    assert answer.status_code == 200
    visitor.until(
        lambda: visitor.table(INBOX).count() > 0,
        "the delivery that was set aside",
        again=lambda: visitor.open("inbox", ws=house.slug, state="quarantined"),
    )
    assert {row["State"] for row in visitor.rows(INBOX)} == {"Set aside"}
    visitor.open_row(INBOX)
    drawer = visitor.page.get_by_role("dialog")
    assert "of_nobody" in drawer.inner_text()
    (reject,) = visitor.rows("Items that could not be used, with the reason")
    assert len(reject["Reason"]) > 10
    drawer.get_by_role("button", name="Replay").locator("visible=true").first.click()
    visitor.page.get_by_test_id("stToast").get_by_text("applied again").wait_for()
    visitor.until(
        lambda: visitor.table(INBOX).count() > 0,
        "setting it aside again",
        again=lambda: visitor.open("inbox", ws=house.slug, state="quarantined"),
    )
    assert {row["Difference"] for row in visitor.rows(BOOKS)} == {"0"}


def test_a_small_file_with_a_mapping(visitor: Visitor, house: House, tmp_path: Path) -> None:
    file = tmp_path / "bestellungen.csv"
    file.write_text(
        "kunde,mail,was,wann,betrag\n"
        "k1,zuse@konrad.example,bestellt,2026-03-01 10:00,12.50\n"
        "k1,zuse@konrad.example,bestellt,2026-03-02 11:00,7.50\n"
        "k2,meitner@lise.example,bestellt,2026-03-03 12:00,80\n"
        "k3,noether@emmy.example,bestellt,keine Zeit,1\n"
    )
    for time_round, badge in enumerate(("Imported", "Imported before")):
        visitor.open("sources", ws=house.slug, tab="import")
        visitor.page.locator('input[type="file"]').set_input_files(file)
        visitor.page.get_by_text("What it means").wait_for()
        visitor.settle()
        for label, column in (("Person id", "kunde"), ("E-mail", "mail"), ("Event", "was"), ("Time", "wann")):
            visitor.choose(label, column)
        visitor.choose("Value", "betrag")
        currency = visitor.page.get_by_role("combobox", name="Currency").locator("visible=true").first
        currency.fill("=EUR")
        currency.press("Enter")
        visitor.press("Dry run")
        assert "€100" in visitor.text
        visitor.press("Import")
        visitor.key("import-again").wait_for()
        visitor.settle()
        said = visitor.key("import-result").inner_text()
        assert badge in said
        assert ("Imported before" in said) == (time_round == 1)
    assert "Rejected" in said
    visitor.open("people", ws=house.slug, q="zuse@konrad.example")
    assert len(visitor.rows(PEOPLE)) == 1
    visitor.open("catalogue", ws=house.slug)
    events = {row["Event"]: row for row in visitor.rows("Event types with their volume")}
    assert events["bestellt"]["In all"] == "3"


def test_the_catalogue_and_the_quality_of_it_all(visitor: Visitor, house: House) -> None:
    visitor.open("catalogue", ws=house.slug, event="joined_the_club")
    properties = {row["Property"]: row for row in visitor.rows("Properties with their types")}
    assert properties["level"]["Types"] == "number"
    assert properties["colour"]["Example"] == "green"
    visitor.page.get_by_label("Owner", exact=True).fill("Grace")
    visitor.page.get_by_label("Description", exact=True).fill("Somebody paid the membership fee.")
    visitor.press("Save")
    visitor.open("catalogue", ws=house.slug, event="joined_the_club")
    assert visitor.page.get_by_label("Owner", exact=True).input_value() == "Grace"
    visitor.open("quality", ws=house.slug)
    assert visitor.key("check-conservation").get_by_role("heading").inner_text() == "0"
