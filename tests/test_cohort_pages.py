"""Retention, lifecycle and activation through the frame: their numbers, the people behind them, what a link says."""

import functools
import json
import shlex
from dataclasses import replace
from datetime import date, timedelta
from types import SimpleNamespace

import pytest

from gdp_core.analytics import customers
from gdp_core.analytics.activation import Activating, Activation, Criterion
from gdp_core.analytics.breakdown import Breakdown
from gdp_core.analytics.lifecycle import Lifecycle
from gdp_core.analytics.retention import Cohort, Retention
from gdp_core.db import run
from gdp_core.settings import settings
from gdp_core.timeline.matching import Match
from jobs import report as report_command
from jobs.commands import main
from pages.ui.format import Format
from pages.ui.reporting import asking
from pages.ui.reporting import retention as retention_page
from pages.ui.reporting.asking import Asked
from pages.ui.reporting.clicking import Click

from . import counting
from .browsing import browsing, words
from .conftest import taken
from .test_pipeline import identify, track
from .test_report_pages import clicked, each_card, listed, metrics, table

PAGES = ["retention", "lifecycle", "activation"]
EVERYBODY = ["u1", "u2", "u3", "u4"]
LIVES = {
    "u1": {"signup_completed": (40,), "letter_created": (39.9,), "letter_sent": (33, 10, 9)},
    "u2": {"signup_completed": (40,), "letter_created": (39.9, 39.8), "letter_sent": (33,)},
    "u3": {"signup_completed": (40,)},
    "u4": {"signup_completed": (3,), "letter_created": (2.9,)},
}
"""{person: {event: how many days ago}}; whole days are whole local days, in UTC."""
SENT, SIGNED_UP = Match(("letter_sent",)), Match(("signup_completed",))


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
def workspace(database, browser, folder, patch):
    """The lives above, counted."""
    ws = database.workspace()
    with counting.counted(database, folder, ws, patch) as made:
        messages = []
        for user, life in LIVES.items():
            first = made.now - counting.ago(max(life["signup_completed"]))
            messages.append(identify(user, message=f"{user}-i", at=first, email=f"{user}@acme.example", name=user))
            for name, days in life.items():
                messages += [
                    track(name, user, message=f"{user}-{name}-{day}", at=made.now - counting.ago(day)) for day in days
                ]
        made.send(database.source(ws, "segment"), *messages)
        made.count()
        yield made


def opened(browser, workspace, page, question=None, role="MEMBER", period="90d"):
    browser.sign_in(workspace.id, role)
    of = {"q": asking.text_of(Asked(question))} if question else {}
    shown = browser.open(page, ws="acme", period=period, **of)
    assert not shown.exception
    assert not shown.error
    return shown


def asked(shown, kind):
    """What the address asks."""
    (text,) = shown.query_params["q"] if isinstance(shown.query_params["q"], list) else [shown.query_params["q"]]
    return asking.asked_in(kind, text).question


def day(workspace, ago):
    """A day as tables write it."""
    at = workspace.now - timedelta(days=ago)
    return f"{at.day} {at:%b %Y}"


@pytest.mark.parametrize("role", ["OWNER", "VIEWER"])
@pytest.mark.parametrize("page", PAGES)
def test_every_role_sees_every_report(browser, workspace, role, page):
    shown = opened(browser, workspace, page, role=role)
    assert shown.metric
    assert ("Save this report as" in [item.label for item in shown.text_input]) == (role != "VIEWER")
    assert "python -m jobs report" in " ".join(item.value for item in shown.code)


def test_an_empty_workspace_says_what_to_do(browser, workspace, database):
    empty = database.workspace("empty")
    for page in PAGES:
        browser.sign_in(empty)
        shown = browser.open(page, ws="empty")
        assert not shown.exception
        assert not shown.error
        assert "Nothing to count yet" in words(shown)


# ------------------------------------------------------------------------------------------------------- retention

DAILY = Retention(SIGNED_UP, SENT, cohort="day", intervals=30)


def test_retention_has_its_numbers(browser, workspace):
    shown = opened(browser, workspace, "retention")
    assert metrics(shown)["Started"] == "4"
    assert metrics(shown)["Back in week 1"] == "66.7%"
    worths = table(shown, "Cohort")
    assert [*worths["People"]] == ["3", "1"]
    assert [*worths["Back on day 7"]] == ["66.7%", "–"]
    assert [*worths["Back on day 30"]] == ["33.3%", "–"]


RETENTION_NUMBERS = [
    ("retention.table", 0, "Started", ["u1", "u2", "u3"]),
    ("retention.table", 0, "Day 7", ["u1", "u2"]),
    ("retention.table", 0, "Day 30", ["u1"]),
    ("retention.table", 1, "Started", ["u4"]),
    ("retention.worth", 0, "People", ["u1", "u2", "u3"]),
    ("retention.worth", 0, "Back on day 7", ["u1", "u2"]),
    ("retention.worth", 0, "Back on day 30", ["u1"]),
    ("retention.worth", 0, "LTV", ["u1", "u2", "u3"]),
    ("retention.curves", 7, "0", ["u1", "u2"]),
]


@pytest.mark.parametrize(("of", "row", "column", "people"), RETENTION_NUMBERS)
def test_a_number_of_retention_is_its_people(browser, workspace, of, row, column, people):
    shown = opened(browser, workspace, "retention", DAILY)
    name = f"{of} {row} {column}"
    clicked(shown, of, row, column, save=name)
    assert not shown.exception
    assert listed(shown) == workspace.members(name) == people


def test_a_cell_of_the_triangle_is_its_people(browser, workspace):
    shown = opened(browser, workspace, "retention", DAILY)
    figure = shown.get("plotly_chart")[0].proto.spec
    cells = asking.orjson.loads(figure)["data"][0]["customdata"]
    full = next(place for place, text in enumerate(cells) if text.startswith("Day 7, on average"))
    one = next(place for place, text in enumerate(cells) if "day 7:<br>" in text and "2 of 3" in text)
    assert listed(clicked(shown, "retention.triangle", full, "0")) == ["u1", "u2"]
    assert listed(clicked(shown, "retention.triangle", one, "0")) == ["u1", "u2"]


def test_a_group_and_its_triangle_are_their_people(browser, workspace):
    shown = opened(browser, workspace, "retention", replace(DAILY, breakdown=Breakdown("person.email")))
    figures = [asking.orjson.loads(item.proto.spec)["data"][0] for item in shown.get("plotly_chart")]
    (cells,) = [one["customdata"] for one in figures if any("u2@" in text for text in one.get("customdata", ()))]
    seventh = next(place for place, text in enumerate(cells) if text.startswith("u2@acme.example, day 7"))
    assert "100%" in cells[seventh]
    assert listed(clicked(shown, "retention.groups", seventh, "0", save="Group")) == ["u2"]
    assert workspace.members("Group") == ["u2"]
    group = next(item for item in shown.selectbox if item.label == "Group")
    shown = group.set_value(group.options.index("u2@acme.example · 1")).run()
    assert [*table(shown, "Cohort")["People"]] == ["1"]
    assert shown.query_params["group"] in ("2", ["2"])
    assert listed(clicked(shown, "retention.worth", 0, "People")) == ["u2"]


@pytest.mark.parametrize("page", PAGES)
def test_a_question_is_saved_and_opened(browser, workspace, page):
    question = {"retention": DAILY, "lifecycle": BY_DAY, "activation": RANKED}[page]
    shown = opened(browser, workspace, page, question)
    (name,) = [item for item in shown.text_input if item.label == "Save this report as"]
    name.set_value(f"My {page}")
    shown = shown.button(key=f"{page}.saved.new").click().run()
    assert shown.title[0].value == f"My {page}"
    assert asked(shown, type(question)) == question


def test_a_cell_without_anybody_says_so(browser, workspace):
    shown = clicked(opened(browser, workspace, "retention", DAILY), "retention.table", 0, "Day 1")
    assert "Nobody is behind this number" in words(shown)


def test_every_control_of_retention_is_in_the_link(browser, workspace):
    shown = opened(browser, workspace, "retention")
    by_label = {item.label: item for item in [*shown.selectbox, *shown.number_input, *shown.toggle]}
    by_label["Starts with"].set_value("signup_at")
    by_label["Cohorts"].set_value("month")
    by_label["Columns are"].set_value("day")
    by_label["Counted"].set_value("on_or_after")
    by_label["How many"].set_value(5)
    by_label["Break down by"].set_value("person.stage")
    by_label["Count from the start itself, not by the calendar"].set_value(True)
    shown.run()
    question = asked(shown, Retention)
    assert question == Retention(
        Retention(start=question.start).start,
        SENT,
        cohort="month",
        unit="day",
        mode="on_or_after",
        rolling=True,
        intervals=5,
        breakdown=question.breakdown,
    )
    assert (question.start.name, question.breakdown.field) == ("signup_at", "person.stage")
    again = opened(browser, workspace, "retention", question)
    assert metrics(again) == metrics(shown)


def test_brackets_are_written(browser, workspace):
    shown = opened(browser, workspace, "retention", DAILY)
    next(item for item in shown.selectbox if item.label == "Counted").set_value("bracket")
    shown = shown.run()
    (brackets,) = [item for item in shown.text_input if item.label == "Brackets"]
    shown = brackets.set_value("1-7, 30+").run()
    assert asked(shown, Retention).brackets == ((1, 7), (30, None))
    shown = next(item for item in shown.text_input if item.label == "Brackets").set_value("soon").run()
    assert "write brackets like" in words(shown)
    assert not shown.exception


@pytest.mark.parametrize("page", ["retention", "lifecycle", "activation"])
def test_an_unknown_event_is_said(browser, workspace, page):
    typo = Match(("typo",))
    question = {
        "retention": Retention(typo, SENT),
        "lifecycle": Lifecycle(typo),
        "activation": Activating(Activation((Criterion(SENT),), typo)),
    }[page]
    assert "No event named typo has ever been recorded" in words(opened(browser, workspace, page, question))


def test_what_is_not_over_has_no_average(browser, workspace):
    question = Retention(SIGNED_UP, SENT, cohort="month", rolling=True)
    shown = opened(browser, workspace, "retention", question, period="7d")
    assert "No cell is full yet" in words(shown)
    shown = opened(browser, workspace, "activation", period="7d")
    assert "so there is no rate" in words(shown)
    assert metrics(shown)["Activation rate"] == "–"


def test_what_is_only_partly_in_the_period_or_still_fills_is_marked(browser, workspace, monkeypatch):
    cut = "Cut: only a part of the week is in the period."
    weekly, daily = replace(DAILY, cohort="week"), DAILY
    shown = opened(browser, workspace, "retention", weekly)
    assert cut in words(shown)
    assert "Cut:" not in words(opened(browser, workspace, "retention", daily))
    asked = Activating(Activation((Criterion(Match(("letter_created",))),), SIGNED_UP, 1, "week"))
    shown = opened(browser, workspace, "activation", asked)
    names = [*table(shown, "Started in")["Started in"]]
    assert cut in words(shown)
    assert "16 Nov 2026 · cut" in names
    assert "5 Oct 2026" in names
    drawn = {}
    monkeypatch.setattr(retention_page.clicking, "table", lambda columns, *_, **__: drawn.update(columns))
    monkeypatch.setattr(retention_page.explaining, "below", lambda *_, **__: None)
    cohort = Cohort(date(2026, 11, 16), 3, (3, 1, 0), ("mature", "open", "ahead"), (), cut=True)
    found = SimpleNamespace(asked=weekly, columns=replace(weekly, intervals=3).columns[:3])
    place = SimpleNamespace(write=Format("en_GB", "UTC", "EUR"))
    retention_page.table(place, found, SimpleNamespace(cohorts=(cohort,)))
    assert [cells[0] for cells in drawn.values()] == ["16 Nov 2026 · cut", "3", "3", "1 so far", ""]


def test_headlines_open_their_people(browser, workspace):
    weekly = Lifecycle(SENT, "week")
    pages = {"retention": None, "activation": RANKED, "lifecycle": weekly}
    shown = {page: opened(browser, workspace, page, question) for page, question in pages.items()}
    found = {name: (number, people) for page in shown.values() for name, number, people in each_card(page)}
    assert all(number == len(people) for number, people in found.values())
    assert {name.partition(",")[0]: people for name, (_, people) in found.items()} == {
        "Started": EVERYBODY,
        "Activated": ["u1", "u2"],
        "Of mature starts": ["u1", "u2", "u3"],
        "Active": ["u1"],
        "Resurrecting": ["u1"],
        "MAU": ["u1"],
    }


# ------------------------------------------------------------------------------------------------------- lifecycle

BY_DAY = Lifecycle(SENT, "day")


def test_lifecycle_has_its_numbers(browser, workspace):
    shown = opened(browser, workspace, "lifecycle", BY_DAY)
    states = table(shown, "When")
    numbers = {row: [*states.iloc[row]][1:] for row in (8, 9, 10, 32, 33)}
    assert numbers == {
        33: ["2", "0", "0", "0", "2"],
        32: ["0", "0", "0", "2", "0"],
        10: ["0", "0", "1", "0", "1"],
        9: ["0", "1", "0", "0", "1"],
        8: ["0", "0", "0", "1", "0"],
    }
    assert states["When"][33] == day(workspace, 33)
    assert {"DAU / MAU", "Dormant, " + day(workspace, 1)} <= metrics(shown).keys()


LIFECYCLE_NUMBERS = [
    ("lifecycle.table", 33, "New", ["u1", "u2"]),
    ("lifecycle.table", 33, "Active", ["u1", "u2"]),
    ("lifecycle.table", 32, "Dormant", ["u1", "u2"]),
    ("lifecycle.table", 10, "Resurrecting", ["u1"]),
    ("lifecycle.chart", 90 - 1 - 9, "1", ["u1"]),
    ("lifecycle.chart", 90 - 1 - 32, "3", ["u1", "u2"]),
    ("stickiness.often", 0, "0", ["u2"]),
    ("stickiness.often", 2, "0", ["u1"]),
    ("stickiness.table", 33, "DAU", ["u1", "u2"]),
    ("stickiness.table", 30, "WAU", ["u1", "u2"]),
    ("stickiness.table", 1, "MAU", ["u1"]),
    ("stickiness.days", 90 - 1 - 10, "4", ["u1", "u2"]),
    ("customers.people", -1, "All sources", EVERYBODY),
    ("customers.last_30_days", -1, "All sources", ["u4"]),
]


@pytest.mark.parametrize(("of", "row", "column", "people"), LIFECYCLE_NUMBERS)
def test_a_number_of_the_lifecycle_is_its_people(browser, workspace, of, row, column, people):
    shown = opened(browser, workspace, "lifecycle", BY_DAY)
    name = f"{of} {row} {column}"
    clicked(shown, of, row, column, save=name)
    assert not shown.exception
    assert listed(shown) == workspace.members(name) == people


RULES = [
    ("lifecycle.table", 10, "Resurrecting", True),
    ("stickiness.table", 30, "WAU", True),
    ("stickiness.often", 0, "0", False),
    ("customers.people", -1, "All sources", False),
    ("customers.last_30_days", -1, "All sources", True),
]


def test_a_number_of_the_lifecycle_becomes_a_segment_where_a_rule_means_its_people(browser, workspace):
    for of, row, column, there in RULES:
        shown = clicked(opened(browser, workspace, "lifecycle", BY_DAY), of, row, column)
        assert not shown.exception
        assert ("behind-described" in {button.key for button in shown.button}) == there, of


def test_customers_stand_by_stage_and_source(browser, workspace):
    shown = opened(browser, workspace, "lifecycle")
    assert [*table(shown, "Stage")["All sources"]][-1] == "4"
    browser.sign_in(workspace.id)
    shown = browser.open("lifecycle", table="last_30_days")
    assert [*table(shown, "Stage")["All sources"]][-1] == "1"


def test_the_customer_table_is_its_people_although_somebody_goes_meanwhile(browser, workspace, database, monkeypatch):
    shown = opened(browser, workspace, "lifecycle")
    count = customers.read_stages

    def let(internal):
        with database.worker.transaction(workspace.id) as session:
            run(
                session,
                "UPDATE person SET is_internal = :internal WHERE id IN"
                " (SELECT person_id FROM actor WHERE external_id = 'u4')",
                internal=internal,
            )

    @functools.wraps(count)
    def count_and_change(session, now):
        found = count(session, now)
        let(internal=True)
        return found

    monkeypatch.setattr(customers, "read_stages", count_and_change)
    try:
        for people in (EVERYBODY, EVERYBODY[:3]):
            assert listed(clicked(shown, "customers.people", -1, "All sources")) == people
            assert [*table(shown, "Stage")["All sources"]][-1] == str(len(people))
    finally:
        let(internal=False)


# ------------------------------------------------------------------------------------------------------ activation

RANKED = Activating(Activation((Criterion(Match(("letter_created",))),)), SENT, support=1)


def test_activation_has_its_numbers(browser, workspace):
    shown = opened(browser, workspace, "activation")
    expected = {"Activation rate": "66.7%", "Activated": "2", "Of mature starts": "3"}
    assert metrics(shown) | expected == metrics(shown)
    assert "1 started less than 7 days ago and are not in the rate; 1 of them met" in words(shown)
    total = table(shown, "Started in").iloc[0]
    assert [*total][1:] == ["4", "3", "2", "1", "1", "0", "66.7%"]
    assert "Nothing can be ranked yet" in words(shown)


def test_candidates_are_ranked(browser, workspace):
    shown = opened(browser, workspace, "activation", RANKED)
    ranking = table(shown, "Event")
    found = {(row.Event, row[2]): [*row][3:8] for row in ranking.itertuples()}
    assert found["letter_created", "1×"] == ["2", "66.7%", "1", "50%", "0%"]
    assert found["letter_created", "2×"] == ["1", "33.3%", "0", "0%", "50%"]


ACTIVATION_NUMBERS = [
    ("activation.table", 0, "Started", EVERYBODY),
    ("activation.table", 0, "Mature", ["u1", "u2", "u3"]),
    ("activation.table", 0, "Activated", ["u1", "u2"]),
    ("activation.table", 0, "Not activated", ["u3"]),
    ("activation.table", 0, "Early", ["u4"]),
    ("activation.ranking", ("letter_created", "1×"), "Did it", ["u1", "u2"]),
    ("activation.ranking", ("letter_created", "1×"), "Came back", ["u1"]),
    ("activation.lifts", ("letter_created", "2×"), "0", ["u2"]),
]


@pytest.mark.parametrize(("of", "row", "column", "people"), ACTIVATION_NUMBERS)
def test_a_number_of_activation_is_its_people(browser, workspace, of, row, column, people):
    shown = opened(browser, workspace, "activation", RANKED)
    if isinstance(row, tuple):
        ranking = table(shown, "Event")
        row = [*zip(ranking["Event"], ranking["At least"], strict=True)].index(row)
    name = f"{of} {row} {column}"
    clicked(shown, of, row, column, save=name)
    assert not shown.exception
    assert listed(shown) == workspace.members(name) == people


def test_criteria_are_added_and_removed(browser, workspace):
    shown = opened(browser, workspace, "activation")
    shown = next(item for item in shown.button if item.label == "Add a criterion").click().run()
    assert "q" not in shown.query_params
    (second,) = [item for item in shown.multiselect if item.label == "Criterion 2"]
    shown = second.set_value(["letter_sent"]).run()
    times = [item for item in shown.number_input if item.label == "Times"]
    shown = times[1].set_value(3).run()
    question = asked(shown, Activating)
    assert question.activation.criteria == (Criterion(Match(("letter_created",))), Criterion(SENT, 3))
    assert metrics(shown)["Activated"] == "0"
    remove = [item for item in shown.button if (item.key or "").endswith(".remove") and ".criterion." in item.key]
    shown = remove[0].click().run()
    assert asked(shown, Activating).activation.criteria == (Criterion(SENT, 3),)


def test_a_click_is_forgotten_after_its_run(browser, workspace):
    shown = opened(browser, workspace, "retention", DAILY)
    assert listed(clicked(shown, "retention.table", 0, "Started")) == ["u1", "u2", "u3"]
    assert listed(shown.run()) is None
    shown.session_state["report.click"] = Click("trend.chart", 0, "0")
    assert listed(shown.run()) is None  # of another page


# ------------------------------------------------------------------------------------------------------ the command


@pytest.fixture
def answers(workspace, database, monkeypatch, folder, capsys):
    """Runs the commands that a page prints: what each answers."""
    monkeypatch.setenv("DATABASE_URL", database.dsn)
    monkeypatch.setenv("GDP_DATA_DIR", str(folder))
    settings.cache_clear()
    monkeypatch.setattr(report_command, "lake", lambda: workspace.lake)

    def run(line):
        program, dash, module, *arguments = shlex.split(line)
        assert (program, dash, module) == ("python", "-m", "jobs")
        capsys.readouterr()
        assert main(arguments) == 0
        return json.loads(capsys.readouterr().out)

    def of(shown):
        assert "The command cannot say" not in words(shown)
        return [run(item.value) for item in shown.code]

    of.run = run
    yield of
    settings.cache_clear()


def numbers(shown, first):
    """A table's rows without their names, as numbers where they are whole ones."""
    return [
        [int(cell) if cell.isdecimal() else cell for cell in row[1:]] for row in table(shown, first).values.tolist()
    ]


def test_the_commands_give_the_numbers_of_retention(browser, workspace, answers):
    shown = opened(browser, workspace, "retention", replace(DAILY, breakdown=Breakdown("person.stage")))
    found, worth = answers(shown)
    everybody, *_ = found["triangles"]
    assert metrics(shown)["Started"] == str(everybody["people"])
    cohorts = [cohort for cohort in everybody["cohorts"] if cohort["people"]]
    assert [cohort["returned"][7] for cohort in cohorts] == [2, 0]
    assert found["notes"] == []
    worths = table(shown, "Cohort")
    assert [*worths["People"]] == [str(one["people"]) for one in worth["cohorts"]]
    assert worth["cohorts"][0]["retention_d7"] == pytest.approx(2 / 3)
    assert worth["days"][0]["people"] == 3


def test_the_commands_give_the_numbers_of_the_lifecycle(browser, workspace, answers):
    shown = opened(browser, workspace, "lifecycle", replace(BY_DAY, everything=True))
    found, sticky = answers(shown)
    points = [
        [point[name] for name in ("new", "returning", "resurrecting", "dormant")] for point in reversed(found["points"])
    ]
    assert [row[:4] for row in numbers(shown, "When")] == points
    shown_metrics = metrics(shown)
    last = [one for one in sticky["days"] if one["complete"]][-1]
    assert shown_metrics["MAU, " + day(workspace, 1)] == str(last["monthly"])
    assert sum(sticky["people"]) == 2


def test_the_command_gives_the_numbers_of_activation(browser, workspace, answers):
    shown = opened(browser, workspace, "activation", RANKED)
    (found,) = answers(shown)
    rate, ranking = found["activation"], found["candidates"]["candidates"]
    points = [rate["total"], *reversed(rate["points"])]
    assert [row[:3] for row in numbers(shown, "Started in")] == [
        [point["started"], point["mature"], point["activated"]] for point in points
    ]
    candidates = table(shown, "Event")
    assert [*candidates["Event"]] == [one["name"] for one in ranking]
    assert [*candidates["Did it"]] == [str(one["did"]) for one in ranking]


def test_the_command_gives_the_customer_table(browser, workspace, answers):
    shown = opened(browser, workspace, "lifecycle")
    found = answers.run("python -m jobs report customers --workspace acme --json")
    assert sum(row["count"] for row in found["rows"]) == int([*table(shown, "Stage")["All sources"]][-1]) == 4
    assert found["rows"][0].keys() == {"stage", "source", "count", "count_30d", "avg_days_to_subscription"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("retention --mode bracket --bracket soon", "is no bracket"),
        ("retention --intervals 0", "between 1 and"),
        ("retention --from 2026-05-01 --to 2026-01-01", "ends before it begins"),
        ("lifecycle --interval year", "--interval is one of day, week, month"),
        ("activation --event signup_completed:0", "at least once"),
        ("activation --event signup_completed --days 0", "between 1 and 365 days"),
    ],
)
def test_a_bad_command_is_one_sentence(answers, capsys, arguments, says):
    name, *rest = arguments.split()
    assert main(["report", name, "--workspace", "acme", *rest]) == 2
    said = capsys.readouterr()
    assert says in said.err
    assert "Traceback" not in said.err
