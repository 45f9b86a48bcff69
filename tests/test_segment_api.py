"""Segments by the API: what each route says and refuses, whose key sees what, and the way there through the door."""

import asyncio
import json
import sys
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import httpx
import pytest

from gdp_core import clock, runtime, vault
from gdp_core.accounts import keys
from gdp_core.accounts.roles import Principal, Role
from gdp_core.errors import Unavailable
from gdp_core.lake import process
from gdp_core.segments import rules
from gdp_core.segments.cycle import run_cycle
from gdp_core.settings import settings
from gdp_core.timeline import following
from gdp_core.timeline.store import Store
from jobs.api import asking, segments
from jobs.api.app import create_app
from jobs.door import api as way

from .conftest import NOW
from .crowd import identify
from .door import ENCRYPTION_KEYS, query, serving
from .test_pipeline import batch, delivery, drain, put, track

PATH = "/api/v1/segments"
NOBODY = "00000000-0000-4000-8000-000000000000"
ORDERED = {"kind": "performed", "event": {"names": ["order"]}, "times": 2, "when": {"last": "30d"}}
UUID_OF_THEIRS, HASH = "0c1f7a52-9f3e-4c0b-8f4e-2f7f5a0f1c11", "9e107d9d372bb6826bd81d3542a419d6"
BUYERS = {"version": 1, "match": {"kind": "all", "of": [ORDERED]}}
PRO = {
    "version": 1,
    "match": {"kind": "any", "of": [ORDERED, {"kind": "person", "field": "plan", "op": "is", "values": ["pro"]}]},
}


def made_of(segment_id):
    return {"version": 1, "match": {"kind": "all", "of": [{"kind": "segment", "segment": segment_id}]}}


def answered(app, method, path, **more) -> httpx.Response:
    """An answer of the app, without a server."""

    async def ask():
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            return await client.request(method, path, **more)

    return asyncio.run(ask())


class Shop:
    """A workspace in which three people ordered twice, and three once; `u0` and `u1` are on the plan pro."""

    def __init__(self, database):
        self.database, self.app, self.now = database, create_app(loopback=True), NOW
        self.ws = database.workspace("shop")
        self.source = database.source(self.ws, "segment")
        put(database, delivery(self.ws, self.source, batch(*_happened())))
        drain(database, self.ws)
        following.follow(process.lake(), database.worker, settings().timeline_folder, self.ws, NOW)
        self.member = self.key(Role.MEMBER)

    def key(self, role, *, kind="server", ws=None, source=None):
        ws, source = ws or self.ws, source or self.source
        with self.database.web.transaction(ws) as session:
            made = keys.create(
                session, Principal.system(ws), source_id=source, name="Robot", kind=kind, role=role, now=NOW
            )
        return {asking.WORKSPACE: str(ws), asking.KEY: str(made.id)} | {"secret": made.secret}

    def ask(self, method, path, key=None, *, typed=False, **more):
        headers = {name: text for name, text in (key or self.member).items() if name != "secret"}
        headers |= {"content-type": "application/json"} if typed else {}
        return answered(self.app, method, path, headers=headers, **more)

    def person(self, user):
        (row,) = query(
            self.database, f"SELECT person_id FROM actor WHERE namespace = 'user' AND external_id = '{user}'"
        )
        return str(row["person_id"])

    def make(self, name="Buyers", rule=BUYERS, **more):
        answer = self.ask("POST", PATH, json={"name": name, "rule": rule, **more})
        assert answer.status_code == 201, answer.text
        told = answer.json()
        assert told.pop("written_as") == "rule"
        return told

    def cycle(self, now=NOW):
        timeline = Store(settings().timeline_folder, self.ws).open(process.lake())
        return run_cycle(self.database.worker, self.ws, timeline, settings().timeline_folder, now)


def _happened():
    for message, theirs in enumerate((UUID_OF_THEIRS, HASH)):  # ids of another system for u4
        at = (NOW - timedelta(days=19)).isoformat()
        yield {"type": "alias", "userId": "u4", "previousId": theirs, "messageId": f"a{message}", "timestamp": at}
    for number in range(6):
        user = f"u{number}"
        yield identify(user=user, message=f"i{number}", at=NOW - timedelta(days=20), email=f"{user}@acme.example")
        for times in range(1 + number % 2):
            yield track("order", user, message=f"o{number}-{times}", at=NOW - timedelta(days=9 + times))
        yield identify(
            user=user,
            message=f"p{number}",
            at=NOW - timedelta(days=8),
            plan="pro" if number < 2 else "free",
            billing_contact=f"bob{number}@corp.example",
        )


@pytest.fixture
def shop(database, monkeypatch, tmp_path) -> Iterator[Shop]:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    monkeypatch.setenv("DATABASE_URL", database.dsn)
    monkeypatch.setenv("GDP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("GDP_ENCRYPTION_KEYS", ENCRYPTION_KEYS)
    caches = (settings, runtime.database, process.lake, vault._keyring, asking._timeline)
    for cached in caches:
        cached.cache_clear()
    made = Shop(database)
    monkeypatch.setattr(clock, "now", lambda: made.now)
    yield made
    process.lake().close()
    process.lake(read_only=True).close()
    for role in ("gdp_web", "gdp_worker"):
        runtime.database(role).close()
    for cached in caches:
        cached.cache_clear()


def test_a_segment_is_made_read_changed_and_deleted(shop):
    made = shop.make(description="They come back", goal="order again")
    assert made["rule"]["match"] == rules.read(BUYERS).plain["match"]
    assert (made["version"], made["enabled"], made["people"]) == (1, True, None)
    assert made["sentence"].startswith("People who did order at least 2 times")
    path = f"{PATH}/{made['id']}"
    assert shop.ask("GET", path).json() == made
    assert shop.ask("GET", PATH).json() == {"segments": [made], "next": None}

    changed = shop.ask("PATCH", path, json={"name": "Repeaters", "rule": PRO, "version": 1, "enabled": False}).json()
    assert (changed["name"], changed["version"], changed["enabled"]) == ("Repeaters", 2, False)
    assert (changed["description"], changed["goal"]) == ("They come back", "order again")
    audited = query(shop.database, "SELECT DISTINCT user_label, user_id FROM audit_log WHERE action = 'segments.write'")
    assert [(row["user_id"], row["user_label"][:11]) for row in audited] == [(None, "key Robot (")]

    assert shop.ask("DELETE", path).status_code == 204
    assert shop.ask("GET", path).status_code == shop.ask("DELETE", path).status_code == 404
    said = [shop.ask("GET", one).json()["error"]["message"] for one in (path, f"{PATH}/{NOBODY}")]
    assert said == ["This segment was deleted: restore it to go on.", "There is no segment of this id."]
    assert shop.ask("GET", PATH).json() == {"segments": [], "next": None}
    (gone,) = shop.ask("GET", f"{PATH}/deleted").json()["segments"]
    assert (gone["id"], gone["name"]) == (made["id"], "Repeaters")
    assert shop.ask("POST", f"{path}/restore", key=shop.key(Role.VIEWER)).status_code == 403
    back = shop.ask("POST", f"{path}/restore")
    assert (back.status_code, back.json()["name"], shop.ask("GET", path).json()) == (200, "Repeaters", back.json())
    assert shop.ask("POST", f"{path}/restore").status_code == 404


def test_segments_are_listed_page_by_page(shop):
    names = ["a|b", "B", "a", "Ä", "10 | x"]
    for name in names:
        shop.make(name)
    pages, after = [], ""
    while after is not None:
        page = shop.ask("GET", PATH, params={"limit": 2, "after": after}).json()
        pages.append([one["name"] for one in page["segments"]])
        after = page["next"]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert sorted([name for page in pages for name in page]) == sorted(names)
    assert [name for page in pages for name in page] == [
        one["name"] for one in shop.ask("GET", PATH).json()["segments"]
    ]
    for params in ({"after": "x"}, {"after": "\x00"}, {"limit": 0}, {"limit": segments.MOST_SEGMENTS + 1}):
        assert shop.ask("GET", PATH, params=params).status_code == 400


def test_what_is_too_long_is_said_at_its_field(shop):
    for field, longest in (("name", 120), ("description", 1000), ("goal", 1000)):
        body = {"name": "x", "rule": BUYERS} | {field: "x" * (longest + 1)}
        told = shop.ask("POST", PATH, json=body)
        assert (told.status_code, told.json()["error"]["problems"][0]["field"]) == (400, field)
        assert str(longest) in told.json()["error"]["message"]


def test_half_a_character_is_refused_and_finds_nobody(shop):
    half = "\ud83d"
    for field in ("name", "description", "goal"):
        told = shop.ask(
            "POST", PATH, content=json.dumps({"name": "x", "rule": BUYERS} | {field: f"a{half}"}), typed=True
        )
        assert (told.status_code, told.json()["error"]["problems"][0]["field"]) == (400, field)
    asked = {"rule": BUYERS, "person": f"user:u1{half}"}
    assert shop.ask("POST", f"{PATH}/explain", content=json.dumps(asked), typed=True).status_code == 404
    asked = {"url": f"https://hooks.example.com/{half}"}
    assert shop.ask("POST", "/api/v1/webhook-subscriptions", content=json.dumps(asked), typed=True).status_code == 400
    plans = {"kind": "person", "field": "plan", "op": "is", "values": [half]}
    asked = {"rule": {"version": 1, "match": {"kind": "all", "of": [plans]}}}
    assert shop.ask("POST", f"{PATH}/preview", content=json.dumps(asked), typed=True).status_code == 400
    assert shop.ask("GET", PATH).json() == {"segments": [], "next": None}


def test_what_is_wrong_is_said_with_its_place(shop):
    bad = {"version": 1, "match": {"kind": "all", "of": [ORDERED | {"times": -1}, {"kind": "telepathy"}]}}
    for method, path, body in (
        ("POST", PATH, {"name": "x", "rule": bad}),
        ("POST", f"{PATH}/preview", {"rule": bad}),
        ("POST", f"{PATH}/explain", {"rule": bad, "person": "u1"}),
    ):
        answer = shop.ask(method, path, json=body)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "malformed")
        assert [(one["path"], one["field"]) for one in error["problems"]] == [([0], "times"), ([1], "")]
        assert all(one["message"].endswith(".") or one["message"] for one in error["problems"])
    gone = shop.ask("POST", f"{PATH}/preview", json={"rule": made_of(NOBODY)})
    assert gone.json()["error"]["problems"] == [
        {"path": [0], "field": "segment", "message": "This segment was deleted: choose another."}
    ]
    for body, field in (({"rule": BUYERS}, "name"), ({"name": "x", "rule": BUYERS, "colour": 1}, "colour"), ([], "")):
        answer = shop.ask("POST", PATH, json=body)
        assert (answer.status_code, answer.json()["error"]["problems"][0]["field"]) == (400, field)
    assert shop.ask("POST", PATH, content=b"{").status_code == 400
    for path in (f"{PATH}/x", f"{PATH}/{NOBODY}/members?after=x", f"{PATH}/{NOBODY}/members?limit=0"):
        assert shop.ask("GET", path).status_code == 400
    assert shop.ask("GET", PATH).json() == {"segments": [], "next": None}


def test_what_cannot_be_read_is_answered_with_what_to_do(shop):
    deep = '{"kind": "all", "of": [' * 900 + "]}" * 900
    unreadable = "This body cannot be read: send JSON in UTF-8"
    as_json = "Send a JSON object, with the header content-type: application/json."
    for body, typed, field, said in (
        (f'{{"name": "x", "rule": {{"version": 1, "match": {deep}}}}}', True, None, unreadable),
        (f'{{"name": "x", "rule": {{"version": {"9" * 5000}}}}}', True, None, unreadable),
        (b'{"name": "\xff"}', True, None, unreadable),
        ('{"name": x', True, "", "This is no JSON from character 10 on: correct it there."),
        (
            '{"name": "x", "rule": null}',
            True,
            "rule",
            "rule: Give a rule, an object or a list, as docs/segments.md shows.",
        ),
        ('{"name": "x"}', False, "", as_json),
        ("", False, "", as_json),
        ("[]", True, "", as_json),
        (f'{{"name": 5, "rule": {json.dumps(BUYERS)}}}', True, "name", "name: This must be a text."),
    ):
        answer = shop.ask("POST", PATH, content=body, typed=typed)
        error = answer.json()["error"]
        assert (answer.status_code, error["message"][: len(said)]) == (400, said)
        assert [one["field"] for one in error.get("problems", [])] == ([] if field is None else [field])
    feed, members = "/api/v1/transitions", f"{PATH}/{NOBODY}/members"
    for path, said in (
        (f"{PATH}?limit=x", "limit: This must be a whole number."),
        (f"{PATH}?limit=0", "limit: This must be 1 or more."),
        (f"{feed}?limit=5000", "limit: This must be 1,000 or less."),
        (f"{feed}?after=x", "after: Give as `after` what a page said as `next`."),
        (f"{feed}?after=99999999999999999999", "after: Give as `after` what a page said as `next`."),
        (f"{PATH}?after=x", "Give as `after` what a page said as `next`."),
        (f"{members}?at=yesterday", "at: Give an instant like 2026-01-31T08:00:00Z."),
        (f"{PATH}/{NOBODY}/history?since=yesterday", "since: Give a day like 2026-01-31."),
        (f"{PATH}/x", "segment_id: Give an id like 0197f3a0-5c1e-7d2b-8a55-0242ac120002."),
    ):
        answer = shop.ask("GET", path)
        assert (answer.status_code, answer.json()["error"]["message"]) == (400, said)
    told = shop.ask("POST", "/api/v1/webhook-subscriptions", json={"url": "https://a.example", "kinds": ["left"]})
    assert told.json()["error"]["message"] == "kinds.0: Give one of 'entered' or 'exited'."
    assert shop.ask("PUT", PATH).json()["error"]["message"].startswith("This address does not take that method")


def test_conflicts_are_told_apart(shop):
    first, second = shop.make("First"), shop.make("Second", made_of(shop.make("Third")["id"]))
    path = f"{PATH}/{first['id']}"
    taken = [
        shop.ask("POST", PATH, json={"name": "First", "rule": BUYERS}),
        shop.ask("PATCH", path, json={"name": "Second"}),
        shop.ask("PATCH", path, json={"rule": PRO, "version": 7}),
        shop.ask("DELETE", f"{PATH}/{second['rule']['match']['of'][0]['segment']}"),
    ]
    assert [(one.status_code, one.json()["error"]["code"]) for one in taken] == [(409, "conflict")] * 4
    half = shop.ask("PATCH", path, json={"name": "Renamed", "rule": PRO, "version": 7})
    assert half.status_code == 409
    assert shop.ask("GET", path).json()["name"] == "First"
    unsaid = shop.ask("PATCH", path, json={"rule": PRO})
    assert (unsaid.status_code, "version" in unsaid.json()["error"]["message"]) == (400, True)


def test_members_are_those_the_preview_counts(shop):
    made = shop.make(rule=PRO)
    told = shop.ask("POST", f"{PATH}/preview", json={"rule": PRO}).json()
    assert (told["people"], told["of"], len(told["sample"])) == (4, 6, 4)
    assert [(one["path"], one["people"]) for one in told["conditions"]] == [([], 4), ([0], 3), ([1], 2)]
    assert shop.cycle().entered == 4
    path = f"{PATH}/{made['id']}"
    assert shop.ask("GET", path).json()["people"] == 4

    pages, after = [], ""
    while True:
        page = shop.ask("GET", f"{path}/members", params={"limit": 3, "after": after}).json()
        pages.append(page["members"])
        if page["next"] is None:
            break
        after = page["next"]
    assert [len(page) for page in pages] == [3, 1]
    members = [one for page in pages for one in page]
    assert {one["person"] for one in members} == set(told["sample"])
    assert {(one["email"], *one["user_ids"]) for one in members} == {
        (f"u{number}@acme.example", f"u{number}") for number in (0, 1, 3, 5)
    }
    covered = shop.ask("GET", f"{path}/members", key=shop.key(Role.VIEWER)).json()["members"]
    assert [(one["email"], one["user_ids"]) for one in covered] == [(None, [])] * 4

    for who in ("u3", "user:u3", "U3@acme.example", "email:u3@acme.example"):
        one = shop.ask("GET", f"{path}/members/{who}").json()
        assert (one["member"], one["entry"], one["person"] in told["sample"]) == (True, 1, True)
    other = shop.ask("GET", f"{path}/members/u2").json()
    assert (other["member"], other["since"], other["entry"]) == (False, None, None)
    for who in (UUID_OF_THEIRS, f"user:{UUID_OF_THEIRS}", "person:" + shop.person("u4"), shop.person("u4"), HASH):
        assert shop.ask("GET", f"{path}/members/{who}").json()["person"] == shop.person("u4"), who
    for who in ("u9", NOBODY, f"person:{UUID_OF_THEIRS}", "stripe:u3", "own:u3", "a%00b", "a%2Fb", "x" * 2000):
        assert shop.ask("GET", f"{path}/members/{who}").status_code == 404


def test_rules_of_other_systems_are_read(shop):
    events = [{"condition": "event", "eventType": "order", "eventCount": {"gte": 2}, "eventWindow": "30d"}]
    fields = {"operator": "OR", "conditions": [{"field": "traits.plan", "operator": "eq", "value": "pro"}]}
    own = shop.ask("POST", f"{PATH}/preview", json={"rule": BUYERS}).json()
    told = shop.ask("POST", f"{PATH}/preview", json={"rule": events}).json()
    assert (own["written_as"], told["written_as"]) == ("rule", "event_rules")
    assert {**told, "written_as": "rule"} == own
    made = shop.ask("POST", PATH, json={"name": "Pro", "rule": {"name": "x", "rules": fields}}).json()
    assert made["written_as"] == "field_rules"
    assert made["rule"]["match"]["of"][0] == {"kind": "person", "field": "plan", "op": "is", "values": ["pro"]}
    changed = shop.ask("PATCH", f"{PATH}/{made['id']}", json={"rule": events, "version": 1}).json()
    assert changed["rule"] == own["rule"]
    why = shop.ask("POST", f"{PATH}/explain", json={"rule": fields, "person": "u1"}).json()
    assert (why["belongs"], why["written_as"]) == (True, "field_rules")
    wrong = shop.ask("POST", f"{PATH}/preview", json={"rule": [events[0], {"condition": "weather"}]})
    assert (wrong.status_code, wrong.json()["error"]["problems"][0]["path"]) == (400, [1])


def test_the_feed_goes_on_from_where_it_was(shop):
    made, other = shop.make(rule=BUYERS), shop.make("All", PRO)
    shop.cycle()
    seen, after = [], 0
    while found := (part := shop.ask("GET", "/api/v1/transitions", params={"after": after, "limit": 2}).json())[
        "transitions"
    ]:
        seen += found
        after = part["next"]
    assert part["next"] == after
    assert [one["seq"] for one in seen] == sorted({one["seq"] for one in seen})
    assert {(one["segment"], one["kind"], one["reason"]) for one in seen} == {
        (made["id"], "entered", "first"),
        (other["id"], "entered", "first"),
    }
    assert len(seen) == 3 + 4
    of_one = shop.ask("GET", "/api/v1/transitions", params={"segment": made["id"]}).json()
    assert [one["segment"] for one in of_one["transitions"]] == [made["id"]] * 3
    told = shop.ask("GET", f"{PATH}/{made['id']}/history").json()
    assert [one["people"] for one in told["sizes"]] == [3]
    assert (told["flow"][-1], len(told["flow"])) == ({"day": "2026-11-18", "entered": 3, "exited": 0}, 31)
    long = shop.ask("GET", f"{PATH}/{made['id']}/history?since=1999-01-01")
    assert (long.status_code, shop.ask("GET", f"/api/v1/transitions?segment={NOBODY}").status_code) == (400, 404)


def test_who_was_in_it_is_who_was_kept_then(shop):
    made = shop.make(rule=BUYERS)
    path = f"{PATH}/{made['id']}/members"
    ordered = [track("order", user, message=f"late-{user}", at=NOW + timedelta(days=19)) for user in ("u0", "u2")]
    put(shop.database, delivery(shop.ws, shop.source, batch(*ordered, at=NOW + timedelta(days=19))))
    drain(shop.database, shop.ws, NOW + timedelta(days=19))
    stored = {}
    for days in (0, 19, 21, 40):  # two order again and enter; thirty days after their first order they leave
        now = NOW + timedelta(days=days)
        following.follow(process.lake(), shop.database.worker, settings().timeline_folder, shop.ws, now)
        shop.cycle(now)
        stored[now] = {one["person"]: one["entry"] for one in shop.ask("GET", path).json()["members"]}
    assert [len(members) for members in stored.values()] == [3, 5, 2, 0]
    shop.now = NOW + timedelta(days=50)
    for now, members in stored.items():
        at, told, after = (now + timedelta(hours=1)).isoformat(), {}, ""
        while True:
            page = shop.ask("GET", path, params={"at": at, "limit": 2, "after": after}).json()
            told |= {one["person"]: one["entry"] for one in page["members"]}
            after = page["next"]
            if after is None:
                break
        assert told == members
        for user in ("u0", "u1", "u4"):
            one = shop.ask("GET", f"{path}/{user}", params={"at": at}).json()
            assert (one["member"], one["entry"]) == (shop.person(user) in members, members.get(shop.person(user)))
    before = shop.ask("GET", path, params={"at": (NOW - timedelta(days=1)).isoformat()}).json()
    assert before == {"members": [], "next": None}
    for params in ({"at": "2026-11-01T08:00:00"}, {"at": "2031-01-01T00:00:00Z"}, {"at": "x"}):
        assert shop.ask("GET", path, params=params).status_code == 400
    assert shop.ask("GET", path, params={"at": NOW.isoformat(), "after": "-1"}).status_code == 400


def test_why_says_the_same_as_membership(shop):
    made = shop.make()
    inside = shop.ask("POST", f"{PATH}/explain", json={"segment": made["id"], "person": "u1"}).json()
    outside = shop.ask("POST", f"{PATH}/explain", json={"rule": BUYERS, "person": "u2@acme.example"}).json()
    assert (inside["belongs"], outside["belongs"], outside["turns_at"]) == (True, False, None)
    # The older of two orders was ten days ago: it leaves the window of thirty in twenty.
    assert inside["turns_at"].startswith((NOW + timedelta(days=20)).date().isoformat())
    (part,) = inside["tree"]["of"]
    assert (part["holds"], part["evidence"]["events"], len(part["evidence"]["happenings"])) == (True, 2, 2)
    assert all(len(one["events"]) == 1 for one in part["evidence"]["happenings"])
    assert shop.ask("POST", f"{PATH}/explain", json={"rule": BUYERS, "person": "nobody"}).status_code == 404
    for body in ({"person": "u1"}, {"person": "u1", "rule": BUYERS, "segment": made["id"]}):
        assert shop.ask("POST", f"{PATH}/explain", json=body).status_code == 400


def test_who_is_told_of_entries(shop, monkeypatch):
    made, path = shop.make(), "/api/v1/webhook-subscriptions"
    shop.cycle()
    url = "https://hooks.example.com/segments?token=1"
    told = shop.ask("POST", path, json={"url": url, "segment": made["id"], "kinds": ["entered"]})
    assert told.status_code == 201
    again = shop.ask("POST", path, json={"url": url, "segment": made["id"], "kinds": ["entered", "entered"]})
    assert (again.status_code, told.json()["id"] in again.json()["error"]["message"]) == (409, True)
    secret = told.json().pop("secret")
    assert secret.startswith("whsec_")
    (kept,) = shop.ask("GET", path).json()["subscriptions"]
    assert kept == {name: value for name, value in told.json().items() if name != "secret"}
    (row,) = query(shop.database, "SELECT id, ciphertext, position FROM webhook_subscription")
    assert secret.encode() not in bytes(row["ciphertext"])
    place = {"workspace_id": shop.ws, "table": "webhook_subscription", "row_id": row["id"], "column": "ciphertext"}
    assert vault.unseal(bytes(row["ciphertext"]), **place) == secret
    monkeypatch.setenv("GDP_ENCRYPTION_KEYS", f"{vault.generate_key('k2')},{ENCRYPTION_KEYS}")
    settings.cache_clear()
    vault._keyring.cache_clear()
    assert vault.rotate(shop.database.worker, [shop.ws]) == 1
    assert vault.usage(shop.database.worker, [shop.ws]) == {"k2": 1}
    (sealed,) = query(shop.database, "SELECT ciphertext FROM webhook_subscription")
    assert vault.unseal(bytes(sealed["ciphertext"]), **place) == secret
    feed = shop.ask("GET", "/api/v1/transitions").json()
    assert row["position"] == feed["next"]  # only what happens from now on is told

    assert shop.ask("POST", path, json={"url": "http://127.0.0.1:9/x"}).status_code == 201
    for url in (
        "http://hooks.example.com/x",
        "ftp://hooks.example.com",
        "https://10.0.0.1/x",
        "https://169.254.169.254/latest",
        "https://intranet/x",
        "https://db.internal/x",
        "https://2130706433/x",
        "https://0x7f.1/x",
        "https://[::1]/x",
        "https://user:pass@example.com/x",
        "https://exa mple.com/",
        "https://example.com:99999/",
        "javascript:alert(1)",
        "",
    ):
        expected = 201 if url == "https://[::1]/x" else 400
        assert shop.ask("POST", path, json={"url": url}).status_code == expected, url
    for body in ({"url": kept["url"], "kinds": []}, {"url": kept["url"], "kinds": ["left"]}):
        assert shop.ask("POST", path, json=body).status_code == 400
    assert shop.ask("POST", path, json={"url": kept["url"], "segment": NOBODY}).status_code == 404
    assert shop.ask("DELETE", f"{path}/{kept['id']}").status_code == 204
    assert shop.ask("DELETE", f"{path}/{kept['id']}").status_code == 404


def test_a_key_does_what_its_role_may(shop):
    made = shop.make()
    path = f"{PATH}/{made['id']}"
    viewer, sender = shop.key(Role.VIEWER), shop.key(None)
    assert shop.ask("GET", path, key=viewer).status_code == 200
    assert shop.ask("POST", f"{PATH}/preview", key=viewer, json={"rule": BUYERS}).status_code == 200
    for method, where, body in (
        ("POST", PATH, {"name": "x", "rule": BUYERS}),
        ("PATCH", path, {"name": "x"}),
        ("DELETE", path, None),
        ("GET", "/api/v1/webhook-subscriptions", None),
        ("POST", "/api/v1/webhook-subscriptions", {"url": "https://example.com"}),
    ):
        refused = shop.ask(method, where, key=viewer, json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden"), where
        assert "Viewer" in refused.json()["error"]["message"]
    only = shop.ask("GET", PATH, key=sender)
    assert (only.status_code, "only sends" in only.json()["error"]["message"]) == (403, True)
    assert shop.ask("GET", PATH, key=shop.key(Role.MEMBER, kind="browser")).status_code == 403


def test_who_may_not_see_personal_data_is_told_none(shop):
    email = {"kind": "person", "field": "email", "op": "contains", "values": ["u1@"]}
    contact = {"kind": "person", "field": "billing_contact", "op": "set"}
    plan = {"kind": "person", "field": "plan", "op": "is", "values": ["pro"]}
    made = shop.make(rule={"version": 1, "match": {"kind": "any", "of": [email, contact, plan]}})
    viewer, asked = shop.key(Role.VIEWER), {"segment": made["id"], "person": "u1"}
    openly = [
        shop.ask("GET", f"{PATH}/{made['id']}").text,
        shop.ask("POST", f"{PATH}/explain", json=asked).text,
    ]
    assert ["u1@" in text for text in openly] == ["corp.example" in openly[1]] * 2 == [True, True]
    for told in (
        shop.ask("GET", PATH, key=viewer),
        shop.ask("GET", f"{PATH}/{made['id']}", key=viewer),
        shop.ask("POST", f"{PATH}/explain", key=viewer, json=asked),
    ):
        assert told.status_code == 200
        assert "u1@" not in told.text
        assert "corp.example" not in told.text
        assert "bob1" not in told.text
    covered = shop.ask("GET", f"{PATH}/{made['id']}", key=viewer).json()
    assert [one.get("values") for one in covered["rule"]["match"]["of"]] == [["•••"], [], ["pro"]]
    assert covered["sentence"].startswith("People who meet a condition on personal data")
    assert "have the plan pro" in covered["sentence"]
    parts = shop.ask("POST", f"{PATH}/explain", key=viewer, json=asked).json()["tree"]["of"]
    assert [one["evidence"]["found"] for one in parts] == ["", "b•••@c•••.example", "p•••"]
    own = {"version": 1, "match": {"kind": "all", "of": [plan, {"kind": "not", "of": [email]}]}}
    for where, body in (("preview", {"rule": own}), ("explain", {"rule": own, "person": "u1"})):
        refused = shop.ask("POST", f"{PATH}/{where}", key=viewer, json=body)
        assert refused.status_code == 403
        assert refused.json()["error"]["message"].startswith("Condition 2.1 asks about personal data, which your role")
        assert shop.ask("POST", f"{PATH}/{where}", json=body).status_code == 200


def test_another_workspace_sees_nothing(shop):
    made = shop.make()
    shop.cycle()
    told = shop.ask("POST", "/api/v1/webhook-subscriptions", json={"url": "https://example.com/x"}).json()
    ws = shop.database.workspace("other")
    stranger = shop.key(Role.MEMBER, ws=ws, source=shop.database.source(ws, "segment"))
    following.follow(process.lake(), shop.database.worker, settings().timeline_folder, ws, NOW)
    path = f"{PATH}/{made['id']}"
    for method, where, body in (
        ("GET", path, None),
        ("PATCH", path, {"name": "Mine"}),
        ("DELETE", path, None),
        ("GET", f"{path}/members", None),
        ("GET", f"{path}/members/u1", None),
        ("GET", f"{path}/history", None),
        ("GET", f"/api/v1/transitions?segment={made['id']}", None),
        ("POST", f"{PATH}/explain", {"rule": BUYERS, "person": "u1"}),
        ("POST", f"{PATH}/explain", {"segment": made["id"], "person": "u1"}),
        ("DELETE", f"/api/v1/webhook-subscriptions/{told['id']}", None),
    ):
        assert shop.ask(method, where, key=stranger, json=body).status_code == 404, where
    assert shop.ask("GET", PATH, key=stranger).json() == {"segments": [], "next": None}
    assert shop.ask("GET", "/api/v1/transitions", key=stranger).json() == {"transitions": [], "next": 0}
    assert shop.ask("GET", "/api/v1/webhook-subscriptions", key=stranger).json() == {"subscriptions": []}
    counted = shop.ask("POST", f"{PATH}/preview", key=stranger, json={"rule": BUYERS}).json()
    assert (counted["people"], counted["of"], counted["sample"]) == (0, 0, [])
    assert shop.ask("POST", f"{PATH}/preview", key=stranger, json={"rule": made_of(made["id"])}).status_code == 400
    assert shop.ask("GET", path).json()["name"] == "Buyers"


def test_every_route_has_an_example_that_it_would_take(shop):
    schema = answered(shop.app, "GET", "/openapi.json").json()
    described = schema["components"]["schemas"]
    assert not {"HTTPValidationError", "ValidationError"} & described.keys()
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            assert operation.keys() >= {"summary", "description"}, (method, path)
            assert {"401", "403", "429", "503"} <= operation["responses"].keys(), (method, path)
            takes = "requestBody" in operation or "parameters" in operation
            assert ("400" in operation["responses"]) == takes, (method, path)
            assert "422" not in operation["responses"], (method, path)
            shapes = [*operation.get("requestBody", {}).get("content", {}).values()]
            shapes += [one for code, one in _answers(operation) if code in ("200", "201")]
            for shape in shapes:
                assert _has_example(described, shape["schema"]), (method, path)
    asked = described["NewSegment"]["examples"][0]
    assert shop.ask("POST", PATH, json=asked).status_code == 201
    assert shop.ask("POST", f"{PATH}/preview", json=described["RuleOnly"]["examples"][0]).status_code == 200


def _answers(operation):
    return [(code, one) for code, told in operation["responses"].items() for one in told.get("content", {}).values()]


def _has_example(described, schema):
    """Of the model itself or of what its list holds."""
    name = schema["$ref"].rpartition("/")[2]
    model = described[name]
    if "examples" in model:
        return True
    held = [one["items"]["$ref"] for one in model["properties"].values() if "$ref" in one.get("items", {})]
    return any("examples" in described[one.rpartition("/")[2]] for one in held)


def test_who_waits_long_for_a_turn_is_told_to_come_back(shop, monkeypatch):
    monkeypatch.setattr(asking, "_PATIENCE", 0.01)
    with asking.turn(shop.ws):
        busy = shop.ask("POST", f"{PATH}/preview", json={"rule": BUYERS})
    assert (busy.status_code, busy.headers["retry-after"]) == (429, "2")
    assert shop.ask("POST", f"{PATH}/preview", json={"rule": BUYERS}).status_code == 200


def test_through_the_door(shop):
    made = shop.make()
    browser, revoked = shop.key(None, kind="browser"), shop.key(Role.MEMBER)
    with shop.database.web.transaction(shop.ws) as session:
        keys.revoke(session, Principal.system(shop.ws), _id(revoked), now=NOW)
    with serving(shop.database.dsn) as live:

        def ask(method, path, secret=shop.member["secret"], **more) -> httpx.Response:
            headers = {"authorization": f"Bearer {secret}"} if secret else {}
            return live.client.request(method, path, headers=headers, **more)

        assert ask("GET", PATH, secret="").status_code == 401
        assert ask("GET", PATH, secret=revoked["secret"]).status_code == 401
        refused = ask("GET", PATH, secret=browser["secret"])
        assert (refused.status_code, "server key" in refused.json()["error"]["message"]) == (403, True)
        assert live.door.metrics.exposition().count(b'route="api"') >= 1

        told = ask("GET", PATH)
        assert (told.status_code, told.json()) == (200, {"segments": [made], "next": None})
        assert "access-control-allow-origin" not in told.headers
        assert live.client.get(PATH, auth=(shop.member["secret"], "")).json() == told.json()
        wrong = ask("GET", f"{PATH}/{NOBODY}").json()
        assert (wrong["error"]["code"], len(wrong["request_id"])) == ("not_found", 36)
        found = ask("GET", f"{PATH}/{made['id']}/members/u1%40acme.example").json()
        assert found["member"] is False  # no evaluation yet
        assert ask("GET", "/api/v1/transitions?after=7").json() == {"transitions": [], "next": 7}
        assert ask("POST", f"{PATH}/preview", json={"rule": BUYERS}).json()["people"] == 3
        assert ask("DELETE", f"{PATH}/{made['id']}").status_code == 204
        large = ask("POST", f"{PATH}/preview", content=b" " * (way.BODY_BYTES + 1))
        assert large.status_code == 413
        forged = {asking.WORKSPACE: NOBODY, asking.KEY: NOBODY, "authorization": f"Bearer {shop.member['secret']}"}
        assert live.client.get(PATH, headers=forged).json() == {"segments": [], "next": None}
        described = live.client.get("/openapi.json").json()
        assert {f"{PATH}/preview", "/v1/track"} <= described["paths"].keys()
        assert described["paths"][PATH]["get"]["security"] == [{"serverKey": []}]
        assert PATH in live.client.get("/docs").text


def _id(key):
    return UUID(key[asking.KEY])


def test_the_longest_page_is_bounded(shop):
    made = shop.make()
    over = shop.ask("GET", f"{PATH}/{made['id']}/members", params={"limit": segments.MOST_MEMBERS + 1})
    assert over.status_code == 400


def test_what_answers_may_die(shop, monkeypatch):
    monkeypatch.setattr(way, "_PAUSE", 0.0)

    async def ask(api):
        return await api.ask("GET", "/livez", {}, b"")

    async def story():
        api = way.Api(shop.database.dsn)
        try:
            first = await ask(api)
            process = api._process
            process.kill()
            process.wait()
            folder = api._folder
            second = await ask(api)
            return first.status_code, second.status_code, folder.exists(), api._process, api._folder
        finally:
            await api.close()

    first, second, is_left, process, folder = asyncio.run(story())
    assert (first, second, is_left, folder.exists()) == (200, 200, False, False)
    assert process.poll() is not None


def test_what_does_not_start_is_said(shop):
    async def story():
        api = way.Api(shop.database.dsn, (sys.executable, "-c", "raise SystemExit(3)"))
        with pytest.raises(Unavailable, match="does not start"):
            await api.ask("GET", "/livez", {}, b"")
        with pytest.raises(Unavailable, match="try again"):
            await api.ask("GET", "/livez", {}, b"")
        return api._folder

    assert asyncio.run(story()) is None


def test_it_ends_with_its_door(shop):
    """Even of a door that could not say goodbye: the end of standard input tells it."""

    async def story():
        api = way.Api(shop.database.dsn)
        await api.ask("GET", "/livez", {}, b"")
        process, folder = api._process, api._folder
        process.stdin.close()
        code = await asyncio.to_thread(process.wait, 60)
        is_left = folder.exists()
        await api.close()
        return code, is_left

    assert asyncio.run(story()) == (0, False)
