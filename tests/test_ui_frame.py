"""The frame around every page: sign-in, roles, workspaces, and what goes wrong."""

import pytest

from gdp_core import clock
from gdp_core.accounts import founding, sessions, workspaces
from gdp_core.accounts.roles import Principal
from gdp_core.db import one, run
from gdp_core.errors import Forbidden

from .browsing import words


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


def test_who_removed_the_last_workspace_makes_a_new_one(database, browser):
    ws = database.workspace("gone")
    browser.sign_in(ws)
    archive(database, ws)
    page = browser.open("people")
    assert not page.exception
    assert "You belong to no workspace" in words(page)
    page.text_input(key="first-workspace.name").set_value("Acme")
    page.text_input(key="first-workspace.slug").set_value("Not a slug!")
    _button(page, "Make a workspace").click().run()
    assert "A workspace's short name is" in words(page)
    page.text_input(key="first-workspace.slug").set_value("acme")
    _button(page, "Make a workspace").click().run()
    page = browser.open()
    assert not page.exception
    assert page.title[0].value == "Overview"
    assert page.sidebar.selectbox[0].value == "acme"


def test_who_archived_their_only_workspace_takes_it_back(database, browser):
    ws = database.workspace("put-away")
    browser.sign_in(ws)
    archive(database, ws)
    page = browser.open()
    page.button(key="restore-put-away").click().run()
    page = browser.open()
    assert page.title[0].value == "Overview"


def test_somebody_of_no_workspace_makes_none_while_others_work_here(database, browser):
    ws = database.workspace()
    browser.sign_in(ws)  # the first account
    user = browser.sign_in(ws, "VIEWER")
    with database.web.transaction(ws) as session:
        run(session, "DELETE FROM membership WHERE user_id = :id", id=user)
    page = browser.open()
    assert "ask the person who invited you" in words(page).lower()
    assert "You are signed in as viewer-" in words(page)
    assert not page.text_input
    somebody = sessions.current(database.gate, browser.token, clock.now()).user
    with pytest.raises(Forbidden):
        founding.found(database.gate, somebody, slug="mine", name="", ip=None, now=clock.now())


def archive(database, ws):
    with database.web.transaction(ws) as session:
        workspaces.archive(
            session, Principal.system(ws), confirm=one(session, "SELECT slug FROM workspace").slug, now=clock.now()
        )


def _button(page, label):
    (found,) = [button for button in page.button if button.label == label]
    return found


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


def test_a_tab_that_goes_back_to_another_workspace_asks_nothing_it_asked_in_this_one(database, browser):
    there = database.workspace("other")
    user = browser.sign_in(database.workspace())
    with database.gate.transaction(there) as session:
        run(
            session,
            "INSERT INTO membership (user_id, workspace_id, role, created_at) VALUES (:id, :ws, 'OWNER', now())",
            id=user,
            ws=there,
        )
    page = browser.open(ws="acme")
    page.session_state["ask.funnels.kept"] = ("", None)
    page.run()
    assert "ask.funnels.kept" in page.session_state
    page.query_params["ws"] = "other"
    page.run()
    assert not page.exception
    assert "ask.funnels.kept" not in page.session_state
    assert [item.value for item in page.selectbox if item.label == "Workspace"] == ["other"]
