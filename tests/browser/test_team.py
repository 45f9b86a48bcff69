"""Working together: settings that matter, a colleague who may only look, keys that change hands, and who did what."""

import re

import pytest

from .conftest import Arrive, House
from .product import Product
from .visitor import Visitor

PEOPLE = "People who match the filters"
KEYS = "Keys and whether they work"


@pytest.fixture
def visitor(house: House, arrive: Arrive) -> Visitor:
    return arrive(house.owner)


@pytest.fixture(scope="module")
def key(house: House, product: Product) -> str:
    """A server key of the house."""
    return product.tracking_key(house.slug, "Backend")


def track(product: Product, key: str, **body: object) -> int:
    return product.deliver(f"{product.door}/v1/track", json=body, auth=(key, "")).status_code


def stage_of(visitor: Visitor, house: House, words: str) -> str | None:
    visitor.open("people", ws=house.slug, q=words)
    shown = visitor.rows(PEOPLE) if visitor.table(PEOPLE).count() else []
    return shown[0]["Stage"] if shown else None


def test_a_changed_event_role_changes_people(visitor: Visitor, house: House, product: Product, key: str) -> None:
    visitor.until(
        lambda: track(product, key, userId="user_joan", event="climbed_aboard", messageId="joan-1") == 200,
        "believing the new key, two seconds later at most",
    )
    visitor.until(lambda: stage_of(visitor, house, "user_joan") == "Lead", "a lead")
    visitor.open("settings", ws=house.slug, tab="roles")
    names = visitor.key("role-names-signup").get_by_role("combobox")
    names.fill("climbed_aboard")
    names.press("Enter")
    visitor.page.keyboard.press("Escape")
    visitor.key("role-save-signup").get_by_role("button").click()
    visitor.settle()
    visitor.until(lambda: stage_of(visitor, house, "user_joan") == "Trial", "the signup that the role now means")
    visitor.open("settings", ws=house.slug, tab="roles")
    assert "climbed_aboard" in visitor.key("role-names-signup").inner_text()


def test_the_workspace_writes_as_it_was_told(visitor: Visitor, house: House) -> None:
    visitor.open("settings", ws=house.slug)
    visitor.choose("Currency", "EUR")
    visitor.press("Save")
    visitor.open(ws=house.slug)
    assert "€" in visitor.text


def test_a_colleague_joins_and_may_only_look(visitor: Visitor, house: House, product: Product, arrive: Arrive) -> None:
    visitor.open("members", ws=house.slug)
    visitor.press("Invite somebody")
    dialog = visitor.page.get_by_role("dialog")
    dialog.get_by_label("E-mail", exact=True).fill(f"vera-{house.slug}@rubin.example")
    visitor.choose("Role", "Viewer")
    dialog.get_by_role("button", name="Make the link").click()
    link = visitor.key("new-link").locator("code")
    link.wait_for()
    address = link.inner_text().strip()

    colleague = arrive()
    colleague.page.goto(address)
    colleague.page.get_by_label("Your name").fill("Vera")
    colleague.page.get_by_label("Password").fill("a wide and dark galaxy")
    colleague.page.get_by_role("button", name="Join").click()
    colleague.settle()
    assert "Story house" in colleague.page.get_by_test_id("stSidebar").inner_text() or colleague.path().startswith("/")
    colleague.open("people", ws=house.slug)
    shown = colleague.rows(PEOPLE)
    assert all("•••" in row["E-mail"] for row in shown if "@" in row["E-mail"])
    assert not colleague.page.get_by_role("link", name="Export CSV").count()
    colleague.open("keys", ws=house.slug)
    assert "ask somebody whose role is" in colleague.text
    colleague.open("sources", ws=house.slug)
    assert not colleague.page.get_by_role("button", name="Connect").count()
    other = arrive()
    other.allowed.append(r"\b40[01]\b")
    other.page.goto(address)
    assert other.page.get_by_label("Password").count() == 0

    visitor.open("members", ws=house.slug)
    assert "Vera" in visitor.text
    card = visitor.page.locator('[class*="st-key-member-"]').filter(has_text="Vera")
    card.get_by_role("button", name="Remove").locator("visible=true").first.click()
    visitor.page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
    visitor.page.get_by_role("dialog").wait_for(state="hidden")
    colleague.page.get_by_test_id("stSidebar").get_by_role("link", name="People").click()
    colleague.page.wait_for_url(re.compile("/login"))


def test_a_key_is_rotated_with_overlap_and_revoked(visitor: Visitor, house: House, product: Product, key: str) -> None:
    def row() -> int:
        return next(n for n, shown in enumerate(visitor.rows(KEYS)) if shown["Name"] == "Backend")

    visitor.open("keys", ws=house.slug)
    visitor.open_row(KEYS, row())
    visitor.page.get_by_role("dialog").get_by_role("button", name="Rotate", exact=True).click()
    card = visitor.key("new-key-card").locator("code")
    card.wait_for()
    newer = card.inner_text().strip()
    visitor.settle()
    states = sorted(shown["State"] for shown in visitor.rows(KEYS) if shown["Name"] == "Backend")
    assert states == ["Ends", "Works"]
    for each in (key, newer):
        visitor.until(
            lambda each=each: track(product, each, userId="user_joan", event="after_rotation") == 200,
            "both keys working",
        )

    ends = next(n for n, shown in enumerate(visitor.rows(KEYS)) if shown["State"] == "Ends")
    visitor.open_row(KEYS, ends)
    visitor.page.get_by_role("dialog").get_by_role("button", name="Revoke at once").click()
    visitor.page.get_by_role("dialog").wait_for(state="hidden")
    visitor.settle()
    visitor.until(lambda: track(product, key, userId="user_joan", event="late") == 401, "refusing the revoked key")
    assert track(product, newer, userId="user_joan", event="in_time") == 200


def test_the_audit_log_tells_it_all(visitor: Visitor, house: House) -> None:
    visitor.open("audit", ws=house.slug)
    done = {row["Did"] for row in visitor.rows("Changes, newest first")}
    assert {"Keys revoke", "Keys rotate", "Members remove", "Members join", "Members invite"} <= done, done
    assert len(done & {"Settings write", "Event roles write"}) == 1, done
    visitor.press("Check the log")
    assert "The log is intact" in visitor.text
