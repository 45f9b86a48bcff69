"""Churn in one answer: using against paying, the page, the people behind its numbers, and the command that repeats it."""

import functools
import shlex
from contextlib import nullcontext
from datetime import timedelta

import orjson
import pytest
from typer.testing import CliRunner

from gdp_core import reports
from gdp_core.analytics.churn import CELLS, crossed, crossed_people
from gdp_core.analytics.engagement_churn import EngagementChurn
from gdp_core.analytics.scope import scope
from gdp_core.analytics.warning import Model, to_text, train
from gdp_core.analytics.window import Window
from gdp_core.db import rows, run
from gdp_core.errors import InvalidInput
from gdp_core.features import FEATURES
from gdp_core.timeline.matching import Match
from jobs import report
from pages.ui.reporting import asking, churn_crossed, churn_paying, churn_warning
from pages.ui.reporting.asking import Asked

from . import counting
from .browsing import words
from .test_pipeline import track
from .test_report_pages import clicked, each_card, listed, metrics, table
from .test_warning import NOW, ROLES, lives, timeline_of
from .till import Till

CORE = Match(("letter_sent",))
OLD, RECENT = 45, 3  # days ago
LIVES = {
    # who: (days ago of letters sent, days ago of the first payment, of the last, of why)
    "away_paying": ((), 200, None, ""),
    "away_stopped": ((), 200, 10, "cancellation_requested"),
    "new": ((RECENT,), None, None, ""),
    "quiet_free": ((OLD,), None, None, ""),
    "quiet_paying": ((OLD,), 200, None, ""),
    "quiet_stopped": ((OLD,), 200, 10, "payment_failed"),
    "user_free": ((OLD, RECENT), None, None, ""),
    "user_late": ((OLD, RECENT), 5, None, ""),
    "user_paying": ((OLD, RECENT), 200, None, ""),
    "user_stopped": ((OLD, RECENT), 200, 10, "cancellation_requested"),
}
MEANT = {
    ("silent", "stopped"): ["quiet_stopped"],
    ("silent", "paying"): ["quiet_paying"],
    ("silent", "not"): ["quiet_free"],
    ("active", "stopped"): ["user_stopped"],
    ("active", "paying"): ["user_paying"],
    ("active", "not"): ["user_free", "user_late"],
    ("away", "stopped"): ["away_stopped"],
    ("away", "paying"): ["away_paying"],
}


@pytest.fixture
def workspace(database, browser, ws, tmp_path, monkeypatch):
    """Everybody of LIVES."""
    with counting.counted(database, tmp_path, ws, monkeypatch) as made:
        till, messages = Till(database, ws), []
        for name, (sent, first, last, why) in LIVES.items():
            messages += [track("signup_completed", name, message=f"{name}-s", at=made.now - timedelta(days=210))]
            messages += [
                track("letter_sent", name, message=f"{name}-{days}", at=made.now - timedelta(days=days))
                for days in sent
            ]
            if first:
                begun = made.now - timedelta(days=first)
                till.customer(name, begun)
                till.subscription(name, begun)
            if first and last:
                details = {"reason": why, "feedback": "unused" if why == "cancellation_requested" else None}
                ended = made.now - timedelta(days=last)
                till.subscription(name, ended, "canceled", cancellation_details=details, started=begun)
        made.send(database.source(ws, "segment"), *messages)
        till.ring(now=made.now)
        made.count()
        yield made


def scope_of(workspace):
    return scope(workspace.id, timezone="UTC", currency="USD", now=workspace.now, period="90d")


def names_of(workspace, people):
    """Their user ids, by lasting numbers."""
    with workspace.database.web.transaction(workspace.id, read_only=True) as session:
        found = rows(
            session,
            "SELECT u.external_id FROM actor a JOIN actor u ON u.person_id = a.person_id AND u.namespace = 'user'"
            " WHERE a.number = ANY(:numbers) ORDER BY 1",
            numbers=people.tolist(),
        )
    return [row.external_id for row in found]


def this_month(workspace):
    return scope_of(workspace).today.replace(day=1)


def test_using_against_paying_is_what_everybody_did(workspace):
    timeline, asked, start = workspace.store.open(workspace.lake), EngagementChurn(CORE), this_month(workspace)
    with workspace.database.web.transaction(workspace.id, read_only=True) as session:
        found = crossed(session, timeline, scope_of(workspace), asked, start)
        for cell in CELLS:
            people = crossed_people(session, timeline, scope_of(workspace), asked, start, *cell)
            assert names_of(workspace, people) == MEANT[cell], cell
            assert found.people(*cell) == len(people)
        silent = crossed_people(session, timeline, scope_of(workspace), asked, start, "silent")
        assert names_of(workspace, silent) == ["quiet_free", "quiet_paying", "quiet_stopped"]
        assert found.people("silent") == 3
        with pytest.raises(InvalidInput):
            crossed_people(session, timeline, scope_of(workspace), asked, start, "away", "not")
        some = timeline.numbers % 2 == 0
        part = crossed(session, timeline, scope_of(workspace), asked, start, within=some)
        odd = crossed(session, timeline, scope_of(workspace), asked, start, within=~some)
        assert [cell.people for cell in found.cells] == [
            a.people + b.people for a, b in zip(part.cells, odd.cells, strict=True)
        ]


VIEWS = ["using", "paying", "both", "warning"]


@pytest.mark.parametrize("role", ["OWNER", "VIEWER"])
def test_every_view_is_seen_by_every_role(browser, workspace, role):
    browser.sign_in(workspace.id, role)
    for view in VIEWS:
        shown = browser.open("churn", view=view)
        assert not shown.exception, view
        assert not shown.error, view


def test_an_empty_workspace_says_what_to_do(database, browser, ws, tmp_path, monkeypatch):
    browser.sign_in(ws)
    with counting.counted(database, tmp_path, ws, monkeypatch):
        for view in VIEWS:
            assert "Nothing to count yet" in words(browser.open("churn", view=view))


def test_too_little_history_is_said_and_not_a_number(browser, workspace):
    browser.sign_in(workspace.id)
    using = words(browser.open("churn", of=str(this_month(workspace))))
    assert "Not enough data: 3 fell silent and 4 stayed" in using
    assert "Not enough data: it takes ten customers" in words(browser.open("churn", view="paying", period="90d"))
    assert "No early warning was learned yet" in words(browser.open("churn", view="warning"))


def row_of(found, first):
    """The place of a row by its first cell."""
    column = found.columns[0]
    return next(place for place, name in enumerate(found[column]) if str(name).startswith(first))


def test_numbers_drawers_and_saved_lists_are_the_same_people(browser, workspace):
    browser.sign_in(workspace.id, "MEMBER")
    shown = browser.open("churn", period="90d", of=str(this_month(workspace)))
    numbers = table(shown, "When")
    for column, meant in (
        ("Were active", sorted(name for use, pay in MEANT if use != "away" for name in MEANT[use, pay])),
        ("Fell silent", ["quiet_free", "quiet_paying", "quiet_stopped"]),
        ("Stayed", ["user_free", "user_late", "user_paying", "user_stopped"]),
    ):
        assert numbers[column][0] == str(len(meant))
        clicked(shown, "churn.using.table", 0, column, save=column)
        assert not shown.exception
        assert shown.button(key="behind-described")
        assert workspace.members(column) == meant

    shown = browser.open("churn", view="paying", period="90d")
    numbers = table(shown, "When")
    for column, meant in (
        ("Customers", sorted(name for name, life in LIVES.items() if life[1] == 200)),
        ("Lost", ["away_stopped", "quiet_stopped", "user_stopped"]),
        ("Wanted to leave", ["away_stopped", "user_stopped"]),
        ("Payments failed", ["quiet_stopped"]),
    ):
        assert numbers[column][0] == str(len(meant))
        clicked(shown, "churn.paying.table", 0, column, save=f"p {column}")
        assert not shown.exception
        assert workspace.members(f"p {column}") == meant
    assert table(shown, "Reason")["People"][0] == "2"
    clicked(shown, "churn.paying.stated", 0, "People", save="said")
    assert workspace.members("said") == ["away_stopped", "user_stopped"]
    assert table(shown, "Plan")["Left"][0] == "3"
    clicked(shown, "churn.paying.plans", 0, "Left", save="left")
    assert workspace.members("left") == ["away_stopped", "quiet_stopped", "user_stopped"]

    shown = browser.open("churn", view="both", period="90d", of=str(this_month(workspace)))
    numbers = table(shown, "Use")
    clicked(shown, "churn.crossed.table", row_of(numbers, "Fell silent"), "Still pay", save="risk")
    assert metrics(shown)["Silent, and still pay"] == numbers["Still pay"][0] == "1"
    assert workspace.members("risk") == ["quiet_paying"]
    assert "behind-described" not in {button.key for button in shown.button}
    clicked(shown, "churn.crossed.table", row_of(numbers, "Still active"), "All", save="used")
    assert numbers["All"][1] == "4"
    assert len(workspace.members("used")) == 4
    assert listed(shown) is not None
    assert shown.button(key="behind-described")


def test_headlines_open_their_people(browser, workspace):
    browser.sign_in(workspace.id, "MEMBER")
    weekly, found = Asked(EngagementChurn(CORE, Window(4, "w"), Window(40, "d"), "week")), {}
    for view, headlines in (("using", 2), ("paying", 2), ("both", 4)):
        shown = browser.open("churn", q=asking.text_of(weekly), view=view, period="90d")
        cards = [*each_card(shown)]
        assert 0 < len(cards) <= headlines, view
        found |= {name: (number, len(people)) for name, number, people in cards}
    assert all(number == people for number, people in found.values())
    expected = {"Wanted to leave": (2, 2), "Payments failed": (1, 1), "Silent, and still pay": (2, 2)}
    assert found | expected == found


def leave_out(database, ws, *users):
    """Make people internal, and forget what was told of them: no number counts them any more."""
    theirs = "(SELECT person_id FROM actor WHERE external_id = ANY(:users))"
    with database.worker.transaction(ws) as session:
        run(session, f"UPDATE person SET is_internal = true WHERE id IN {theirs}", users=list(users))
        run(session, f"DELETE FROM person_feature WHERE person_id IN {theirs}", users=list(users))


@pytest.mark.parametrize(
    ("view", "module", "counts", "click", "first"),
    [
        ("paying", churn_paying.core, "report", ("churn.paying.table", 0, "Lost"), "When"),
        ("both", churn_crossed, "crossed", ("churn.crossed.table", 0, "Stopped paying"), "Use"),
        ("warning", churn_warning, "read_bands", ("churn.bands", 0, "People"), "Likelihood"),
    ],
)
def test_a_number_is_its_people_although_somebody_leaves_meanwhile(
    browser, workspace, database, ws, monkeypatch, view, module, counts, click, first
):
    scored(workspace, database, train_once())
    browser.sign_in(ws, "MEMBER")
    shown = browser.open("churn", view=view, period="90d", of=str(this_month(workspace)))
    _, row, column = click
    before = int(table(shown, first)[column][row])
    count = getattr(module, counts)

    @functools.wraps(count)
    def count_and_change(*args, **named):
        found = count(*args, **named)
        leave_out(database, ws, "quiet_stopped", "user_free")
        return found

    monkeypatch.setattr(module, counts, count_and_change)
    shown = clicked(shown, *click)
    assert not shown.exception
    assert len(listed(shown)) == int(table(shown, first)[column][row]) == before
    shown = clicked(shown, *click)
    assert len(listed(shown) or ()) == int(table(shown, first)[column][row]) == before - 1


def answer(workspace, monkeypatch, line):
    """What the command that a page shows prints."""
    monkeypatch.setattr(report, "connected", nullcontext)
    monkeypatch.setattr(report, "lake", lambda: workspace.lake)
    monkeypatch.setattr(report.following, "follow", lambda *_: 0)
    monkeypatch.setattr(report, "Store", lambda *_: workspace.store)
    program, dash, module, *rest = shlex.split(line)
    assert (program, dash, module, rest[0]) == ("python", "-m", "jobs", "report")
    done = CliRunner().invoke(report.app, rest[1:])
    assert done.exit_code == 0, done.output
    return orjson.loads(done.stdout)


def test_the_command_that_is_shown_gives_the_same_numbers(browser, workspace, monkeypatch):
    browser.sign_in(workspace.id)
    asked = Asked(EngagementChurn(CORE, Window(4, "w"), Window(40, "d"), "week"))
    shown = browser.open("churn", q=asking.text_of(asked), period="90d")
    (line,) = [item.value for item in shown.code]
    told = answer(workspace, monkeypatch, line)
    core = {"names": ["letter_sent"], "conditions": []}
    assert told["asked"] == {"core": core, "quiet": "4w", "baseline": "40d", "interval": "week"}
    points = list(reversed(told["engagement"]["points"]))
    numbers = table(shown, "When")
    assert [*numbers["Were active"]] == [str(point["active"]) for point in points]
    assert [*numbers["Fell silent"]] == [str(point["churned"]) for point in points]
    assert max(point["active"] for point in points) > 0
    paying = table(browser.open("churn", q=asking.text_of(asked), period="90d", view="paying"), "When")
    periods = [told["subscription"]["total"], *reversed(told["subscription"]["periods"])]
    assert [*paying["Lost"]] == [str(period["lost"]) for period in periods]
    assert told["subscription"]["total"]["lost"] == 3
    assert told["subscription"]["survival"]["ended"] == 3
    start = told["crossed"]["start"]
    both = table(browser.open("churn", q=asking.text_of(asked), period="90d", view="both", of=start), "Use")
    cells = {(cell["use"], cell["pay"]): cell["people"] for cell in told["crossed"]["cells"]}
    assert [*both["Still pay"]] == [str(cells[use, "paying"]) for use in ("silent", "active", "away")]
    assert told["early_warning"] is None


def test_a_saved_report_opens_as_it_was_looked_at(browser, workspace):
    browser.sign_in(workspace.id, "MEMBER")
    shown = browser.open("churn", view="both", period="90d")
    (name,) = [item for item in shown.text_input if item.label == "Save this report as"]
    name.set_value("Who pays and is away")
    shown = shown.button(key="churn.saved.new").click().run()
    assert shown.title[0].value == "Who pays and is away"
    other = browser.open("churn")
    assert [link for link in other.get("page_link") if "Who pays" in link.label]
    (link,) = [link.query_string for link in other.get("page_link") if "Who pays" in link.label]
    assert {"view=both", "period=90d"} <= set(link.split("&"))
    with workspace.database.web.transaction(workspace.id, read_only=True) as session:
        (kept,) = reports.list_reports(session, "churn")
    assert kept.question.content["look"] == {"view": "both"}
    assert not [item for item in shown.button if item.key == "churn.saved.change"]  # nothing has changed


def scored(workspace, database, outcome):
    """Two people with a score of this model."""
    with database.worker.transaction(workspace.id) as session:
        run(
            session,
            "INSERT INTO churn_model (version, workspace_id, model, trained_at, checked_at)"
            " VALUES (1, app_ws(), :model, :now, :now)",
            model=to_text(outcome),
            now=workspace.now,
        )
        run(
            session,
            "INSERT INTO person_feature (person_id, workspace_id, feature, number, computed_at)"
            " SELECT a.person_id, app_ws(), 'churn_risk', CASE a.external_id WHEN 'user_free' THEN 0.9 ELSE 1 END, :now"
            " FROM actor a WHERE a.namespace = 'user' AND a.external_id IN ('user_free', 'quiet_paying')",
            now=workspace.now,
        )


def test_a_score_is_told_with_its_worth_and_its_people(browser, workspace, database):
    outcome = train_once()
    scored(workspace, database, outcome)
    browser.sign_in(workspace.id, "MEMBER")
    shown = browser.open("churn", view="warning")
    assert not shown.exception
    assert metrics(shown)["AUC on held-out time"] == f"{outcome.judged.auc:.2f}"
    assert outcome.sentence in words(shown)
    assert [*table(shown, "Likelihood")["People"]] == ["2", "0", "0", "0", "0"]
    for column, meant in (("People", ["quiet_paying", "user_free"]), ("Paying", ["quiet_paying"])):
        clicked(shown, "churn.bands", 0, column, save=f"risk {column}")
        assert workspace.members(f"risk {column}") == meant


def train_once():
    """A model of a history of people who come and leave."""
    found = train(timeline_of(lives(1200, 3)), FEATURES, ROLES, NOW)
    assert isinstance(found, Model)
    return found
