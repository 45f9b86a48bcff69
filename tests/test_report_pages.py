"""Report pages through the frame: their numbers, the people behind them, what is saved, what a link says."""

import asyncio
import csv
import io
import json
import re
import shlex
from datetime import date, timedelta
from itertools import count, pairwise
from uuid import uuid4

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware

from gdp_core import choices, reports
from gdp_core.accounts.roles import Principal
from gdp_core.analytics.breakdown import Breakdown
from gdp_core.analytics.funnel.question import Exclusion, FactorQuestion, FunnelQuestion, Step
from gdp_core.analytics.trends import Trend
from gdp_core.analytics.window import Window
from gdp_core.db import rows
from gdp_core.event_roles import RoleFilter
from gdp_core.settings import settings
from gdp_core.timeline.matching import Condition, Match
from jobs import report as report_command
from jobs.commands import main
from pages.api import API_ROUTES
from pages.gate.asgi import Gate
from pages.gate.headers import cookie_name
from pages.ui.reporting import asking, behind, picking
from pages.ui.reporting.asking import Asked, Who
from pages.ui.reporting.clicking import Click

from . import counting
from .browsing import browsing, forget_everything, plain, words
from .conftest import taken
from .test_pipeline import identify, track

ROLES = ["OWNER", "ADMIN", "MEMBER", "VIEWER"]
PAGES = ["funnels", "trends"]
_NUMBERS = count(1)


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as made:
        yield made


@pytest.fixture(scope="module")
def database(server, template, databases):
    with taken(server, template, databases) as found:
        yield found


@pytest.fixture(scope="module")
def browser(database, patch):
    with browsing(database, patch) as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("counted")


@pytest.fixture(scope="module")
def shared(database, browser, folder, patch):
    """The workspace of all tests that send nothing more."""
    with counting.counted(database, folder, database.workspace(), patch) as made:
        yield filled(made)


@pytest.fixture
def workspace(shared, database):
    """The shared one, in which nothing stays saved."""
    yield shared
    with database.web.transaction(shared.id) as session:
        who = Principal.system(shared.id)
        for report in reports.list_reports(session):
            reports.delete_report(session, who, report.id, now=shared.now)
        for saved in reports.list_lists(session):
            reports.delete_list(session, who, saved.id, now=shared.now)
    forget_everything()


@pytest.fixture
def another(shared, database, folder):
    """An empty one of the test's own beside it, not counted yet."""
    return counting.Counted(database, folder, shared.lake, database.workspace(f"another-{next(_NUMBERS)}"))


@pytest.fixture
def own(another):
    """One of the test's own, with the same people as the shared one."""
    return filled(another)


def filled(made):
    """Four people: u1 and u2 sign up, make and send a letter, u3 stops after making one, u4 after signing up."""
    segment = made.database.source(made.id, "segment")
    messages = []
    for user, last in (("u1", 3), ("u2", 3), ("u3", 2), ("u4", 1)):
        at = made.now - counting.ago(5)
        messages.append(identify(user, message=f"{user}-i", at=at, email=f"{user}@acme.example", name=f"Person {user}"))
        for number, name in enumerate(("signup_completed", "letter_created", "letter_sent")[:last]):
            happened = at + counting.ago(number / 24)
            messages.append(
                track(name, user, message=f"{user}-{name}", at=happened, plan="pro" if user == "u1" else "free")
            )
    made.send(segment, *messages)
    made.count()
    return made


def metrics(page):
    return {plain(item.label): plain(item.value) for item in page.metric}


def table(page, name):
    """A table's rows, by the name of its first column."""
    (found,) = [item.value for item in page.dataframe if item.value.columns[0] == name]
    return found


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("followed", [False, True])
def test_an_empty_workspace_says_what_to_do(browser, another, role, page, followed):
    """Also once the analyst has been there, which makes an empty timeline of nothing."""
    browser.sign_in(another.id, role)
    if followed:
        another.count()
    shown = browser.open(page)
    assert not shown.exception
    assert not shown.error
    assert "Nothing to count yet" in words(shown)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("page", PAGES)
def test_every_role_sees_every_report(browser, workspace, role, page):
    browser.sign_in(workspace.id, role)
    shown = browser.open(page)
    assert not shown.exception
    assert not shown.error
    assert ("Save this report as" in [item.label for item in shown.text_input]) == (role != "VIEWER")


def test_before_the_first_timeline_it_waits(database, browser, another):
    another.send(database.source(another.id, "segment"), track("signup_completed", "u1", at=another.now))
    browser.sign_in(another.id)
    shown = browser.open("funnels")
    assert "Counting begins in a few seconds" in words(shown)


def test_a_funnel_has_its_numbers(browser, workspace):
    browser.sign_in(workspace.id)
    shown = browser.open("funnels")
    assert metrics(shown) | {"Conversion": "50%", "Entered": "4", "Converted": "2"} == metrics(shown)
    steps = table(shown, "Step")
    assert [*steps["People"]] == ["4", "3", "2"]
    assert [*steps["Still open"]] == ["", "1", "1"]


def clicked(page, of, row, column, save=None):
    """The page after a click on a number; with `save`, its people saved as a list of that name."""
    page.session_state["report.click"] = Click(of, row, column)
    if save is not None:
        page.run()
        (name,) = [item for item in page.text_input if item.key == "behind.name"]
        name.set_value(save)
        page.button(key="behind-saved").click()
        page.session_state["report.click"] = Click(of, row, column)
    return page.run()


def each_card(page):
    """The name and the number of every headline that opens its people, and the page after that."""
    cards = [
        (number, button.key)
        for number, button in pairwise(page.main)
        if number.type == "metric" and button.type == "button" and button.key.endswith(".card")
    ]
    for number, key in cards:
        after = page.button(key=key).click().run()
        assert not after.exception
        yield plain(number.label), int(number.value), listed(after)


def listed(page):
    """Whom the drawer lists, by their user ids."""
    found = [item.value for item in page.dataframe if "E-mail" in item.value.columns]
    return sorted(mail.partition("@")[0] for mail in found[0]["E-mail"]) if found else None


def test_the_people_of_a_number_become_a_segment_where_a_rule_means_them(browser, workspace, database):
    user = browser.sign_in(workspace.id, "MEMBER")
    shown = clicked(browser.open("funnels"), "funnel.step-table", 1, "People")
    assert "and then letter_created within 14 days" in words(shown)
    assert "Its days stay as they are" in words(shown)
    shown.button(key="behind-described").click()
    clicked(shown, "funnel.step-table", 1, "People")
    assert not shown.exception
    with database.web.transaction(workspace.id) as session:
        (draft,) = rows(session, "SELECT content FROM segment_draft WHERE user_id = :user", user=user)
    assert [each["kind"] for each in draft.content["match"]["of"]] == ["sequence"]
    shown = clicked(browser.open("funnels"), "funnel.step-table", 2, "People")
    assert listed(shown) == ["u1", "u2"]
    assert "behind-described" not in {button.key for button in shown.button}
    browser.sign_in(workspace.id, "VIEWER")
    shown = clicked(browser.open("funnels"), "funnel.step-table", 1, "People")
    assert "behind-described" not in {button.key for button in shown.button}


@pytest.mark.parametrize("page", PAGES)
def test_segments_and_lists_are_read_once_in_a_run_and_all_of_them_are_offered(browser, workspace, page):
    by = Breakdown("plan")
    steps = (Step(Match(("signup_completed",))), Step(Match(("letter_sent",))))
    asked = FunnelQuestion(steps, breakdown=by) if page == "funnels" else Trend((Match(()),), "people", breakdown=by)
    browser.sign_in(workspace.id)
    many = {f"person.in:{uuid4()}": f"In List {number:04}" for number in range(600)}
    reads = []
    with pytest.MonkeyPatch.context() as made:
        made.setattr(picking, "read_groups", lambda _: reads.append(1) or many)
        shown = browser.open(page, q=asking.text_of(Asked(asked)))
    assert not shown.exception
    assert len(reads) == 1
    (picker,) = [box for box in shown.selectbox if box.label == "Break down by"]
    assert [name for name in picker.options if name.startswith("In List")] == list(many.values())


def test_headlines_of_a_funnel_open_their_people(browser, workspace):
    browser.sign_in(workspace.id)
    found = {name: (number, people) for name, number, people in each_card(browser.open("funnels"))}
    assert found == {"Entered": (4, ["u1", "u2", "u3", "u4"]), "Converted": (2, ["u1", "u2"])}


STEP_NUMBERS = [
    (0, "People", ["u1", "u2", "u3", "u4"]),
    (1, "People", ["u1", "u2", "u3"]),
    (2, "People", ["u1", "u2"]),
    (1, "Still open", ["u4"]),
    (2, "Still open", ["u3"]),
]


@pytest.mark.parametrize(("row", "column", "people"), STEP_NUMBERS)
def test_a_number_its_drawer_and_its_saved_list_are_the_same_people(browser, workspace, row, column, people):
    browser.sign_in(workspace.id, "MEMBER")
    shown = browser.open("funnels")
    assert table(shown, "Step")[column][row] == str(len(people))
    clicked(shown, "funnel.step-table", row, column, save="Them")
    assert not shown.exception
    assert listed(shown) == people
    assert workspace.members("Them") == people
    assert f"Saved: {len(people)} p" in words(shown)


def test_a_list_keeps_the_people_of_its_number_when_more_arrive(browser, own, database):
    browser.sign_in(own.id, "MEMBER")
    shown = browser.open("funnels")
    segment = database.source(own.id, "segment", name="more")
    at = own.now - counting.ago(1)
    own.send(segment, track("signup_completed", "u5", message="u5-s", at=at))
    own.count()
    clicked(shown, "funnel.step-table", 0, "People", save="Before")
    assert listed(shown) == own.members("Before") == ["u1", "u2", "u3", "u4"]
    assert metrics(shown)["Entered"] == "4"  # the page still shows what was clicked
    assert metrics(shown.run())["Entered"] == "5"


def test_a_viewer_sees_people_masked_and_saves_nothing(browser, workspace):
    browser.sign_in(workspace.id, "VIEWER")
    shown = clicked(browser.open("funnels"), "funnel.step-table", 1, "People")
    assert not shown.exception
    assert "behind-saved" not in [item.key for item in shown.button]
    (people,) = [item.value for item in shown.dataframe if "E-mail" in item.value.columns]
    assert len(people) == 3
    assert all("•" in mail for mail in people["E-mail"])


def test_a_name_that_is_taken_is_said_in_the_drawer(browser, workspace):
    browser.sign_in(workspace.id)
    shown = browser.open("funnels")
    clicked(shown, "funnel.step-table", 0, "People", save="Same")
    clicked(shown, "funnel.step-table", 1, "People", save="Same")
    assert "There is a list called" in words(shown)
    assert workspace.members("Same") == ["u1", "u2", "u3", "u4"]


def link(shown):
    """The address of a page, as one may send it to somebody."""
    return {name: value for name, value in shown.query_params.items() if name != "ws"}


TWO_STEPS = FunnelQuestion(
    (Step(Match(("signup_completed",))), Step(Match(("letter_sent",)))), Window(1, "d"), order="any"
)


def test_a_link_asks_the_same_again(browser, workspace):
    browser.sign_in(workspace.id)
    asked = Asked(TWO_STEPS, Who((Condition("person.email", "is", ("u1@acme.example", "u4@acme.example")),)))
    shown = browser.open("funnels", q=asking.text_of(asked), period="90d")
    assert not shown.exception
    assert link(shown) == {"q": asking.text_of(asked), "period": "90d"}
    assert metrics(shown)["Entered"] == "2"
    assert metrics(shown)["Converted"] == "1"


def test_every_control_is_in_the_link(browser, workspace):
    browser.sign_in(workspace.id)
    shown = browser.open("funnels")
    assert link(shown) == {}
    by_label = {item.label: item for item in [*shown.selectbox, *shown.multiselect, *shown.number_input]}
    by_label["Order"].set_value("any")
    by_label["Within"].set_value(3)
    by_label["Break down by"].set_value("plan")
    by_label["Step 3"].set_value(["letter_sent", "letter_created"])
    shown.run()
    question = asking.asked_in(FunnelQuestion, link(shown)["q"]).question
    assert (question.order, question.window.text) == ("any", "3d")
    assert (question.breakdown.field, question.steps[2].match) == ("plan", Match(("letter_sent", "letter_created")))
    again = browser.open("funnels", **link(shown))
    assert metrics(again) == metrics(shown)
    assert [*table(again, "Group")["Group"]] == ["free", "pro"]


def test_steps_are_added_moved_and_removed(browser, workspace):
    browser.sign_in(workspace.id)
    shown = browser.open("funnels")
    (add,) = [item for item in shown.button if item.label == "Add a step"]
    shown = add.click().run()
    assert "q" not in link(shown)  # a step without an event asks nothing yet
    (fourth,) = [item for item in shown.multiselect if item.label == "Step 4"]
    shown = fourth.set_value(["identify"]).run()
    keys = [item.key for item in shown.button if "step.3" in (item.key or "")]
    shown = shown.button(key=next(key for key in keys if key.endswith(".-1"))).click().run()
    question = asking.asked_in(FunnelQuestion, link(shown)["q"]).question
    assert [step.title for step in question.steps] == ["signup_completed", "letter_created", "identify", "letter_sent"]
    for _ in range(2):
        remove = [item for item in shown.button if (item.key or "").endswith(".remove") and ".step." in item.key]
        shown = remove[0].click().run()
    question = asking.asked_in(FunnelQuestion, link(shown)["q"]).question
    assert [step.title for step in question.steps] == ["identify", "letter_sent"]


@pytest.mark.parametrize("text", ["{", '{"v":9,"ask":{}}', '{"v":1,"ask":{"steps":[]}}'])
def test_a_bad_link_falls_back_with_a_sentence(browser, workspace, text):
    browser.sign_in(workspace.id)
    shown = browser.open("funnels", q=text)
    assert not shown.exception
    assert len(shown.warning) == 1
    assert metrics(shown)["Entered"] == "4"
    assert len(shown.run().warning) == 1, "it stays while nothing else is asked"
    assert link(shown)["q"] == text
    changed = shown.selectbox(key=next(box.key for box in shown.selectbox if box.key.endswith(".order"))).select("any")
    shown = changed.run()
    assert not shown.warning
    assert asking.asked_in(FunnelQuestion, link(shown)["q"]).question.order == "any"


def test_what_a_link_asked_wrongly_is_forgotten_elsewhere(browser, workspace):
    browser.sign_in(workspace.id)
    shown = browser.open("funnels", q="{")
    assert shown.warning
    for page in ("trends", "funnels"):
        shown.switch_page(f"understand/{page}.py")
        shown.query_params.clear()
        assert not shown.run().warning


def test_who_may_not_see_a_field_may_not_ask_by_it(browser, workspace):
    browser.sign_in(workspace.id, "VIEWER")
    asked = Asked(TWO_STEPS, Who((Condition("person.email", "is", ("u1@acme.example",)),)))
    shown = browser.open("funnels", q=asking.text_of(asked))
    assert "Your role may not ask by email" in words(shown)
    assert not shown.metric
    assert "u1@acme" not in f"{words(shown)} {shown.main}"


def test_an_exclusion_is_in_the_question_with_its_conditions(browser, workspace):
    browser.sign_in(workspace.id)
    excluded = Exclusion(Match(("letter_created",), (Condition("plan", "is", ("free",)),)), 1)
    asked = FunnelQuestion((Step(Match(("signup_completed",))), Step(Match(("letter_sent",)))), exclusions=(excluded,))
    shown = browser.open("funnels", q=asking.text_of(Asked(asked)))
    assert asking.asked_in(FunnelQuestion, link(shown)["q"]).question == asked
    (condition,) = [box for box in shown.multiselect if ".exclusion." in (box.key or "") and box.label == "Values"]
    assert condition.value == ["free"]
    shown = condition.set_value(["pro"]).run()
    (changed,) = asking.asked_in(FunnelQuestion, link(shown)["q"]).question.exclusions
    assert changed.match.conditions == (Condition("plan", "is", ("pro",)),)
    remove = next(
        b for b in shown.button if ".exclusion." in (b.key or "") and b.key.endswith("remove") and "where" not in b.key
    )
    assert asking.asked_in(FunnelQuestion, link(remove.click().run())["q"]).question.exclusions == ()


@pytest.mark.parametrize(
    ("more", "who"),
    [
        ({"breakdown": "person.properties.name"}, {}),
        ({"factors": {"traits": ["properties.name"]}}, {}),
        ({}, {"conditions": [["person.properties.email", "starts_with", "u1"]]}),
        ({"breakdown": "properties.device_id"}, {}),
        ({"breakdown": "firstName"}, {}),
        ({}, {"conditions": [["person.work_email", "is", "u1@acme.example"]]}),
    ],
)
def test_another_way_to_write_a_field_opens_it_to_nobody(browser, workspace, more, who):
    browser.sign_in(workspace.id, "VIEWER")
    steps = [{"match": ["signup_completed"]}, {"match": ["letter_sent"]}]
    shown = browser.open("funnels", q=json.dumps({"v": 1, "ask": {"steps": steps, **more}, "who": who}))
    assert "Your role may not ask by" in words(shown)
    assert not shown.metric
    assert "Person u" not in words(shown)


@pytest.mark.parametrize(
    ("condition", "warns"), [(["plan", "gt", 1e300], False), (["plan", "lt", -1e25], False), (["", "is", "x"], True)]
)
def test_a_link_with_an_odd_condition_is_answered(browser, workspace, condition, warns):
    browser.sign_in(workspace.id)
    steps = [{"match": ["signup_completed", condition]}, {"match": ["letter_sent"]}]
    shown = browser.open("funnels", q=json.dumps({"v": 1, "ask": {"steps": steps}}))
    assert not shown.exception
    assert not shown.error
    assert bool(shown.warning) == warns
    assert metrics(shown)["Entered"] == ("4" if warns else "0")


ODD_VALUES = [
    ["is", 10],
    ["is", True],
    ["is_not", 2.5],
    ["gte", "10"],
    ["is", "a|b", "c\\"],
    ["contains", "C:\\new"],
    ["is", ""],
]


@pytest.mark.parametrize("condition", ODD_VALUES, ids=str)
def test_a_value_is_asked_for_as_it_was_written(browser, workspace, condition):
    browser.sign_in(workspace.id)
    asked = {"steps": [{"match": ["signup_completed", ["plan", *condition]]}, {"match": ["letter_sent"]}]}
    shown = browser.open("funnels", q=json.dumps({"v": 1, "ask": asked}))
    shown = shown.run()
    assert not shown.exception
    assert json.loads(link(shown)["q"])["ask"] == asked


def test_a_bad_link_is_said_so_whatever_roles_compare_with(browser, own, database):
    only = [RoleFilter(property="plan", op="is", value=10), RoleFilter(property="n", op="at_least", value="5")]
    with database.web.transaction(own.id) as session:
        system = Principal.system(own.id)
        choices.set_event_role(session, system, "core", event_names=["letter_sent"], filters=only, now=own.now)
    browser.sign_in(own.id)
    shown = browser.open("trends")
    assert link(shown) == {}
    shown = browser.open("trends", q="{")
    assert len(shown.warning) == 1
    assert link(shown)["q"] == "{"


def test_a_saved_report_tells_nobody_an_address_they_may_not_see(browser, workspace):
    browser.sign_in(workspace.id, "MEMBER")
    asked_of = (
        (),
        (Condition("person.email", "is", ("u1@acme.example",)),),
        (Condition("person.stage", "is", ("a@b",)),),
    )
    for number, who in enumerate(map(Who, asked_of)):
        shown = browser.open("funnels", q=asking.text_of(Asked(TWO_STEPS, who)))
        (name,) = [item for item in shown.text_input if item.label == "Save this report as"]
        name.set_value(f"Report {number}")
        shown.button(key="funnels.saved.new").click().run()

    def told(role):
        browser.sign_in(workspace.id, role)
        links = browser.open("funnels").get("page_link")
        return {link.proto.label: link.proto.query_string for link in links if link.proto.label.startswith("Report")}

    assert "u1%40acme.example" in told("MEMBER")["Report 1"]
    assert [*told("VIEWER")] == ["Report 0"]


SAID = [
    ("trends", {"series": [["never_was"]]}, {}),
    ("trends", {"series": [["letter_sent", ["nosuch", "is", "1"]]]}, {}),
    ("trends", {"series": [["letter_sent"]]}, {"conditions": [["person.nosuch", "is", "1"]]}),
    ("retention", {"start": ["signup_completed"], "returning": ["never_was"]}, {}),
    ("retention", {"start": ["signup_completed"], "returning": ["letter_sent"], "breakdown": "nosuch"}, {}),
    ("lifecycle", {"event": ["letter_sent", ["nosuch", "not_set"]]}, {}),
    ("activation", {"activation": {"criteria": [{"event": ["never_was"]}]}}, {}),
    ("churn", {"core": ["never_was"]}, {}),
    ("churn", {"core": ["letter_sent", ["nosuch", "not_set"]]}, {}),
]


@pytest.mark.parametrize(("page", "ask", "who"), SAID, ids=str)
def test_what_nothing_has_is_said(browser, workspace, page, ask, who):
    browser.sign_in(workspace.id)
    shown = browser.open(page, q=json.dumps({"v": 1, "ask": ask, "who": who}), period="90d")
    assert not shown.exception
    assert not shown.warning
    assert re.search("No event named never_was has ever|has a value for nosuch", words(shown))


def test_a_report_is_saved_opened_renamed_and_deleted(browser, workspace):
    browser.sign_in(workspace.id, "MEMBER")
    shown = browser.open("funnels", q=asking.text_of(Asked(TWO_STEPS)), period="90d")
    (name,) = [item for item in shown.text_input if item.label == "Save this report as"]
    name.set_value("Signup to letter")
    shown = shown.button(key="funnels.saved.new").click().run()
    assert shown.title[0].value == "Signup to letter"
    saved = link(shown)["saved"]
    again = browser.open("funnels", saved=saved)  # its own link carries the question; the id alone names it
    assert again.title[0].value == "Signup to letter"
    with workspace.database.web.transaction(workspace.id, read_only=True) as session:
        (kept,) = reports.list_reports(session, "funnel")
    assert asking.asked_of(FunnelQuestion, kept.question.version, kept.question.content) == Asked(TWO_STEPS)
    assert kept.question.period == "90d"
    by_label = {item.label: item for item in shown.selectbox}
    by_label["Order"].set_value("ordered")
    shown = shown.run().button(key="funnels.saved.change").click().run()
    with workspace.database.web.transaction(workspace.id, read_only=True) as session:
        (kept,) = reports.list_reports(session, "funnel")
    assert asking.asked_of(FunnelQuestion, 1, kept.question.content).question.order == "ordered"


def test_the_file_of_a_number_holds_its_people(browser, workspace):
    browser.sign_in(workspace.id, "MEMBER")
    clicked(browser.open("funnels"), "funnel.step-table", 1, "People")
    name = next(reversed(behind._SHELF._kept))
    routes = Starlette(routes=API_ROUTES, middleware=[Middleware(Gate)])

    def get(of):
        async def ask():
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app=routes), base_url="http://127.0.0.1:8501"
            ) as tab:
                headers = {"cookie": f"{cookie_name()}={browser.token}"}
                return await tab.get(f"{behind.ADDRESS}?ws=acme&of={of}", headers=headers)

        return asyncio.run(ask())

    answer = get(name)
    assert answer.status_code == 200
    found = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline=""))
    assert sorted(row["email"] for row in found) == ["u1@acme.example", "u2@acme.example", "u3@acme.example"]
    assert get("unknown").status_code == 404
    browser.sign_in(workspace.id, "VIEWER")
    assert get(name).status_code == 403


# ---------------------------------------------------------------------------------------------------------- trends


def trend_of(shown, column):
    """A column of the trend's table by what stands in its first one, without zeros."""
    found = table(shown, "When")
    return {when: number for when, number in zip(found["When"], found[column], strict=True) if number not in ("0", "–")}


TREND = '{"v":1,"ask":{"series":[["signup_completed"],["letter_sent"]],"measure":"people","interval":"month"%s}}'


def test_every_number_of_a_trend_opens_exactly_its_people(browser, workspace):
    browser.sign_in(workspace.id, "MEMBER")
    shown = browser.open("trends", q=TREND % ',"breakdown":"plan"', period="365d", compare="none")
    assert not shown.exception
    found = table(shown, "When")
    assert {name for name in found.columns if name.startswith("letter_sent")} == {
        "letter_sent, all",
        "letter_sent, free",
        "letter_sent, pro",
    }
    saved = 0
    for column in found.columns[1:]:
        for row, number in enumerate(found[column]):
            if number != "0":
                saved += 1
                clicked(shown, "trend.table", row, column, save=f"Trend {saved}")
                assert not shown.exception
                assert str(len(listed(shown))) == number
                assert workspace.members(f"Trend {saved}") == listed(shown)
                assert ("u1" in listed(shown)) == (not column.endswith("free"))
    assert saved >= 10


def test_the_earlier_period_of_a_trend_has_its_people(browser, own, database):
    own.send(
        database.source(own.id, "segment", name="old"),
        track("letter_sent", "u4", message="u4-old", at=own.now - counting.ago(40)),
    )
    own.count()
    browser.sign_in(own.id, "MEMBER")
    shown = browser.open("trends", q='{"v":1,"ask":{"series":[["letter_sent"]],"measure":"people"}}')
    assert table(shown, "When")["Before"][0] == "1"
    assert [*trend_of(shown, "letter_sent").values()] == ["2", "2"]
    clicked(shown, "trend.table", 0, "Before")
    assert listed(shown) == ["u4"]
    (row,) = [row for row, number in enumerate(table(shown, "When")["Before"]) if number == "1" and row]
    clicked(shown, "trend.table", row, "Before", save="Then")
    assert listed(shown) == own.members("Then") == ["u4"]


def test_the_overview_and_trends_count_the_same_people(browser, workspace):
    browser.sign_in(workspace.id)
    told = metrics(browser.open("overview"))
    for measure, name in (("people", "Active people"), ("events", "Events")):
        shown = browser.open("trends", q=f'{{"v":1,"ask":{{"series":[[]],"measure":"{measure}"}}}}')
        assert table(shown, "When")["any event"][0] == told[name]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"v":1,"ask":{"series":[]}}', "A trend shows between 1 and 10 events."),
        ('{"v":1,"ask":{"series":[["x"]],"measure":"sum"}}', "Give a field with a sum"),
        ('{"v":1,"ask":{"series":[["never_was"]]}}', "Nothing of this happened in the period"),
        ('{"v":1,"ask":{"series":[["letter_sent"]],"measure":"sum","field":"plan"}}', "Nothing of this happened"),
    ],
)
def test_a_trend_that_cannot_be_says_why(browser, workspace, text, said):
    browser.sign_in(workspace.id)
    shown = browser.open("trends", q=text)
    assert not shown.exception
    assert not shown.error
    assert said in words(shown)


# --------------------------------------------------------------------------------------------------- bad questions


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        ('{"steps":[{"match":["signup_completed"]}]}', "A funnel has between 2 and 20 steps; this one has 1."),
        (
            '{"steps":[{"match":["signup_completed"]},{"match":["letter_sent"]}],"window":"0d"}',
            "A window needs a length of at least 1",
        ),
        (
            '{"steps":[{"match":["signup_completed"]},{"match":["never_was"]}]}',
            "No event named never_was has ever been recorded.",
        ),
        ('{"steps":[{"match":["never_was"]},{"match":["letter_sent"]}]}', "Nobody entered in this period"),
    ],
)
def test_a_funnel_that_cannot_be_says_why(browser, workspace, ask, said):
    browser.sign_in(workspace.id)
    shown = browser.open("funnels", q=f'{{"v":1,"ask":{ask}}}')
    assert not shown.exception
    assert not shown.error
    assert said in words(shown)


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    "period", ["2026-05-01..2026-01-01", "2026-02-30..2026-03-01", "yesterday", "9999-01-01..9999-12-31"]
)
def test_a_period_that_no_calendar_has_is_the_usual_one_and_said_so(browser, workspace, page, period):
    browser.sign_in(workspace.id)
    shown = browser.open(page, period=period)
    assert not shown.exception
    assert not shown.error
    assert "asks for other days" in words(shown)
    assert link(shown)["period"] == period
    shown = shown.selectbox(key="scope.period").select("7d").run()
    assert "asks for other days" not in words(shown)
    assert link(shown)["period"] == "7d"


def test_the_days_to_choose_from_are_those_shown(browser, workspace):
    browser.sign_in(workspace.id)
    shown = browser.open("trends", period="90d", compare="none")
    first, last = shown.date_input[0].value
    assert (last - first).days == 89
    spring = (date(2026, 1, 1), date(2026, 3, 31))
    for _ in range(2):
        shown = shown.date_input[0].set_value(spring).run()
        assert link(shown)["period"] == "2026-01-01..2026-03-31"
        assert shown.date_input[0].value == spring
        shown = shown.selectbox(key="scope.period").select("7d").run()
        assert link(shown)["period"] == "7d"
        assert shown.date_input[0].value == (last - timedelta(days=6), last)
    assert not shown.exception
    assert not shown.warning


def test_a_property_of_mixed_types_and_a_thousand_values_break_down(browser, own, database):
    values = [1, "1", True, None, 2.5, "=1+1", "<b>", *(f"v{number}" for number in range(300))]
    at = own.now - counting.ago(2)
    own.send(
        database.source(own.id, "segment", name="mixed"),
        *(track("mixed", f"m{n}", message=f"m{n}", at=at, what=value) for n, value in enumerate(values)),
    )
    own.count()
    browser.sign_in(own.id)
    steps = '"steps":[{"match":["mixed"]},{"match":["letter_sent"]}]'
    shown = browser.open("funnels", q=f'{{"v":1,"ask":{{{steps},"breakdown":["what",50]}}}}')
    assert not shown.exception
    groups = table(shown, "Group")
    entered = dict(zip(groups["Group"], map(int, groups["Entered"]), strict=True))
    assert sum(entered.values()) == len(values) == int(metrics(shown)["Entered"])
    assert (entered["1"], entered["(none)"]) == (2, 1)  # the number 1 and the text "1" read the same
    other = [*entered].index("(other)")
    clicked(shown, "funnel.group-table", other, "Entered")
    assert len(listed(shown)) == min(behind.SHOWN, entered["(other)"])


# ------------------------------------------------------------------------------------------------------ the command


@pytest.fixture
def command(workspace, database, monkeypatch, folder, capsys):
    """Runs the command that a page prints, in its workspace: what it answers."""
    monkeypatch.setenv("DATABASE_URL", database.dsn)
    monkeypatch.setenv("GDP_DATA_DIR", str(folder))
    settings.cache_clear()
    monkeypatch.setattr(report_command, "lake", lambda: workspace.lake)

    def run(shown):
        (line,) = [item.value for item in shown.code]
        python, module, jobs, *arguments = shlex.split(line)
        assert (python, module, jobs) == ("python", "-m", "jobs")
        capsys.readouterr()
        assert main(arguments) == 0
        return json.loads(capsys.readouterr().out)

    yield run
    settings.cache_clear()


def test_the_command_gives_the_numbers_of_the_funnel(browser, workspace, command):
    browser.sign_in(workspace.id)
    clicked(browser.open("funnels"), "funnel.step-table", 1, "People", save="Makers")
    with workspace.database.web.transaction(workspace.id, read_only=True) as session:
        (makers,) = reports.list_lists(session)
    plan, mail = Condition("plan", "is", ("free",)), Condition("person.email", "is_not", ("u2@acme.example",))
    first, second, last = (Match((name,)) for name in ("signup_completed", "letter_created", "letter_sent"))
    for question, who in (
        (FunnelQuestion((Step(first), Step(Match(second.names, (plan,)), optional=True), Step(last))), Who()),
        (FunnelQuestion((Step(first), Step(last)), exclusions=(Exclusion(second, 1),), prefer="shortest"), Who()),
        (FunnelQuestion((Step(first), Step(last)), order="strict", everything=True), Who((mail,), makers.id)),
        (
            FunnelQuestion(
                (Step(first), Step(Match((*second.names, *last.names)))),
                breakdown=Breakdown("plan", 1),
                touch="last",
                interval="week",
                factors=FactorQuestion(("source",)),
            ),
            Who(),
        ),
    ):
        shown = browser.open("funnels", q=asking.text_of(Asked(question, who)), period="90d")
        assert not shown.exception
        found = command(shown)
        assert metrics(shown)["Entered"] == str(found["entered"])
        if not found["entered"]:
            continue
        steps = table(shown, "Step")
        assert [*steps["People"]] == [str(step["people"]) for step in found["steps"]]
        assert [*steps["Stopped before it"]][1:] == [str(step["dropped"]) for step in found["steps"][1:]]
        if question.breakdown:
            groups = table(shown, "Group")
            assert [*groups["Group"]] == [group["name"] for group in found["groups"]]
            assert [*groups["Entered"]] == [str(group["entered"]) for group in found["groups"]]


def test_the_command_gives_the_numbers_of_the_trend(browser, workspace, command):
    browser.sign_in(workspace.id)
    plan = Condition("plan", "is", ("free",))
    for question in (
        Trend((Match(("letter_sent",)), Match(("letter_created",), (plan,))), "events", interval="week"),
        Trend((Match((), (plan,)),), "people", breakdown=Breakdown("plan"), cumulative=True, everything=True),
        Trend((Match(("letter_sent",)),), "sum", "value_micros", "EUR"),
    ):
        shown = browser.open("trends", q=asking.text_of(Asked(question)), period="90d", compare="none")
        assert not shown.exception
        found = command(shown)
        if not any(map(any, (line["events"] for line in found["lines"]))):
            assert "Nothing of this happened" in words(shown)
            continue
        numbers = table(shown, "When").drop(columns="When")
        for column, line in zip(numbers.columns, found["lines"], strict=True):
            assert [*numbers[column]] == [str(value) for value in (line["total"], *reversed(line["values"]))]
