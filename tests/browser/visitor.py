"""Somebody at a browser: one tab that knows when Streamlit has finished and writes down everything that goes wrong."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Locator,
    Page,
    Request,
    Response,
    WebSocket,
)
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

PATIENCE = 120_000  # ms; the machine may be shared, and nothing here asserts a time
COOKIE = "gdp"
ROW_HEIGHT = 35
ICON, NAME = 22, 75  # pixels from a table's left edge

_NOT_YET = (ForwardMsg.FINISHED_EARLY_FOR_RERUN,)
_SETTLED = """
() => {
  const app = document.querySelector('[data-testid="stApp"]')
  if (!app) return false
  if (app.dataset.testScriptState !== 'notRunning' || app.dataset.testConnectionState !== 'CONNECTED') return false
  return !document.querySelector('[data-testid="stSkeleton"], [data-stale="true"]')
}
"""
# The hidden twin of a table's canvas is drawn 200 ms after it: a timer set later ends later.
_TABLES = """
async (tables) => {
  if (!tables.length) return []
  await new Promise((done) => setTimeout(done, 300))
  await new Promise(requestAnimationFrame)
  return tables.map((table) => [...table.querySelectorAll('[role="row"]')].map((row) =>
    [...row.querySelectorAll('[role="gridcell"],[role="columnheader"]')].map((cell) => cell.textContent)))
}
"""
_TOO_WIDE = """
() => {
  const wide = []
  const main = document.querySelector('[data-testid="stMain"]') || document.scrollingElement
  for (const box of [document.scrollingElement, main]) {
    if (box.scrollWidth > box.clientWidth + 1) {
      wide.push(`${box.dataset.testid || box.tagName} is ${box.scrollWidth} px wide in ${box.clientWidth}`)
    }
  }
  return wide
}
"""


_GO = """
(address) => {
  history.pushState(null, '', address)
  window.dispatchEvent(new PopStateEvent('popstate', { state: null }))
}
"""


def first_event(timeline: list[dict[str, str]]) -> int:
    """The first row of a timeline that opens: a change of stage and an e-mail that was sent have no button."""
    return next(
        number
        for number, row in enumerate(timeline)
        if not row["What"].startswith(("Became ", "E-mail ", "Left every stage"))
    )


@dataclass
class Visitor:
    """One browser context with one tab on the dashboard at `home`."""

    browser: Browser
    home: str
    dark: bool = False
    size: tuple[int, int] = (1440, 900)
    trouble: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)
    context: BrowserContext = field(init=False)
    page: Page = field(init=False)
    _asked: bool = False  # a run that has not finished

    def __post_init__(self) -> None:
        width, height = self.size
        self.context = self.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if self.dark else "light",
            reduced_motion="reduce",
            locale="en-US",
            accept_downloads=True,
        )
        self.context.set_default_timeout(PATIENCE)
        self.context.on("page", self._watch)
        self.page = self.context.new_page()

    # Going places

    def sign_in_as(self, token: str) -> None:
        """Put the session of somebody signed in into the browser."""
        self.context.add_cookies(
            [{"name": COOKIE, "value": token, "url": self.home, "httpOnly": True, "sameSite": "Lax"}]
        )

    def open(self, path: str = "", **query: str) -> None:
        """A page of the dashboard, once it has finished."""
        parameters = f"?{urlencode(query)}" if query else ""
        self.page.goto(f"{self.home}/{path}{parameters}", wait_until="domcontentloaded")
        self.settle()

    def go(self, path: str = "", **query: str) -> None:
        """The same as Back and Forward go there: without loading everything anew, in less than half the time."""
        self._asked = True
        self.page.evaluate(_GO, f"/{path}?{urlencode(query)}")
        self.settle()

    def settle(self) -> None:
        """Wait until every run that was asked for has finished and is drawn, twice in a row: one may start another."""
        calm = 0
        deadline = time.monotonic() + PATIENCE / 1000
        while calm < 2:
            assert time.monotonic() < deadline, f"the page never came to rest; it says:\n{self.text}"
            self.page.wait_for_timeout(100)
            calm = calm + 1 if not self._asked and self.page.evaluate(_SETTLED) else 0

    def until(self, holds: Callable[[], bool], what: str, *, again: Callable[[], None] | None = None) -> None:
        """Wait for something that happens by itself, doing `again` (a reload) between looks."""
        deadline = time.monotonic() + 3 * PATIENCE / 1000
        while time.monotonic() < deadline:
            if holds():
                return
            self.page.wait_for_timeout(250)
            if again:
                again()
        raise AssertionError(f"{what} did not happen; the page says:\n{self.text}")

    # Looking

    @property
    def text(self) -> str:
        """Everything the page says, tables included: a canvas draws them, a hidden twin says them."""
        return "\n".join([self.prose, *self.cells()])

    @property
    def prose(self) -> str:
        """What the page says outside of tables."""
        main = self.page.locator('[data-testid="stMain"]')
        said: str = (main if main.count() else self.page.locator("body")).inner_text()
        return said

    def cells(self) -> list[str]:
        """The cells of every table, a row to a line."""
        found: list[list[list[str]]] = self.page.get_by_test_id("stDataFrame").evaluate_all(_TABLES)
        return [" | ".join(row) for table in found for row in table]

    def path(self) -> str:
        """The address's path and query."""
        parts = urlsplit(self.page.url)
        return f"{parts.path}?{parts.query}" if parts.query else parts.path

    def too_wide(self) -> list[str]:
        """What is wider than the window."""
        found: list[str] = self.page.evaluate(_TOO_WIDE)
        return found

    def failures(self) -> list[str]:
        """Boxes in which the page says that it broke."""
        boxes = self.page.locator('[data-testid="stException"], [class*="st-key-failed-"]')
        return [box.inner_text() for box in boxes.all()]

    # Doing

    def button(self, name: str | re.Pattern[str]) -> Locator:
        """The visible button of that name; a button with a help text has a hidden twin."""
        return self.page.get_by_role("button", name=name, exact=isinstance(name, str)).locator("visible=true").first

    def press(self, name: str | re.Pattern[str]) -> None:
        self.button(name).click()
        self.settle()

    def key(self, name: str) -> Locator:
        """A widget or container by its key."""
        return self.page.locator(f".st-key-{re.sub(r'[^a-zA-Z0-9_-]', '-', name)}")

    def write(self, label: str, text: str) -> None:
        """Fill a field, and leave it, which is when Streamlit takes it."""
        box = self.page.get_by_label(label, exact=True).locator("visible=true").first
        box.fill(text)
        box.press("Tab")
        self.settle()

    def choose(self, label: str, option: str) -> None:
        """Pick an option of a select box."""
        box = self.page.get_by_role("combobox", name=label, exact=True).locator("visible=true").first
        box.click()
        if box.get_attribute("inputmode") != "none":  # the list is long: only what is near is drawn
            box.fill(option)
        self.page.get_by_role("option", name=option, exact=True).first.click()
        self.settle()

    def open_row(self, table: str, row: int = 0, *, at: int = ICON) -> None:
        """Click the button at the left of a table's row, or the name beside it (`at=NAME`); `table` is what the table
        says it shows.
        """
        self._drawn(table)
        canvas = self.table(table).locator("canvas").first
        canvas.scroll_into_view_if_needed()
        canvas.click(position={"x": at, "y": ROW_HEIGHT * (row + 1.5)}, force=True)
        self.page.get_by_role("dialog").wait_for()
        self.settle()

    def table(self, table: str) -> Locator:
        return self.page.locator(f'[data-testid="stDataFrameResizable"][aria-label="{table}"]')

    def _drawn(self, table: str) -> None:
        """Wait for a table's hidden twin, which comes after its canvas."""
        self.table(table).locator('[role="columnheader"]').first.wait_for(state="attached")

    def rows(self, table: str) -> list[dict[str, str]]:
        """A table's rows as far as they are drawn, by column heading; its cells are a canvas with a hidden twin."""
        self._drawn(table)
        ((heading, *rest),) = self.table(table).evaluate_all(_TABLES)
        return [dict(zip(heading, row, strict=True)) for row in rest]

    def close_drawer(self) -> None:
        self.page.keyboard.press("Escape")
        self.page.get_by_role("dialog").wait_for(state="hidden")
        self.settle()

    # Trouble

    def _watch(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.trouble.append(f"script error: {error}"))
        page.on("dialog", self._dialog)
        page.on("request", self._request)
        page.on("requestfailed", self._failed)
        page.on("response", self._response)
        page.on("websocket", self._socket)

    def _socket(self, socket: WebSocket) -> None:
        self._off_site(socket.url)
        self._asked = False
        socket.on("framesent", self._sent)
        socket.on("framereceived", self._received)

    def _sent(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes) and BackMsg.FromString(frame).WhichOneof("type") == "rerun_script":
            self._asked = True

    def _received(self, frame: str | bytes) -> None:
        if isinstance(frame, bytes):
            message = ForwardMsg.FromString(frame)
            if message.WhichOneof("type") == "script_finished" and message.script_finished not in _NOT_YET:
                self._asked = False

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._note(f"console: {message.text} ({message.location.get('url', '')})")

    def _dialog(self, dialog: Dialog) -> None:
        self.trouble.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        self._off_site(request.url)

    def _off_site(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != urlsplit(self.home).netloc:
            self.trouble.append(f"request to {url}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the browser drops what a page left behind was still loading
            self._note(f"{request.failure}: {request.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self._note(f"{response.status}: {response.url}")

    def _note(self, line: str) -> None:
        if not any(re.search(pattern, line) for pattern in self.allowed):
            self.trouble.append(line)
