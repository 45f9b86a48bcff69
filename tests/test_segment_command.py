"""`python -m jobs segment`, and docs/segments.md: its rules are rules, and its JSON is what comes out."""

import io
import json
import re
import shlex
from collections.abc import Iterator
from datetime import timedelta

import pytest
import typer

from gdp_core import clock, runtime
from gdp_core.accounts.roles import Principal
from gdp_core.lake import process
from gdp_core.segments import importing, keeping, rules
from gdp_core.segments.conditions import KINDS
from gdp_core.settings import settings
from gdp_core.tables.segments import REASONS
from jobs import segment
from jobs.api.app import create_app
from jobs.commands import main

from .conftest import NOW, ROOT
from .door import ENCRYPTION_KEYS
from .test_pipeline import batch, delivery, drain, put
from .test_report_command import assert_alike, happened

PAGE = (ROOT / "docs" / "segments.md").read_text()
EXAMPLES = re.findall(r"```sh\npython -m jobs segment ([^`]*)\n```\n+```json\n([^`]*)\n```", PAGE)
CONDITIONS = [json.loads(line) for line in re.findall(r'^\{"kind": .*\}$', PAGE, re.MULTILINE)]
PAID = {"version": 1, "match": {"kind": "all", "of": [{"kind": "performed", "event": {"names": ["paid"]}}]}}
BAD = {"version": 1, "match": {"kind": "all", "of": [{"kind": "performed", "times": -1}, {"kind": "magic"}]}}


@pytest.fixture
def ask(database, monkeypatch, capsys, tmp_path) -> Iterator:
    """Asks the command of the workspaces `shop`, with the segment Buyers, and `empty`: (exit code, output, remarks)."""
    monkeypatch.setattr(clock, "now", lambda: NOW)
    monkeypatch.setenv("DATABASE_URL", database.dsn)
    monkeypatch.setenv("GDP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("GDP_ENCRYPTION_KEYS", ENCRYPTION_KEYS)
    monkeypatch.chdir(tmp_path)
    caches = (settings, runtime.database, process.lake)
    for cached in caches:
        cached.cache_clear()
    database.workspace("empty")
    shop = database.workspace("shop")
    put(database, delivery(shop, database.source(shop, "segment"), batch(*happened())))
    drain(database, shop)
    with database.web.transaction(shop) as session:
        keeping.create(session, Principal.system(shop), "Buyers", rules.read(PAID), now=NOW)
        gone = keeping.create(session, Principal.system(shop), "Lapsed", rules.read(PAID), now=NOW)
        keeping.delete(session, Principal.system(shop), gone.id, now=NOW)
    for name, rule in (("buyers", PAID), ("bad", BAD)):
        (tmp_path / f"{name}.json").write_text(json.dumps(rule))
    (tmp_path / "large.json").write_text(" " * (rules.LARGEST + 1))
    (tmp_path / "torn.json").write_text('{"version": 1,')

    def asked(line: str, given: object = None):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(given).encode())))
        capsys.readouterr()
        code = main(["segment", *shlex.split(line)])
        return code, *capsys.readouterr()

    yield asked
    process.lake().close()
    for role in ("gdp_web", "gdp_worker", "gdp_gate"):
        runtime.database(role).close()
    for cached in caches:
        cached.cache_clear()


def test_what_the_page_shows_is_what_comes_out(ask):
    assert ask("evaluate -w shop")[0] == 0
    for line, shown in EXAMPLES:
        code, out, _ = ask(line)
        assert code == 0, line
        assert_alike(json.loads(out), json.loads(shown), line)
        assert said(json.loads(shown)) <= said(json.loads(out)), line


def said(told) -> set:
    """Every sentence and verdict of an answer: what people read must be what the page shows."""
    if isinstance(told, list):
        return set().union(*map(said, told))
    if not isinstance(told, dict):
        return set()
    words = {(name, told[name]) for name in ("sentence", "says", "found", "wanted", "written_as") if name in told}
    return words.union(*map(said, told.values()))


def test_every_command_has_an_example():
    commands = set(typer.main.get_command(segment.app).commands)
    assert commands == {line.split()[0] for line, _ in EXAMPLES}


def test_every_kind_of_condition_has_an_example_that_can_be_read():
    assert {one["kind"] for one in CONDITIONS} == {kind.model_fields["kind"].default for kind in KINDS}
    for one in CONDITIONS:
        found = rules.read({"version": 1, "match": {"kind": "all", "of": [one]}})
        ((_, condition),) = found.conditions()
        given = {name: condition.model_dump(mode="json")[name] for name in one}
        assert given["kind"] == one["kind"]
    (whole,) = re.findall(r"```json\n(\{\n  \"version\": 1.*?)\n```", PAGE, re.DOTALL)
    assert len(list(rules.read(whole).conditions())) == 2


def test_every_route_and_reason_is_on_the_page():
    for path in create_app().openapi()["paths"]:
        spelt = re.sub(r"\{\w*?id\}", "{id}", path).replace("/webhook-subscriptions/{id}", "/webhook-subscriptions")
        assert spelt in PAGE, path
    for reason in REASONS:
        assert f"| `{reason}` |" in PAGE


def test_answers_agree(ask):
    code, out, _ = ask("count -w shop --rule buyers.json --json")
    counted = json.loads(out)
    assert (code, counted["people"], counted["of"]) == (0, 4, 8)
    assert json.loads(ask("count -w shop --rule - --json", PAID)[1]) == counted
    assert json.loads(ask("evaluate -w shop --json")[1])["entered"] == 4
    then = json.loads(ask("members -w shop --segment Buyers --at 2026-11-18T12:00Z --json")[1])
    assert (then["people"], then["at"]) == (4, NOW.isoformat())
    assert json.loads(ask("members -w shop --segment Buyers --at 2026-11-17 --json")[1])["members"] == []
    kept = json.loads(ask("members -w shop --segment Buyers --json")[1])["members"]
    meant = json.loads(ask("members -w shop --rule buyers.json --json")[1])["members"]
    assert {one["person"] for one in kept} == {one["person"] for one in meant}
    assert set(ask("members -w shop --segment Buyers")[1].split()) == {one["person"] for one in meant}
    inside = {
        user: json.loads(ask(f"explain -w shop --rule buyers.json --person user:{user} --json")[1])["belongs"]
        for user in ("u0", "u1", "u2", "u3")
    }
    assert inside == {"u0": False, "u1": True, "u2": False, "u3": True}
    told = json.loads(ask("backtest -w shop --rule buyers.json --since 2026-10-20 --json")[1])["days"]
    assert (told[0]["people"], told[-1]["people"], sum(day["entered"] for day in told)) == (0, 4, 4)
    assert told[-1]["day"] == NOW.date().isoformat()


def test_rules_of_other_systems_are_read(ask):
    own = json.loads(ask("count -w shop --rule buyers.json --json")[1])
    code, out, remarks = ask("count -w shop --rule - --json", [{"condition": "event", "eventType": "paid"}])
    assert (code, json.loads(out)) == (0, {**own, "written_as": "event_rules"})
    assert "Read as event rules: People who did paid." in remarks
    for written in re.findall(r"```json\n((?:\{\"operator\"|\[\{\"condition\").*)\n```", PAGE):
        assert importing.read_told(written)[1] != "rule"


def test_progress_is_beside_the_result(ask):
    since = (NOW - timedelta(days=3)).date()
    code, out, remarks = ask(f"backtest -w shop --segment Buyers --since {since} --json")
    assert (code, len(json.loads(out)["days"])) == (0, 4)
    assert "Looking back: 4 of 4 days" in remarks


def test_tables_are_for_people(ask):
    ask("evaluate -w shop")
    assert "People who did paid" in ask("list -w shop")[1]
    assert "50.0%" in ask("count -w shop --segment Buyers")[1]
    code, out, remarks = ask("explain -w shop --segment Buyers --person u1")
    assert (code, "yes" in out, remarks.startswith("In it.")) == (0, True, True)
    assert "Exited" in ask("backtest -w shop --segment Buyers --since 2026-11-17")[1]
    assert "1 segments in" in ask("evaluate -w shop")[1]


REFUSED = [
    ("count -w shop", 2, "--rule FILE"),
    ("count -w shop --rule buyers.json --segment Buyers", 2, "--rule FILE"),
    ("count -w shop --rule missing.json", 2, "missing.json"),
    ("count -w shop --rule torn.json", 2, "no JSON"),
    ("count -w shop --rule large.json", 2, "at most 256 kB"),
    ("count -w shop --rule bad.json", 2, "Condition 1, times:"),
    ("count -w shop --rule bad.json", 2, "Condition 2: There is no condition of this kind."),
    ("count -w shop --segment Nobody", 1, "no segment called"),
    ("count -w empty --segment Buyers", 1, "no segment called"),
    ("members -w empty --segment Buyers", 1, "no segment called"),
    ("explain -w shop --rule buyers.json --person nobody", 1, "Nobody has this"),
    ("explain -w empty --rule buyers.json --person u1", 1, "Nobody has this"),
    ("backtest -w shop --rule buyers.json --since yesterday", 2, "a day like"),
    ("backtest -w shop --rule buyers.json --since 2026-11-02 --until 2026-11-01", 2, "Choose 1 to"),
    ("backtest -w shop --rule buyers.json --since 2020-01-01", 2, "Choose 1 to"),
    ("list -w nowhere", 1, "nowhere"),
    ("restore -w shop --segment Buyers", 1, "no deleted segment called"),
    ("members -w shop --rule buyers.json --at 2026-11-01", 2, "--at is for a --segment"),
    ("members -w shop --segment Buyers --at soon", 2, "an instant like"),
    ("members -w shop --segment Buyers --at 2099-01-01", 2, "not ahead of now"),
]


def test_what_cannot_be_asked_is_said(ask):
    for line, expected, said in REFUSED:
        code, out, remarks = ask(line)
        assert (code, out) == (expected, ""), line
        assert said in remarks, line
        assert "Traceback" not in remarks, line
