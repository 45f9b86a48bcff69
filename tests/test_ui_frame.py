"""The frame around every page: sign-in, roles, workspaces, and what goes wrong."""

import pytest

from gdp_core import clock
from gdp_core.accounts import sessions
from gdp_core.db import run

from .browsing import browsing, words


@pytest.fixture
def browser(database, monkeypatch):
    with browsing(database, monkeypatch) as made:
        yield made


@pytest.mark.parametrize("role", ["OWNER", "ADMIN", "MEMBER", "VIEWER"])
def test_every_role_sees_the_overview(database, browser, role):
    browser.sign_in(database.workspace(), role)
    page = browser.open()
    assert not page.exception
    assert page.title[0].value == "Overview"


def test_nobody_sees_anything(database, browser):
    database.workspace()
    page = browser.open()
    assert not page.exception
    assert "You are signed out" in words(page)
    assert not page.title
    assert not page.get("page_link")


def test_an_open_tab_ends_with_its_session(database, browser):
    browser.sign_in(database.workspace())
    page = browser.open()
    sessions.end(database.gate, browser.token, clock.now())
    page.run()
    assert "You are signed out" in words(page)
    assert not page.title


def test_a_removed_member_loses_access_at_the_next_run(database, browser):
    ws = database.workspace()
    user = browser.sign_in(ws)
    page = browser.open()
    with database.web.transaction(ws) as session:
        run(session, "DELETE FROM membership WHERE user_id = :id", id=user)
    page.run()
    assert "You belong to no workspace" in words(page)
    assert not page.title


def test_another_workspace_in_the_address_opens_nothing(database, browser):
    database.workspace("other")
    browser.sign_in(database.workspace())
    page = browser.open(ws="other")
    assert "You are not a member of this workspace" in words(page)
    assert not page.title
