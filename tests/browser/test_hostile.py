"""What strangers send is text on every page: no markup, no request, no dialog, no link that leads elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import pytest

from gdp_core import clock
from gdp_core.accounts import members
from gdp_core.accounts.roles import Principal, Role
from gdp_core.db import rows
from pages.ui.escape import clean, storable
from pages.ui.people import _COLUMNS as COLUMNS
from tests.payloads import EVIL
from tests.payloads import PAYLOADS as SHORT

from .conftest import Arrive
from .product import Product
from .visitor import ICON, NAME, Visitor, first_event

PAYLOADS = [*SHORT, "x" * 10_000, "word " * 2_000, "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!", "מזל טוב \u2067שלום\u2069 مرحبا", "👩‍👩‍👧‍👦🏴‍☠️🇩🇪"]
USUAL = (0, len(SHORT))  # the people that the short run opens
PAGES = (
    "",
    "people",
    "reviews",
    "sources",
    "inbox",
    "catalogue",
    "quality",
    "jobs",
    "settings",
    "members",
    "keys",
    "audit",
)
SETTINGS = ("roles", "internal", "plans", "rates", "identity", "retention", "danger")
TABS = ("timeline", "identity", "traits", "billing", "mail")
PEOPLE = "People who match the filters"
TIMELINE = "Timeline, newest first"

_HARM = """
() => {
  const found = []
  const ours = [location.origin, 'blob:', 'data:']
  for (const element of document.querySelectorAll('[href],[src],[action],[srcdoc],[data]')) {
    for (const name of ['href', 'src', 'action', 'srcdoc', 'data']) {
      const value = element[name]
      if (typeof value === 'string' && value && !ours.some((start) => value.startsWith(start))) {
        found.push(`${element.tagName} ${name}=${value.slice(0, 100)}`)
      }
    }
  }
  for (const element of document.querySelectorAll('#root script, #root iframe, #root object, #root embed, #root style')) {
    found.push(element.outerHTML.slice(0, 200))
  }
  for (const element of document.querySelectorAll('#root *')) {
    for (const attribute of element.attributes) {
      if (/^on/i.test(attribute.name)) found.push(`${element.tagName} ${attribute.name}=${attribute.value.slice(0, 100)}`)
    }
  }
  return found
}
"""


@dataclass(frozen=True)
class Den:
    """A workspace full of hostile people."""

    slug: str
    owner: UUID
    people: tuple[str, ...]  # ids, in the order of PAYLOADS


@pytest.fixture(scope="module")
def den(product: Product) -> Den:
    """One person for each payload, who has it in every field the door takes; what can be named bears one too."""
    slug = product.workspace(f"<b>![w]({EVIL}/w.png)</b> [x](javascript:alert(1))", slug="den")
    owner = product.member("OWNER", slug, name=SHORT[0])
    workspace_id, now = product.workspace_id(slug), clock.now()
    with product.pool("gdp_web").transaction(workspace_id) as session:
        who = Principal.system(workspace_id)
        members.invite(session, who, email="![x](http@evil.example", role=Role.VIEWER, now=now)
    server = product.tracking_key(slug, f"![server]({EVIL}/key.png)")
    browser = product.tracking_key(slug, f"[browser]({EVIL})", kind="browser")
    for number, payload in enumerate(PAYLOADS):
        _send(product, server, _calls(number, payload))
    _send(product, browser, [{"type": "identify", "anonymousId": "shared", "userId": f"hostile_{n}"} for n in (0, 7)])
    found: dict[str, str] = {}
    for _ in range(600):
        with product.pool("gdp_web").transaction(workspace_id, read_only=True) as session:
            known = rows(
                session,
                "SELECT external_id, person_id FROM actor WHERE namespace = 'user' AND external_id LIKE 'hostile%'",
            )
            waiting = rows(session, "SELECT 1 FROM inbox WHERE state = 'pending' LIMIT 1")
        found = {row.external_id: str(row.person_id) for row in known}
        if len(found) == len(PAYLOADS) and not waiting:
            return Den(slug, owner, tuple(found[f"hostile_{number}"] for number in range(len(PAYLOADS))))
        product.rest(0.5)
    raise AssertionError(f"only {len(found)} of {len(PAYLOADS)} hostile people came through")


def _calls(number: int, payload: str) -> list[dict[str, object]]:
    user, name, some = f"hostile_{number}", payload[:120].strip() or "blank", payload[:500]
    fields = "lastName company industry phone plan title avatar website description".split()
    context = {
        "page": {"url": f"https://x.example/?q={some}", "referrer": some, "title": some, "path": some},
        "campaign": dict.fromkeys(("name", "source", "medium", "term", "content"), some),
        "userAgent": some,
        "library": {"name": some, "version": some},
    }
    own = {"userId": user, "context": context}
    traits = dict.fromkeys(fields, some) | {"name": payload, "firstName": payload, name: some}
    properties = {"text": payload, name: [some, {name: some}], "value": some, "currency": some}
    return [
        {"type": "identify", **own, "traits": traits | {"email": f"h{number}@evil.example"}},
        {"type": "track", **own, "event": name, "properties": properties},
        {"type": "page", **own, "name": some, "category": some, "properties": {"url": payload, "title": some}},
        {"type": "group", **own, "groupId": name, "traits": {"name": payload}},
        {"type": "track", "anonymousId": name, "event": "said_hello", "properties": {"text": some}},
        {"type": "track", "event": name, "properties": {"text": some}},  # of nobody: shown with the reason
    ]


def _send(product: Product, key: str, calls: list[dict[str, object]]) -> None:
    for _ in range(20):
        answer = product.deliver(f"{product.door}/v1/batch", json={"batch": calls}, auth=(key, ""))
        if answer.status_code != 401:  # a new key is believed two seconds later at most
            break
        product.rest(0.5)
    assert answer.status_code == 200, answer.text


def harm(visitor: Visitor) -> list[str]:
    """Everything hostile text achieved on the page as it is now."""
    visitor.page.wait_for_timeout(150)
    found = [*visitor.page.evaluate(_HARM), *visitor.failures(), *visitor.trouble, *visitor.too_wide()]
    visitor.trouble.clear()
    return [f"{visitor.path()}: {line}" for line in found]


@pytest.fixture
def visitor(den: Den, arrive: Arrive) -> Iterator[Visitor]:
    visitor = arrive(den.owner, size=(1024, 768))
    yield visitor
    assert visitor.page.evaluate("window.pwned === undefined")


def test_every_page(den: Den, visitor: Visitor) -> None:
    visitor.open(ws=den.slug)
    found = []
    for page in PAGES:
        visitor.go(page, ws=den.slug)
        found += harm(visitor)
    for tab in SETTINGS:
        visitor.go("settings", ws=den.slug, tab=tab)
        found += harm(visitor)
    visitor.go("people", ws=den.slug, cols=",".join(COLUMNS))
    found += harm(visitor)
    assert visitor.table(PEOPLE).count()
    assert not found, "\n".join(found)


def test_every_drawer(den: Den, visitor: Visitor) -> None:
    found = []
    for page, table in (
        ("people", PEOPLE),
        ("inbox", "Deliveries that match the filters"),
        ("keys", "Keys and whether they work"),
    ):
        visitor.open(page, ws=den.slug)
        for row in range(2):
            visitor.open_row(table, row, at=ICON if page == "inbox" or row else NAME)
            found += harm(visitor)
            visitor.close_drawer()
    visitor.open("inbox", ws=den.slug, state="quarantined")
    if visitor.table("Deliveries that match the filters").count():
        visitor.open_row("Deliveries that match the filters")
        found += harm(visitor)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "number", [pytest.param(n, marks=[] if n in USUAL else [pytest.mark.heavy]) for n in range(len(PAYLOADS))]
)
def test_every_person(number: int, den: Den, visitor: Visitor) -> None:
    visitor.open(ws=den.slug)
    found = []
    for tab in TABS:
        visitor.go("person", ws=den.slug, id=den.people[number], tab=tab)
        found += harm(visitor)
        if tab == "traits":  # it is there, as text
            shown = {row["Value"] for row in visitor.rows("Traits and where each came from")}
            assert clean(storable(PAYLOADS[number])[:500]) in shown
    visitor.go("person", ws=den.slug, id=den.people[number])
    visitor.open_row(TIMELINE, first_event(visitor.rows(TIMELINE)))
    found += harm(visitor)
    event = PAYLOADS[number][:120].strip() or "blank"
    visitor.go("catalogue", ws=den.slug, event=event)
    found += harm(visitor)
    visitor.go("people", ws=den.slug, q=PAYLOADS[number][:200])
    found += harm(visitor)
    assert not found, "\n".join(found)
