"""A signed-in browser without a browser: pages run through the frame, with a real session in a test's database."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from gdp_core import clock, runtime
from gdp_core.accounts import sessions
from gdp_core.db import run
from pages.ui import data, nav, session

from .conftest import TestDatabase

FRAME = Path(__file__).parent.parent / "pages" / "frame.py"
# Every page would look through all installed packages for components, for three times as long as it then runs.
_manifests = cache(manifest_scanner.scan_component_manifests)


class Browser:
    """Signs people in and opens pages as them."""

    def __init__(self, database: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
        self.database = database
        self.token: str | None = None
        monkeypatch.setattr(runtime, "runtime_dsn", lambda: database.dsn)
        monkeypatch.setattr(session, "token", lambda: self.token)
        monkeypatch.setattr(session, "address", lambda: "203.0.113.9")
        monkeypatch.setattr(manifest_scanner, "scan_component_manifests", _manifests)
        runtime.database.cache_clear()
        forget_everything()

    def sign_in(self, workspace_id: uuid.UUID, role: str = "OWNER", email: str | None = None) -> uuid.UUID:
        """Make a member and sign in as them."""
        user_id = uuid.uuid4()
        now = clock.now()
        with self.database.gate.transaction(workspace_id) as opened:
            run(
                opened,
                "INSERT INTO app_user (id, email, name, failed_sign_ins, created_at) VALUES (:id, :email, '', 0, :now)",
                id=user_id,
                email=email or f"{role.lower()}-{user_id.hex[:6]}@acme.example",
                now=now,
            )
            run(
                opened,
                "INSERT INTO membership (user_id, workspace_id, role, created_at) VALUES (:id, :ws, :role, :now)",
                id=user_id,
                ws=workspace_id,
                role=role,
                now=now,
            )
        self.token = sessions.start(self.database.gate, user_id, how="test", now=now)
        return user_id

    def open(self, page: str = "overview", **query: str) -> AppTest:
        """A page after its first run."""
        found = AppTest.from_file(str(FRAME), default_timeout=120)
        if page != "overview":
            found.switch_page(_file(page))  # a page's file is named as its address, so nothing need run before
        for name, value in query.items():
            found.query_params[name] = value
        return found.run()


def forget_everything() -> None:
    """What pages remember of all workspaces."""
    for remembered in (data._read, data._freshness, data._counted):
        remembered.clear()


def _file(page: str) -> str:
    (section,) = [section for section in nav.SECTIONS if any(entry.name == page for entry in section.entries)]
    return f"{section.folder}/{page}.py"


@contextmanager
def browsing(database: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    """A browser for one test."""
    try:
        yield Browser(database, monkeypatch)
    finally:
        for role in ("gdp_web", "gdp_gate", "gdp_worker"):
            if runtime.database.cache_info().currsize:
                runtime.database(role).close()
        runtime.database.cache_clear()


def words(page: AppTest) -> str:
    """Everything a page says, in one text, as a reader sees it: without the escapes."""
    parts = []
    for kind in ("title", "header", "subheader", "markdown", "caption", "text", "error", "warning", "info", "success"):
        parts += [str(item.value) for item in getattr(page, kind)]
    parts += [f"{item.label} {item.value}" for item in page.metric]
    parts += [str(item.label) for item in page.get("page_link")] + [str(item.label) for item in page.button]
    parts += [item.value.to_string() for item in [*page.dataframe, *page.table]]
    return plain("\n".join(parts))


def plain(text: str) -> str:
    """Markdown-escaped text as it is shown."""
    return re.sub(r"\\(.)", r"\1", text).replace("\u2060", "")
