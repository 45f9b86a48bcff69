"""The started product, once for all browser tests of a run, and people who look at it.

Every test leaves the demo as it found it, but for the last file, which removes it.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
from playwright.sync_api import Browser, sync_playwright

from .product import DEMO, SECOND_BRAND, Product
from .visitor import Visitor

_ORDER = (
    "test_story",
    "test_reports",
    "test_segments",
    "test_sources",
    "test_team",
    "test_access",
    "test_hostile",
    "test_retail",
    "test_farewell",
)
_OF_THE_DEMO = ("test_story", "test_reports", "test_farewell")
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ours = [item for item in items if Path(__file__).parent in item.path.parents]
    for item in ours:
        item.add_marker(pytest.mark.browser)
        item.add_marker(pytest.mark.timeout(2400))
        if item.path.stem in _OF_THE_DEMO:
            item.add_marker(pytest.mark.demo)
    ours.sort(key=lambda item: _ORDER.index(item.path.stem))
    others = [item for item in items if item not in ours]
    items[:] = [*others, *ours]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A headless browser: Debian's, one that is there already, or Playwright's own."""
    with sync_playwright() as playwright:
        found = next(filter(None, map(shutil.which, _NAMES)), None)
        if found is None and not Path(playwright.chromium.executable_path).exists():
            pytest.skip(
                "There is no Chromium: run `sudo apt install chromium` or `.venv/bin/playwright install chromium`."
            )
        browser = playwright.chromium.launch(executable_path=found, args=["--font-render-hinting=none"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def product(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, chromium: Browser
) -> Iterator[Product]:
    """Everything, with the demo where a test looks at it; stopped at the end, when nothing may be left of it."""
    attached = os.environ.get("GDP_TEST_PRODUCT")  # folder:dashboard port:door port of one that runs already
    if attached:
        folder, dashboard, door = attached.rsplit(":", 2)
        running = Product(Path(folder), int(dashboard), int(door))
        yield running
        running.stop()
        return
    made = Product(tmp_path_factory.mktemp("product") / "data")
    try:
        if any(item.get_closest_marker("demo") for item in request.session.items):
            made.start("--demo", name="first start, demo filled")
        else:
            made.start(name="first start")
        yield made
    finally:
        left = made.stop()
        print("\nbrowser tests, seconds:", made.seconds)
    assert left == []


@pytest.fixture(scope="session")
def owner(product: Product) -> UUID:
    """An owner of both demo workspaces."""
    return product.member("OWNER", DEMO, SECOND_BRAND)


@dataclass(frozen=True)
class House:
    """A workspace that starts empty, and its owner."""

    slug: str
    owner: UUID


@pytest.fixture(scope="session")
def house(product: Product) -> House:
    """Where tests connect sources and send."""
    slug = product.workspace("Story house")
    return House(slug, product.member("OWNER", slug))


Arrive = Callable[..., Visitor]


@pytest.fixture
def arrive(chromium: Browser, product: Product) -> Iterator[Arrive]:
    """Makes visitors: `arrive(user, dark=..., size=...)`, signed in when there is a user. A test fails when one of them met any trouble."""
    visitors: list[Visitor] = []

    def make(user: UUID | None = None, **looks: object) -> Visitor:
        visitor = Visitor(chromium, product.dashboard, **looks)  # type: ignore[arg-type]
        visitors.append(visitor)
        if user:
            visitor.sign_in_as(product.session(user))
        return visitor

    yield make
    trouble = [line for visitor in visitors for line in visitor.trouble]
    for visitor in visitors:
        visitor.context.close()
    assert trouble == []
