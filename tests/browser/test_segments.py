"""A growth person says whom they mean by clicking: the count follows, nothing is lost, and the worker finds the same people."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from gdp_core import clock
from gdp_core.accounts.roles import Principal, Role
from gdp_core.db import rows
from gdp_core.segments import keeping, membership, rules

from .conftest import Arrive, House
from .product import Product
from .visitor import Visitor

SAMPLE = "Some of the people the rule means"


@pytest.fixture(scope="module")
def studio(product: Product) -> House:
    """A workspace of people who render, who checked out and who went away."""
    slug = product.workspace("Studio")
    now, calls = clock.now(), list[dict[str, Any]]()

    def did(user: str, name: str, ago: timedelta, **properties: Any) -> None:
        at = (now - ago).isoformat()
        number = f"{user}-{len(calls)}"
        calls.append(
            {
                "type": "track",
                "userId": user,
                "event": name,
                "messageId": number,
                "timestamp": at,
                "properties": properties,
            }
        )

    day, hour = timedelta(days=1), timedelta(hours=1)
    did("asleep", "letter_sent", 70 * day)
    did("awake", "letter_sent", 70 * day)
    did("awake", "letter_created", 10 * day)
    did("never", "letter_created", 80 * day)
    for user, renders, batch in (("power", 10, 5), ("nearly", 9, 5), ("once", 12, 40)):
        for number in range(renders):
            did(user, "video_rendered", (number + 1) * hour)
        did(user, "batch_render_completed", batch * day)
    did("leaves", "checkout_started", 5 * hour, checkout_id="c1")
    calls.append(
        {
            "type": "identify",
            "userId": "leaves",
            "messageId": "lea",
            "traits": {"name": "Lea Vega", "company": "Vega Letters"},
        }
    )
    did("buys", "checkout_started", 5 * hour, checkout_id="c2")
    did("buys", "purchase_completed", 4.5 * hour, checkout_id="c2")
    did("buys another", "checkout_started", 6 * hour, checkout_id="c3")
    did("buys another", "purchase_completed", 3 * hour, checkout_id="c4")
    did("thinks", "checkout_started", hour, checkout_id="c5")
    key = product.tracking_key(slug, "Studio")
    assert product.deliver(f"{product.door}/v1/batch", json={"batch": calls}, auth=(key, "")).status_code == 200
    return House(slug, product.member("OWNER", slug))


@pytest.fixture
def visitor(studio: House, arrive: Arrive) -> Visitor:
    """At an empty builder, when everything was counted."""
    found = arrive(studio.owner)
    found.open("funnels", ws=studio.slug)
    found.until(
        lambda: "Entered" in found.text or "Nobody entered" in found.text,
        "the counting",
        again=lambda: found.open("funnels", ws=studio.slug),
    )
    found.open("builder", ws=studio.slug)
    assert "Begin with one of these" in found.text
    return found


@pytest.fixture(autouse=True)
def _nothing_left(studio: House, product: Product) -> Iterator[None]:
    yield
    workspace, now = product.workspace_id(studio.slug), clock.now()
    who = Principal.system(workspace)
    with product.pool("gdp_web").transaction(workspace) as session:
        for one in keeping.list_segments(session):
            keeping.delete(session, who, one.id, now=now)
        keeping.discard_draft(session, Principal(studio.owner, "owner", workspace, Role.OWNER), None)


def events(visitor: Visitor, label: str, *names: str) -> None:
    """Pick events, as whoever types their names does."""
    box = visitor.page.get_by_role("combobox", name=label, exact=True).locator("visible=true").first
    for name in names:
        box.click()
        box.fill(name)
        visitor.page.get_by_role("option", name=name).first.click()
        visitor.settle()
    visitor.page.keyboard.press("Escape")


def add(visitor: Visitor, kind: str) -> None:
    """One more condition at the end of the outermost group."""
    visitor.page.get_by_role("button", name="Add a condition").locator("visible=true").last.click()
    visitor.page.get_by_role("menuitem", name=kind).click()
    visitor.settle()


def count(visitor: Visitor) -> str:
    """How many people, as the page says it."""
    found: str = visitor.key("builder-answer").get_by_test_id("stMetricValue").inner_text()
    return found.strip()


def save(visitor: Visitor, name: str) -> UUID:
    """Save it; returns its id."""
    visitor.press("Save…")
    visitor.write("Name", name)
    visitor.press("Save the segment")
    visitor.page.get_by_text("Nothing is changed.").wait_for()
    return UUID(visitor.path().partition("id=")[2].partition("&")[0])


@pytest.fixture(scope="module")
def asking(studio: House, product: Product) -> str:
    """A key that may ask about segments."""
    return product.tracking_key(studio.slug, "Asking", role=Role.VIEWER)


def by_the_api(product: Product, studio: House, key: str, segment: UUID) -> str:
    """How many people the rule of a segment means, as another program is told through the door."""
    with product.pool("gdp_web").transaction(product.workspace_id(studio.slug), read_only=True) as session:
        rule = keeping.read_segment(session, segment).rule
    answer = product.deliver(
        f"{product.door}/api/v1/segments/preview",
        json={"rule": rule.plain},
        headers={"Authorization": f"Bearer {key}"},
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["people"])


def members(visitor: Visitor, product: Product, studio: House, segment: UUID) -> list[str]:
    """Whom the worker found, by their user ids."""
    workspace = product.workspace_id(studio.slug)
    pool = product.pool("gdp_web")

    def counted() -> datetime | None:
        with pool.transaction(workspace, read_only=True) as session:
            return keeping.read_segment(session, segment).evaluated_at

    visitor.until(lambda: counted() is not None, "the segment's first counting")
    with pool.transaction(workspace, read_only=True) as session:
        people = [one.person_id for one in membership.read_members(session, segment)]
        found = rows(
            session,
            "SELECT external_id FROM actor WHERE namespace = 'user' AND person_id = ANY(:people) ORDER BY 1",
            people=people,
        )
    return [row.external_id for row in found]


def test_at_risk_churners(visitor: Visitor, studio: House, product: Product, asking: str) -> None:
    """Days since last active more than 60, and letters sent more than 0."""
    visitor.press("A feature")
    for feature, number, value in (
        ("Days since last active", "60", "Value (days)"),
        ("Letters sent, 90 d", "0", "Value"),
    ):
        if number == "0":
            add(visitor, "A feature")
        visitor.choose("Feature", feature)
        visitor.choose("Comparison", "more than")
        visitor.write(value, number)
    assert count(visitor) == "1"
    said = visitor.key("builder-answer").inner_text()
    assert "Days since last active" in said
    assert "more than 60" in said
    shown = count(visitor)
    segment = save(visitor, "At-risk churners")
    assert by_the_api(product, studio, asking, segment) == shown
    assert members(visitor, product, studio, segment) == ["asleep"]


def test_a_text_that_was_typed_and_left_counts(visitor: Visitor) -> None:
    visitor.press("A field of the person")
    visitor.choose("Field", "Company")
    visitor.choose("Comparison", "contains")
    box = visitor.page.get_by_role("textbox", name="Value")
    box.fill("Vega")
    box.press("Tab")
    visitor.settle()
    assert count(visitor) == "1"
    assert "contains Vega" in visitor.key("builder-answer").inner_text()
    for name in ("Undo", "Redo"):  # what a button says stays within it
        button = visitor.button(re.compile(f"^{name}"))
        assert button.evaluate("button => button.scrollWidth <= button.clientWidth")


def test_power_users_survive_a_reload_and_can_be_undone(
    visitor: Visitor, studio: House, product: Product, asking: str
) -> None:
    """Video_rendered at least 10 times and batch_render_completed at least once in 30 days."""
    visitor.press("Did something")
    events(visitor, "Did", "video_rendered")
    visitor.write("Times", "10")
    assert count(visitor) == "2"
    visitor.page.reload()
    visitor.settle()
    assert "Draft, not saved" in visitor.prose
    assert count(visitor) == "2"
    add(visitor, "Did something")
    events(visitor, "Did", "batch_render_completed")
    visitor.choose("When", "In the last")
    assert count(visitor) == "1"
    visitor.press(re.compile("^Undo"))
    visitor.settle()
    assert count(visitor) == "2"
    visitor.press(re.compile("^Redo"))
    visitor.settle()
    assert count(visitor) == "1"
    shown = count(visitor)
    segment = save(visitor, "Power users")
    assert by_the_api(product, studio, asking, segment) == shown
    assert members(visitor, product, studio, segment) == ["power"]


def test_checkout_started_no_purchase_4h_and_why(
    visitor: Visitor, studio: House, product: Product, asking: str
) -> None:
    """Checkout_started at least 4 hours ago and no purchase since, of the same checkout."""
    visitor.press("Did this, and not that since")
    events(visitor, "Did this", "checkout_started")
    events(visitor, "And not this since", "purchase_completed")
    visitor.write("At least so long ago", "4")
    visitor.page.get_by_role("combobox", name="Unit").locator("visible=true").first.click()
    visitor.page.get_by_role("option", name="hours").click()
    visitor.settle()
    visitor.choose("With the same", "checkout_id")
    assert count(visitor) == "2"
    shown = count(visitor)
    segment = save(visitor, "checkout_started_no_purchase_4h")
    assert by_the_api(product, studio, asking, segment) == shown
    assert members(visitor, product, studio, segment) == ["buys another", "leaves"]

    visitor.open("segment", ws=studio.slug, id=segment.hex, tab="people")
    assert len(visitor.rows("People of checkout_started_no_purchase_4h")) == 2
    visitor.open("segment", ws=studio.slug, id=segment.hex)
    visitor.page.get_by_role("radio", name="Why").click()
    visitor.settle()
    visitor.page.get_by_label("Find a person").fill("vega")
    visitor.page.get_by_role("button", name="Lea Vega").first.click()
    visitor.settle()
    assert "In the segment" in visitor.prose
    assert "Did it, and nothing followed" in visitor.prose


def act(visitor: Visitor, name: str) -> None:
    """Choose what to do with the segment whose page is open."""
    visitor.page.get_by_role("button", name="More").locator("visible=true").first.click()
    visitor.page.get_by_role("menuitem", name=name).click()
    visitor.settle()


def test_every_dialog_to_its_last_click(visitor: Visitor, studio: House, product: Product) -> None:
    """Renamed, restored to an earlier version, copied, turned on and off, deleted and brought back, both ways."""
    workspace = product.workspace_id(studio.slug)
    pool, who = product.pool("gdp_web"), Principal.system(workspace)

    def rule(times: int) -> rules.Rule:
        did = {"kind": "performed", "event": {"names": ["video_rendered"]}, "times": times}
        return rules.read({"version": 1, "match": {"kind": "all", "of": [did]}})

    with pool.transaction(workspace) as session:
        made = keeping.create(session, who, "Renderers", rule(1), enabled=False, now=clock.now())
        keeping.change(session, who, made.id, rule(10), expected_version=1, now=clock.now())

    def kept(segment: UUID = made.id) -> keeping.Segment:
        with pool.transaction(workspace, read_only=True) as session:
            return keeping.read_segment(session, segment)

    visitor.open("segment", ws=studio.slug, id=made.id.hex)
    assert "2 of" in visitor.prose
    visitor.press("Turn on…")
    visitor.press("Turn on")
    assert kept().enabled
    visitor.until(lambda: "Version 2 · counted" in visitor.prose, "the first counting, without a reload")
    act(visitor, "Rename…")
    visitor.write("Name", "Who renders")
    visitor.write("Goal of its people", "Render more")
    visitor.press("Save")
    assert (kept().name, kept().goal) == ("Who renders", "Render more")
    assert "Who renders" in visitor.prose

    visitor.page.get_by_role("radio", name="Versions").click()
    visitor.settle()
    visitor.press("Restore")
    asked = visitor.page.get_by_role("dialog")
    assert "+1 enter and −0 leave" in asked.inner_text()
    asked.get_by_role("button", name="Restore").click()
    visitor.settle()
    assert (kept().version, kept().rule) == (3, rule(1))
    act(visitor, "Turn off")
    assert not kept().enabled

    act(visitor, "Duplicate")
    copy = UUID(visitor.path().partition("id=")[2].partition("&")[0])
    assert (kept(copy).name, kept(copy).rule) == ("Who renders (copy)", rule(1))
    act(visitor, "Delete…")
    visitor.press("Delete")
    assert visitor.path().startswith("/segments")
    visitor.press("Undo")
    assert kept(copy).name == "Who renders (copy)"
    visitor.open("segment", ws=studio.slug, id=copy.hex)
    act(visitor, "Delete…")
    visitor.press("Delete")
    visitor.page.get_by_text("Deleted · ").click()
    visitor.settle()
    visitor.page.get_by_role("button", name="Restore").locator("visible=true").first.click()
    visitor.settle()
    assert kept(copy).name == "Who renders (copy)"


def test_the_keyboard_alone(visitor: Visitor) -> None:
    """Every control is reached by Tab, and Enter commits."""
    visitor.button("Did something").focus()
    visitor.page.keyboard.press("Enter")
    visitor.settle()
    times = visitor.page.get_by_label("Times", exact=True).locator("visible=true").first
    times.focus()
    times.fill("11")
    visitor.page.keyboard.press("Enter")
    visitor.settle()
    assert "at least 11 times" in visitor.prose
    reached = set[str]()
    visitor.page.keyboard.press("Tab")
    for _ in range(40):
        reached.add(
            visitor.page.evaluate("document.activeElement.innerText || document.activeElement.ariaLabel || ''").strip()
        )
        visitor.page.keyboard.press("Tab")
    assert any("Add a condition" in name for name in reached)
    assert any("Add a group" in name for name in reached)


def test_the_keyboard_stays_where_it_is(visitor: Visitor) -> None:
    """Whatever changes around it; and what was typed before a click counts."""
    visitor.press("Did something")
    visitor.page.get_by_role("radio", name="All of these").first.focus()
    visitor.page.keyboard.press("ArrowRight")
    visitor.page.keyboard.press("Space")
    visitor.settle()
    assert visitor.page.get_by_role("radio", name="Any of these", checked=True).count() == 1
    assert visitor.page.evaluate("document.activeElement.innerText").strip() == "Any of these"
    visitor.page.keyboard.press("Control+z")
    visitor.settle()
    assert visitor.page.get_by_role("radio", name="All of these", checked=True).count() == 1
    times = visitor.page.get_by_label("Times", exact=True).locator("visible=true").first
    times.fill("9")
    visitor.press("Add a filter")
    assert times.input_value() == "9"
    visitor.page.locator('[class*="-where-0-remove"] button').locator("visible=true").first.click()
    visitor.settle()
    assert "at least 9 times" in visitor.prose


@pytest.mark.parametrize("dark", [False, True])
def test_a_narrow_window_holds_it(arrive: Arrive, studio: House, dark: bool) -> None:
    visitor = arrive(studio.owner, dark=dark, size=(1024, 768))
    for page in ("segments", "builder"):
        visitor.open(page, ws=studio.slug)
        assert visitor.too_wide() == []
        assert visitor.failures() == []
