"""The overlap page and its command: what lists share, whose numbers they are, and what cannot be compared."""

import contextlib
import shlex
from uuid import uuid4

import orjson
import pytest
from typer.testing import CliRunner

from gdp_core import reports
from gdp_core.accounts.roles import Principal
from gdp_core.analytics.overlap import Asked as Question
from gdp_core.db import rows
from gdp_core.segments import cycle, keeping, rules
from gdp_core.timeline.matching import Condition
from jobs import report
from pages.ui.reporting import asking
from pages.ui.reporting.asking import Asked, Who

from . import counting
from .browsing import words
from .test_pipeline import identify
from .test_report_pages import clicked, each_card, listed, metrics, table

LISTS = {"Readers": ["u1", "u2", "u3"], "Buyers": ["u2", "u3", "u4"], "Fans": ["u3", "u5"]}


@pytest.fixture
def workspace(database, browser, ws, tmp_path, monkeypatch):
    """Six people, three lists of some of them."""
    with counting.counted(database, tmp_path, ws, monkeypatch) as made:
        at = made.now - counting.ago(2)
        people = [
            identify(f"u{n}", message=f"u{n}", at=at, email=f"u{n}@acme.example", plan="pro" if n % 2 else "free")
            for n in range(1, 7)
        ]
        made.send(database.source(ws, "segment"), *people)
        made.count()
        browser.sign_in(ws, "MEMBER")
        who = Principal.system(ws)
        with database.web.transaction(ws) as session:
            known = {
                row.external_id: row.person_id
                for row in rows(session, "SELECT external_id, person_id FROM actor WHERE namespace = 'user'")
            }
            made.lists = {
                name: reports.save_list(session, who, name, [known[user] for user in users], now=made.now).id
                for name, users in LISTS.items()
            }
        yield made


def open_page(browser, lists, who=None, **query):
    asked = Asked(Question(tuple(lists)), *([who] if who else []))
    return browser.open("overlap", q=asking.text_of(asked), **query)


SHARED = [
    ("overlap.upset", 1, "1", ["u2", "u3", "u4"]),
    ("overlap.sets", 0, "People", ["u1", "u2", "u3"]),
    ("overlap.pairs", 0, "In both", ["u2", "u3"]),
    ("overlap.pairs", 2, "In both", ["u3"]),
]


def test_a_number_its_drawer_and_its_saved_list_are_the_same_people(browser, workspace, monkeypatch):
    ids = [workspace.lists[name] for name in ("Buyers", "Readers", "Fans")]
    shown = open_page(browser, [ids[1], ids[0], ids[2]])
    assert not shown.exception
    assert not shown.error
    assert metrics(shown) | {"In any of them": "5", "In all": "1", "In all, of everybody": "20%"} == metrics(shown)
    regions = table(shown, "Only in")
    assert {*regions["Only in"]} == {"Buyers", "Readers", "Fans", "Readers and Buyers", "Readers and Buyers and Fans"}
    order = [*regions["Only in"]]
    expected = {
        "Buyers": ["u4"],
        "Readers": ["u1"],
        "Fans": ["u5"],
        "Readers and Buyers": ["u2"],
        "Readers and Buyers and Fans": ["u3"],
    }
    cells = [("overlap.region-table", row, "People", expected[name]) for row, name in enumerate(order)]
    cells += [("overlap.upset", row, "0", expected[name]) for row, name in enumerate(order)]
    for number, (of, row, column, people) in enumerate([*cells, *SHARED]):
        clicked(shown, of, row, column, save=f"List {number}")
        assert not shown.exception
        assert listed(shown) == people, (of, row, column)
        assert workspace.members(f"List {number}") == people, (of, row, column)
    pairs = table(shown, "Two")
    assert [*pairs["Jaccard"]] == ["50%", "25%", "25%"]

    monkeypatch.setattr(report, "connected", contextlib.nullcontext)
    program, dash, module, *said = shlex.split(open_page(browser, ids).code[0].value)
    done = CliRunner().invoke(report.app, said[1:])
    assert done.exit_code == 0, done.output
    found = orjson.loads(done.stdout)
    assert (program, dash, module, said[0]) == ("python", "-m", "jobs", "report")
    assert (found["sizes"], found["union"], found["people"]) == ({"Buyers": 3, "Readers": 3, "Fans": 2}, 5, 1)
    assert {tuple(region["sets"]): region["people"] for region in found["regions"]}[("Buyers", "Readers")] == 1
    assert [pair["of_union"] for pair in found["pairs"]] == [0.5, 0.25, 0.25]
    for options, says in (
        (["--list", "Buyers"], "Compare 2 to 5"),
        (["--list", "Buyers", "--list", "Nobody's"], "There is no saved list called"),
        (["--list", "Buyers", "--list", "Buyers"], "Compare 2 to 5"),
    ):
        done = CliRunner().invoke(report.app, ["overlap", "--workspace", "acme", *options, "--json"])
        assert done.exit_code != 0
        assert says in f"{done.output} {done.exception}"


def test_who_is_in_all_of_them_opens(browser, workspace):
    shown = open_page(browser, workspace.lists.values())
    assert [*each_card(shown)] == [("In all", 1, ["u3"])]


def test_only_some_people_and_what_cannot_be_compared(browser, workspace):
    ids = list(workspace.lists.values())
    some = Who((Condition("person.email", "is", ("u2@acme.example", "u3@acme.example")),))
    assert metrics(open_page(browser, ids[:2], some)) | {"In any of them": "2", "In both": "2"} == metrics(
        open_page(browser, ids[:2], some)
    )
    assert len(table(browser.open("overlap"), "Name")) == 2
    assert "Choose one more list or segment" in words(open_page(browser, ids[:1]))
    assert "Choose two lists or segments" in words(open_page(browser, []))
    six = '{"v":1,"ask":{"lists":[' + ",".join(f'"{uuid4()}"' for _ in range(6)) + "]}}"
    assert "Compare 2 to 5 different lists and segments." in words(browser.open("overlap", q=six))
    assert "This list or segment was deleted" in words(open_page(browser, [ids[0], uuid4()]))
    twice = '{"v":1,"ask":{"lists":["' + str(ids[0]) + '","' + str(ids[0]) + '"]}}'
    for shown in (browser.open("overlap", q=twice), open_page(browser, ids[:2], period="2025-02-01..2025-01-01")):
        assert not shown.exception
        assert "reference" not in words(shown)


def test_a_list_that_is_deleted_after_it_was_counted_is_said(browser, workspace, database):
    ids = list(workspace.lists.values())[:2]
    assert open_page(browser, ids).code
    with database.web.transaction(workspace.id) as session:
        reports.delete_list(session, Principal.system(workspace.id), ids[0], now=workspace.now)
    shown = open_page(browser, ids)
    assert "This list or segment was deleted" in words(shown)
    assert "reference" not in words(shown)
    assert not shown.exception


@pytest.fixture
def segments(workspace, database, tmp_path):
    """A segment of who has the free plan, one of the name of a list, and one that was never evaluated."""
    rules_of = {"Free": ["free"], "Buyers": ["pro"], "New": ["pro"]}
    who = Principal.system(workspace.id)
    with database.web.transaction(workspace.id) as session:
        for name, plans in rules_of.items():
            node = {"kind": "person", "field": "plan", "op": "is", "values": plans}
            rule = rules.read({"version": 1, "match": {"kind": "all", "of": [node]}})
            workspace.lists[f"{name}!"] = keeping.create(
                session, who, name, rule, enabled=name != "New", now=workspace.now
            ).id
    cycle.run_cycle(database.worker, workspace.id, workspace.store.open(workspace.lake), tmp_path, workspace.now)
    return workspace


def test_segments_are_compared_with_lists_and_what_is_behind_is_a_rule(browser, segments, database, monkeypatch):
    ids = [segments.lists[name] for name in ("Readers", "Free!", "Buyers", "Buyers!")]
    shown = open_page(browser, ids)
    assert not shown.exception
    sizes = table(shown, "Name")
    assert [*zip(sizes["Name"], sizes["People"], strict=True)] == [
        ("Readers (list)", "3"),
        ("Free (segment)", "3"),
        ("Buyers (list)", "3"),
        ("Buyers (segment)", "3"),
    ]
    with database.web.transaction(segments.id) as session:
        assert keeping.read_segment(session, ids[1]).people == 3
    two = open_page(browser, ids[:2])
    clicked(two, "overlap.pairs", 0, "In both", save="Free readers")
    assert listed(two) == segments.members("Free readers") == ["u2"]
    only = clicked(open_page(browser, ids[:2]), "overlap.region-table", 0, "People")
    assert listed(only) == ["u4", "u6"]
    assert "People who are not on the list “Readers” and are in the segment “Free”." in words(only)
    assert "Its days stay" not in words(only)

    monkeypatch.setattr(report, "connected", contextlib.nullcontext)
    said = shlex.split(open_page(browser, ids).code[0].value)
    assert said[7:] == "--list Readers --list Buyers --segment Free --segment Buyers --json".split()
    found = orjson.loads(CliRunner().invoke(report.app, said[4:]).stdout)
    assert found["sizes"] == {"Readers (list)": 3, "Buyers (list)": 3, "Free (segment)": 3, "Buyers (segment)": 3}


def test_a_segment_that_has_nobody_yet_and_one_that_is_gone_are_said(browser, segments, database):
    ids = [segments.lists[name] for name in ("Readers", "New!")]
    shown = open_page(browser, ids)
    assert "New has not been counted yet" in words(shown)
    assert [*table(shown, "Name")["People"]] == ["3", "0"]
    with database.web.transaction(segments.id) as session:
        keeping.delete(session, Principal.system(segments.id), ids[1], now=segments.now)
    shown = open_page(browser, ids)
    assert "This list or segment was deleted" in words(shown)
    assert not shown.exception


def test_without_lists_it_says_how_they_are_made(database, browser, ws, tmp_path, monkeypatch):
    browser.sign_in(ws)
    with counting.counted(database, tmp_path, ws, monkeypatch) as made:
        made.send(database.source(ws, "segment"), identify("u1", message="u1", at=made.now))
        made.count()
        shown = browser.open("overlap")
    assert "There is no saved list and no segment yet" in words(shown)
    assert "choose Save as list" in words(shown)
    assert not shown.exception
