"""A growth person's first day, from the printed link to one person's whole story."""

import re
from uuid import UUID

import pytest

from gdp_core.db import one, rows

from .conftest import Arrive
from .product import DEMO, SECOND_BRAND, Product
from .visitor import ICON, NAME, Visitor, first_event

ADDRESS = "grace@paperlark.example"
PASSWORD = "a long walk to the river"
PEOPLE = "People who match the filters"
TIMELINE = "Timeline, newest first"


@pytest.fixture(scope="module")
def touched(product: Product) -> dict[str, str]:
    """A demo person who was on the web and in the app, got e-mails and pays, with one identifier of each kind.

    The demo ends with the hour it was filled in, so it may be anybody: nobody with a payment that failed, a subscription
    that ended or a tablet they share.
    """
    workspace = product.workspace_id(DEMO)
    with product.pool("gdp_web").transaction(workspace, read_only=True) as session:
        found = one(
            session,
            "SELECT p.id, p.name, p.email FROM person p JOIN actor a ON a.person_id = p.id"
            " JOIN event e ON e.actor_id = a.id WHERE p.mrr_micros > 0"
            " AND NOT EXISTS (SELECT 1 FROM subscription s JOIN actor o ON o.id = s.actor_id"
            " WHERE o.person_id = p.id AND s.status <> 'active')"
            " AND NOT EXISTS (SELECT 1 FROM merge_review r JOIN actor o ON o.id IN (r.a, r.b) WHERE o.person_id = p.id)"
            " GROUP BY p.id, p.name, p.email"
            " HAVING count(DISTINCT e.source) = 4 AND count(*) > 120 ORDER BY count(*), p.id LIMIT 1",
        )
        kinds = rows(session, "SELECT namespace, external_id FROM actor WHERE person_id = :id ORDER BY id", id=found.id)
    return {"id": str(found.id), "name": found.name, "e-mail": found.email} | {
        row.namespace: row.external_id for row in kinds
    }


def sign_in(visitor: Visitor) -> None:
    visitor.page.get_by_label("E-mail address").fill(ADDRESS)
    visitor.page.get_by_label("Password").fill(PASSWORD)
    visitor.page.get_by_role("button", name="Sign in").click()
    visitor.settle()


# Arriving


def test_the_printed_link_leads_to_the_overview(product: Product, arrive: Arrive) -> None:
    first = arrive()
    for _ in range(2):  # a mail scanner that opens it uses nothing up
        first.page.goto(product.sign_in_address)
    assert first.page.get_by_role("heading", name="Welcome").is_visible()
    first.page.get_by_label("Your name").fill("Grace")
    first.page.get_by_label("E-mail address").fill(ADDRESS)
    first.page.get_by_label("Password").fill(PASSWORD)
    first.page.get_by_role("button", name="Continue").click()
    first.settle()
    assert first.page.get_by_role("heading", name="Overview").is_visible()
    assert "Demo data" in first.page.get_by_test_id("stSidebar").inner_text()

    late = arrive()
    late.allowed.append(r"\b401\b")
    late.page.goto(product.sign_in_address)
    said = late.page.locator("body").inner_text()
    assert "link" in said
    assert late.page.get_by_role("link", name="Go to sign-in").is_visible()


def test_a_deep_link_survives_signing_in_and_out(product: Product, arrive: Arrive) -> None:
    visitor = arrive()
    visitor.page.goto(f"{product.dashboard}/people?ws={SECOND_BRAND}&stage=active")
    assert visitor.path().startswith("/login?next=")
    sign_in(visitor)
    assert visitor.path() == f"/people?ws={SECOND_BRAND}&stage=active"
    assert {row["Stage"] for row in visitor.rows(PEOPLE)} == {"Active"}

    visitor.page.get_by_test_id("stSidebar").get_by_role("button", name="Grace").click()
    visitor.page.get_by_role("button", name="Sign out").click()
    visitor.page.wait_for_url(re.compile("/login"))
    visitor.page.goto(f"{product.dashboard}/people?ws={SECOND_BRAND}&stage=churned")
    sign_in(visitor)
    assert visitor.path() == f"/people?ws={SECOND_BRAND}&stage=churned"


def test_a_wrong_password_says_so(product: Product, arrive: Arrive) -> None:
    visitor = arrive()
    visitor.allowed.append(r"\b401\b")
    visitor.page.goto(f"{product.dashboard}/login")
    visitor.page.get_by_label("E-mail address").fill(ADDRESS)
    visitor.page.get_by_label("Password").fill("not this one at all")
    visitor.page.get_by_role("button", name="Sign in").click()
    assert visitor.page.get_by_role("alert").inner_text() == "The e-mail address or the password is wrong."


def test_the_switcher_leads_to_the_second_brand(owner: UUID, arrive: Arrive) -> None:
    visitor = arrive(owner)
    visitor.open(ws=DEMO)
    assert "$" in visitor.text
    visitor.choose("Workspace", "Hearthnote")
    assert f"ws={SECOND_BRAND}" in visitor.path()
    assert "€" in visitor.text
    assert "$" not in visitor.text


# Finding somebody


@pytest.mark.parametrize("by", ["name", "e-mail", "anonymous", "stripe", "user"])
def test_a_person_is_found_by(by: str, owner: UUID, arrive: Arrive, touched: dict[str, str]) -> None:
    visitor = arrive(owner)
    visitor.open("people", ws=DEMO)
    visitor.page.get_by_label("Search", exact=True).fill(touched[by])
    visitor.page.wait_for_url(re.compile("[?&]q="))
    visitor.settle()
    found = visitor.rows(PEOPLE)
    assert touched["e-mail"] in {row["E-mail"] for row in found}
    if by != "name":
        assert len(found) == 1


@pytest.mark.parametrize("way", ["icon", "name", "keyboard"])
def test_from_the_list_through_the_drawer_and_back(
    way: str, owner: UUID, arrive: Arrive, touched: dict[str, str]
) -> None:
    visitor = arrive(owner)
    visitor.open("people", ws=DEMO, q=touched["e-mail"])
    drawer = visitor.page.get_by_role("dialog")
    if way == "keyboard":
        visitor.page.get_by_role("combobox", name="Open somebody by name").focus()
        visitor.page.keyboard.type(touched["name"][:6])
        visitor.page.keyboard.press("Enter")
        drawer.wait_for()
        visitor.settle()
    else:
        visitor.open_row(PEOPLE, at={"icon": ICON, "name": NAME}[way])
    assert touched["name"] in drawer.inner_text()
    drawer.get_by_role("link", name="Open full profile").click()
    visitor.page.wait_for_url("**/person?*")
    visitor.settle()
    assert f"id={touched['id']}" in visitor.path()
    assert visitor.page.get_by_role("heading", name=touched["name"]).is_visible()
    visitor.page.go_back()
    visitor.page.wait_for_url("**/people?*")
    visitor.settle()
    assert [row["E-mail"] for row in visitor.rows(PEOPLE)] == [touched["e-mail"]]


def test_the_list_turns_its_pages_and_keeps_its_filter_on_reload(owner: UUID, arrive: Arrive) -> None:
    visitor = arrive(owner)
    visitor.open("people", ws=DEMO, known="known")
    first = visitor.rows(PEOPLE)
    visitor.key("people-next").get_by_role("button").click()
    visitor.page.wait_for_url(re.compile("[?&]n=51"))
    visitor.settle()
    second = visitor.rows(PEOPLE)
    visitor.page.reload()
    visitor.settle()
    assert visitor.rows(PEOPLE) == second
    assert "51–100 of" in visitor.text
    visitor.key("people-previous").get_by_role("button").click()
    visitor.page.wait_for_url(lambda url: "n=51" not in url)
    visitor.settle()
    assert visitor.rows(PEOPLE) == first
    assert {row["E-mail"] for row in first}.isdisjoint({row["E-mail"] for row in second} - {"–"})


def test_the_list_is_taken_away_as_a_file(owner: UUID, arrive: Arrive, touched: dict[str, str]) -> None:
    visitor = arrive(owner)
    visitor.open("people", ws=DEMO, q=touched["e-mail"])
    with visitor.page.expect_download() as caught:
        visitor.page.get_by_role("link", name="Export CSV").click()
    heading, *lines = caught.value.path().read_text(encoding="utf-8-sig").splitlines()
    assert "email" in heading.lower()
    assert len(lines) == 1
    assert touched["e-mail"] in lines[0]


# One person's story


@pytest.mark.parametrize(("dark", "size"), [(False, (1440, 900)), (True, (1024, 768))])
def test_one_timeline_holds_every_touch(
    dark: bool, size: tuple[int, int], owner: UUID, arrive: Arrive, touched: dict[str, str]
) -> None:
    visitor = arrive(owner, dark=dark, size=size)
    for source in ("web", "app", "email", "stripe"):
        visitor.open("person", ws=DEMO, id=touched["id"], **{"from": source})
        shown = {"email": "E-mail"}.get(source, source.title())
        assert {row["Source"] for row in visitor.rows(TIMELINE)} == {shown}
    visitor.open("person", ws=DEMO, id=touched["id"])
    latest = [row["When"] for row in visitor.rows(TIMELINE)]
    visitor.press("Older")
    older = visitor.rows(TIMELINE)
    assert older
    assert latest[0] not in [row["When"] for row in older]
    opened = first_event(older)
    visitor.open_row(TIMELINE, opened)
    assert older[opened]["What"] in visitor.page.get_by_role("dialog").inner_text()
    visitor.close_drawer()
    visitor.press("Newest")
    assert [row["When"] for row in visitor.rows(TIMELINE)] == latest
    assert visitor.too_wide() == []


def test_billing_and_mail_of_one_person(owner: UUID, arrive: Arrive, touched: dict[str, str]) -> None:
    visitor = arrive(owner)
    visitor.open("person", ws=DEMO, id=touched["id"], tab="billing")
    assert visitor.rows("Subscriptions")[0]["Status"] == "Active"
    assert visitor.rows("Payments, newest first")
    visitor.open("person", ws=DEMO, id=touched["id"], tab="mail")
    assert visitor.rows("E-mails, newest first")
    visitor.open("person", ws=DEMO, id=touched["id"], tab="traits")
    assert touched["e-mail"] in {row["Value"] for row in visitor.rows("Traits and where each came from")}


def test_identifiers_come_apart_and_together_again(owner: UUID, arrive: Arrive, touched: dict[str, str]) -> None:
    visitor = arrive(owner)
    visitor.open("person", ws=DEMO, id=touched["id"], tab="identity")
    before = {row["Identifier"] for row in visitor.rows("Identifiers of this person")}
    assert {touched["anonymous"], touched["stripe"]} < before
    evidence = visitor.rows("Statements that join identifiers")
    assert {row["State"] for row in evidence} == {"Joined"}
    assert {row["Said by"] for row in evidence} >= {"Stripe", "Website"}

    visitor.page.get_by_role("combobox", name="Split off").click()
    visitor.page.get_by_role("option", name=re.compile(re.escape(touched["stripe"]))).click()
    visitor.page.keyboard.press("Escape")
    visitor.settle()
    visitor.press("Split off…")
    dialog = visitor.page.get_by_role("dialog")
    assert "You can take it back" in dialog.inner_text()
    dialog.get_by_role("button", name="Split off").click()
    dialog.wait_for(state="hidden")
    visitor.settle()
    left = {row["Identifier"] for row in visitor.rows("Identifiers of this person")}
    assert left == before - {touched["stripe"]}
    assert "Taken apart" in visitor.text

    visitor.press("Take back")
    visitor.open("person", ws=DEMO, id=touched["id"], tab="identity")
    assert {row["Identifier"] for row in visitor.rows("Identifiers of this person")} == before


def test_a_refused_merge_is_dismissed_reopened_and_accepted(owner: UUID, arrive: Arrive) -> None:
    visitor = arrive(owner)
    visitor.open("reviews", ws=DEMO)
    assert "Refused" in visitor.text
    visitor.press("Not the same")
    assert "Nothing to review" in visitor.text
    visitor.open("reviews", ws=DEMO, status="dismissed")
    visitor.press("Review again")
    visitor.open("reviews", ws=DEMO)
    names = [link.inner_text() for link in visitor.page.locator('[class*="st-key-review-"] a').all()]
    visitor.press("Merge…")
    dialog = visitor.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Merge", exact=True).click()
    dialog.wait_for(state="hidden")
    visitor.settle()
    visitor.open("reviews", ws=DEMO, status="accepted")
    assert len(names) == 2
    merged = [link.get_attribute("href") for link in visitor.page.locator('[class*="st-key-review-"] a').all()]
    assert len(merged) == 2
    assert merged[0] == merged[1]
