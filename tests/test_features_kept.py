"""Features in Postgres: what the events say, written where it changed and nowhere else, whatever happens meanwhile."""

import time
from datetime import timedelta

import numpy as np
import pytest

from gdp_core.accounts.roles import Principal
from gdp_core.analytics.calendar import micros
from gdp_core.analytics.window import Window
from gdp_core.db import one, rows, run
from gdp_core.errors import InvalidInput, NotFound
from gdp_core.features import keeping
from gdp_core.features.definitions import Wanted, define, read_defined, redefine, remove
from gdp_core.features.keeping import Recomputed, Scores, recompute
from gdp_core.lake.connection import Lake
from gdp_core.lake.writing import flush, watermark
from gdp_core.timeline.matching import Condition
from gdp_core.timeline.store import Store

from .conftest import NOW
from .test_pipeline import batch, delivery, drain, identify, put, track

DAY = timedelta(days=1)
_NEWEST = (
    "SELECT max(tx::text::bigint) AS tx FROM (SELECT tx FROM event UNION ALL SELECT tx FROM actor"
    " UNION ALL SELECT tx FROM person) x"
)


class World:
    """A workspace with a lake, a timeline and features."""

    def __init__(self, database, lake, folder, ws):
        self.database, self.lake, self.folder, self.ws = database, lake, folder, ws
        self.segment = database.source(ws, "segment")
        self.who = Principal.system(ws)
        self.sent = 0

    def hears(self, *messages):
        put(self.database, delivery(self.ws, self.segment, batch(*messages, at=NOW), at=NOW))
        drain(self.database, self.ws)

    def timeline(self):
        while True:  # what runs in other databases of the server holds the lake back
            flush(self.lake, self.database.worker, self.ws, NOW)
            with self.database.worker.transaction(self.ws, read_only=True) as session:
                newest = one(session, _NEWEST).tx
            if watermark(self.lake, self.ws) > newest:
                break
            time.sleep(0.05)
        store = Store(self.folder, self.ws)
        store.refresh(self.lake, since=watermark(self.lake, self.ws), complete_at=micros(NOW))
        return store.open(self.lake)

    def recompute(self, now=NOW, **options) -> Recomputed:
        return recompute(self.database.worker, self.ws, self.timeline(), self.folder, now, **options)

    def does(self, act, *args, **options):
        with self.database.web.transaction(self.ws) as session:
            return act(session, *args, now=NOW, **options)

    def rows(self):
        """{(an identifier of the person, feature): (value, when written, by which transaction)}"""
        with self.database.web.transaction(self.ws, read_only=True) as session:
            found = rows(
                session,
                "SELECT (SELECT min(external_id) FROM actor a WHERE a.person_id = f.person_id) AS who, feature,"
                " coalesce(to_jsonb(number), to_jsonb(word), to_jsonb(at)) AS value, f.xmin::text AS tx"
                " FROM person_feature f",
            )
        return {(row.who, row.feature): (row.value, row.tx) for row in found}

    def values(self):
        return {key: value for key, (value, _) in self.rows().items()}


@pytest.fixture
def world(database, tmp_path):
    with Lake(database.dsn, str(tmp_path / "lake"), memory="500MB") as lake:
        yield World(database, lake, tmp_path / "timeline", database.workspace())


def test_features_are_what_was_done_in_ninety_days(world):
    world.hears(
        track("letter_sent", "u1", message="m1", at=NOW - DAY),
        track("letter_sent", "u1", message="m2", at=NOW - 40 * DAY),
        track("letter_sent", "u1", message="m3", at=NOW - 91 * DAY),
        track("pricing_view", "u1", message="m4", at=NOW - DAY),
        track("letter_created", "u2", message="m5", at=NOW - 95 * DAY),
    )
    done = world.recompute()
    assert world.values() == {
        ("u1", "active_days"): 2,
        ("u1", "active_days_30d"): 1,
        ("u1", "core_actions"): 2,
        ("u1", "core_actions_30d"): 1,
        ("u1", "letters_sent"): 2,
        ("u1", "pricing_views"): 1,
    }
    assert (done.written, done.removed) == (6, 0)


def test_only_what_changed_is_written(world):
    world.hears(*(track("letter_sent", f"u{n}", message=f"m{n}", at=NOW - n * 10 * DAY + DAY / 4) for n in range(1, 5)))
    world.recompute()
    before = world.rows()
    assert world.recompute(NOW + timedelta(hours=1)) == Recomputed(11, 0, 0)
    assert world.rows() == before
    world.hears(track("letter_sent", "u1", message="more", at=NOW - 10 * DAY + DAY / 4))
    done = world.recompute(NOW + timedelta(hours=1))
    assert (done.written, done.removed) == (3, 0)  # as many days, one more act
    after = world.rows()
    assert {key for key in after if after[key] != before[key]} == {
        ("u1", name) for name in ("core_actions", "core_actions_30d", "letters_sent")
    }


def test_time_alone_moves_what_leaves_a_window(world):
    world.hears(*(track("letter_sent", f"u{n}", message=f"m{n}", at=NOW - n * 10 * DAY + DAY / 4) for n in range(1, 5)))
    world.recompute()
    before = world.rows()
    done = world.recompute(NOW + 15 * DAY)  # u2 and u3 leave the 30 days; u4 was gone from them before
    after = world.rows()
    assert {who for who, _ in set(before) - set(after)} == {"u2", "u3"}
    assert {key: after[key] for key in after} == {key: before[key] for key in after}
    assert (done.written, done.removed) == (0, 4)
    done = world.recompute(NOW + 200 * DAY)
    assert world.rows() == {}
    assert done.removed == len(after)


@pytest.mark.parametrize("lost", ["memory", "mark"])
def test_when_it_is_not_known_what_was_written_postgres_is_asked(world, lost):
    world.does(define, world.who, Wanted("Last plan", "last", ("letter_sent",), field="plan"))
    world.does(define, world.who, Wanted("First letter", "first", ("letter_sent",)))
    world.hears(
        track("letter_sent", "u1", message="m1", at=NOW - DAY, plan="große Lösung"),
        track("letter_sent", "u2", message="m2", at=NOW - timedelta(microseconds=1), plan=3),
    )
    world.recompute()
    before = world.rows()
    assert before["u1", "last_plan"][0] == "große Lösung"
    assert before["u2", "last_plan"][0] == "3"
    if lost == "memory":
        for path in (world.folder / world.ws.hex / "features" / "written").iterdir():
            path.unlink()
    else:  # as after a restored backup
        with world.database.worker.transaction(world.ws) as session:
            run(session, "UPDATE setting SET value = '{\"mark\": \"x\"}' WHERE key = 'features.written'")
            run(session, "DELETE FROM person_feature WHERE feature = 'active_days'")
    done = world.recompute()
    after = world.rows()
    assert {key: value for key, (value, _) in after.items()} == {key: value for key, (value, _) in before.items()}
    rewritten = {key for key in after if after[key] != before[key]}
    assert rewritten == (set() if lost == "memory" else {(who, "active_days") for who in ("u1", "u2")})
    assert done.written == len(rewritten)


def test_a_writing_that_ended_early_is_made_good(world, monkeypatch):
    world.hears(*(track("letter_sent", f"u{n}", message=f"m{n}", at=NOW - DAY) for n in range(5)))
    world.recompute()
    world.hears(*(track("letter_sent", f"u{n}", message=f"n{n}", at=NOW - 2 * DAY) for n in range(5)))
    monkeypatch.setattr(keeping, "_BATCH", 2)
    put_, calls = keeping._put, []

    def dies(*args):
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt
        put_(*args)

    monkeypatch.setattr(keeping, "_put", dies)
    with pytest.raises(KeyboardInterrupt):
        world.recompute()
    half = world.values()
    assert {half[f"u{n}", "active_days"] for n in range(5)} == {2}
    assert {half[f"u{n}", "letters_sent"] for n in range(5)} == {1}
    monkeypatch.setattr(keeping, "_put", put_)
    world.recompute()
    whole = world.values()
    assert {whole[f"u{n}", name] for n in range(5) for name in ("active_days", "letters_sent")} == {2}
    assert world.recompute() == Recomputed(11, 0, 0)


def test_a_merged_and_an_internal_person_have_none_of_their_own(world):
    world.hears(
        track("letter_sent", "u1", message="m1", at=NOW - DAY),
        {**track("letter_sent", message="m2", at=NOW - 2 * DAY), "anonymousId": "a1", "userId": None},
        track("letter_sent", "u2", message="m3", at=NOW - DAY),
    )
    world.recompute()
    assert {who for who, _ in world.rows()} == {"a1", "u1", "u2"}
    world.hears({**identify("u1", message="i1"), "anonymousId": "a1"})
    with world.database.worker.transaction(world.ws) as session:
        run(
            session,
            "UPDATE person SET is_internal = true, tx = pg_current_xact_id() FROM actor a"
            " WHERE a.id = person.id AND a.external_id = 'u2'",
        )
    world.recompute()
    found = world.values()
    assert {who for who, _ in found} == {"a1"}
    assert found["a1", "letters_sent"] == 2
    with world.database.web.transaction(world.ws) as session:
        assert one(session, "SELECT count(DISTINCT person_id) AS n FROM person_feature").n == 1


def test_a_workspace_defines_its_own(world):
    world.hears(
        track("order", "u1", message="m1", at=NOW - DAY, plan="pro", size=3),
        track("order", "u1", message="m2", at=NOW - 3 * DAY, plan="free", size="4.5"),
        track("order", "u1", message="m3", at=NOW - 8 * DAY, plan="pro", size=100),
    )
    week, pro = Window(7, "d"), (Condition("plan", "is", ("pro",)),)
    for wanted, slug, value, said in (
        (Wanted("Orders", "count", ("order",)), "orders", 3, "How often they did order."),
        (
            Wanted("Size, a week", "sum", ("order",), window=week, field="size"),
            "size_a_week",
            7.5,
            "size of order, added up, in the last 7 days.",
        ),
        (
            Wanted("Plans", "distinct", ("order",), field="properties.plan"),
            "plans",
            2,
            "How many different values of plan came with order.",
        ),
        (
            Wanted("Pro orders", "count", ("order",), pro, Window(1, "mo")),
            "pro_orders",
            2,
            "How often they did order with plan=pro, in the last 30 days.",
        ),
        (
            Wanted("First plan", "first", ("order",), field="plan"),
            "first_plan",
            "pro",
            "plan of the first order that has one.",
        ),
        (
            Wanted("Days since order", "since", ("order",)),
            "days_since_order",
            (NOW - DAY).isoformat(),
            "Whole days of 24 h since they last did order.",
        ),
    ):
        made = world.does(define, world.who, wanted)
        assert (made.slug, made.definition, made.is_defined) == (slug, said, True)
        world.recompute()
        assert world.values()["u1", slug] == value
    world.does(redefine, world.who, "orders", Wanted("Orders", "count", ("order",), window=week))
    world.recompute()
    assert world.values()["u1", "orders"] == 2
    world.does(remove, world.who, "orders")
    done = world.recompute()
    assert ("u1", "orders") not in world.values()
    assert (done.written, done.removed) == (0, 0)
    assert world.recompute() == Recomputed(16, 0, 0)
    with pytest.raises(NotFound):
        world.does(remove, world.who, "orders")
    with world.database.web.transaction(world.ws) as session:
        audited = rows(session, "SELECT object_id FROM audit_log WHERE action = 'features.write' ORDER BY seq")
    assert [row.object_id for row in audited][-2:] == ["orders", "orders"]


def test_money_is_of_one_currency(world):
    made = world.does(define, world.who, Wanted("Bought", "sum", ("order",), field="value_micros"))
    assert (made.kind, made.unit) == ("money", "USD")
    assert made.definition == "value_micros of order with currency=USD, added up."
    euro = (Condition("currency", "is", ("eur",)),)
    assert world.does(define, world.who, Wanted("In euro", "sum", (), euro, field="value_micros")).unit == "EUR"
    several = (Condition("currency", "is", ("EUR", "USD")),)
    with pytest.raises(InvalidInput, match="two currencies"):
        world.does(define, world.who, Wanted("All", "sum", (), several, field="value_micros"))


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted("", "count"), "a title"),
        (Wanted("!!", "count"), "a letter or a digit"),
        (Wanted("Active days", "count"), "active_days already"),
        (Wanted("Kept", "count"), "kept already"),
        (Wanted("X", "sum"), "which field"),
        (Wanted("X", "distinct"), "which field"),
        (Wanted("X", "count", field="plan"), "A field is for"),
        (Wanted("X", "average"), "A feature is one of"),
        (Wanted("X", "count", tuple(map(str, range(51)))), "at most 50 events"),
    ],
)
def test_nonsense_is_refused(world, wanted, said):
    world.does(define, world.who, Wanted("Kept", "count"))
    with pytest.raises(InvalidInput, match=said):
        world.does(define, world.who, wanted)
    with world.database.web.transaction(world.ws) as session:
        assert [one.slug for one in read_defined(session)] == ["kept"]


def test_scores_are_written_with_their_parts(world):
    world.hears(*(track("letter_sent", f"u{n}", message=f"m{n}", at=NOW - DAY) for n in range(3)))
    timeline = world.timeline()
    values = np.full(timeline.people, np.nan)
    values[:2] = [0.25, 0.5]
    parts = np.array([[1.5, -2.0], [0.1, 0.0], [0, 0]])

    def scored(values):
        given = [Scores("churn_risk", values, ("active_days", "core_actions"), parts)]
        recompute(world.database.worker, world.ws, timeline, world.folder, NOW, scores=given)
        with world.database.web.transaction(world.ws) as session:
            found = rows(session, "SELECT number, parts FROM person_feature WHERE feature = 'churn_risk' ORDER BY 1")
        return [(row.number, {name: float(part) for name, part in row.parts.items()}) for row in found]

    assert scored(values) == [
        (0.25, {"active_days": 1.5, "core_actions": -2.0}),
        (0.5, {"active_days": 0.1, "core_actions": 0.0}),
    ]
    values[0] = np.nan
    assert [value for value, _ in scored(values)] == [0.5]
    recompute(world.database.worker, world.ws, timeline, world.folder, NOW)
    assert not [key for key in world.rows() if key[1] == "churn_risk"]
