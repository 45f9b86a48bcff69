"""A question survives an address, and the command that a report shows asks the same."""

import shlex
from dataclasses import replace
from datetime import date
from types import SimpleNamespace
from uuid import UUID

import pytest
from typer.testing import CliRunner

from gdp_core.analytics.activation import Activating, Activation, Criterion
from gdp_core.analytics.association import Association
from gdp_core.analytics.beginnings import Known
from gdp_core.analytics.breakdown import Breakdown
from gdp_core.analytics.engagement_churn import EngagementChurn
from gdp_core.analytics.funnel.factors import Factor, Factors
from gdp_core.analytics.funnel.question import Exclusion, FactorQuestion, FunnelQuestion, Step
from gdp_core.analytics.lifecycle import Lifecycle
from gdp_core.analytics.retention import Retention
from gdp_core.analytics.stickiness import Stickiness
from gdp_core.analytics.trends import Trend
from gdp_core.analytics.window import Window
from gdp_core.errors import InvalidInput
from gdp_core.timeline.matching import Condition, Match
from jobs import report
from pages.ui.format import Format
from pages.ui.reporting import activation, asking, funnel, lifecycle, retention, trend
from pages.ui.reporting.asking import EVERYBODY, Asked, Who

PRO = Condition("plan", "is", ("pro", "team|one"))
FUNNEL = FunnelQuestion(
    (
        Step(Match(("visited",), (PRO, Condition("amount", "gte", (10,))))),
        Step(Match(("signed up", "trial"))),
        Step(Match(()), optional=True, name="anything"),
        Step(Match(("paid",), (Condition("value", "lt", (1.5,)), Condition("note", "not_set")))),
    ),
    Window(1, "h"),
    exclusions=(Exclusion(Match(("refund",)), 1),),
    prefer="shortest",
    breakdown=Breakdown("person.stage", 5),
    touch=2,
    interval="week",
    factors=FactorQuestion(("source",), Window(3, "d")),
    everything=True,
)
SENT = Match(("letter sent", "b"), (PRO,))
RETENTION = Retention(
    Known("trial_started_at"),
    SENT,
    cohort="month",
    unit="day",
    mode="bracket",
    rolling=True,
    brackets=((1, 7), (8, 8), (31, None)),
    value="value_micros",
    currency="EUR",
    breakdown=Breakdown("person.plan_name", 3),
    everything=True,
)
ACTIVATION = Activating(
    Activation((Criterion(SENT, 3), Criterion(Match(("b",)))), Match(("signed up",)), 14, "month", True),
    SENT,
    60,
    (1, 5),
    10,
)
QUESTIONS = [
    FUNNEL,
    FunnelQuestion((Step(Match(("a",))), Step(Match(("b",)))), order="any"),
    RETENTION,
    Retention(Match(()), SENT, "recurring", mode="on_or_after", intervals=3),
    Lifecycle(SENT, "month", True),
    ACTIVATION,
    Activating(Activation((Criterion(SENT),), Known("signup_at"))),
    EngagementChurn(SENT, Window(2, "w"), Window(1, "mo"), "week"),
]
SOMEBODY = Who((Condition("person.stage", "is_not", ("lead",)),), UUID(int=7))


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: type(question).__name__)
@pytest.mark.parametrize("who", [EVERYBODY, SOMEBODY], ids=["everybody", "some"])
def test_a_question_survives_an_address(question, who):
    asked = Asked(question, who)
    text = asking.text_of(asked)
    assert asking.asked_in(type(question), text) == asked
    assert asking.asked_of(type(question), asking.VERSION, asking.content(asked)) == asked


def test_what_is_usual_stays_out_of_an_address():
    text = asking.text_of(Asked(FunnelQuestion((Step(Match(("a",))), Step(Match(("b",)))))))
    assert text == '{"v":1,"ask":{"steps":[{"match":["a"]},{"match":["b"]}]}}'


NO_QUESTION = [
    "",
    "{}",
    "[]",
    "1",
    "null",
    '"steps"',
    '{"v":1}',
    '{"v":2,"ask":{"steps":[{"match":["a"]},{"match":["b"]}]}}',
    '{"v":1,"ask":[]}',
    '{"v":1,"ask":{"steps":"ab"}}',
    '{"v":1,"ask":{"steps":[{"match":["a"]}]}}',
    '{"v":1,"ask":{"steps":[{"match":["a"]},{"match":["b"]}],"order":"sideways"}}',
    '{"v":1,"ask":{"steps":[{"match":["a"]},{"match":["b"]}],"window":"0d"}}',
    '{"v":1,"ask":{"steps":[{"match":["a"]},{"match":["b"]}],"window":7}}',
    '{"v":1,"ask":{"steps":[{"match":["a"]},{"match":["b"]}],"everything":1}}',
    '{"v":1,"ask":{"steps":[{"match":["a"]},{"match":["b"]}],"extra":1}}',
    '{"v":1,"ask":{"steps":[{"match":["a"]},{"match":["b",["x","like","y"]]}]}}',
    '{"v":1,"ask":{"steps":[{"match":["a"]},{"match":["b",["x"]]}]}}',
    '{"v":1,"ask":{"steps":[{"match":["a"]},{"match":[{"a":1}]}]}}',
    '{"v":1,"ask":{"steps":[{"match":["a"]},{"match":["b"]}],"breakdown":["x","many"]}}',
    '{"v":1,"ask":{"steps":[{"match":["a"]},{"match":["b"]}]},"who":{"list_id":"me"}}',
    '{"v":1,"ask":' + "[" * 2000 + "]" * 2000 + "}",
]


@pytest.mark.parametrize("text", NO_QUESTION, ids=range(len(NO_QUESTION)))
def test_what_is_no_question_is_refused_in_a_sentence(text):
    with pytest.raises(InvalidInput, match=r"\.$"):
        asking.asked_in(FunnelQuestion, text)


class Captured(Exception):
    """What the command would have counted."""


def asked_by_command(monkeypatch, line):
    """(where and when and of whom, question) of a command line as a shell would read it."""

    def capture(asked, question, _):
        raise Captured(asked, question)

    monkeypatch.setattr(report, "_of_timeline", capture)
    program, dash, module, *words = shlex.split(line)
    assert (program, dash, module, words[0]) == ("python", "-m", "jobs", "report")
    done = CliRunner().invoke(report.app, words[1:])
    assert isinstance(done.exception, Captured), done.output
    return done.exception.args


def turn_of(question, who=EVERYBODY):
    scope = SimpleNamespace(start=date(2026, 10, 1), end=date(2026, 11, 1), compare="previous")
    place = SimpleNamespace(workspace=SimpleNamespace(slug="acme"))
    return SimpleNamespace(
        place=place, question=question, asked=Asked(question, who), sight=SimpleNamespace(scope=scope)
    )


def shown(report_of, turn):
    return report_of(turn).of(turn.asked.who).period(turn.sight.scope)


WHERE = (Condition("plan", "is", ("pro",)), Condition("amount", "gte", ("10",)))
ODD = (Condition("a=b|c", "is", ("x|y", "\\", "z")), Condition("note?", "set"))
COMMANDS = [
    (
        funnel.command,
        FunnelQuestion(
            (Step(Match(("a b",), WHERE)), Step(Match(("b", "c"), WHERE), optional=True), Step(Match(("d",), WHERE))),
            Window(1, "h"),
            exclusions=(Exclusion(Match(("x",), WHERE), 1), Exclusion(Match(("a|b", "*"), WHERE[:1]), 1)),
            prefer="shortest",
            breakdown=Breakdown("person.stage", 5),
            touch=3,
            interval="week",
            factors=FactorQuestion(("source", "medium"), Window(36, "h")),
        ),
    ),
    (
        funnel.command,
        FunnelQuestion((Step(Match((r"a|b", "c\\"), ODD)), Step(Match(("*",), ODD[:1])), Step(Match(())))),
    ),
    (retention.command, Retention()),
    (retention.command, Retention(Match(("a|b",), ODD), Match(("*",), ODD[1:]))),
    (retention.command, replace(RETENTION, returning=Match(("sent", "b"), WHERE))),
    (
        retention.command,
        Retention(
            Match(("a",), WHERE[:1]), Match((), WHERE), "recurring", mode="on_or_after", rolling=True, intervals=3
        ),
    ),
    (retention.worth_command, Retention(Match(("a",), WHERE), Match(("b",), WHERE))),
    (lifecycle.command, Lifecycle()),
    (lifecycle.command, Lifecycle(Match(("a",), (Condition("plan", "is", ("",)), Condition("b", "is", (" c ", "d")))))),
    (lifecycle.command, Lifecycle(Match(("a",), (Condition("12:30", "set"),)))),
    (trend.command, Trend((Match(("a",), (Condition("12:30", "set"),)),))),
    (
        trend.command,
        Trend(
            (Match(("a|b",), WHERE), Match(())), "sum", "value_micros", "EUR", "week", Breakdown("plan", 3), True, True
        ),
    ),
    (lifecycle.command, Lifecycle(Match(("a", "b"), WHERE), "month", everything=True)),
    (activation.command, Activating(Activation((Criterion(Match(("a",)), 3), Criterion(Match(("b", "c"))))))),
    (
        activation.command,
        Activating(
            Activation(
                (Criterion(Match(("a",), WHERE)), Criterion(Match(("b",), WHERE[1:]), 2)),
                Match((), WHERE[:1]),
                14,
                "day",
                True,
            ),
            Match(("c",), WHERE[1:]),
            60,
            (2, 4),
            5,
        ),
    ),
    (activation.command, Activating(Activation((Criterion(Match(("a",))),), Known("trial_started_at")))),
    (activation.command, Activating(Activation((Criterion(Match(("a:3", "*"), ODD)), Criterion(Match(("b|",)), 2))))),
]


@pytest.mark.parametrize(("command", "question"), COMMANDS, ids=lambda item: type(item).__name__)
def test_the_command_asks_the_same(monkeypatch, command, question):
    line = shown(command, turn_of(question, Who((Condition("person.stage", "is", ("active",)),))))
    asked, found = asked_by_command(monkeypatch, line.text)
    assert found == question
    assert (asked.workspace, asked.since, asked.until) == ("acme", "2026-10-01", "2026-11-01")
    assert asked.people == ("stage=active",)


def test_stickiness_is_asked_of_the_same_event(monkeypatch):
    line = shown(lifecycle.stickiness_command, turn_of(Lifecycle(Match(("a",), WHERE), "month", everything=True)))
    assert asked_by_command(monkeypatch, line.text)[1] == Stickiness(Match(("a",), WHERE), "month", everything=True)


@pytest.mark.parametrize("field", ["person.in:7", "person.person.x", "person.2:x"])
def test_a_field_that_is_called_like_something_else_is_still_a_field(monkeypatch, field):
    who = Who((Condition(field, "is", ("a",)),))
    asked, _ = asked_by_command(monkeypatch, shown(lifecycle.command, turn_of(Lifecycle(), who)).text)
    (text,) = asked.people
    assert not text.startswith("in:")
    assert Condition.parse(f"person.{text.removeprefix('person.')}") == who.conditions[0]


def test_a_list_is_named_by_its_id():
    assert f"--people in:{SOMEBODY.list_id}" in shown(funnel.command, turn_of(QUESTIONS[1], SOMEBODY)).text


def test_what_was_before_is_told_with_its_time(monkeypatch):
    said = []
    monkeypatch.setattr(funnel.layout, "note", said.append)
    monkeypatch.setattr(funnel.clicking, "table", lambda *_, **__: None)
    monkeypatch.setattr(funnel.explaining, "below", lambda *_, **__: None)
    association = Association(0, 40, 20, 2.0, 1.3, 3.1, 0.001, 0.002)
    found = Factors(100, 100, 1, (Factor("event", "event", "login", False, association),))
    place = SimpleNamespace(write=Format("en_GB", "UTC", "EUR"), may=lambda _: True)
    funnel.factors(place, found, Window(36, "h"))
    assert "events of the 36 hours before they entered" in said[0]
