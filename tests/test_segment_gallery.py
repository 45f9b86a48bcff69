"""The starter set and the import of rules, on the page of segments."""

import orjson
import pytest

from gdp_core.accounts.roles import Principal
from gdp_core.segments import keeping, starters
from gdp_core.segments.starters import STARTERS

from . import counting
from .browsing import plain, words
from .test_segment_importing import AT_RISK, POWER_USERS
from .test_segment_pages import labelled, press


@pytest.fixture
def workspace(database, browser, ws, tmp_path, monkeypatch):
    with counting.counted(database, tmp_path, ws, monkeypatch) as made:
        yield made


def kept(workspace):
    with workspace.database.web.transaction(workspace.id, read_only=True) as session:
        return {one.starter: one for one in keeping.list_segments(session)}


def button(page, key):
    (found,) = [item for item in page.button if item.key == key]
    return found


def opened(browser):
    """The page with the place to paste a rule."""
    page = browser.open("segments")
    page.session_state["segments.import.open"] = True
    return page.run()


def gallery_label(page):
    (found,) = [label for label in (plain(item.label) for item in page.expander) if label.startswith("Starter set")]
    return found


def test_a_starter_is_set_and_added_turned_off(workspace, browser):
    browser.sign_in(workspace.id, "MEMBER")
    page = browser.open("segments")
    assert not page.exception
    shown = words(page)
    for starter in STARTERS[:10]:
        for said in (starter.title, starter.key, starter.about, starter.goal, starter.steps[0].text):
            assert said in shown
    assert gallery_label(page) == "Starter set · 0 of 20 added"
    assert shown.count("People who") >= 9

    page = labelled("text_input", page, "Signed up at most so long ago").set_value("soon").run()
    assert "'soon' is no window" in words(page)
    assert button(page, "segments.starter.new_signup_no_activation_24h.add").disabled
    page = labelled("text_input", page, "Signed up at most so long ago").set_value("10d").run()
    assert "10 days" in words(page)
    for funnel in ("outbound", "newsletter"):  # what was typed is there again
        (chosen,) = [item for item in page.get("button_group") if item.key == "segments.starters.funnel"]
        page = chosen.set_value(funnel).run()
        assert ("10 days" in words(page)) == (funnel == "newsletter")
    page = button(page, "segments.starter.new_signup_no_activation_24h.add").click().run()
    assert not page.exception

    made = kept(workspace)["new_signup_no_activation_24h"]
    assert not made.enabled
    assert made.rule.match.of[0].when.last == "10d"
    assert gallery_label(page) == "Starter set · 1 of 20 added"
    assert "Review" in [plain(item.label) for item in page.get("page_link")]
    assert "segments.starter.new_signup_no_activation_24h.add" not in [item.key for item in page.button]


def test_a_funnel_is_added_at_once(workspace, browser):
    with workspace.database.web.transaction(workspace.id) as session:
        starters.install(session, Principal.system(workspace.id), ["won"], now=workspace.now)
    browser.sign_in(workspace.id, "MEMBER")
    page = browser.open("segments")
    assert gallery_label(page) == "Starter set · 1 of 20 added"
    assert STARTERS[0].about not in words(page)
    page.session_state["segments.starters.used"] = True
    page.session_state["segments.starters.funnel"] = "outbound"
    page = press(page.run(), "Add these 9")
    assert sorted(kept(workspace)) == sorted(one.key for one in STARTERS[10:])
    assert "Add these" not in words(page)
    browser.sign_in(workspace.id, "VIEWER")
    shown = browser.open("segments")
    assert not shown.exception
    assert not shown.expander


def test_a_rule_of_another_system_becomes_a_draft(workspace, browser):
    user = browser.sign_in(workspace.id, "MEMBER")
    page = opened(browser)
    page = labelled("text_area", page, "Rule as JSON").set_value('[{"condition": "moon"}, {"eventType": "x"}]').run()
    assert "Condition 1: A condition is one of event, property and cohort, and this is 'moon'." in words(page)
    page = labelled("text_area", page, "Rule as JSON").set_value(orjson.dumps(AT_RISK).decode()).run()
    assert "Days since last active” of more than 60" in words(page)
    page = press(page, "Make it my draft")
    assert "Open it in the builder" in words(page)
    with workspace.database.web.transaction(workspace.id, read_only=True) as session:
        who = Principal(user, "ada@acme.example", workspace.id, "MEMBER")
        draft = keeping.read_draft(session, who, None)
    assert [one["feature"] for one in draft.content["match"]["of"]] == ["days_since_last_active", "letters_sent"]

    again = opened(browser)
    again = labelled("text_area", again, "Rule as JSON").set_value(orjson.dumps(POWER_USERS).decode()).run()
    assert "this rule takes its place" in words(again)
    again = press(again, "Replace my draft")
    assert "Your draft now" in words(again)
    with workspace.database.web.transaction(workspace.id) as session:
        brought = keeping.read_draft(session, who, None).content
        assert (brought["match"]["of"][0]["kind"], brought["before"]) == ("performed", draft.content["match"])
        keeping.discard_draft(session, who, None)
    again = again.run()
    assert "Your draft now" not in words(again)
    assert kept(workspace) == {}
