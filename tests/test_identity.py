"""Who is who: a function of the set of statements, hard to hijack, and undone without a trace."""

import random
import uuid
from collections import Counter
from datetime import timedelta
from itertools import combinations, permutations
from uuid import UUID

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gdp_core import identity, inbox, pipeline
from gdp_core.db import insert, one, rows, run
from gdp_core.identity import UNKNOWN, Edge, Limits, Resolution, Seen, Verdict, resolve
from gdp_core.sources.facts import Identifier, Link
from gdp_core.tables.tenancy import Setting

from . import history
from .conftest import NOW
from .test_pipeline import batch, delivery, identify, track

SOURCE = UUID(int=7)
ENDLESS = Limits(None, {})


# ------------------------------------------------------------------------------------------------ resolve, pure


def actor(number: int) -> UUID:
    return UUID(int=number + 1)


def edge(a: int, b: int, *, at: int = 0, verified: bool = True, explicit: bool = False, cut: bool = False) -> Edge:
    low, high = sorted((actor(a), actor(b)))
    return Edge(low, high, verified, explicit, NOW + timedelta(hours=at), SOURCE, f"{a}-{b}", cut)


def oracle(namespaces: dict[UUID, str], edges: list[Edge], limits: Limits) -> Resolution:
    """The rules once more, with nothing but sets: slow, plain, and written from the words, not from the code."""
    reachable: list[set[UUID]] = [{member} for member in namespaces]
    people: list[set[UUID]] = [{member} for member in namespaces]
    verdicts = {}
    for stated in sorted(edges, key=_priority):
        _join(reachable, _home(reachable, stated.a), _home(reachable, stated.b))
        first, second = _home(people, stated.a), _home(people, stated.b)
        if stated.cut:
            verdicts[stated.a, stated.b] = Verdict("cut", None, False)
        elif first is second:
            verdicts[stated.a, stated.b] = Verdict("accepted", None, False)
        elif reason := _why_not(namespaces, limits, stated, first, second):
            verdicts[stated.a, stated.b] = Verdict("refused", reason, False)
        else:
            verdicts[stated.a, stated.b] = Verdict("accepted", None, True)
            _join(people, first, second)
    return Resolution(
        {member: min(_home(reachable, member)) for member in namespaces},
        {member: min(_home(people, member)) for member in namespaces},
        verdicts,
    )


def _priority(stated: Edge) -> tuple[object, ...]:
    return (0 if stated.verified else 1, stated.occurred_at, stated.source_id, stated.source_event_id, stated[:2])


def _home(groups: list[set[UUID]], member: UUID) -> set[UUID]:
    return next(group for group in groups if member in group)


def _join(groups: list[set[UUID]], first: set[UUID], second: set[UUID]) -> None:
    if first is not second:
        groups.remove(first)
        groups.remove(second)
        groups.append(first | second)


def _why_not(
    namespaces: dict[UUID, str], limits: Limits, stated: Edge, first: set[UUID], second: set[UUID]
) -> str | None:
    are_known = [any(namespaces[member] not in UNKNOWN for member in group) for group in (first, second)]
    if all(are_known) and not stated.verified:
        return "two_known_people"
    if limits.total is not None and len(first) + len(second) > limits.total:
        return "too_many_identifiers"
    counted = Counter(namespaces[member] for member in first | second)
    over = [namespace for namespace, most in limits.of.items() if counted[namespace] > most]
    return f"too_many_{over[0]}_ids" if over and not stated.explicit else None


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[UUID, str], list[Edge], Limits]:
    size = draw(st.integers(2, 12))
    words = st.sampled_from(["anonymous", "user", "user", "email", "posthog", "person", "stripe", "crm"])
    namespaces = {actor(number): draw(words) for number in range(size)}
    pairs = st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)).filter(lambda pair: pair[0] < pair[1])
    edges = [
        edge(
            *pair,
            at=draw(st.integers(0, 5)),
            verified=draw(st.booleans()),
            explicit=draw(st.booleans()),
            cut=draw(st.integers(0, 9)) == 0,
        )
        for pair in draw(st.sets(pairs, max_size=24))
    ]
    most = st.integers(1, 4)
    limits = Limits(draw(st.none() | st.integers(2, 8)), {"user": draw(most), "email": draw(most)})
    return namespaces, edges, limits


@settings(max_examples=200, deadline=None)
@given(graphs(), st.randoms(use_true_random=False))
def test_resolve_agrees_with_the_oracle_in_any_order(graph, rng):
    namespaces, edges, limits = graph
    expected = oracle(namespaces, edges, limits)
    for _ in range(3):
        rng.shuffle(edges)
        actors = list(namespaces.items())
        rng.shuffle(actors)
        assert resolve(dict(actors), edges, limits) == expected


@settings(max_examples=100, deadline=None)
@given(graphs())
def test_cutting_and_joining_again_gives_the_very_same(graph):
    namespaces, edges, limits = graph
    before = resolve(namespaces, edges, limits)
    for position, chosen in enumerate(edges):
        cut = [*edges[:position], chosen._replace(cut=True), *edges[position + 1 :]]
        resolve(namespaces, cut, limits)
        back = [stated if stated is not cut[position] else chosen for stated in cut]
        assert resolve(namespaces, back, limits) == before


@settings(max_examples=100, deadline=None)
@given(graphs(), st.randoms(use_true_random=False))
def test_no_browser_ever_joins_two_known_people(graph, rng):
    """However many claims there are, people whom a verified source tells apart stay apart."""
    namespaces, edges, limits = graph
    believed = [stated for stated in edges if stated.verified]
    alone = resolve(namespaces, believed, limits)
    claimed = resolve(namespaces, edges, limits)
    known = [member for member, namespace in namespaces.items() if namespace not in UNKNOWN]
    for first, second in combinations(known, 2):
        assert (alone.person[first] == alone.person[second]) == (claimed.person[first] == claimed.person[second])


@settings(max_examples=200, deadline=None)
@given(st.lists(graphs().map(lambda graph: graph[1]), min_size=1, max_size=3), st.randoms(use_true_random=False))
def test_one_edge_is_made_of_all_that_was_said_of_a_pair(statements, rng):
    said = [stated for edges in statements for stated in edges if stated[:2] == edges[0][:2]]

    def merged(order):
        best = None
        for stated in order:
            best = identity.better(best, stated)
        return best

    expected = merged(said)
    rng.shuffle(said)
    assert merged([*said, *said[:2]]) == expected


SIZE = 10_000
SHAPES = {
    "star": [(0, other) for other in range(1, SIZE)],
    "star around the last": [(SIZE - 1, other) for other in range(SIZE - 1)],
    "chain": [(number, number + 1) for number in range(SIZE - 1)],
    "cycle": [(number, (number + 1) % SIZE) for number in range(SIZE)],
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("order", ["backwards", "shuffled"])
def test_ten_thousand_ids_of_one_person(shape, order):
    pairs = list(SHAPES[shape])
    if order == "backwards":
        pairs.reverse()
    if order == "shuffled":
        random.Random(1).shuffle(pairs)
    edges = [edge(a, b, at=position) for position, (a, b) in enumerate(pairs)]
    result = resolve({actor(number): "user" for number in range(SIZE)}, edges, ENDLESS)
    assert set(result.person.values()) == {actor(0)}
    assert sum(verdict.merged for verdict in result.verdicts.values()) == SIZE - 1


def test_the_cap_holds_and_the_rest_is_refused():
    edges = [edge(0, other, at=other) for other in range(1, 40)]
    result = resolve({actor(number): "anonymous" for number in range(40)}, edges, Limits(total=10))
    assert Counter(result.person.values())[actor(0)] == 10
    assert Counter(verdict.reason for verdict in result.verdicts.values()) == {None: 9, "too_many_identifiers": 30}
    assert set(result.cluster.values()) == {actor(0)}


# ------------------------------------------------------------------------------------------------ in the database


@pytest.fixture
def segment(database, ws):
    return database.source(ws, "segment")


def tell(database, *deliveries):
    history.put(database, deliveries)
    history.drain(database, sorted({item.workspace_id for item in deliveries}))


def people_of(session):
    """{person: its identifiers as text}."""
    found: dict[UUID, set[str]] = {}
    for row in rows(session, "SELECT person_id, namespace, external_id FROM actor"):
        found.setdefault(row.person_id, set()).add(f"{row.namespace} {row.external_id}")
    return found


def home(session, namespace, value):
    return one(session, "SELECT person_id FROM actor WHERE namespace = :n AND external_id = :v", n=namespace, v=value)[
        0
    ]


def graph_of(session):
    """Everything that resolving writes."""
    return [
        rows(session, "SELECT id, cluster_id, person_id, is_primary FROM actor ORDER BY id"),
        rows(session, "SELECT * FROM identity_edge ORDER BY a, b"),
        rows(session, "SELECT * FROM merge_review ORDER BY a, b"),
        rows(session, "SELECT to_jsonb(p) - 'tx' FROM person p ORDER BY id"),
        rows(session, "SELECT * FROM stage_change ORDER BY person_id, at"),
        rows(session, "SELECT * FROM person_token ORDER BY person_id, token"),
    ]


@pytest.mark.parametrize("first", [0, 1])
def test_two_known_people_on_one_tablet_are_for_review(database, ws, segment, first):
    claims = [
        delivery(
            ws,
            segment,
            batch(identify(f"u{n}", message=f"i{n}", anonymous="tablet", at=NOW - timedelta(hours=n))),
            trust="browser",
        )
        for n in (1, 2)
    ]
    tell(database, claims[first])
    tell(database, claims[1 - first])
    with database.web.transaction(ws) as session:
        assert sorted(map(sorted, people_of(session).values())) == [["anonymous tablet", "user u2"], ["user u1"]]
        (review,) = rows(session, "SELECT * FROM merge_review")
        assert (review.reason, review.status) == ("two_known_people", "open")
        assert {review.a, review.b} == {
            identity.actor_id(ws, Identifier("anonymous", "tablet")),
            identity.actor_id(ws, Identifier("user", "u1")),
        }
    tell(database, delivery(ws, segment, batch(identify("u1", message="i3", anonymous="tablet")), trust="server"))
    with database.web.transaction(ws) as session:
        assert home(session, "user", "u1") == home(session, "anonymous", "tablet") != home(session, "user", "u2")
        assert [row.reason for row in rows(session, "SELECT * FROM merge_review")] == ["two_known_people"]


HOSTILE = ["u-evil", "victim", "ada@acme.example", "+31612345678"]


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_claims_with_a_public_key_change_no_verified_person(database, data):
    """Anyone can read a browser key: what is sent with it may say whose visit it was, and nothing about others."""
    ws = database.workspace(f"w{uuid.uuid4().hex[:8]}")
    segment, posthog = database.source(ws, "segment"), database.source(ws, "posthog")
    known = identify("victim", email="ada@acme.example", phone="+31612345678", firstName="Ada")
    tell(database, delivery(ws, segment, batch(known, track(user="victim")), trust="server"))
    with database.web.transaction(ws) as session:
        before = one(session, "SELECT * FROM person")
        unchanged = one(session, "SELECT to_jsonb(p) - 'tx' FROM person p")
        mine = people_of(session)[before.id]
    words = st.sampled_from(HOSTILE)
    hidden = {"$set": {"email": "ada@acme.example", "name": "Mallory", "phone": "+31612345678"}}
    calls = st.one_of(
        st.builds(
            lambda anon: identify(
                "u-evil", message=uuid.uuid4().hex, anonymous=anon, email="ada@acme.example", phone="+31612345678"
            ),
            words,
        ),
        st.builds(
            lambda old: {"type": "alias", "userId": "u-evil", "previousId": old, "messageId": uuid.uuid4().hex}, words
        ),
        st.builds(lambda anon: track(user=None, anonymous=anon, message=uuid.uuid4().hex), words),
    )
    captures = st.one_of(
        st.builds(
            lambda anon: {
                "event": "$identify",
                "distinct_id": "u-evil",
                "properties": hidden | {"$anon_distinct_id": anon},
            },
            words,
        ),
        st.builds(
            lambda other: {
                "event": "$create_alias",
                "distinct_id": "u-evil",
                "properties": {"alias": other, "$is_identified": True},
            },
            words,
        ),
        st.builds(
            lambda who: {"event": "$set", "distinct_id": who, "properties": hidden | {"$is_identified": False}}, words
        ),
    )
    for call in data.draw(st.lists(calls, max_size=4)):
        tell(database, delivery(ws, segment, batch(call), trust="browser"))
    for capture in data.draw(st.lists(captures, max_size=4)):
        body = {"batch": [capture | {"uuid": uuid.uuid4().hex}]}
        tell(database, delivery(ws, posthog, body, source="posthog", route="posthog/batch", trust="browser"))
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT to_jsonb(p) - 'tx' FROM person p WHERE id = :id", id=before.id) == unchanged
        assert people_of(session)[before.id] == mine


def test_limits_refuse_until_they_are_raised_or_somebody_says_so(database, ws, segment):
    def login(n):
        return delivery(
            ws,
            segment,
            batch(identify(f"u{n}", message=f"i{n}", anonymous="kiosk", at=NOW + timedelta(minutes=n))),
            trust="server",
        )

    tell(database, *(login(n) for n in range(8)))
    with database.web.transaction(ws) as session:
        assert sorted(len(members) for members in people_of(session).values()) == [1, 1, 1, 6]
        assert {row.reason for row in rows(session, "SELECT reason FROM merge_review")} == {"too_many_user_ids"}
    alias = {"type": "alias", "userId": "u0", "previousId": "u7", "messageId": "al"}
    tell(database, delivery(ws, segment, batch(alias), trust="server"))
    with database.web.transaction(ws) as session:
        assert home(session, "user", "u7") == home(session, "user", "u0") != home(session, "user", "u6")
    with database.worker.transaction(ws) as session:
        wide = {
            "workspace_id": ws,
            "key": "identity.limits",
            "value": {"total": 500, "of": {"user": 99}},
            "updated_at": NOW,
        }
        insert(session, Setting, [wide])
    tell(database, login(9))
    with database.web.transaction(ws) as session:
        (members,) = people_of(session).values()
        assert {f"user u{n}" for n in (0, 1, 2, 3, 4, 5, 6, 7, 9)} <= members
        assert rows(session, "SELECT * FROM merge_review") == []


DENIED = ["undefined", "null", "guest", "anonymous", "0", "NaN", "[object Object]", "true", "None", "", "  ", "email"]


def test_ids_that_are_somebodys_bug_join_nobody(database, ws, segment):
    messages = [identify(f"u{n}", message=f"a{n}", anonymous=word) for n, word in enumerate(DENIED)]
    messages += [identify(word, message=f"b{n}", anonymous=f"a{n}") for n, word in enumerate(DENIED)]
    tell(database, delivery(ws, segment, batch(*messages), trust="server"))
    with database.web.transaction(ws) as session:
        assert all(len(members) == 1 for members in people_of(session).values())
        assert len(people_of(session)) == 2 * len(DENIED)
        assert one(session, "SELECT count(*) AS n FROM identity_edge").n == 0


@pytest.mark.parametrize(("source", "route"), [("segment", "v1/batch"), ("posthog", "posthog/batch")])
def test_an_alias_means_the_same_both_ways(database, ws, source, route):
    """The SDKs disagree on which of the two ids comes first."""

    def alias(one, other, n):
        if source == "segment":
            return batch({"type": "alias", "userId": one, "previousId": other, "messageId": f"al{n}"})
        return {
            "batch": [{"event": "$create_alias", "distinct_id": one, "uuid": f"al{n}", "properties": {"alias": other}}]
        }

    source_id, partitions = database.source(ws, source), []
    for n, pair in enumerate([("old", "new"), ("new", "old")]):
        history.clear(database)
        tell(database, delivery(ws, source_id, alias(*pair, n), source=source, route=route))
        with database.web.transaction(ws) as session:
            (members,) = [group for group in people_of(session).values() if "user new" in group]
            partitions.append({name for name in members if name.startswith("user")})
    assert partitions == [{"user new", "user old"}] * 2


def test_an_id_we_issued_may_come_before_the_identifier_it_stands_for(database, ws):
    """An e-mail tag names a person by id: whoever that is, learnt before or after, it is the same person."""
    segment, resend = database.source(ws, "segment"), database.source(ws, "resend")
    issued = [identity.actor_id(ws, Identifier("user", name)) for name in ("u1", "u2")]
    with database.worker.transaction(ws) as session:
        narrow = {
            "workspace_id": ws,
            "key": "identity.limits",
            "value": {"total": 9, "of": {"user": 1}},
            "updated_at": NOW,
        }
        insert(session, Setting, [narrow])
    told = [
        delivery(
            ws,
            resend,
            _email(person, n),
            source="resend",
            route="webhook",
            trust="signed",
            headers={"svix-id": f"msg{n}"},
        )
        for n, person in enumerate(issued)
    ]
    told += [delivery(ws, segment, batch(track(user=f"u{n}", message=f"m{n}"))) for n in (1, 2)]
    seen = set()
    for order in list(permutations(told))[::4]:
        history.clear(database)
        for item in order:
            tell(database, item)
        seen.add(history.digest(history.contents(database, [ws])))
    assert len(seen) == 1
    with database.web.transaction(ws) as session:
        namespaces = {row.id: row.namespace for row in rows(session, "SELECT id, namespace FROM actor")}
        assert [namespaces[person] for person in issued] == ["user", "user"]
        assert home(session, "user", "u1") != home(session, "user", "u2"), "two users are one too many here"
        assert [row.reason for row in rows(session, "SELECT reason FROM merge_review")] == ["too_many_user_ids"]


def _email(person, n):
    data = {
        "email_id": f"em{n}",
        "to": ["ada@acme.example"],
        "from": "x@acme.example",
        "tags": {"person_id": str(person)},
    }
    return {"type": "email.delivered", "created_at": (NOW - timedelta(hours=9 - n)).isoformat(), "data": data}


@pytest.mark.parametrize("seed", range(2))
def test_random_merging_and_cutting_is_what_resolving_everything_once_gives(database, ws, seed):
    """Step by step, in the database, against the oracle; every person id ever seen still leads to a person."""
    rng = random.Random(seed)
    limits = Limits(7, {"user": 3})
    names = [Identifier(rng.choice(("user", "anonymous", "email")), f"id{n}") for n in range(14)]
    ids = {identity.actor_id(ws, name): name.namespace for name in names}
    issued: set[UUID] = set()
    with database.worker.transaction(ws) as session:
        identity.ensure_actors(session, ws, [Seen(name, NOW, personless=False) for name in names], NOW)
    for step in range(30):
        with database.worker.transaction(ws) as session:
            known = rows(session, "SELECT a, b, cut_at FROM identity_edge ORDER BY a, b")
            if known and rng.random() < 0.4:
                chosen = rng.choice(known)
                cut = NOW if chosen.cut_at is None else None
                run(
                    session,
                    "UPDATE identity_edge SET cut_at = :cut WHERE a = :a AND b = :b",
                    cut=cut,
                    a=chosen.a,
                    b=chosen.b,
                )
                touched = identity.recompute(session, ws, [chosen.a, chosen.b], limits, NOW)
            else:
                edges = [_stated(ws, rng, names, step * 10 + n) for n in range(rng.randrange(1, 4))]
                touched = identity.assert_edges(session, ws, [found for found in edges if found], limits, NOW)
            pipeline.people.refresh(session, ws, touched | set(ids) if step == 0 else touched, NOW)
            stored = rows(
                session,
                "SELECT a, b, verified, explicit, occurred_at, source_id, source_event_id, cut_at IS NOT NULL FROM identity_edge",
            )
            expected = oracle(ids, [Edge(*row) for row in stored], limits)
            assert {row.id: row.cluster_id for row in rows(session, "SELECT * FROM actor")} == expected.cluster
            homes = {row.id: row.person_id for row in rows(session, "SELECT * FROM actor")}
            assert homes == expected.person
            verdicts = rows(session, "SELECT a, b, state, reason, merged FROM identity_edge")
            assert {(row.a, row.b): Verdict(*row[2:]) for row in verdicts} == expected.verdicts
            refused = {pair for pair, verdict in expected.verdicts.items() if verdict.state == "refused"}
            assert {(row.a, row.b) for row in rows(session, "SELECT a, b FROM merge_review")} == refused
            living = {row.id: row.identifiers for row in rows(session, "SELECT id, identifiers FROM person")}
            assert living == Counter(homes.values())
            issued |= set(living)
            assert {homes[person] for person in issued} <= set(living)


def _stated(ws, rng, names, number):
    one, other = rng.sample(names, 2)
    trust = rng.choice(("server", "server", "browser"))
    at = NOW - timedelta(hours=rng.randrange(50))
    return identity.edge_of(ws, Link(one, other, rng.random() < 0.2), trust, at, SOURCE, f"e{number}")


def test_an_unmerge_taken_back_leaves_no_trace(database, ws, segment):
    told = [
        delivery(
            ws,
            segment,
            batch(identify(f"u{n % 3}", message=f"i{n}", anonymous=f"a{n % 4}", at=NOW - timedelta(days=n))),
        )
        for n in range(9)
    ]
    tell(database, *told)
    with database.worker.transaction(ws) as session:
        before = graph_of(session)
        edges = rows(session, "SELECT a, b FROM identity_edge ORDER BY a, b")
    for chosen in edges:
        for cut in (NOW, None):
            with database.worker.transaction(ws) as session:
                run(
                    session,
                    "UPDATE identity_edge SET cut_at = :cut WHERE a = :a AND b = :b",
                    cut=cut,
                    a=chosen.a,
                    b=chosen.b,
                )
                touched = identity.recompute(session, ws, [chosen.a, chosen.b], Limits(), NOW)
                pipeline.people.refresh(session, ws, touched, NOW)
        with database.worker.transaction(ws) as session:
            assert graph_of(session) == before
    with database.worker.transaction(ws) as session:
        inbox.replay(session, state="applied")
    history.drain(database, [ws])
    with database.worker.transaction(ws) as session:
        assert graph_of(session) == before


def test_ten_thousand_ids_become_one_person_in_the_database(database, ws):
    names = [Identifier("anonymous", f"a{n}") for n in range(SIZE)]
    middle = Identifier("user", "u1")
    with database.worker.transaction(ws, timeout=120) as session:
        identity.ensure_actors(session, ws, [Seen(name, NOW, personless=False) for name in [middle, *names]], NOW)
        links = [
            identity.edge_of(ws, Link(middle, name), "server", NOW, SOURCE, f"e{n}") for n, name in enumerate(names)
        ]
        random.Random(1).shuffle(links)
        for start in range(0, SIZE, 2500):
            identity.assert_edges(session, ws, links[start : start + 2500], ENDLESS, NOW)
        (person,) = rows(session, "SELECT person_id, count(*) AS n FROM actor GROUP BY 1")
        assert person == (min(identity.actor_id(ws, name) for name in [middle, *names]), SIZE + 1)
        assert one(session, "SELECT count(*) AS n FROM identity_edge WHERE merged").n == SIZE


def test_a_late_edge_stitches_what_was_anonymous(database, ws, segment):
    """A year of visits without a name belong to whoever turns out to have made them."""
    visits = [track("page", None, message=f"v{n}", anonymous="a1", at=NOW - timedelta(days=30 * n)) for n in range(12)]
    tell(database, delivery(ws, segment, batch(*visits)))
    with database.web.transaction(ws) as session:
        assert not one(session, "SELECT is_known FROM person").is_known
    tell(database, delivery(ws, segment, batch(identify("u1", anonymous="a1")), at=NOW - timedelta(hours=1)))
    with database.web.transaction(ws) as session:
        (person,) = rows(session, "SELECT * FROM person")
        assert (person.is_known, person.total_events, person.active_days) == (True, 13, 12)
        assert person.first_seen_at == NOW - timedelta(days=330)


def test_a_personless_visit_is_no_person_until_it_is_somebody(database, ws):
    posthog = database.source(ws, "posthog")
    visit = {"event": "$pageview", "distinct_id": "a1", "uuid": "p1", "properties": {"$process_person_profile": False}}
    known = {"event": "$identify", "distinct_id": "u1", "uuid": "p2", "properties": {"$anon_distinct_id": "a1"}}
    events = [
        delivery(ws, posthog, orjson.dumps({"batch": [item]}), source="posthog", route="posthog/batch", trust="browser")
        for item in (visit, known)
    ]
    tell(database, events[0])
    with database.web.transaction(ws) as session:
        assert rows(session, "SELECT * FROM person") == []
        assert one(session, "SELECT count(*) AS n FROM event").n == 1
    tell(database, events[1])
    with database.web.transaction(ws) as session:
        assert one(session, "SELECT total_events FROM person").total_events == 2
