"""Segments in the browser's pages: the list, the builder, a segment's page, why; for every role and in every state."""

import asyncio
import csv
import io
import json
import re
from datetime import timedelta
from urllib.parse import parse_qs

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from gdp_core import clock, reports
from gdp_core.accounts.roles import Principal, Role
from gdp_core.analytics.breakdown import Breakdown
from gdp_core.analytics.trends import Trend, trend
from gdp_core.db import rows, run
from gdp_core.features.definitions import Wanted, define
from gdp_core.segments import keeping, rules
from gdp_core.segments.backtesting import Day
from gdp_core.segments.conditions import KINDS
from gdp_core.segments.starters import STARTERS, install
from gdp_core.segments.subscribing import subscribe
from gdp_core.settings import settings
from gdp_core.timeline.matching import Condition, Match
from pages.api import API_ROUTES
from pages.gate.asgi import Gate
from pages.gate.headers import cookie_name
from pages.ui.context import here
from pages.ui.reporting import sight as sights
from pages.ui.reporting.asking import Who
from pages.ui.segments import counting as building
from pages.ui.segments import listed, telling, versions
from pages.ui.segments.one import TABS

from . import counting
from .browsing import forget_everything, plain, words
from .conftest import NOW
from .test_pipeline import identify, track

ROLES = ["OWNER", "ADMIN", "MEMBER", "VIEWER"]
SENT = {"kind": "performed", "event": {"names": ["letter_sent"]}, "times": 1}
MADE = {"kind": "performed", "event": {"names": ["letter_created"]}, "times": 1}
FOUND = {"kind": "person", "field": "billing_contact", "op": "set"}
PRIVATE = {"kind": "person", "field": "email", "op": "is", "values": ["u1@acme.example"]}


@pytest.fixture
def workspace(database, browser, ws, tmp_path, monkeypatch):
    """Four people: u1 and u2 sign up, make and send a letter, u3 stops after making one, u4 after signing up."""
    with counting.counted(database, tmp_path, ws, monkeypatch) as made:
        segment = database.source(ws, "segment")
        messages = []
        for user, last in (("u1", 3), ("u2", 3), ("u3", 2), ("u4", 1)):
            at = made.now - counting.ago(5)
            messages.append(
                identify(
                    user,
                    message=f"{user}-i",
                    at=at,
                    email=f"{user}@acme.example",
                    name=f"Person {user}",
                    billing_contact="bob@corp.example",
                )
            )
            for number, name in enumerate(("signup_completed", "letter_created", "letter_sent")[:last]):
                happened = at + counting.ago(number / 24)
                messages.append(
                    track(name, user, message=f"{user}-{name}", at=happened, plan="pro" if user == "u1" else "free")
                )
        made.send(segment, *messages)
        made.count()
        yield made


def rule(*conditions, kind="all"):
    return rules.read({"version": 1, "match": {"kind": kind, "of": list(conditions)}})


def kept(workspace, name, *conditions, **more):
    """A saved segment."""
    with workspace.database.web.transaction(workspace.id) as session:
        return keeping.create(session, Principal.system(workspace.id), name, rule(*conditions), now=clock.now(), **more)


def with_members(workspace, segment, *users, entered=None):
    """What the worker would have found of it."""
    at = entered or clock.now()
    with workspace.database.worker.transaction(workspace.id) as session:
        people = [
            row.person_id
            for row in rows(
                session,
                "SELECT person_id FROM actor WHERE namespace = 'user' AND external_id = ANY(:users)",
                users=list(users),
            )
        ]
        for person in people:
            run(
                session,
                "INSERT INTO segment_member (segment_id, workspace_id, person_id, entered_at, entry)"
                " VALUES (:id, app_ws(), :person, :at, 1)",
                id=segment.id,
                person=person,
                at=at,
            )
        run(
            session,
            "INSERT INTO segment_state (segment_id, workspace_id, mark, version, people, pending, evaluated_at,"
            " seconds) VALUES (:id, app_ws(), :id, 1, :people, 0, :at, 0.2)",
            id=segment.id,
            people=len(people),
            at=at,
        )
        for before, size, entered_then, exited in ((3, 3, 3, 0), (1, len(people), 0, 3 - len(people))):
            run(
                session,
                "INSERT INTO segment_size (segment_id, workspace_id, at, people, entered, exited)"
                " VALUES (:id, app_ws(), :at, :people, :entered, :exited)",
                id=segment.id,
                at=at - counting.ago(before),
                people=size,
                entered=entered_then,
                exited=exited,
            )
    return people


def metrics(page):
    return {plain(item.label): plain(item.value) for item in page.metric}


def labelled(kind, page, label):
    """The one widget of a label."""
    (found,) = [item for item in getattr(page, kind) if plain(item.label) == label]
    return found


def press(page, label):
    """The page after a click on the one button of a label."""
    (found,) = [item for item in page.button if plain(item.label) == label and not item.disabled]
    after = found.click().run()
    assert not after.exception
    return after


def lines(page):
    """The conditions that are closed, as they are read."""
    return [re.sub(r":gray\[(\w+)\]", r"\1", plain(item.label)) for item in page.button if ".open." in str(item.key)]


def menus(page):
    """The menus of the tree's nodes, from top to bottom."""
    return [item for item in page.menu_button if ".menu." in str(item.key)]


# ------------------------------------------------------------------------------------------------------------ the list


def test_an_empty_workspace_leads_to_the_builder(database, browser, ws, tmp_path, monkeypatch):
    with counting.counted(database, tmp_path, ws, monkeypatch):
        for role in ROLES:
            browser.sign_in(ws, role)
            shown, built = browser.open("segments"), browser.open("builder")
            assert not shown.exception
            assert "No segment yet" in words(shown)
            assert ("New segment" in words(shown)) == (role != "VIEWER")
            assert ("Nothing to count yet" in words(built)) == (role != "VIEWER")


def test_the_list_says_what_each_is(browser, workspace):
    sent = kept(workspace, "Senders", SENT)
    kept(workspace, "Makers, not senders", MADE, {"kind": "segment", "segment": str(sent.id), "member": False})
    kept(workspace, "Asleep", MADE, enabled=False)
    with_members(workspace, sent, "u1", "u2")
    for role in ROLES:
        browser.sign_in(workspace.id, role)
        shown = browser.open("segments")
        assert not shown.exception
        said = words(shown)
        assert "People who did letter_sent." in said
        assert "are not in the segment “Senders”" in said
        assert "Off" in said
        assert [item.value for item in shown.text if item.value[-1] == "2"] == ["2", "+2", "+2"]
    shown = shown.text_input(key="segments.q").set_value("senders made").run()
    assert "No segment matches" in words(shown)
    shown = shown.text_input(key="segments.q").set_value("letter_created not").run()
    assert [item.label for item in shown.get("page_link") if "senders" in item.label.lower()] == ["Makers, not senders"]
    assert "letter_created not" in shown.query_params["q"]


def test_what_many_segments_cost(browser, workspace, monkeypatch):
    """A page tells the rules it shows, of names that were read once; all of them only to look for words in them."""
    sent = kept(workspace, "Aa", SENT)
    for number in range(24):
        kept(workspace, f"Made {number:02}", MADE, {"kind": "segment", "segment": str(sent.id), "member": True})
    told, read = [], []
    tell, names = rules.Rule.sentence, telling.read_names
    monkeypatch.setattr(rules.Rule, "sentence", lambda self, known: told.append(self) or tell(self, known))
    monkeypatch.setattr(listed, "read_names", lambda session: read.append(session) or names(session))
    monkeypatch.setattr("pages.ui.segments.counting.read_surroundings", None)
    browser.sign_in(workspace.id)
    shown = browser.open("segments")
    assert not shown.exception
    assert not shown.error
    assert (len(told), len(read)) == (20, 1)
    assert "are in the segment “Aa”" in words(shown)
    assert "Made 00, Made 01" in words(shown)
    shown = shown.text_input(key="segments.q").set_value("made 23").run()
    assert "Made 23" in words(shown)
    assert "Made 22" not in [item.label for item in shown.get("page_link")]


def test_a_viewer_reads_no_personal_value(browser, workspace):
    one = kept(workspace, "One of them", PRIVATE)
    browser.sign_in(workspace.id, "VIEWER")
    for page in (
        browser.open("segments"),
        *(browser.open("segment", id=one.id.hex, tab=tab) for tab in ("overview", "versions")),
    ):
        assert not page.exception
        assert "u1@acme.example" not in words(page)
    browser.sign_in(workspace.id, "MEMBER")
    assert "u1@acme.example" in words(browser.open("segments"))


def test_a_viewer_is_not_told_what_was_found_of_somebody(browser, workspace):
    known = kept(workspace, "Known", {"kind": "person", "field": "email", "op": "set"}, FOUND)
    with workspace.database.web.transaction(workspace.id, read_only=True) as session:
        (person,) = rows(session, "SELECT person_id FROM actor WHERE external_id = 'u1'")
    for role, sees in (("MEMBER", True), ("VIEWER", False)):
        browser.sign_in(workspace.id, role)
        asked = browser.open("segment", id=known.id.hex, tab="why", person=person.person_id.hex)
        profile = browser.open("person", id=str(person.person_id), tab="segments")
        for page in (asked, labelled("selectbox", profile, "Why is this person not in").select(known.id).run()):
            assert not page.exception
            said = words(page)
            assert "By its rule now: in it" in said
            assert ("Email is u1@acme.example" in said, "bob@corp.example" in said) == (sees, sees)
            assert ("b•••@c•••.example" in said) == (not sees)


def test_reports_and_the_builder_follow_a_change_at_once(browser, workspace):
    """Whoever made it, in this process or another: nothing need be forgotten."""
    sent = kept(workspace, "Senders", SENT)
    browser.sign_in(workspace.id)
    by = Trend((Match(("signup_completed",)),), "people", breakdown=Breakdown(f"person.in:{sent.id}"))

    def counted():
        sight = sights.look(here(), None)
        of = int(sight.of(Who(list_id=sent.id)).within().sum())
        where = int(sight.of(Who((Condition(f"person.in:{sent.id}", "starts_with", ("In ",)),))).within().sum())
        return of, where, sorted(line.group.label for line in sight.count(trend, by).lines)

    assert counted() == (2, 2, ["In Senders", "Not in Senders", "all"])
    who = Principal.system(workspace.id)
    with workspace.database.web.transaction(workspace.id) as session:
        keeping.change(session, who, sent.id, rule(MADE), expected_version=1, now=clock.now())
    assert counted() == (3, 3, ["In Senders", "Not in Senders", "all"])
    assert str(sent.id) in building.surroundings(here()).rules
    with workspace.database.web.transaction(workspace.id) as session:
        keeping.rename(session, who, sent.id, "Makers", now=clock.now() + timedelta(seconds=1))
        people = [row.person_id for row in rows(session, "SELECT DISTINCT person_id FROM actor")]
        saved = reports.save_list(session, who, "Everybody", people, now=clock.now())
    assert counted() == (3, 3, ["In Makers", "Not in Makers", "all"])
    assert building.surroundings(here()).names.lists == {str(saved.id): "Everybody"}


# --------------------------------------------------------------------------------------------------------- the builder


def built(browser, workspace):
    """The builder with one condition: letter_created at least once."""
    browser.sign_in(workspace.id)
    page = press(browser.open("builder"), "Did something")
    return labelled("multiselect", page, "Did").set_value(["letter_created"]).run()


def test_a_count_follows_every_change(browser, workspace):
    page = built(browser, workspace)
    assert metrics(page)["People now"] == "3"
    assert "75% of 4 people" in words(page)
    assert "People who did letter_created." in words(page)
    page = labelled("number_input", page, "Times").set_value(2).run()
    assert metrics(page)["People now"] == "0"
    page = labelled("selectbox", page, "How often").select("exactly").run()
    page = labelled("number_input", page, "Times").set_value(1).run()
    assert metrics(page)["People now"] == "3"
    page = labelled("selectbox", page, "When").select("last").run()
    assert "did letter_created exactly once in the last 30 days" in words(page)
    page = press(page, "Add a filter")
    assert "Choose a field." in words(page)
    assert metrics(page)["People now"] == "–"
    page = labelled("selectbox", page, "Field of the event").select("plan").run()
    page = labelled("multiselect", page, "Value").set_value(["pro"]).run()
    assert metrics(page)["People now"] == "1"
    page = press(page, "Done")
    assert lines(page) == ["did letter_created (plan is pro) exactly once in the last 30 days"]


def test_nothing_is_lost_by_a_reload(browser, workspace):
    page = built(browser, workspace)
    again = browser.open("builder")
    assert lines(again) == ["did letter_created"]
    assert metrics(again) == metrics(page)
    assert "Draft, not saved" in words(again)
    assert "Go on with your draft" in words(browser.open("segments"))


def test_undo_and_redo(browser, workspace):
    page = built(browser, workspace)
    page = labelled("number_input", page, "Times").set_value(5).run()
    assert metrics(page)["People now"] == "0"
    page = page.button(key="builder.new.undo").click().run()
    assert metrics(page)["People now"] == "3"
    assert labelled("number_input", page, "Times").value == 1
    page = page.button(key="builder.new.undo").click().run()
    assert metrics(page)["People now"] == "4"
    page = page.button(key="builder.new.redo").click().run()
    page = page.button(key="builder.new.redo").click().run()
    assert metrics(page)["People now"] == "0"
    assert page.button(key="builder.new.redo").disabled


def test_groups_nest_and_nodes_move(browser, workspace):
    page = press(built(browser, workspace), "Done")
    page = press(page, "Add a group")
    assert "Add a condition to this group, or remove it." in words(page)
    inner, _ = [item for item in page.menu_button if str(item.key).endswith(".add")]
    page = inner.set_value("performed").run()
    page = labelled("multiselect", page, "Did").set_value(["letter_sent"]).run()
    page = press(page, "Done")
    assert lines(page) == ["did letter_created", "did letter_sent"]
    assert metrics(page)["People now"] == "2"
    first = menus(page)[0]
    page = first.set_value("below").run()
    assert "People who (did letter_created or did letter_sent)." in words(page)
    assert metrics(page)["People now"] == "3"
    page = menus(page)[0].set_value("unwrap").run()
    assert "People who did letter_created and did letter_sent." in words(page)
    page = menus(page)[1].set_value("up").run()
    assert lines(page) == ["did letter_sent", "and did letter_created"]
    page = menus(page)[0].set_value("copy").run()
    assert len(menus(page)) == 3
    page = menus(page)[0].set_value("remove").run()
    assert len(menus(page)) == 2
    page = page.get("button_group")[0].set_value("not").run()
    assert "People except those who" in words(page)


def test_another_kind_keeps_what_it_can_say_too(browser, workspace):
    page = built(browser, workspace)
    page = labelled("selectbox", page, "Kind of condition").select("stopped").run()
    assert labelled("multiselect", page, "Did").value == ["letter_created"]
    assert "did not do letter_created in the last 30 days, but did in the 30 days before" in words(page)


def test_every_kind_has_widgets(browser, workspace):
    """And what is not finished says so, without anything else breaking."""
    browser.sign_in(workspace.id)
    page = press(browser.open("builder"), "Did something")
    for kind in (kind.model_fields["kind"].default for kind in KINDS):
        page = labelled("selectbox", page, "Kind of condition").select(kind).run()
        assert not page.exception, kind
        assert not page.error, kind
        drawn = (*page.selectbox, *page.multiselect, *page.number_input, *page.get("button_group"))
        assert len([item for item in drawn if str(item.key).startswith("builder.new.")]) > 2, kind
        assert (metrics(page)["People now"] != "–") != ("not finished" in words(page)), kind


def kept_draft(workspace, user, segment=None):
    """The conditions of a user's draft."""
    who = Principal(user, "owner", workspace.id, Principal.system(workspace.id).role)
    with workspace.database.web.transaction(workspace.id, read_only=True) as session:
        return keeping.read_draft(session, who, segment).content["match"]["of"]


def test_the_number_that_is_shown_is_the_number_that_is_kept(browser, workspace):
    """Whatever is chosen beside it: money is in micros, shares are from 0 to 1."""
    user = browser.sign_in(workspace.id)

    def stored():
        return kept_draft(workspace, user)[0]

    def number(page):
        (found,) = [item for item in page.number_input if plain(item.label).partition(" (")[0] in ("Value", "Number")]
        return found

    page = press(browser.open("builder"), "A feature")
    for feature, unit, micros in (("lifetime_value", "USD", 1e6), ("churn_risk", "%", 0.01), ("letters_sent", "", 1)):
        page = labelled("selectbox", page, "Feature").select(feature).run()
        assert (number(page).value, stored()["values"]) == (1, [micros])
        assert plain(number(page).label) == (f"Value ({unit})" if unit else "Value")
    page = number(page).set_value(50).run()
    page = labelled("selectbox", page, "Feature").select("lifetime_value").run()
    assert (number(page).value, stored()["values"]) == (50, [50_000_000])
    assert "of at least 50" in words(page)
    page = labelled("selectbox", page, "Feature").select("letters_sent").run()
    assert (number(page).value, stored()["values"]) == (50, [50])

    page = labelled("selectbox", page, "Kind of condition").select("amount").run()
    page = labelled("selectbox", page, "Of the field").select("value_micros").run()
    assert (number(page).value, stored()["compared"]["values"]) == (1, [1_000_000])
    page = labelled("selectbox", page, "Take").select("distinct").run()
    assert (number(page).value, stored()["compared"]["values"]) == (1, [1])

    page = labelled("selectbox", page, "Kind of condition").select("subscription").run()
    page = labelled("selectbox", page, "Worth a month").select("gte").run()
    assert (number(page).value, stored()["mrr"]["values"]) == (1, [1_000_000])
    assert "worth at least 1 a month" in words(page)

    page = labelled("selectbox", page, "Kind of condition").select("performed").run()
    page = press(page, "Add a filter")
    page = labelled("selectbox", page, "Field of the event").select("plan").run()
    page = labelled("selectbox", page, "Comparison").select("gte").run()
    page = number(page).set_value(7).run()
    page = labelled("selectbox", page, "Field of the event").set_value("value_micros").run()
    assert (number(page).value, stored()["event"]["where"][0]["values"]) == (7, [7_000_000])
    assert "value is at least 7" in words(page)


def test_money_of_a_person_is_money(browser, workspace):
    user = browser.sign_in(workspace.id)
    page = press(browser.open("builder"), "A field of the person")
    page = labelled("selectbox", page, "Field").set_value("mrr_micros").run()
    page = labelled("multiselect", page, "Value (in its currency)").set_value(["29"]).run()
    assert kept_draft(workspace, user)[0]["values"] == [29_000_000]
    assert "have the MRR 29" in words(page)
    page = labelled("selectbox", page, "Comparison").select("gt").run()
    assert labelled("number_input", page, "Value (in its currency)").value == 29
    assert "have an MRR of more than 29." in words(page)
    assert "micros" not in words(page)


def test_from_a_text_to_a_number_nothing_is_left(browser, workspace):
    user = browser.sign_in(workspace.id)
    who = Principal(user, "owner", workspace.id, Principal.system(workspace.id).role)
    with workspace.database.web.transaction(workspace.id) as session:
        define(session, who, Wanted("Last plan", "last", ("letter_sent",), field="plan"), now=clock.now())
    forget_everything()
    page = press(browser.open("builder"), "A feature")
    page = labelled("selectbox", page, "Feature").select("last_plan").run()
    assert metrics(page)["People now"] == "–"
    page = labelled("multiselect", page, "One of").set_value(["pro"]).run()
    assert metrics(page)["People now"] == "1"
    page = labelled("selectbox", page, "Feature").select("letters_sent").run()
    assert metrics(page)["People now"] == "2"
    (kept_now,) = kept_draft(workspace, user)
    assert (kept_now["op"], kept_now["values"], "texts" in kept_now) == ("gte", [1], False)


def test_a_part_of_a_text_is_a_box_that_keeps_what_is_typed(browser, workspace):
    """A list takes a typed text with Enter alone; several that were given elsewhere stay a list."""
    user = browser.sign_in(workspace.id)
    page = press(browser.open("builder"), "A field of the person")
    page = labelled("selectbox", page, "Field").select("stage").run()
    page = labelled("multiselect", page, "Value").set_value(["active"]).run()
    for op in ("contains", "not_contains", "starts_with", "ends_with"):
        page = labelled("selectbox", page, "Comparison").select(op).run()
        assert labelled("text_input", page, "Value").value == "active"
    page = labelled("text_input", page, "Value").set_value("act").run()
    (kept_now,) = kept_draft(workspace, user)
    assert (kept_now["op"], kept_now["values"]) == ("ends_with", ["act"])
    page = labelled("selectbox", page, "Comparison").select("is").run()
    page = labelled("multiselect", page, "Value").set_value(["act", "new"]).run()
    page = labelled("selectbox", page, "Comparison").select("contains").run()
    assert labelled("multiselect", page, "Value").value == ["act", "new"]


def test_never_is_a_choice(browser, workspace):
    page = built(browser, workspace)
    page = labelled("selectbox", page, "How often").select("never").run()
    assert metrics(page)["People now"] == "1"
    assert [item for item in page.number_input if item.label == "Times"] == []
    page = labelled("selectbox", page, "How often").select("exactly").run()
    assert metrics(page)["People now"] == "3"
    page = labelled("number_input", page, "Times").set_value(0).run()
    assert labelled("selectbox", page, "How often").value == "never"


def test_a_filter_is_added_to_what_there_is_then(browser, workspace):
    """A value that was typed a moment before the click counts."""
    page = press(built(browser, workspace), "Add a filter")
    page = labelled("selectbox", page, "Field of the event").select("plan").run()
    labelled("multiselect", page, "Value").set_value(["pro"])
    page = press(page, "Add another filter")
    assert [item.value for item in page.multiselect if plain(item.label) == "Value"] == [["pro"], []]
    labelled_values = [item for item in page.multiselect if plain(item.label) == "Value"]
    labelled_values[0].set_value(["free"])
    page = next(item for item in reversed(page.button) if str(item.key).endswith(".remove")).click().run()
    assert not page.exception
    assert "did letter_created (plan is free)" in words(page)


def test_a_length_is_shown_as_it_is(browser, workspace):
    made = kept(workspace, "Lately", MADE | {"when": {"last": "259200s"}})
    browser.sign_in(workspace.id)
    page = browser.open("builder", id=made.id.hex)
    page = next(item for item in page.button if ".open." in str(item.key)).click().run()
    assert labelled("number_input", page, "So long").value == 259_200


def test_saving_a_new_one_and_a_change(browser, workspace):
    page = built(browser, workspace)
    labelled("text_input", page, "Name").set_value("Makers")
    page = page.button(key="builder.new.saved").click().run()
    with workspace.database.web.transaction(workspace.id, read_only=True) as session:
        made = keeping.find_segment(session, "Makers")
    assert made.rule.match.of[0].event.names == ("letter_created",)
    assert page.query_params["id"] in (made.id.hex, [made.id.hex])
    assert "Saved" in words(page)

    page = browser.open("builder", id=made.id.hex)
    page = next(item for item in page.button if ".open." in str(item.key)).click().run()
    page = labelled("multiselect", page, "Did").set_value(["letter_sent"]).run()
    said = words(page)
    assert "Added: +0" in said
    assert "Removed: −1" in said
    assert "Person u3" in said
    page = press(page, "Save version 2")
    with workspace.database.web.transaction(workspace.id, read_only=True) as session:
        assert keeping.read_segment(session, made.id).version == 2
    said = words(browser.open("segment", id=made.id.hex, tab="versions"))
    assert "Version 2" in said
    assert "add: did letter_sent" in said
    assert "remove: did letter_created" in said


def edited(browser, segment, times):
    """The builder of a saved segment whose first condition is of so many times now."""
    page = browser.open("builder", id=segment.id.hex)
    page = next(item for item in page.button if ".open." in str(item.key)).click().run()
    return labelled("number_input", page, "Times").set_value(times).run()


def saved_by_another(workspace, segment, *conditions):
    with workspace.database.web.transaction(workspace.id) as session:
        version = keeping.read_segment(session, segment.id).version
        who = Principal.system(workspace.id)
        keeping.change(session, who, segment.id, rule(*conditions), expected_version=version, now=clock.now())


def read(workspace, segment):
    with workspace.database.web.transaction(workspace.id, read_only=True) as session:
        return keeping.read_segment(session, segment.id)


def test_who_saved_meanwhile_is_overwritten_only_on_purpose(browser, workspace):
    made = kept(workspace, "Makers", MADE)
    browser.sign_in(workspace.id)
    page = edited(browser, made, 7)
    assert "You have a draft of it, not saved" in words(browser.open("segment", id=made.id.hex))
    assert "Your draft" in words(browser.open("segments"))
    saved_by_another(workspace, made, SENT)
    unaware = page.button(key=f"builder.{made.id.hex}.saved.1").click().run()
    assert "Somebody saved version 2" in words(unaware)
    assert read(workspace, made).rule == rule(SENT)
    said = words(unaware)
    assert "remove: did letter_sent" in said
    assert "add: did letter_created at least 7 times" in said
    press(unaware, "Save over version 2")
    assert (read(workspace, made).version, read(workspace, made).rule) == (3, rule(MADE | {"times": 7}))


def test_ones_own_becomes_a_new_segment(browser, workspace):
    made = kept(workspace, "Makers", MADE)
    browser.sign_in(workspace.id)
    page = edited(browser, made, 7)
    saved_by_another(workspace, made, SENT)
    (way,) = [item for item in page.get("button_group") if str(item.key).endswith(".way")]
    page = way.set_value("new").run()
    labelled("text_input", page, "Name").set_value("Makers of seven")
    press(page, "Save the segment")
    with workspace.database.web.transaction(workspace.id, read_only=True) as session:
        assert keeping.find_segment(session, "Makers of seven").rule == rule(MADE | {"times": 7})
    assert read(workspace, made).rule == rule(SENT)
    assert "Saved" in words(browser.open("builder", id=made.id.hex))


def test_a_deleted_segment_takes_no_draft_with_it(browser, workspace):
    made = kept(workspace, "Makers", MADE)
    user = browser.sign_in(workspace.id)
    edited(browser, made, 7)
    with workspace.database.web.transaction(workspace.id) as session:
        keeping.delete(session, Principal.system(workspace.id), made.id, now=clock.now())
    page = browser.open("builder", id=made.id.hex)
    assert "This segment was deleted" in words(page)
    page = press(page, "Go on as a new segment")
    assert lines(page) == ["did letter_created at least 7 times"]
    assert [one["times"] for one in kept_draft(workspace, user)] == [7]


def test_of_two_tabs_both_drafts_are_offered(browser, workspace, monkeypatch):
    made = kept(workspace, "Makers", MADE)
    user = browser.sign_in(workspace.id)
    one = edited(browser, made, 7)
    other = browser.open("builder", id=made.id.hex)
    monkeypatch.setattr(clock, "now", lambda: counting.NOW + timedelta(seconds=5))
    other = next(item for item in other.button if ".open." in str(item.key)).click().run()
    other = labelled("number_input", other, "Times").set_value(9).run()
    monkeypatch.setattr(clock, "now", lambda: counting.NOW + timedelta(seconds=9))
    one = labelled("number_input", one, "Times").set_value(8).run()
    assert "In another tab you changed this too" in words(one)
    assert kept_draft(workspace, user, made.id)[0]["times"] == 9
    one = press(one, "Keep this one")
    assert kept_draft(workspace, user, made.id)[0]["times"] == 8
    assert "Choose which draft stays" not in words(one)
    other = other.run()
    assert "Choose which draft stays" in words(other)
    other = press(other, "Show the other one")
    assert lines(other) == ["did letter_created at least 8 times"]
    press(one, "Save version 2")
    other = other.run()
    assert "Kept for you" not in words(other)
    assert "Saved" in words(other)


def test_the_look_back_is_told_once_and_again_when_asked(browser, workspace, monkeypatch):
    asked = []

    def year(_sight, _around, rule, _watch):
        asked.append(rule.match.of[0].times)
        return (Day(counting.NOW.date(), 3, 1, 0), Day(counting.NOW.date(), 3, 0, 0))

    monkeypatch.setattr("pages.ui.segments.counting.year", year)
    page = built(browser, workspace)
    page.session_state["builder-year"] = True
    page = page.run()
    assert "1 would have entered" in words(page)
    for times in (2, 3):
        page = labelled("number_input", page, "Times").set_value(times).run()
        assert "The rule is another one" in words(page)
    assert asked == [1]
    page = press(page, "Tell it for this rule")
    assert "1 would have entered" in words(page)
    assert asked == [1, 3]


def test_what_was_begun_before_something_was_brought_is_a_step_of_undo_away(browser, workspace):
    user = browser.sign_in(workspace.id)
    who = Principal(user, "owner", workspace.id, Principal.system(workspace.id).role)
    content = {
        "match": {"kind": "all", "of": [SENT]},
        "before": {"kind": "all", "of": [MADE]},
        "base": None,
    }
    with workspace.database.web.transaction(workspace.id) as session:
        keeping.write_draft(session, who, None, content, now=clock.now())
    page = browser.open("builder")
    assert lines(page) == ["did letter_sent"]
    page = page.button(key="builder.new.undo").click().run()
    assert lines(page) == ["did letter_created"]


def test_what_is_undone_is_no_draft(browser, workspace):
    made = kept(workspace, "Makers", MADE)
    browser.sign_in(workspace.id)
    page = edited(browser, made, 7)
    page = page.button(key=f"builder.{made.id.hex}.undo").click().run()
    assert "Saved" in words(page)
    assert "You have a draft of it" not in words(browser.open("segment", id=made.id.hex))
    page = page.button(key=f"builder.{made.id.hex}.redo").click().run()
    assert "Draft, not saved" in words(page)
    saved_by_another(workspace, made, SENT)
    page = page.button(key=f"builder.{made.id.hex}.undo").click().run()
    assert lines(page) == ["did letter_sent"], "who changed nothing sees what is newest"


HOSTILE = [
    "![x](http://evil.example/t.png)",
    ":red[x]",
    "<b>x</b>",
    "$x^2$",
    "a\u202eb",
    "'; DROP TABLE person; --",
]


def test_no_value_breaks_the_builder(browser, workspace):
    browser.sign_in(workspace.id)
    page = press(browser.open("builder"), "A field of the person")
    page = labelled("selectbox", page, "Field").select("stage").run()
    for text in HOSTILE:
        page = labelled("multiselect", page, "Value").set_value([text]).run()
        assert not page.exception
        assert metrics(page)["People now"] == "0"
    assert not browser.open("builder").exception


def test_a_draft_may_name_what_is_gone_or_unknown(browser, workspace):
    user = browser.sign_in(workspace.id)
    who = Principal(user, "owner", workspace.id, Principal.system(workspace.id).role)
    gone = [
        {"kind": "feature", "feature": "no_such_feature"},
        {"kind": "segment", "segment": "1b4e28ba-2fa1-11d2-883f-0016d3cca427"},
        {"kind": "nonsense", "x": 1},
        {"kind": "person", "field": "stage", "op": "is", "values": ["x" * 100_000]},
        {
            "kind": "performed",
            "event": {"names": ["letter_sent"], "where": [{"field": "plan", "comparison": "matches", "values": ["("]}]},
        },
        MADE,
    ]
    with workspace.database.web.transaction(workspace.id) as session:
        keeping.write_draft(session, who, None, {"match": {"kind": "all", "of": gone}, "base": None}, now=clock.now())
    page = browser.open("builder")
    assert not page.exception
    assert not page.error
    said = words(page)
    assert "There is no feature" in said
    assert "This segment was deleted" in said
    assert "There is no condition of this kind" in said
    assert "cannot be read" in said
    assert "A value is at most 1,000 characters long" in said
    assert "5 conditions are not finished" in said
    for item in [item for item in page.button if ".open." in str(item.key)]:
        page = page.button(key=item.key).click().run()
        assert not page.exception
        assert not page.error


def removed(workspace, user):
    """A segment whose feature somebody removed since it was saved."""
    who = Principal(user, "owner", workspace.id, Principal.system(workspace.id).role)
    with workspace.database.web.transaction(workspace.id) as session:
        feature = define(session, who, Wanted("Letters of ours", "count", ("letter_sent",)), now=clock.now())
        made = keeping.create(
            session, who, "Of a feature", rule({"kind": "feature", "feature": feature.slug}), now=clock.now()
        )
        run(session, "DELETE FROM feature_definition WHERE slug = :slug", slug=feature.slug)
    forget_everything()
    return made


def test_a_broken_segment_that_is_named_can_be_taken_out_again(browser, workspace):
    broken = removed(workspace, browser.sign_in(workspace.id))
    page = press(browser.open("builder"), "Did something")
    page = labelled("selectbox", page, "Kind of condition").select("segment").run()
    page = labelled("selectbox", page, "The segment").select(str(broken.id)).run()
    for shown in (page, browser.open("builder")):
        assert not shown.exception
        assert not shown.error
        assert "There is no feature 'letters_of_ours' any more" in words(shown)
        assert "1 condition is not finished" in words(shown)
        assert metrics(shown)["People now"] == "–"
    page = menus(page)[0].set_value("remove").run()
    assert "Begin with one of these" in words(page)


def test_a_segment_whose_feature_was_removed_can_be_mended(browser, workspace):
    broken = removed(workspace, browser.sign_in(workspace.id))
    page = browser.open("builder", id=broken.id.hex)
    assert "There is no feature" in words(page)
    page = next(item for item in page.button if ".open." in str(item.key)).click().run()
    page = labelled("selectbox", page, "Kind of condition").select("performed").run()
    page = labelled("multiselect", page, "Did").set_value(["letter_sent"]).run()
    assert not page.error
    assert metrics(page)["People now"] == "2"
    assert "As it is saved it cannot be counted" in words(page)
    page = press(page, "Save version 2")
    with workspace.database.web.transaction(workspace.id, read_only=True) as session:
        found = keeping.read_segment(session, broken.id)
    assert (found.version, found.rule.match.of[0].kind) == (2, "performed")


def test_whatever_counting_does_the_rule_can_be_undone(browser, workspace, monkeypatch):
    page = built(browser, workspace)

    def breaks(*_, **__):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("gdp_core.segments.previewing.preview", breaks)
        page = labelled("number_input", page, "Times").set_value(5).run()
        assert "Something went wrong here" in words(page)
        assert labelled("number_input", page, "Times").value == 5
        assert not page.button(key="builder.new.undo").disabled
    page = page.button(key="builder.new.undo").click().run()
    assert metrics(page)["People now"] == "3"


def test_too_many_conditions_are_not_said_to_be_none(browser, workspace):
    user = browser.sign_in(workspace.id)
    who = Principal(user, "owner", workspace.id, Principal.system(workspace.id).role)
    with workspace.database.web.transaction(workspace.id) as session:
        content = {"match": {"kind": "all", "of": [MADE] * 101}, "base": None}
        keeping.write_draft(session, who, None, content, now=clock.now())
    said = words(browser.open("builder"))
    assert "A rule has at most 100 conditions" in said
    assert "No condition yet" not in said


# --------------------------------------------------------------------------------------------------------- a segment


def test_every_role_sees_every_tab(browser, workspace):
    sent, made = kept(workspace, "Senders", SENT), kept(workspace, "Makers", MADE)
    with_members(workspace, sent, "u1", "u2")
    with_members(workspace, made, "u1", "u2", "u3")
    for role in ROLES:
        browser.sign_in(workspace.id, role)
        pages = {tab: browser.open("segment", id=sent.id.hex, tab=tab) for tab in TABS}
        for page in pages.values():
            assert not page.exception
            assert not page.error
            said = words(page)
            assert ("Edit the rule" in said) == (role != "VIEWER")
            assert role != "VIEWER" or "u1@acme.example" not in said
        assert metrics(pages["overview"])["People"] == "2"
        assert metrics(pages["overview"])["Entered · left, last 30 days"] == "3 · 1"
        assert len(pages["overview"].get("plotly_chart")) == 2
        assert len(pages["people"].dataframe[0].value) == 2
        exports = [item for item in pages["people"].get("link_button") if "/api/export/segment.csv" in item.proto.url]
        assert len(exports) == (0 if role == "VIEWER" else 1)
        shared = pages["overlap"].dataframe[0].value
        assert (*shared["Segment"], *shared["Both"], *shared["Jaccard"]) == ("Makers", "2", "66.7%")
        assert (*pages["history"].dataframe[0].value["What"],) == ("Made it",)
        assert (*pages["history"].dataframe[0].value["Who"],) == ("a command on the server",)


def test_a_failing_one_says_why_and_how_old_its_people_are(browser, workspace):
    sent = kept(workspace, "Senders", SENT)
    with_members(workspace, sent, "u1", entered=clock.now() - counting.ago(0.25))
    with workspace.database.worker.transaction(workspace.id) as session:
        run(session, "UPDATE segment_state SET error = 'The feature is gone.', failed_at = :now", now=clock.now())
    browser.sign_in(workspace.id)
    said = words(browser.open("segment", id=sent.id.hex))
    assert "The feature is gone." in said
    assert "6 hours ago" in said
    assert "Failing" in words(browser.open("segments"))


def test_a_rule_of_another_release_is_shown_and_can_be_written_anew(browser, workspace):
    sent, made = kept(workspace, "Senders", SENT), kept(workspace, "Makers", MADE)
    person = with_members(workspace, sent, "u1")[0]
    given = {"version": 9, "match": {"kind": "all", "of": [SENT, {"kind": "dreamt", "of": 3}]}}
    for one, rule_of in ((sent, given), (made, {"version": 9})):
        with workspace.database.web.transaction(workspace.id) as session:
            run(
                session,
                "INSERT INTO segment_version (segment_id, workspace_id, version, rule, note, created_at)"
                " VALUES (:id, app_ws(), 2, CAST(:rule AS jsonb), '', :now)",
                id=one.id,
                rule=json.dumps(rule_of),
                now=clock.now(),
            )
            run(session, "UPDATE segment SET version = 2 WHERE id = :id", id=one.id)
    browser.sign_in(workspace.id)
    assert "a rule that this release cannot read" in words(browser.open("segments"))
    for tab in TABS:
        page = browser.open("segment", id=sent.id.hex, tab=tab)
        assert not page.exception
        assert "Senders" in words(page)
    assert not browser.open("person", id=person.hex, tab="segments").exception
    page = browser.open("builder", id=sent.id.hex)
    assert not page.exception
    assert not page.error
    assert "There is no condition of this kind" in words(page)
    page = browser.open("builder", id=made.id.hex)
    assert not page.exception
    assert not page.error
    assert "Begin with one of these" in words(page)


def test_why_on_the_page_and_on_the_profile(browser, workspace):
    sent = kept(workspace, "Senders", SENT, MADE)
    people = with_members(workspace, sent, "u1")
    browser.sign_in(workspace.id)
    said = words(browser.open("segment", id=sent.id.hex, tab="why", person=people[0].hex))
    assert "In the segment" in said
    assert "Stays as long as nothing happens." in said
    assert "did letter_sent" in said
    assert "Did it once; wanted: at least 1" in said
    with workspace.database.web.transaction(workspace.id, read_only=True) as session:
        (other,) = rows(session, "SELECT person_id FROM actor WHERE external_id = 'u4'")
    said = words(browser.open("segment", id=sent.id.hex, tab="why", person=other.person_id.hex))
    assert "Not in it" in said
    assert "Did not do it" in said
    page = browser.open("person", id=str(other.person_id), tab="segments")
    assert "In no segment now." in words(page)
    page = labelled("selectbox", page, "Why is this person not in").select(sent.id).run()
    assert not page.exception
    assert "Not in it" in words(page)
    page = browser.open("person", id=str(people[0]), tab="segments")
    assert [item.label for item in page.expander] == ["Senders"]


def test_evidence_leads_to_the_event_and_to_the_other_segment(browser, workspace):
    made = kept(workspace, "Makers", MADE)
    sent = kept(workspace, "Senders", SENT, {"kind": "segment", "segment": str(made.id), "member": True})
    (person,) = with_members(workspace, sent, "u1")
    browser.sign_in(workspace.id)
    page = browser.open("segment", id=sent.id.hex, tab="why", person=person.hex)
    links = {plain(item.label): item.proto.query_string for item in page.get("page_link")}
    asked = parse_qs(next(query for label, query in links.items() if label.startswith("letter_sent · ")))
    with workspace.database.web.transaction(workspace.id, read_only=True) as session:
        (event,) = rows(
            session,
            "SELECT e.id FROM event e JOIN actor a ON a.id = e.actor_id WHERE a.person_id = :id AND e.name = 'letter_sent'",
            id=person,
        )
    assert asked["id"] == [str(person)]
    assert asked["shown"][0].endswith(str(event.id))
    other = parse_qs(links["Why"])
    assert (other["id"], other["tab"], other["person"]) == ([made.id.hex], ["why"], [person.hex])
    opened = browser.open("person", **{name: values[0] for name, values in asked.items()})
    assert not opened.exception
    assert str(event.id) in words(opened)
    assert opened.dataframe[0].value["What"][0] == "letter_sent"
    assert "shown" not in opened.query_params
    assert str(event.id) not in words(opened.run())


def test_why_says_where_the_people_are_not_those_of_the_rule(browser, workspace):
    """Its rule is asked now, who is in it was written before: both are told, and why they differ."""
    sent = kept(workspace, "Senders", SENT)
    with_members(workspace, sent, "u1", "u3")
    with workspace.database.web.transaction(workspace.id, read_only=True) as session:
        known = {
            row.external_id: row.person_id
            for row in rows(session, "SELECT external_id, person_id FROM actor WHERE namespace = 'user'")
        }

    def said(user):
        page = browser.open("segment", id=sent.id.hex, tab="why", person=known[user].hex)
        assert not page.exception
        assert not page.error
        return words(page)

    browser.sign_in(workspace.id)
    assert "By its rule now" not in said("u1")
    assert "By its rule now: not in it" in said("u3")
    assert "By its rule now: in it" in said("u2")
    assert "the next counting brings its people in line" in said("u2")
    for change, told in (
        ("pending = 5", "written step by step"),
        ("pending = 0, version = 0", "still those of version 0"),
        (
            "version = 1, error = 'A feature is gone.', failed_at = now()",
            "It is failing, so its people are as they were",
        ),
    ):
        with workspace.database.worker.transaction(workspace.id) as session:
            run(session, f"UPDATE segment_state SET {change}")
        assert told in said("u2")
    with workspace.database.web.transaction(workspace.id) as session:
        keeping.set_enabled(session, Principal.system(workspace.id), sent.id, False, now=clock.now())
    off = said("u2")
    assert "It is off, and its people are as they were" in off
    assert "Nobody enters or leaves it while it is off." in off
    page = browser.open("person", id=str(known["u2"]), tab="segments")
    page = labelled("selectbox", page, "Why is this person not in").select(sent.id).run()
    assert "It is off, and its people are as they were" in words(page)


def test_people_of_an_earlier_version_are_told_as_such(browser, workspace):
    sent = kept(workspace, "Senders", SENT)
    with_members(workspace, sent, "u1")
    browser.sign_in(workspace.id)
    assert "Version 1 · counted" in words(browser.open("segment", id=sent.id.hex))
    with workspace.database.web.transaction(workspace.id) as session:
        keeping.change(
            session, Principal.system(workspace.id), sent.id, rule(MADE), expected_version=1, now=clock.now()
        )
    said = words(browser.open("segment", id=sent.id.hex))
    assert "Version 2 · its people are those of version 1, counted" in said
    assert "Being counted" in said
    assert "Being counted" in words(browser.open("segments"))


def test_versions_and_changes_come_page_by_page_and_name_who_made_them(browser, workspace, monkeypatch):
    monkeypatch.setattr(versions, "_CHANGES", 5)
    sent = kept(workspace, "Senders", SENT)
    user = browser.sign_in(workspace.id, "MEMBER", email="mia@acme.example")
    mia = Principal(user, "mia@acme.example", workspace.id, Role.MEMBER)
    key = Principal(None, "key CRM sync (gdp_sk_1)", workspace.id, Role.MEMBER)
    with workspace.database.web.transaction(workspace.id) as session:
        for version in range(1, 12):
            who = {10: key, 11: mia}.get(version, Principal.system(workspace.id))
            changed = rule(SENT | {"times": version + 1})
            keeping.change(session, who, sent.id, changed, expected_version=version, now=clock.now())
    said = words(browser.open("segment", id=sent.id.hex, tab="versions"))
    for version, who in ((12, "mia@acme.example"), (11, "key CRM sync (gdp_sk_1)"), (10, "a command on the server")):
        assert re.search(rf"\*\*Version {version}\W.*?· {re.escape(who)}", said, re.DOTALL)
    page = browser.open("segment", id=sent.id.hex, tab="versions", n="2")
    assert "**Version 12**" not in words(page)
    page = page.button(key="restore-1").click().run()
    assert "+2 enter and −0 leave once it is counted." in words(page)
    page = browser.open("segment", id=sent.id.hex, tab="history")
    assert (*page.dataframe[0].value["What"],) == tuple(f"Saved version {number}" for number in (12, 11, 10, 9, 8))
    assert page.dataframe[0].value["Who"][1] == "key CRM sync (gdp_sk_1)"
    page = press(press(page, "Older"), "Older")
    assert (*page.dataframe[0].value["What"],) == ("Saved version 2", "Made it")


def test_a_person_is_found_by_any_id_they_ever_had(browser, workspace):
    sent = kept(workspace, "Senders", SENT)
    with_members(workspace, sent, "u1")
    with workspace.database.web.transaction(workspace.id, read_only=True) as session:
        (other,) = rows(
            session,
            "SELECT a.id FROM actor a JOIN actor u ON u.person_id = a.person_id WHERE u.external_id = 'u1'"
            " AND a.id <> a.person_id LIMIT 1",
        )
    browser.sign_in(workspace.id)
    assert "In the segment" in words(browser.open("segment", id=sent.id.hex, tab="why", person=other.id.hex))
    nobody = browser.open("segment", id=sent.id.hex, tab="why", person="1b4e28ba2fa111d2883f0016d3cca427")
    assert "There is nobody of this id" in words(nobody)


def test_turning_off_and_copying(browser, workspace):
    action = {"enabled": False, "steps": [{"kind": "email", "text": "Write to them"}]}
    sent = kept(workspace, "Senders", SENT, goal="Send more", action=action)
    browser.sign_in(workspace.id)
    page = browser.open("segment", id=sent.id.hex)
    page = page.menu_button(key=f"segment.menu.{sent.id.hex}").set_value("off").run()
    assert "It is off" in words(page)
    page = page.menu_button(key=f"segment.menu.{sent.id.hex}").set_value("copy").run()
    with workspace.database.web.transaction(workspace.id, read_only=True) as session:
        copy = keeping.find_segment(session, "Senders (copy)")
    assert (copy.rule, copy.enabled, copy.goal, copy.action) == (sent.rule, False, "Send more", action)
    assert not page.exception
    assert plain(page.title[0].value) == "Senders (copy)"
    assert page.query_params["id"] in (copy.id.hex, [copy.id.hex])


def used(workspace, segment):
    """A segment, a saved report and a webhook subscription that use one."""
    who = Principal.system(workspace.id)
    with workspace.database.web.transaction(workspace.id) as session:
        breakdown = {"field": f"person.in:{segment.id}"}
        for name, content in (("Letters by senders", {"breakdown": breakdown}), ("Letters", {})):
            reports.save_report(session, who, name, reports.Question("trend", content), now=clock.now())
        subscribe(session, who, url="https://hooks.example.com/x", segment_id=segment.id, kinds=["entered"], now=NOW)
        subscribe(session, who, url="https://hooks.example.com/y", segment_id=None, kinds=["entered"], now=NOW)
    return kept(
        workspace, "Makers, not senders", MADE, {"kind": "segment", "segment": str(segment.id), "member": False}
    )


def test_what_uses_a_segment_is_told_there_and_before_it_is_deleted(browser, workspace):
    sent = kept(workspace, "Senders", SENT)
    with_members(workspace, sent, "u1", "u2")
    user = used(workspace, sent)
    browser.sign_in(workspace.id)
    page = browser.open("segment", id=sent.id.hex)
    links = [plain(item.label) for item in page.get("page_link")]
    assert {"Makers, not senders", "Letters by senders"} <= {*links}
    assert "Letters" not in links
    assert "1 webhook subscription" in words(page)
    menu = f"segment.menu.{sent.id.hex}"
    said = words(page.menu_button(key=menu).set_value("delete").run())
    assert "It cannot be deleted while other segments are made of it" in said
    with workspace.database.web.transaction(workspace.id) as session:
        keeping.delete(session, Principal.system(workspace.id), user.id, now=clock.now())
    said = words(browser.open("segment", id=sent.id.hex).menu_button(key=menu).set_value("delete").run())
    assert "2 people are in it." in said
    assert "“Letters by senders”" in said
    assert "One webhook subscription of it hears nothing more." in said


def test_what_was_deleted_is_on_the_list_and_can_be_restored(browser, workspace):
    sent = kept(workspace, "Senders", SENT)
    with workspace.database.web.transaction(workspace.id) as session:
        keeping.delete(session, Principal.system(workspace.id), sent.id, now=clock.now())
    for role in ("VIEWER", "MEMBER"):
        browser.sign_in(workspace.id, role)
        page = browser.open("segments")
        assert "Deleted · 1" in [item.label for item in page.expander]
    page.session_state["segments.deleted.open"] = True
    page = press(page.run(), "Restore")
    assert not page.error
    with workspace.database.web.transaction(workspace.id, read_only=True) as session:
        assert keeping.read_segment(session, sent.id).name == "Senders"
        assert keeping.list_deleted(session) == []
    assert "Senders" in [item.label for item in page.get("page_link")]


def test_one_that_is_off_says_whom_it_would_mean(browser, workspace):
    sent = kept(workspace, "Senders", SENT, enabled=False)
    for role in ROLES:
        browser.sign_in(workspace.id, role)
        for tab in ("overview", "people"):
            page = browser.open("segment", id=sent.id.hex, tab=tab)
            assert not page.exception
            assert not page.error
            said = words(page)
            assert "**2** of 4 people" in said
            assert ("Person u1" in said) == (role != "VIEWER")
            assert "enters by itself" not in said
    browser.sign_in(workspace.id)
    said = words(press(browser.open("segment", id=sent.id.hex), "Turn on…"))
    assert "Its rule means 2 of 4 people now." in said


def test_no_address_breaks_the_page(browser, workspace):
    browser.sign_in(workspace.id)
    for asked in ("", "nonsense", "-" * 36, "1b4e28ba-2fa1", "1b4e28ba-2fa1-11d2-883f-0016d3cca427"):
        for name in ("segment", "builder"):
            page = browser.open(name, id=asked)
            assert not page.exception
            assert not page.error
            assert ("New segment" in words(page)) == ((name, asked) == ("builder", ""))
    sent = kept(workspace, "Senders", SENT)
    for more in ({"tab": "why", "person": "x"}, {"tab": "people", "after": "zzz"}, {"tab": "nothing"}):
        page = browser.open("segment", id=sent.id.hex, **more)
        assert not page.exception
        assert not page.error


def test_everybody_in_it_is_in_the_file(browser, workspace, monkeypatch):
    sent, entered = kept(workspace, "Senders", SENT), clock.now() - counting.ago(1)
    with_members(workspace, sent, "u1", "u2", "u3", entered=entered)
    monkeypatch.setattr("gdp_core.analytics.segments._EXPORT_PAGE", 2)
    application = Starlette(routes=API_ROUTES, middleware=[Middleware(Gate)])

    async def ask(identifier):
        transport = httpx.ASGITransport(application)
        address = f"http://127.0.0.1:{settings().dashboard_port}"
        async with httpx.AsyncClient(
            transport=transport, base_url=address, cookies={cookie_name(): browser.token}
        ) as client:
            return await client.get("/api/export/segment.csv", params={"ws": "acme", "id": identifier})

    browser.sign_in(workspace.id, "MEMBER")
    answer = asyncio.run(ask(sent.id.hex))
    found = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert sorted(row["email"] for row in found) == [f"u{number}@acme.example" for number in (1, 2, 3)]
    assert {(row["entered_at"], row["entry"]) for row in found} == {(f"{entered:%Y-%m-%dT%H:%M:%S}Z", "1")}
    assert asyncio.run(ask("nonsense")).status_code == 404
    browser.sign_in(workspace.id, "VIEWER")
    assert asyncio.run(ask(sent.id.hex)).status_code == 403


def test_what_is_intended_is_told(browser, workspace):
    with workspace.database.web.transaction(workspace.id) as session:
        (made,) = install(session, Principal.system(workspace.id), [STARTERS[0].key], now=clock.now())
    browser.sign_in(workspace.id)
    said = words(browser.open("segment", id=made.id.hex))
    assert STARTERS[0].goal in said
    assert STARTERS[0].steps[0].text in said
    assert "nothing happens by itself" in said


def test_a_rule_of_thirty_conditions_nested_four_deep(browser, workspace):
    def nested(depth):
        parts = [MADE | {"times": number} for number in range(1, 8)]
        return {"kind": "any" if depth % 2 else "all", "of": [*parts, nested(depth - 1)] if depth else parts}

    user = browser.sign_in(workspace.id)
    who = Principal(user, "owner", workspace.id, Principal.system(workspace.id).role)
    match = nested(3)
    with workspace.database.web.transaction(workspace.id) as session:
        keeping.write_draft(session, who, None, {"match": match, "base": None}, now=clock.now())
    page = browser.open("builder")
    assert not page.exception
    assert len(lines(page)) == 28
    assert metrics(page)["People now"] != "–"
