"""What a rule would mean now, and why somebody is meant: by hand on small histories."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from gdp_core.db import rows
from gdp_core.errors import InvalidInput
from gdp_core.features.base import Feature, Tally
from gdp_core.segments.conditions.base import EVER, LOOKS, Event, Happening
from gdp_core.segments.explaining import event_ids, explain
from gdp_core.segments.facts import Facts, Surroundings
from gdp_core.segments.previewing import preview
from gdp_core.segments.rules import BadRule, Rule, read
from gdp_core.timeline.arrays import NOTHING
from gdp_core.timeline.matching import Match

from .crowd import fill, identify, track
from .lives import micros_of
from .timelines import Happened, Somebody, timeline_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AT = micros_of(NOW)
DAY = 86_400_000_000
HERE = Surroundings(ZoneInfo("UTC"))


def all_of(*parts) -> Rule:
    return read({"match": {"kind": "all", "of": parts}})


VISITED = {"kind": "performed", "event": {"names": ["visit"]}, "when": {"last": "7d"}}
BOUGHT = {"kind": "performed", "event": {"names": ["buy"]}, "when": {"last": "3d"}}
RULE = all_of(VISITED, {"kind": "not", "of": [BOUGHT]})
BUYER = Somebody([Happened(AT - 3 * DAY, "visit"), Happened(AT - 2 * DAY, "buy")])
VISITOR = Somebody([Happened(AT - 5 * DAY, "visit")])
COLLEAGUE = Somebody([Happened(AT - 5 * DAY, "visit")], live=False)


def test_a_preview_counts_every_node_among_those_who_count() -> None:
    found = preview(timeline_of([BUYER, VISITOR, COLLEAGUE], shards=2), RULE, HERE, NOW)
    assert (found.people, found.of) == (1, 2)
    assert found.per_condition == {(): 1, (0,): 2, (1,): 1, (1, 0): 1}
    assert found.sample.tolist() == [11]
    assert found.remarks == ()


def test_a_sample_is_of_members_from_all_over_and_stays_when_others_leave() -> None:
    people = [Somebody([Happened(AT - DAY - number, "visit")]) for number in range(3000)]
    timeline = timeline_of(people, shards=3)
    found = preview(timeline, all_of(VISITED), HERE, NOW, sample=50)
    numbers = found.sample.tolist()
    assert len(set(numbers)) == 50
    assert min(numbers) < 500
    assert max(numbers) > 2500
    assert preview(timeline, all_of(VISITED), HERE, NOW, sample=50).sample.tolist() == numbers
    half = {"kind": "random", "low": 0, "high": 50, "seed": "half"}
    stayed = preview(timeline, all_of(VISITED, half), HERE, NOW, sample=50).sample.tolist()
    everybody = np.sort(preview(timeline, all_of(VISITED, half), HERE, NOW, sample=3000).sample)
    assert [number for number in numbers if number in everybody] == stayed[: len(np.intersect1d(numbers, everybody))]


class _Whole:
    """Columns of people that are numbers alone: a million different instants are never codes."""

    def person(self, field: str) -> None:
        raise AssertionError(f"{field} was read as codes")

    def whole(self, _: str) -> np.ndarray:
        return np.array([AT - DAY, NOTHING])


def test_instants_are_never_read_as_codes() -> None:
    timeline = replace(timeline_of([BUYER, VISITOR]), columns=_Whole())
    rule = all_of({"kind": "person", "field": "signup_at", "op": "within_last", "length": "7d"})
    found = preview(timeline, rule, HERE, NOW)
    assert (found.people, found.remarks) == (1, ())


def test_what_was_never_recorded_is_remarked() -> None:
    rule = all_of(
        {"kind": "performed", "event": {"names": ["vist"], "where": [{"field": "plan", "values": ["pro"]}]}},
        {"kind": "person", "field": "shoe_size", "values": [43]},
        {"kind": "amount", "event": {"names": ["buy"]}, "field": "weight"},
    )
    remarks = preview(timeline_of([BUYER]), rule, HERE, NOW).remarks
    assert remarks == (
        "No event named vist has ever been recorded.",
        "No event has a value for plan.",
        "No event has a value for weight.",
        "No person has a value for shoe_size.",
    )


def test_a_rule_that_names_what_is_gone_is_refused_at_its_place() -> None:
    rule = all_of(VISITED, {"kind": "any", "of": [{"kind": "segment", "segment": "gone"}]})
    for asked in (lambda: preview(timeline_of([BUYER]), rule, HERE, NOW), lambda: explain_of(BUYER, rule)):
        with pytest.raises(BadRule, match="This segment was deleted: choose another") as caught:
            asked()
        assert [(one.path, one.field) for one in caught.value.problems] == [((1, 0), "segment")]


def explain_of(who: Somebody, rule: Rule, surroundings: Surroundings = HERE, now: datetime = NOW):
    return explain(timeline_of([VISITOR, who, BUYER], shards=2), rule, surroundings, 11, now)


def test_an_explanation_mirrors_the_rule_with_what_was_found() -> None:
    why = explain_of(BUYER, RULE)
    assert not why.belongs
    assert [(part.path, part.kind, part.holds) for part in why.parts] == [
        ((), "all", False),
        ((0,), "performed", True),
        ((1,), "not", False),
        ((1, 0), "performed", True),
    ]
    visited = why.parts[1]
    assert visited.evidence is not None
    assert (visited.sentence, visited.evidence.found) == ("did visit in the last 7 days", "1")
    assert visited.evidence.happenings == (Happening("visit", AT - 3 * DAY),)
    assert visited.until == AT + 4 * DAY + 1
    assert why.turns_at == AT + DAY + 1
    assert why.sentence == "Would enter on 2026-03-02 12:00 UTC if nothing happens."


def test_who_stays_is_told_so() -> None:
    ever = all_of({"kind": "performed", "event": {"names": ["visit"]}})
    why = explain_of(VISITOR, ever)
    assert (why.belongs, why.turns_at, why.looked_until) == (True, None, None)
    assert why.sentence == "Stays as long as nothing happens."
    assert explain_of(Somebody([]), ever).sentence == "Stays outside as long as nothing happens."


def test_internal_people_are_in_no_segment() -> None:
    why = explain_of(COLLEAGUE, RULE)
    assert (why.belongs, why.counts, why.turns_at) == (False, False, None)
    assert why.sentence == "Internal people are in no segment."


def test_turning_is_looked_for_in_the_segments_a_rule_is_made_of() -> None:
    here = Surroundings(ZoneInfo("UTC"), rules={"x": all_of(VISITED)})
    why = explain_of(VISITOR, all_of({"kind": "segment", "segment": "x", "member": False}), here)
    assert (why.belongs, why.turns_at) == (False, AT + 2 * DAY + 1)


def test_too_much_to_look_at_is_said() -> None:
    busy = Somebody([Happened(AT - number * 60_000_000, "visit") for number in range(300)])
    rule = all_of(
        {"kind": "regularly", "event": {"names": ["visit"]}, "period": "1d", "of": 300, "at_least": 1},
        {"kind": "performed", "event": {"names": ["visit"]}},
    )
    why = explain_of(busy, rule)
    assert (why.belongs, why.turns_at) == (True, None)
    assert why.looked_until is not None
    assert AT < why.looked_until < AT + 300 * DAY
    assert why.sentence.endswith("if nothing happens; what comes after was not looked at.")


def test_an_anniversary_years_ahead_is_found() -> None:
    born = Somebody([], {"signup_at": "2025-07-04T09:00:00Z"})
    rule = all_of(
        {"kind": "person", "field": "signup_at", "op": "anniversary"},
        {"kind": "person", "field": "signup_at", "op": "longer_ago", "length": "1500d"},
    )
    why = explain_of(born, rule)
    assert why.turns_at == micros_of(datetime(2030, 7, 4, tzinfo=UTC))
    leaving = explain_of(born, rule, now=datetime(2030, 7, 4, tzinfo=UTC))
    assert (leaving.belongs, leaving.turns_at) == (True, micros_of(datetime(2030, 7, 5, tzinfo=UTC)))


def test_somebody_who_is_not_there_is_told_so() -> None:
    with pytest.raises(InvalidInput, match="not in the reports yet"):
        explain(timeline_of([BUYER]), RULE, HERE, 99, NOW + timedelta(days=1))


HOUR = DAY // 24


@pytest.mark.parametrize(
    ("condition", "events", "told", "shown"),
    [
        (
            {"kind": "performed", "event": {"names": ["visit"]}, "how": "first"},
            [Happened(AT - day * DAY, "visit") for day in range(1, 15)],
            "did it for the first time on 15 Feb 2026, 12:00",
            [AT - 14 * DAY],
        ),
        (
            {"kind": "not_since", "event": {"names": ["cart"]}, "other": {"names": ["buy"]}, "ago": "4h"},
            [Happened(AT - 9 * HOUR, "buy"), Happened(AT - HOUR, "cart")],
            "nothing followed yet, but it is not so long ago",
            [AT - HOUR],
        ),
        (
            {"kind": "not_since", "event": {"names": ["cart"]}, "other": {"names": ["buy"]}, "within": "1d"},
            [Happened(AT - 9 * DAY, "cart")],
            "nothing followed, but it is too long ago",
            [AT - 9 * DAY],
        ),
        (
            {"kind": "not_since", "event": {"names": ["cart"]}, "other": {"names": ["buy"]}},
            [Happened(AT - 9 * DAY, "cart"), Happened(AT - 8 * DAY, "buy")],
            "it was followed",
            [AT - 9 * DAY, AT - 8 * DAY],
        ),
        (
            {"kind": "sequence", "event": {"names": ["cart"]}, "then": {"names": ["buy"]}, "same": "order"},
            [
                Happened(AT - 5 * HOUR, "cart", {"order": 7}),
                Happened(AT - 4 * HOUR, "buy", {"order": 8}),
                Happened(AT - 3 * HOUR, "buy", {"order": "7"}),
                Happened(AT - 2 * HOUR, "buy", {"order": 7}),
            ],
            "one followed the other in time",
            [AT - 5 * HOUR, AT - 3 * HOUR],
        ),
        (
            {"kind": "consent"},
            [Happened(AT - 2, "consent_changed", {"channel": "email", "state": "granted"})],
            "opted in",
            [AT - 2],
        ),
        (
            {"kind": "consent"},
            [
                Happened(AT - 1, "consent_changed", {"channel": "email", "state": "granted"}),
                Happened(AT - 1, "email_unsubscribed"),
            ],
            "opted out",
            [AT - 1, AT - 1],
        ),
        ({"kind": "consent"}, [], "never said anything", []),
    ],
    ids=range(8),
)
def test_evidence_is_what_speaks_for_it_or_against_it(condition, events, told, shown) -> None:
    evidence = explain_of(Somebody(events), all_of(condition)).parts[1].evidence
    assert evidence is not None
    assert evidence.sentence == told
    assert [one.at for one in evidence.happenings] == shown


def test_evidence_leads_to_the_events_of_whoever_the_person_is(database, ws):
    at, source = datetime(2026, 11, 18, 9, tzinfo=UTC), database.source(ws, "segment")
    fill(
        database,
        ws,
        source,
        track(user="u1", message="m1", at=at),
        track(user=None, anonymous="a1", message="m2", at=at),
        identify(user="u1", anonymous="a1", message="m3", at=at),
        track(user="u1", message="m4", at=at + timedelta(microseconds=1000)),
        track(user="u2", message="m5", at=at),
        track("video_rendered", user="u1", message="m6", at=at),
    )
    happened = Happening("letter_sent", micros_of(at))
    with database.web.transaction(ws) as session:
        told = rows(session, "SELECT e.id, e.name, a.person_id FROM event e JOIN actor a ON a.id = e.actor_id")
        person = next(row.person_id for row in told if row.name == "video_rendered")
        found = event_ids(session, person, [happened, Happening("letter_sent", 1), happened])
        both = rows(session, "SELECT id FROM event WHERE occurred_at = :at AND name = 'letter_sent'", at=at)
    theirs = {row.id for row in told if row.person_id == person}
    assert found == {happened: tuple(sorted(row.id for row in both if row.id in theirs))}
    assert len(found[happened]) == 2


@pytest.mark.parametrize(
    ("asked", "turns"),
    [
        ({"kind": "performed", "event": {"names": ["visit"]}, "times": 5_990, "when": {"last": "7d"}}, 7 * DAY + 11),
        ({"kind": "regularly", "event": {"names": ["visit"]}, "period": "1d", "of": 366, "at_least": 1}, None),
        ({"kind": "feature", "feature": "visited", "other": "visited", "op": "is"}, None),
    ],
)
def test_somebody_with_very_many_events_is_explained_with_few_of_them(asked, turns) -> None:
    """Each condition says no more instants than are looked at, and shows the newest events alone."""
    many = LOOKS + 1_000
    timeline = timeline_of([Somebody([Happened(AT - DAY + number, "visit") for number in range(many)])])
    visited = Feature("visited", "", "", "", Tally(Match(("visit",)), "since"))
    here = replace(HERE, features={"visited": visited})
    facts = Facts(timeline, AT, here)
    (condition,) = (one for _, one in all_of(asked).conditions())
    said = [*condition.turns(facts)]
    assert said
    assert max(map(len, said)) == LOOKS + 1
    found = explain(timeline, all_of(asked), here, 10, NOW)
    part = found.tree.of[0]
    assert found.belongs
    ends = (None, AT + LOOKS) if turns is None else (AT - DAY + turns, None)
    assert (found.turns_at, found.looked_until if turns is None else None) == ends
    if asked["kind"] != "feature":
        assert part.evidence.events == many
        assert [one.at for one in part.evidence.happenings] == [AT - DAY + many - back for back in range(1, 11)]


def test_what_is_kept_of_a_mask_is_a_bit_for_each_person_made_once() -> None:
    people = [Somebody([Happened(AT - 1, "visit")] if number % 3 else []) for number in range(1_001)]
    facts, asked = Facts(timeline_of(people, shards=2), AT, HERE), []

    def make() -> np.ndarray:
        asked.append(1)
        return facts.counts(Event(names=("visit",)), EVER) > 0

    for _ in range(2):
        assert facts.mask(("visitors",), make).tolist() == [number % 3 > 0 for number in range(1_001)]
    assert asked == [1]
    assert facts.remember(("visitors",), lambda: np.empty(0)).nbytes == 126
