"""Segments in reports: every report filters and breaks down by them."""

from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from gdp_core import reports
from gdp_core.accounts.roles import Principal
from gdp_core.analytics.breakdown import Breakdown
from gdp_core.analytics.calendar import micros
from gdp_core.analytics.fields import read_groups
from gdp_core.analytics.funnel.question import FunnelQuestion, Step
from gdp_core.analytics.funnel.report import funnel
from gdp_core.analytics.scope import scope
from gdp_core.analytics.window import Window
from gdp_core.db import run
from gdp_core.errors import InvalidInput, NotFound
from gdp_core.segments import keeping, rules
from gdp_core.segments.facts import Facts, Surroundings
from gdp_core.segments.grouping import Belonging, grouped, key_of, read_group
from gdp_core.timeline.matching import Condition, Match, people

from .conftest import NOW
from .timelines import Happened, Somebody, timeline_of

DAY = 86_400_000_000
AT = micros(NOW)
SCOPE = scope(UUID(int=0), timezone="UTC", currency="USD", now=NOW, period="30d", compare="none")
KEY = uuid4()
PEOPLE = [
    Somebody([Happened(AT - 3 * DAY, "visit"), Happened(AT - 2 * DAY, "buy", {"plan": "pro"})], {"stage": "active"}),
    Somebody([Happened(AT - 3 * DAY, "visit"), Happened(AT - DAY, "visit", {"plan": "pro"})], {"stage": "lead"}),
    Somebody([Happened(AT - 5 * DAY, "visit", {"plan": "free"})], {"stage": "active"}),
]


def buyers(timeline):
    rule = rules.read(
        {"version": 1, "match": {"kind": "all", "of": [{"kind": "performed", "event": {"names": ["buy"]}}]}}
    )
    members = rule.holds(Facts(timeline, AT, Surroundings(ZoneInfo("UTC"))))
    return grouped(timeline, lambda key: {KEY: Belonging("Buyers", members)}[key])


def test_a_report_is_broken_down_by_a_segment_and_filtered_by_it():
    timeline = buyers(timeline_of(PEOPLE, shards=2))
    asked = FunnelQuestion(
        (Step(Match(("visit",))), Step(Match(("buy",)))), Window(7, "d"), breakdown=Breakdown(f"person.in:{KEY}")
    )
    found = funnel(timeline, SCOPE, asked)
    by = {group.label: [step.people for step in tally.steps] for group, tally in found.groups}
    assert by == {"In Buyers": [1, 1], "Not in Buyers": [2, 0]}
    chosen = people(timeline, (Condition(f"person.in:{KEY}", "starts_with", ("In ",)),))
    assert chosen.tolist() == [True, False, False]
    assert [step.people for step in funnel(timeline, SCOPE, asked, within=chosen).steps] == [1, 1]


def test_a_field_names_a_segment_or_list_by_its_id():
    assert key_of(f"person.in:{KEY}") == KEY
    assert key_of("stage") is None
    with pytest.raises(InvalidInput, match="the id of a segment"):
        key_of("in:buyers")


def test_segments_and_lists_of_a_workspace_are_found_and_what_is_gone_is_said(database, ws):
    node = {"kind": "performed", "event": {"names": ["buy"]}}
    rule = rules.read({"version": 1, "match": {"kind": "all", "of": [node]}})
    with database.web.transaction(ws) as session:
        made = keeping.create(session, Principal.system(ws), "Buyers", rule, now=NOW)
        timeline = timeline_of(PEOPLE)
        found = read_group(session, made.id, timezone="UTC").belonging(timeline, AT)
        assert (found.name, found.members.tolist()) == ("Buyers", [True, False, False])
        with pytest.raises(NotFound, match="deleted"):
            read_group(session, uuid4(), timezone="UTC")
        assert reports.list_lists(session) == []
        run(
            session,
            "INSERT INTO static_list (id, workspace_id, name, people, created_at, updated_at) SELECT gen_random_uuid(),"
            " app_ws(), 'List ' || n, 1, :now, :now FROM generate_series(1, 600) n",
            now=NOW,
        )
        assert len(read_groups(session)) == 601
