"""How long a report page takes from a click on a control to the new chart in the browser, in headless Chromium, and the
builder of segments from a click to the new count, with one condition and with thirty.

On the demo workspace, then reports on a made-up crowd of 20 M events, by a dashboard that remembers no answer: every click is
counted, whatever was asked before. The clock is the browser's own: from the click to the last change of a chart, or to
the end of what the server sent where that is later. Without peers: nobody else draws these pages.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks.crowd import NAMES
from benchmarks.rig import row
from gdp_core import clock
from gdp_core.accounts.roles import Principal, Role
from gdp_core.analytics.activation import Activating, Activation, Criterion
from gdp_core.features import FEATURES
from gdp_core.segments import keeping
from gdp_core.timeline.matching import Match
from jobs import ports
from jobs.login import runtime_url
from jobs.postgres import EmbeddedPostgres
from pages import understand
from pages.ui.reporting import asking
from pages.ui.reporting.asking import Asked
from tests.browser.product import DEMO, ROOT, Product
from tests.browser.visitor import Visitor

CLICKS = 24
CROWD = 20_000_000
_EVERYWHERE = ("Period", "Compare with")
_CONTROLS = {"funnels": ("Order", "Unit", "Compare with"), "trends": ("Interval", "Compare with", "Period")}
_OF_THE_CROWD = ("funnels", "trends", "retention", "lifecycle", "activation", "churn")  # what asks the timeline
_ACTIVATION = Activating(Activation((Criterion(Match(NAMES[1:2])),), Match(NAMES[:1])))  # the crowd never signed up
_ASKED = {"activation": asking.text_of(Asked(_ACTIVATION))}
_CLOCK = """
(() => {
  const seen = { clicked: 0, busy: 0, drawn: 0 }
  window.seen = seen
  addEventListener('click', () => { seen.clicked = performance.now() }, true)
  const look = () => {
    const app = document.querySelector('[data-testid="stApp"]')
    const rests = app && app.dataset.testScriptState === 'notRunning'
      && !document.querySelector('[data-testid="stSkeleton"], [data-stale="true"]')
    if (!rests) seen.busy = performance.now()
    requestAnimationFrame(look)
  }
  requestAnimationFrame(look)
  const drawn = (changes) => {
    const of = (node) => node.nodeType === 1 && node.closest('.js-plotly-plot')
    if (changes.some((change) => of(change.target))) seen.drawn = performance.now()
  }
  new MutationObserver(drawn).observe(document, { subtree: true, childList: true, attributes: true })
})()
"""
_TAKEN = """
() => {
  const last = Math.max(seen.busy, seen.drawn)
  return last > seen.clicked && performance.now() - last > 400 && last - seen.clicked
}
"""


def run() -> list[dict[str, Any]]:
    """Rows with name, value, unit, peer, peer_value, ratio."""
    with tempfile.TemporaryDirectory(prefix="gdp-bench-") as folder:
        Path(folder).chmod(0o755)  # Postgres may run as another user
        product = Product(Path(folder) / "data")
        try:
            product.start("--demo", name="pages")
            return [*_of_demo(product), *_of_crowd(product, CROWD)]
        finally:
            product.stop()


def beside(folder: str, dashboard: int, door: int, events: int = 0) -> list[dict[str, Any]]:
    """The same on a product that runs already: its demo, or where there are `events` a crowd of so many."""
    product = Product(Path(folder), dashboard, door)
    return _of_crowd(product, events) if events else _of_demo(product)


def _of_demo(product: Product) -> list[dict[str, Any]]:
    reports = [entry.name for entry in understand.SECTION.entries if not entry.hidden and entry.name != "overview"]
    with _dashboard(product) as home, _visitor(product, DEMO, home) as visitor:
        found = [one for name in reports for one in _measured(visitor, name, DEMO, "the demo")]
        return [*found, *_of_builder(product, visitor)]


def _of_builder(product: Product, visitor: Visitor) -> list[dict[str, Any]]:
    """Every click makes another rule, so that nothing of it was counted before."""
    user, workspace = product.member("OWNER", DEMO), product.workspace_id(DEMO)
    visitor.sign_in_as(product.session(user))
    found = []
    for size in (1, 30):
        with product.pool("gdp_web").transaction(workspace) as session:
            who, content = Principal(user, "benchmark", workspace, Role.OWNER), {"match": _rule_of(size), "base": None}
            keeping.write_draft(session, who, None, content, now=clock.now())
        visitor.open("builder", ws=DEMO)
        visitor.page.get_by_role("button", name="did letter_sent").first.click()
        visitor.settle()
        taken = [_step(visitor.page) for _ in range(CLICKS + 2)][2:]
        conditions = "1 condition" if size == 1 else f"{size} conditions"
        found += _rows(f"builder, the demo, {conditions}: from a click to the new count", taken)
    return found


def _rule_of(size: int) -> dict[str, Any]:
    """Conditions on events and features in turn, in groups of ten; the first is on events."""
    conditions: list[dict[str, Any]] = [
        {"kind": "feature", "feature": FEATURES[place % len(FEATURES)].slug, "values": [place]}
        if place % 2
        else {"kind": "performed", "event": {"names": ["letter_sent"]}, "when": {"last": f"{place + 7}d"}}
        for place in range(size)
    ]
    groups = [{"kind": "any", "of": conditions[first : first + 10]} for first in range(0, size, 10)]
    return {"kind": "all", "of": groups}


def _step(page: Page) -> float:
    """Make the time of the open condition one day longer, and wait for the page to rest: milliseconds."""
    page.get_by_test_id("stNumberInputStepUp").locator("visible=true").first.click()
    return float(page.wait_for_function(_TAKEN, polling=100).json_value())


def _of_crowd(product: Product, events: int) -> list[dict[str, Any]]:
    slug = product.workspace("Crowd")
    with _dashboard(product, events) as home, _visitor(product, slug, home) as visitor:
        size = f"{events // 1_000_000} M events"
        return [found for name in _OF_THE_CROWD for found in _measured(visitor, name, slug, size)]


@contextmanager
def _visitor(product: Product, slug: str, home: str) -> Iterator[Visitor]:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    with sync_playwright() as playwright:
        found = next(filter(None, map(shutil.which, names)), None)
        browser = playwright.chromium.launch(executable_path=found)
        visitor = Visitor(browser, home)
        visitor.context.add_init_script(_CLOCK)
        visitor.sign_in_as(product.session(product.member("OWNER", slug)))
        yield visitor
        browser.close()


@contextmanager
def _dashboard(product: Product, events: int = 0) -> Iterator[str]:
    """A dashboard that remembers nothing, all of whose workspaces have the timeline of so many `events`: its address."""
    urls = EmbeddedPostgres(product.folder).urls()
    assert urls is not None, "the product's Postgres does not answer"
    port = ports.choose()
    environment = product.environment | {"DATABASE_URL": runtime_url(urls), "GDP_DASHBOARD_PORT": str(port)}
    argv = [sys.executable, "-m", "benchmarks.forgetful", str(port), str(events)]
    process = subprocess.Popen(argv, cwd=ROOT, env=environment)
    home = f"http://127.0.0.1:{port}"
    try:
        while ports.is_free(port):
            assert process.poll() is None, "the dashboard of the crowd ended"
            time.sleep(0.2)
        yield home
    finally:
        process.terminate()
        process.wait(30)


def _measured(visitor: Visitor, page: str, slug: str, where: str) -> list[dict[str, Any]]:
    """Medians and nine tenths of the clicks on a page's controls, each in turn."""
    asked = {"q": _ASKED[page]} if slug != DEMO and page in _ASKED else {}
    visitor.open(page, ws=slug, period="365d", **asked)
    shown = visitor.page.get_by_role("combobox")
    controls = [name for name in _CONTROLS.get(page, _EVERYWHERE) if shown.and_(_box(visitor.page, name)).count()]
    if not controls:
        return []
    turns = [(controls[number % len(controls)], number // len(controls)) for number in range(CLICKS + 2)]
    taken = [_click(visitor.page, control, turn) for control, turn in turns][2:]  # the first two warm what comes after
    return _rows(f"{page}, {where}: from a click to the new chart", taken)


def _rows(name: str, taken: list[float]) -> list[dict[str, Any]]:
    nine_tenths = statistics.quantiles(taken, n=10)[-1]
    return [
        row(f"{name}, median of {len(taken)}", statistics.median(taken), "ms", None, None),
        row(f"{name}, nine of ten", nine_tenths, "ms", None, None),
    ]


def _box(page: Page, control: str) -> Any:
    return page.get_by_role("combobox", name=control, exact=True).locator("visible=true")


def _click(page: Page, control: str, turn: int) -> float:
    """Choose another option of a select box, and wait for what that draws: milliseconds."""
    box = _box(page, control).first
    box.click()
    options = page.get_by_role("option")
    options.first.wait_for()
    count = options.count()
    chosen = next(
        number for number, option in enumerate(options.all()) if option.get_attribute("aria-selected") == "true"
    )
    options.nth((chosen + 1 + turn % (count - 1)) % count).click()
    return float(page.wait_for_function(_TAKEN, polling=100).json_value())
