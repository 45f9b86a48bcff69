"""Every page, as everybody, with and without data: nothing breaks, nothing is too wide, everybody can read it."""

from collections.abc import Iterator
from itertools import product as every

import pytest

from gdp_core.accounts.roles import GRANTS, Role
from gdp_core.db import one
from pages import operate, people, understand

from .axe import grave_problems
from .conftest import Arrive
from .product import DEMO, Product
from .visitor import Visitor

EMPTY = "empty"
ENTRIES = [entry for section in (understand, people, operate) for entry in section.SECTION.entries]
PERSON_TABS = ("timeline", "identity", "traits", "billing", "mail")
LOOKS = {"light-1440": (False, (1440, 900)), "dark-1024": (True, (1024, 768))}
USUAL = {
    ("OWNER", DEMO, "light-1440"),
    ("VIEWER", DEMO, "dark-1024"),
    ("MEMBER", EMPTY, "light-1440"),
    ("ADMIN", EMPTY, "dark-1024"),
}
COLD = {("OWNER", DEMO, "dark-1024"), ("MEMBER", EMPTY, "light-1440")}
"""Whose pages are each loaded as if it were the first, which takes three times as long."""


@pytest.fixture(scope="module")
def empty(product: Product) -> str:
    """A workspace in which nothing ever happened."""
    return product.workspace("Empty house")


@pytest.fixture(scope="module")
def somebody(product: Product) -> str:
    """The id of a demo person who pays."""
    with product.pool("gdp_web").transaction(product.workspace_id(DEMO), read_only=True) as session:
        return str(one(session, "SELECT id FROM person WHERE mrr_micros > 0 ORDER BY total_events DESC, id LIMIT 1").id)


def addresses(workspace: str, somebody: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Every page's title, address and query."""
    for entry in ENTRIES:
        name = "" if entry.name == "overview" else entry.name
        if entry.name == "person" and workspace == DEMO:
            for tab in PERSON_TABS:
                yield entry.action, name, {"id": somebody, "tab": tab}
        else:
            yield entry.action, name, {}


def problems(visitor: Visitor, *, refused: bool) -> list[str]:
    """What is wrong with the page as it is now."""
    said = visitor.prose
    found = [*visitor.failures(), *visitor.too_wide(), *grave_problems(visitor.page), *visitor.trouble]
    visitor.trouble.clear()
    if refused != ("ask somebody whose role is" in said):
        found.append(f"refused: {not refused}, and says {said[:300]}")
    return found


def marks(case: tuple[str, str, str]) -> list[pytest.MarkDecorator]:
    usual = [] if case in USUAL else [pytest.mark.heavy]
    return [*usual, pytest.mark.demo] if DEMO in case else usual


@pytest.mark.parametrize(
    ("role", "workspace", "look"),
    [pytest.param(*case, marks=marks(case)) for case in every(Role.__members__, (DEMO, EMPTY), LOOKS)],
)
def test_every_page(
    role: str, workspace: str, look: str, product: Product, arrive: Arrive, empty: str, request: pytest.FixtureRequest
) -> None:
    dark, size = LOOKS[look]
    load_anew = (role, workspace, look) in COLD
    somebody = request.getfixturevalue("somebody") if workspace == DEMO else ""
    workspace = empty if workspace == EMPTY else workspace
    visitor = arrive(product.member(role, workspace), dark=dark, size=size)
    visitor.open(ws=workspace)
    found = []
    for action, name, query in addresses(workspace, somebody):
        (visitor.open if load_anew else visitor.go)(name, ws=workspace, **query)
        wrong = problems(visitor, refused=role not in GRANTS[action].roles)
        found += [f"{visitor.path()}: {line}" for line in wrong]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("look", LOOKS)
def test_the_sign_in_pages(look: str, product: Product, arrive: Arrive) -> None:
    dark, size = LOOKS[look]
    visitor = arrive(dark=dark, size=size)
    visitor.allowed.append(r"\b40[01]\b")
    for path in ("login", "login/nobodys-link", "invite/nobodys-invitation"):
        visitor.page.goto(f"{product.dashboard}/{path}")
        assert grave_problems(visitor.page) == []
        assert visitor.too_wide() == []
        assert visitor.page.get_by_role("heading").first.is_visible()


@pytest.mark.demo
def test_a_viewer_sees_no_personal_data_and_changes_nothing(product: Product, arrive: Arrive, somebody: str) -> None:
    with product.pool("gdp_web").transaction(product.workspace_id(DEMO), read_only=True) as session:
        person = one(session, "SELECT name, email FROM person WHERE id = :id", id=somebody)
    visitor = arrive(product.member("VIEWER", DEMO))
    visitor.open("people", ws=DEMO, known="known")
    shown = visitor.rows("People who match the filters")
    assert {row["E-mail"] for row in shown if "@" in row["E-mail"] and "•••" not in row["E-mail"]} == set()
    assert not visitor.page.get_by_role("link", name="Export CSV").count()
    for tab in PERSON_TABS:
        visitor.go("person", ws=DEMO, id=somebody, tab=tab)
        received = visitor.page.content() + visitor.text
        assert person.name not in received
        assert person.email not in received
        assert not visitor.page.get_by_role("button", name="Split off").count()
    for path in ("sources", "settings", "members", "reviews", "inbox", "catalogue"):
        visitor.go(path, ws=DEMO)
        for word in ("Save", "Invite", "Connect", "Merge…", "Replay all", "Remove the demo"):
            pressable = visitor.page.get_by_role("button", name=word).locator("visible=true")
            assert not any(button.is_enabled() for button in pressable.all()), f"{path}: {word}"
