"""`python -m jobs report`: the JSON that docs/reports.md shows is what comes out, and what cannot be asked is said."""

import json
import re
import shlex
from collections.abc import Iterator
from datetime import timedelta

import pytest
import typer

from gdp_core import clock, reports, runtime
from gdp_core.accounts.roles import Principal
from gdp_core.db import rows
from gdp_core.lake import process
from gdp_core.settings import settings
from jobs import report
from jobs.commands import main

from .conftest import NOW, ROOT
from .door import ENCRYPTION_KEYS
from .test_pipeline import batch, delivery, drain, put, track

PAGE = (ROOT / "docs" / "reports.md").read_text()
EXAMPLES = re.findall(r"```sh\npython -m jobs report ([^`]*)\n```\n+```json\n([^`]*)\n```", PAGE.replace("\\\n", ""))
PLANS = (1, "1", True, "pro", 2.5, None, {"a": 1}, ["x"])
"""What senders put into one property."""


@pytest.fixture
def ask(database, monkeypatch, capsys, tmp_path) -> Iterator:
    """Asks a report of the workspaces `shop`, where a little happened, and `empty`: (exit code, output, remarks).

    At NOW: what is not said to begin or end at a day is of the thirty days before.
    """
    monkeypatch.setattr(clock, "now", lambda: NOW)
    monkeypatch.setenv("DATABASE_URL", database.dsn)
    monkeypatch.setenv("GDP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("GDP_ENCRYPTION_KEYS", ENCRYPTION_KEYS)
    caches = (settings, runtime.database, process.lake)
    for cached in caches:
        cached.cache_clear()
    database.workspace("empty")
    shop = database.workspace("shop")
    source = database.source(shop, "segment")
    put(database, delivery(shop, source, batch(*happened())))
    drain(database, shop)
    _lists(database, shop)

    def asked(line: str):
        capsys.readouterr()
        code = main(["report", *shlex.split(line)])
        return code, *capsys.readouterr()

    yield asked
    process.lake().close()
    for role in ("gdp_web", "gdp_worker", "gdp_gate"):
        runtime.database(role).close()
    for cached in caches:
        cached.cache_clear()


def _lists(database, shop) -> None:
    """Two saved lists that share two people."""
    with database.web.transaction(shop) as session:
        people = [row.id for row in rows(session, "SELECT id FROM person ORDER BY id")]
        for name, chosen in (("Buyers", people[:4]), ("Readers", people[2:7])):
            reports.save_list(session, Principal.system(shop), name, chosen, now=NOW)


def happened() -> Iterator[dict]:
    """Eight people view a product day after day; every second one buys it an hour later."""
    for number, plan in enumerate(PLANS):
        at = NOW - timedelta(days=20 - number)
        user = f"u{number}"
        for day in range(number):
            yield track(
                "viewed", user, message=f"v{number}-{day}", at=at + timedelta(days=day), plan=plan, ref=f"r{day}"
            )
        yield track("cart_added", user, message=f"c{number}", at=at + timedelta(minutes=30), plan=plan)
        if number % 2:
            yield track("paid", user, message=f"p{number}", at=at + timedelta(hours=1), plan=plan)


def test_what_the_page_shows_is_what_comes_out(ask):
    assert EXAMPLES
    for line, shown in EXAMPLES:
        code, out, _ = ask(line)
        assert code == 0, line
        assert_alike(json.loads(out), json.loads(shown), line)


def assert_alike(found, shown, where: str) -> None:
    """The same keys, and values of the same kind; null stands for any, and of lists the elements are compared."""
    if isinstance(found, dict) and isinstance(shown, dict):
        assert found.keys() == shown.keys(), where
        for key in found:
            assert_alike(found[key], shown[key], f"{where} {key}")
    elif isinstance(found, list) and isinstance(shown, list):
        for mine, theirs in zip(found, shown, strict=False):
            assert_alike(mine, theirs, f"{where} []")
    elif found is not None and shown is not None:
        assert _kind(found) == _kind(shown), where


def _kind(value) -> str:
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def test_every_report_has_an_example():
    commands = set(typer.main.get_command(report.app).commands)
    assert commands - {line.split()[0] for line, _ in EXAMPLES} == set()


REFUSED = [
    ("funnel -w shop --step viewed", "between 2 and 20 steps"),
    ("funnel -w shop --step viewed --step paid --window 0d", "at least 1"),
    ("funnel -w shop --step viewed --step paid --window soon", "is no window"),
    ("funnel -w shop --step viewed --step paid --window 99999999999999d", "is no window"),
    ("funnel -w shop --step viewed --step paid --from 2026-11-02 --to 2026-11-01", "before it begins"),
    ("funnel -w shop --step viewed --step paid --from 2026-11-02 --to 2026-11-02", "before it begins"),
    ("funnel -w shop --step viewed --step paid --from yesterday", "a day like"),
    ("funnel -w shop --step viewed --step paid --order sideways", "--order is one of"),
    ("funnel -w shop --step viewed --step paid --where plan", "is no condition"),
    ("funnel -w shop --step viewed --step paid --where 'plan>many'", "needs a number"),
    ("funnel -w shop --step viewed --step paid --breakdown ref --top 0", "between 1 and 50"),
    ("funnel -w shop --step viewed --step paid --breakdown ref --top 10000", "between 1 and 50"),
    ("funnel -w shop --step viewed --step paid --exclude paid", "is no exclusion"),
    ("funnel -w shop --step viewed --step paid --touch 3", "steps 1-2"),
    ("trend -w shop --measure sum", "Give a field"),
    ("trend -w shop --event viewed --measure most", "--measure is one of"),
    ("trend -w shop --from 1990-01-01 --to 2026-01-01", "longer interval"),
    ("trend -w shop --from 0001-01-01 --to 9999-12-31 --interval month", "between 1990 and 9000"),
    ("lifecycle -w shop --from 9999-12-01 --to 9999-12-31", "between 1990 and 9000"),
    ("stickiness -w shop --from 0001-01-01 --to 0001-02-01", "between 1990 and 9000"),
    ("lifecycle -w shop --to 0001-01-05", "between 1990 and 9000"),
    ("activation -w shop --event viewed:99999999999999999999", "at most 1,000,000 times"),
    ("funnel -w shop --step viewed --step paid --touch ²", "--touch is one of"),
    ("funnel -w shop --step viewed --step paid --exclude ²:x", "is no exclusion"),
    ("funnel -w shop --step viewed --step paid --exclude-where plan=pro", "--exclude"),
    ("retention -w shop --intervals 0", "between 1 and"),
    ("retention -w shop --interval year", "--interval is one of"),
    ("lifecycle -w shop --from 2026-11-02 --to 2026-10-01", "before it begins"),
    ("stickiness -w shop --to 2026-13-01", "a day like"),
    ("revenue -w shop --view sideways", "--view is one of"),
    ("revenue -w shop --from 2030-01-01 --to 2030-02-01", "not begun yet"),
    ("activation -w shop --event paid --days 0", "."),
    ("churn -w shop --any-event --quiet 0d", "at least 1"),
    ("churn -w shop --any-event --from 2026-11-02 --to 2026-10-01", "before it begins"),
    ("overlap -w shop --list Buyers", "Compare 2 to 5"),
    ("overlap -w shop --list Buyers --list Buyers", "Compare 2 to 5"),
    ("funnel -w shop", "--step"),
]


def test_what_cannot_be_asked_is_said_in_a_sentence(ask):
    for line, says in REFUSED:
        code, out, said = ask(line)
        assert (code, out) == (2, ""), line
        assert says in said, (line, said)
        assert "Traceback" not in said
    code, out, said = ask("funnel -w nowhere --step a --step b")
    assert (code, out) == (1, "")
    assert said.strip().endswith(".")


ANSWERED = [
    "funnel --step viewed --step paid",
    "funnel --step never --step neither --order any --breakdown person.plan_name --factor source",
    "funnel --step viewed --step paid --where 'plan>=1' --breakdown plan",
    "trend --event viewed --measure sum --field plan",
    "trend --event viewed --measure median --field plan --breakdown plan",
    "trend --event never --measure people --compare previous",
    "retention --start viewed --return paid --breakdown plan",
    "retention --known signup_at --occurrence first_ever --rolling --interval day",
    "lifecycle --event never",
    "stickiness --interval week --from 2030-01-01 --to 2030-02-01",
    "revenue --currency EUR",
    "activation --event paid --event never:3 --start viewed",
    "activation --event never",
    "churn --event never",
    "churn --any-event --quiet 3d --baseline 7d --people stage=active",
    "customers",
]


def test_whatever_can_be_asked_is_answered(ask):
    """Of nobody, of events that never were, of a property that is everything at once, of a time to come."""
    for line in ANSWERED:
        for workspace in ("empty", "shop"):
            code, out, said = ask(f"{line} --workspace {workspace} --json")
            assert code == 0, (line, workspace, said)
            assert json.loads(out), line
    code, table, said = ask("funnel -w empty --step never --step viewed")
    assert code == 0
    assert "never" in table
    assert "No event named never has ever been recorded." in said
    assert "Traceback" not in said


def test_what_nothing_has_is_said(ask):
    for line, expected in (
        ("funnel --step viewed --step paid --where nosuch=1", "No event has a value for nosuch."),
        ("trend --event viewed --breakdown person.nosuch", "No person has a value for nosuch."),
        ("trend --event viewed --measure sum --field nosuch", "No event has a value for nosuch."),
        ("retention --start viewed --return paid --start-where person.nosuch?", "No person has a value for nosuch."),
        ("lifecycle --event viewed --people nosuch=1", "No person has a value for nosuch."),
        ("revenue --currency ZZZ", "Nobody ever paid in ZZZ."),
        ("churn --event never --where nosuch=1", "No event named never has ever been recorded."),
        ("activation --event viewed:²", "No event named viewed:² has ever been recorded."),
    ):
        code, _, said = ask(f"{line} --workspace shop")
        assert code == 0, said
        assert expected in said, (line, said)
    _, _, said = ask("funnel -w shop --step viewed --step paid --where plan=pro --people stage=lead")
    assert "has a value" not in said


def test_conditions_are_on_what_is_use_whichever_it_is(ask):
    for line in ("churn", "churn --any-event", "churn --event viewed"):
        code, out, _ = ask(f"{line} --where plan=pro --workspace shop --json")
        assert code == 0
        assert json.loads(out)["asked"]["core"]["conditions"] == [
            {"field": "plan", "comparison": "is", "values": ["pro"]}
        ], line


def test_numbers_of_a_property_that_is_everything_at_once(ask):
    """Numbers are those that are or read as one: 1 of u0 (no view), "1" once, 2.5 four times; true is none."""
    _, out, _ = ask("trend -w shop --event viewed --measure sum --field plan --json")
    assert json.loads(out)["lines"][0]["total"] == 1 + 4 * 2.5
    _, out, _ = ask("funnel -w shop --step viewed --step paid --where 'plan>=1' --json")
    assert [step["people"] for step in json.loads(out)["steps"]] == [2, 1]
