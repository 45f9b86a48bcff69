"""The operate pages in every role, empty and full; what they let one do, and what nobody's data may do to them."""

import re
import uuid
from datetime import timedelta

import pytest

from gdp_core import choices, clock, recompute
from gdp_core.accounts import connections, keys, members
from gdp_core.accounts.roles import GRANTS, Principal, Role
from gdp_core.analytics import inbox_view
from gdp_core.analytics.inbox_view import InboxFilter
from gdp_core.db import one, rows, run
from gdp_core.importer.run import prepare_import, run_import
from pages.operate import SECTION
from pages.ui import settings, sources

from .browsing import words
from .test_import_run import MAPPING, written
from .test_pipeline import batch, delivery, drain, identify, put, track

PAGES = {entry.name: entry.action for entry in SECTION.entries}
ROLES = ("OWNER", "ADMIN", "MEMBER", "VIEWER")
HOSTILE = "![x](http://evil.example/t.png) [click](javascript:alert(1)) <img src=x onerror=alert(1)> $x$ :red[y]"
READ_AS_MARKUP = re.compile(r"(?<!\\)(?:!\[x|\[click|<img|\$x|:red\[y)|http://evil")  # what is not escaped


@pytest.fixture
def ws(database):
    return database.workspace("acme", kind="demo")


def system(ws):
    return Principal(None, "system", ws, Role.OWNER)


@pytest.fixture
def full(database, ws, tmp_path):
    """A workspace with one of everything, all of it named by somebody hostile."""
    now = clock.now()
    tracker = database.source(ws, "segment", name=HOSTILE)
    database.source(ws, "stripe")
    put(
        database,
        delivery(
            ws,
            tracker,
            batch(
                identify(email="ada@acme.example", name=HOSTILE, at=now),
                track(HOSTILE, message="m1", at=now, **{HOSTILE: HOSTILE, "n": 1}),
                track(HOSTILE, message="m2", at=now - timedelta(days=9), n="text"),
                track(user=None, message=HOSTILE),
                at=now,
            ),
            at=now,
            headers={"user-agent": HOSTILE},
        ),
        delivery(ws, tracker, HOSTILE.encode(), at=now),
    )
    drain(database, ws, now)
    with database.web.transaction(ws) as session:
        who = system(ws)
        keys.create(session, who, source_id=tracker, name=HOSTILE, kind="browser", now=now)
        members.invite(session, who, email="eve@acme.example", role=Role.MEMBER, now=now)
        choices.add_internal_rule(session, who, "identifier", HOSTILE, now=now)
        choices.set_event_role(session, who, "core", event_names=[HOSTILE], now=now)
        choices.set_plan(session, who, choices.PlanChoice("price", HOSTILE, "", HOSTILE), now=now)
        choices.load_rates(session, who, "date,currency,rate\n2026-01-01,EUR,1.1\n", now=now)
        source_id = prepare_import(session, who, name=HOSTILE, file=HOSTILE, now=now)
    run_import(database.worker, ws, source_id, written(tmp_path / "a.csv", 6), MAPPING, now=now)
    with database.worker.transaction(None) as session:
        run(session, "INSERT INTO ops.heartbeat VALUES (:name, 1, :now, '{}')", name=HOSTILE, now=now)
        run(
            session,
            "INSERT INTO ops.job_run (id, job, started_at, finished_at, state, detail, error)"
            " VALUES (:id, :text, :now, :now, 'failed', '{}', :text)",
            id=uuid.uuid4(),
            text=HOSTILE,
            now=now,
        )
    return tracker


def details(database, ws, tracker):
    """Addresses of the pages' own details, and of every tab."""
    with database.web.transaction(ws) as session:
        place = inbox_view.read_page(session, InboxFilter())[-1]
    return [
        ("sources", {"id": str(tracker)}),
        ("sources", {"tab": "import"}),
        ("inbox", {"state": "quarantined"}),
        ("inbox", {"id": str(place.id)}),
        ("catalogue", {"event": HOSTILE.strip()[:200]}),
        ("catalogue", {"drift": "several_types"}),
        *(("settings", {"tab": tab}) for tab in settings.TABS),
    ]


def fine(page):
    assert not page.exception
    said = words(page)
    assert "Something went wrong" not in said
    return said


def markup(page):
    """Every text of a page that is read as Markdown, except the one guide that is ours."""
    kinds = "title header subheader markdown caption error warning info success button page_link metric expander"
    for kind in kinds.split():
        for item in page.get(kind):
            for text in (getattr(item, "value", None), getattr(item, "label", None), getattr(item, "help", None)):
                if isinstance(text, str):
                    yield text


@pytest.mark.parametrize("role", ROLES)
def test_every_page_opens_in_an_empty_workspace(ws, browser, role):
    browser.sign_in(ws, role)
    for name, action in PAGES.items():
        page = browser.open(name)
        said = fine(page)
        allowed = Role(role) in GRANTS[action].roles
        assert ("may not" in said) != allowed, name
        assert page.title[0].value, "a refused page is still called by its name"
    for tab in settings.TABS:
        fine(browser.open("settings", tab=tab))


@pytest.mark.parametrize("role", ROLES)
def test_every_page_opens_with_everything_in_it_and_reads_no_markup(database, ws, full, browser, role):
    browser.sign_in(ws, role)
    pages = [(name, {}) for name, action in PAGES.items() if Role(role) in GRANTS[action].roles]
    for name, query in [*pages, *details(database, ws, full)]:
        page = browser.open(name, **query)
        said = fine(page)
        if role == "VIEWER":
            assert "ada@acme.example" not in said, (name, query)
        for text in markup(page):
            assert not READ_AS_MARKUP.search(text), (name, query, text)


def test_a_viewer_is_offered_nothing_to_change(database, ws, full, browser):
    browser.sign_in(ws, "VIEWER")
    for name, query in [
        *((name, {}) for name in ("sources", "inbox", "jobs", "quality")),
        *details(database, ws, full),
    ]:
        page = browser.open(name, **query)
        offered = {item.label for item in page.button if not item.disabled}
        assert offered <= {"Sign out", "Newest", "Older", "All events", "Leave", "Clear filters"}, (
            name,
            query,
            offered,
        )


def test_a_link_to_what_is_not_there_says_so(database, ws, browser):
    browser.sign_in(ws)
    theirs = database.source(database.workspace("other"), "segment")
    assert "not in this workspace" in fine(browser.open("sources", id=str(theirs)))
    assert "not kept any more" in fine(browser.open("inbox", id=str(uuid.uuid4())))
    assert "not kept any more" in fine(browser.open("inbox", id="nonsense"))
    assert "No event of this name" in fine(browser.open("catalogue", event="never"))
    assert "No event of this name" in fine(browser.open("catalogue", event="a\0b"))
    fine(browser.open("settings", tab="nonsense"))
    fine(browser.open("inbox", at="nonsense|x", when="3 days", source="x"))
    fine(browser.open("audit", before="x", action="nothing", user="nobody"))


# ---------------------------------------------------------------------------------------------------------- changes


def test_settings_are_saved_and_what_hangs_on_them_derived_again(database, ws, full, browser):
    browser.sign_in(ws)
    while recompute.recompute(database.worker, ws, clock.now()):
        pass
    page = browser.open("settings")
    page.number_input(key="general.dormant_days").set_value(5)
    page.text_input(key="general.name").set_value("New name")
    next(item for item in page.button if item.label == "Save").click()
    page.run()
    fine(page)
    with database.web.transaction(ws) as session:
        row = one(session, "SELECT name, dormant_days FROM workspace")
        assert tuple(row) == ("New name", 5)
        assert recompute.read_recomputing(session) is not None
    assert any("derived again" in str(item.proto.text) for item in page.get("progress"))
    while recompute.recompute(database.worker, ws, clock.now()):
        pass
    page = browser.open("settings")
    assert not page.get("progress")


def test_a_refused_setting_is_one_sentence(database, ws, browser):
    browser.sign_in(ws)
    page = browser.open("settings", tab="internal")
    page.text_input(key="internal.value").set_value("not a domain")
    next(item for item in page.button if item.label == "Leave out").click()
    page.run()
    assert not page.exception
    (said,) = page.error
    assert said.value.replace("\\", "") == "Write an e-mail domain such as example.com."


def test_a_role_is_given_and_taken_back(database, ws, full, browser):
    browser.sign_in(ws)
    page = browser.open("settings", tab="roles")
    page.multiselect(key="role-names-signup").set_value(["Signed Up"])
    page.button(key="role-save-signup").click()
    page.run()
    fine(page)
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT event_names FROM event_role WHERE role = 'signup'").event_names == ["Signed Up"]
    page = browser.open("settings", tab="roles")
    page.button(key="role-reset-signup").click()
    page.run()
    fine(page)
    with database.web.transaction(ws) as session:
        assert not one(session, "SELECT 1 FROM event_role WHERE role = 'signup'")


def test_an_event_gets_a_meaning(database, ws, full, browser):
    browser.sign_in(ws, "MEMBER")
    page = browser.open("catalogue", event="order")
    page.selectbox(key="meaning-order.category").set_value("monetization")
    page.text_area(key="meaning-order.description").set_value("Somebody bought")
    next(item for item in page.button if item.label == "Save").click()
    page.run()
    assert "Somebody bought" in fine(page)
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT category FROM event_type WHERE name = 'order'").category == "monetization"


def test_a_source_shows_its_real_address_and_takes_a_secret(database, ws, browser):
    browser.sign_in(ws, "ADMIN")
    source_id = database.source(ws, "stripe")
    page = browser.open("sources", id=str(source_id))
    said = fine(page)
    with database.web.transaction(ws) as session:
        hook = one(session, "SELECT hook_key FROM source_instance WHERE id = :id", id=source_id).hook_key
    assert f"/hooks/stripe/{hook}" in said
    assert "Waiting for the first event" in said.replace("\\", "")
    assert "everything is refused" in said
    page.text_input(key="secret.secret").set_value("whsec_abcdefgh12345678")
    next(item for item in page.button if item.label == "Set the secret").click()
    page.run()
    assert "whsec_abcdefgh12345678" not in fine(page)
    with database.web.transaction(ws) as session:
        assert len(connections.list_secrets(session, system(ws), source_id, now=clock.now())) == 1


def test_a_viewer_does_not_see_an_address(database, ws, browser):
    browser.sign_in(ws, "VIEWER")
    source_id = database.source(ws, "stripe")
    said = fine(browser.open("sources", id=str(source_id)))
    with database.web.transaction(ws) as session:
        hook = one(session, "SELECT hook_key FROM source_instance WHERE id = :id", id=source_id).hook_key
    assert hook not in said


def test_what_a_page_offers_and_what_core_allows_are_the_same(database, ws, full, browser):
    """A role that changed while its tab was open is refused by core, in a sentence."""
    user = browser.sign_in(ws, "ADMIN")
    page = browser.open("settings", tab="internal")
    with database.web.transaction(ws) as session:
        run(session, "UPDATE membership SET role = 'VIEWER' WHERE user_id = :id", id=user)
    page.text_input(key="internal.value").set_value("other.example")
    next(item for item in page.button if item.label == "Leave out").click()
    page.run()
    assert not page.exception
    with database.web.transaction(ws) as session:
        assert not rows(session, "SELECT 1 FROM internal_rule WHERE value = 'other.example'")


def test_members_change_and_leave(database, ws, browser):
    other = browser.sign_in(ws, "MEMBER", email="bob@acme.example")
    browser.sign_in(ws, "OWNER")
    page = browser.open("members")
    page.selectbox(key=f"role-{other}").set_value("ADMIN")
    page.run()
    fine(page)
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT role FROM membership WHERE user_id = :id", id=other).role == "ADMIN"


def test_a_delivery_is_replayed(database, ws, full, browser):
    browser.sign_in(ws, "ADMIN")
    with database.web.transaction(ws) as session:
        (row,) = [item for item in inbox_view.read_page(session, InboxFilter("quarantined")) if not item.applied]
    page = browser.open("inbox", id=str(row.id))
    page.button(key=f"replay-{row.id}").click()
    page.run()
    assert "Waiting" in fine(page)
    with database.web.transaction(ws) as session:
        assert inbox_view.count(session, InboxFilter("pending")) == 1


def test_every_kind_of_source_has_a_state_and_every_state_a_name():
    from typing import get_args

    from gdp_core.analytics.sources_view import State

    assert set(sources.STATES) == set(get_args(State))
