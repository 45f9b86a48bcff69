"""Workspaces and rules to ask of them, as chance makes them: what happens lies on, just before and just after every edge.

Everything is drawn from a `random.Random`, which may be hypothesis' own: then a failure is made as small as can be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import count
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from gdp_core.analytics.logistic import Calibration, Evaluation, Logistic
from gdp_core.analytics.warning import Model
from gdp_core.analytics.window import Window
from gdp_core.features.base import ANYTHING, Feature, Held, Role, Scored, Tally
from gdp_core.segments.facts import Stops, Surroundings
from gdp_core.segments.rules import Rule, read
from gdp_core.timeline.arrays import BILLING, MACHINE, NOTHING, WEAK, EventColumn, PersonColumn, Timeline
from gdp_core.timeline.matching import Match

from .lives import EPOCH, TURNS, first_instant
from .rule_oracle import Setting, long
from .timelines import Happened, Somebody, timeline_of

LENGTHS = ("1s", "15min", "4h", "23h", "24h", "1d", "25h", "2d", "3d", "7d", "1w", "2w", "30d", "1mo")
NAMES = ("visit", "visit", "buy", "open", "email_opened", "email_clicked", "reply_received", "email_unsubscribed")
NAMES += ("consent_changed", "consent_changed", "deal_stage_changed", "deal_stage_changed")
PLANS = ("free", "Pro", "pro", 10, "10", 10.0, True, "true", 1, "1", 2.5, "", '["vip", 10]', "Straße", "a b")
SIZES = (1, 2.5, "3", " 4 ", "large", True, False, -4, 0, 10**6)
KEYS = (10, "10", True, 1, "a", "A")
STATES = ("opted_in", "Granted", True, "opted_out", "denied", False, "maybe", 1)
MONEY = (0, 5_000_000, -5_000_000, 19_000_000, 2**40)
NUMBERED = ("is", "is_not", "gt", "gte", "lt", "lte", "between")


@dataclass(frozen=True)
class World:
    """A workspace at `now`, microseconds."""

    people: Sequence[Somebody]
    now: int
    here: Setting
    timeline: Timeline

    @property
    def surroundings(self) -> Surroundings:
        """As the code under test wants it."""
        here = self.here
        stops = [(number, *stop) for number, mine in sorted(here.stops.items()) for stop in mine]
        return Surroundings(
            zone=here.zone,
            features=here.features,
            roles=here.roles,
            model=here.model,
            rules=here.rules,
            lists={key: np.array(numbers, np.int64) for key, numbers in here.lists.items()},
            stops=Stops(
                np.array([stop[0] for stop in stops], np.int64),
                tuple(stop[1] for stop in stops),
                np.array([stop[2] for stop in stops], np.int64),
                np.array([NOTHING if stop[3] is None else stop[3] for stop in stops], np.int64),
            ),
        )

    @property
    def numbered(self) -> list[tuple[int, Somebody]]:
        return list(zip(self.timeline.numbers.tolist(), self.people, strict=True))


# --------------------------------------------------------------------------------------------------------- worlds

_WORLDS = count()


def world(r: Random, most_people: int = 8) -> World:
    name = r.choice(sorted(TURNS))
    zone = ZoneInfo(name)
    day = r.choice(TURNS[name]) + timedelta(days=r.choice([0, 0, 0, 1, 1, -1, 2, 30, 365]))
    now = first_instant(day, zone) + r.choice([0, 0, 1, -1, 3_600_000_000, 7 * 3_600_000_000, r.randrange(long("1d"))])
    moments = [moment(r, now, day, zone) for _ in range(r.randint(3, 14))]
    people = [somebody(r, moments) for _ in range(r.randint(1, most_people))]
    numbers = range(10, 10 + len(people))
    here = Setting(
        zone=zone,
        features=FEATURES,
        roles={"core": Match(("visit", "buy")), "signup": Match(("open",))},
        model=MODEL if r.random() < 0.9 else None,
        lists={"vips": [number for number in numbers if r.random() < 0.4], "old": [3, 11, 4000]},
        stops={number: [stop(r, moments) for _ in range(r.randint(1, 2))] for number in numbers if r.random() < 0.3},
    )
    first = rule(r, here, day, 3)
    here = replace(here, rules={"first": first})
    here = replace(here, rules={"first": first, "second": rule(r, here, day, 2)})
    return World(people, now, here, timeline(r, people))


def timeline(r: Random, people: Sequence[Somebody]) -> Timeline:
    """In one shard or several; sometimes with an older history of everybody that a later shard replaces."""
    if r.random() < 0.3:
        older = [replace(who, events=who.events[::2]) for who in people]
        both = timeline_of([one for pair in zip(older, people, strict=True) for one in pair], shards=2)
        everybody = np.arange(len(people), dtype=np.int32)
        old, new = (replace(shard, people=everybody) for shard in both.shards)
        shards = (replace(old, live=np.zeros(len(people), np.bool_)), new)
        made = replace(both, numbers=both.numbers[: len(people)], shards=shards, columns=_Newer(both))
    else:
        made = timeline_of(people, shards=r.randint(1, 3))
    if r.random() < 0.5:
        return made
    name = f"world {next(_WORLDS)}"  # what has a name is kept
    return replace(made, shards=tuple(replace(shard, name=f"{name}/{k}") for k, shard in enumerate(made.shards)))


@dataclass(frozen=True, eq=False)
class _Newer:
    both: Timeline

    def event(self, field: str) -> EventColumn:
        return self.both.columns.event(field)

    def person(self, field: str) -> PersonColumn:
        whole = self.both.columns.person(field)
        return PersonColumn(whole.codes[1::2], whole.values)

    def whole(self, _: str) -> None:
        """Everything is coded."""


def moment(r: Random, now: int, day: date, zone: ZoneInfo) -> int:
    """An instant on an edge of something, or just beside one; now and then after now."""
    nudge = r.choice([0, 0, 0, 1, -1])
    kind = r.random()
    if kind < 0.7:
        ago = sum(long(r.choice(LENGTHS)) * r.choice([1, 1, 2, 3]) for _ in range(r.choice([0, 1, 1, 1, 2])))
        return now - (ago if r.random() < 0.9 else -ago) + nudge
    if kind < 0.85:
        return first_instant(day + timedelta(days=r.choice([-31, -7, -2, -1, 0, 0, 1, 7])), zone) + nudge
    return now - r.randrange(long("30d") * 2)


def somebody(r: Random, moments: Sequence[int]) -> Somebody:
    events = [
        Happened(r.choice(moments), r.choice(NAMES), properties(r), int(flags(r))) for _ in range(r.randint(0, 12))
    ]
    return Somebody(events, traits(r, moments), live=r.random() < 0.9)


def flags(r: Random) -> int:
    return r.choice([0] * 8 + [MACHINE, BILLING, WEAK, MACHINE | WEAK])


def properties(r: Random) -> dict[str, Any]:
    told = {
        "plan": PLANS,
        "size": SIZES,
        "order": KEYS,
        "deal_id": KEYS,
        "stage": ("Won", "won", "lost", 10),
        "channel": ("email", "EMAIL", "sms"),
        "topic": ("news", "offers"),
        "state": STATES,
        "utm_campaign": ("spring", "Spring", 10),
        "value_micros": MONEY,
    }
    return {name: r.choice(values) for name, values in told.items() if r.random() < 0.7}


def traits(r: Random, moments: Sequence[int]) -> dict[str, Any]:
    told = {
        "plan": lambda: r.choice(PLANS),
        "source": lambda: r.choice(["ads", "Ads", "organic"]),
        "signup_at": lambda: instant(r, moments),
        "birthday": lambda: r.choice(
            [
                instant(r, moments),
                "2020-02-29",
                "2019-12-31T23:30:00+00:00",
                "1990-10-26T22:00:00Z",
                "2023-03-30T23:00:00",
            ]
        ),
        "mrr_micros": lambda: r.choice(MONEY),
        "lifetime_value_micros": lambda: r.choice(MONEY),
        "last_seen_at": lambda: instant(r, moments),
        "active_days": lambda: r.choice([0, 1, 2, 3, 30]),
        "subscription_status": lambda: r.choice(["active", "Active", "past_due", "canceled"]),
        "plan_name": lambda: r.choice(["Team", "solo"]),
        "subscription_started_at": lambda: instant(r, moments),
        "subscription_ends_at": lambda: instant(r, moments),
    }
    return {name: make() for name, make in told.items() if r.random() < 0.75}


def instant(r: Random, moments: Sequence[int]) -> Any:
    at = r.choice(moments)
    return r.choice([at, (EPOCH + timedelta(microseconds=at)).isoformat(), "never", True])


def stop(r: Random, moments: Sequence[int]) -> tuple[str, int, int | None]:
    return r.choice(["bounce", "complaint", "manual"]), r.choice(moments), r.choice([None, r.choice(moments)])


def _feature(slug: str, made: Any, held: Held | None = None) -> Feature:
    return Feature(slug, slug.replace("_", " "), "", "", made, held)


_VISIT, _BUY = Match(("visit",)), Match(("buy",))
FEATURES: Mapping[str, Feature] = {
    feature.slug: feature
    for feature in (
        _feature("visits", Tally(_VISIT, "count")),
        _feature("visits_7d", Tally(_VISIT, "count", Window(7, "d"))),
        _feature("core_30d", Tally(Role("core"), "count", Window(30, "d"))),
        _feature("unplayed", Tally(Role("unplayed"), "count")),
        _feature("paid", Tally(_BUY, "sum", None, "value_micros")),
        _feature("sizes", Tally(ANYTHING, "sum", Window(2, "w"), "size")),
        _feature("plans", Tally(ANYTHING, "distinct", None, "plan")),
        _feature("active_days", Tally(ANYTHING, "days", Window(1, "mo"))),
        _feature("since_buy", Tally(_BUY, "since")),
        _feature("since_visit_7d", Tally(_VISIT, "since", Window(7, "d"))),
        _feature("first_seen", Tally(ANYTHING, "first")),
        _feature("last_plan", Tally(_VISIT, "last", None, "plan")),
        _feature("first_plan_30d", Tally(ANYTHING, "first", Window(30, "d"), "plan")),
        _feature("since_signup", Held("signup_at", "since")),
        _feature("lifetime_value", Held("lifetime_value_micros", "money")),
        _feature("since_seen", Tally(ANYTHING, "since"), Held("last_seen_at", "since")),
        _feature("ever_active", Tally(ANYTHING, "days"), Held("active_days", "number")),
        _feature("churn_risk", Scored()),
    )
}
MODEL = Model(
    core=_VISIT,
    quiet=Window(5, "d"),
    baseline=Window(10, "d"),
    features=(FEATURES["visits_7d"], FEATURES["since_buy"]),
    logistic=Logistic(-0.3, (0.8, -0.5), (0.5, 2.0), (1.0, 1.5)),
    calibration=Calibration(1.2, 0.1),
    dates=(),
    learned_from=1000,
    fell_silent=300,
    judged=Evaluation(500, 150, 0.8, 0.75, 0.85, 0.1, 0.2, 0.01, ()),
)


# ---------------------------------------------------------------------------------------------------------- rules


def rule(r: Random, here: Setting, day: date, most: int = 6) -> Rule:
    """Up to so many conditions in groups, one in another."""
    return read({"version": 1, "match": group(r, here, day, r.randint(1, most), 1)})


def group(r: Random, here: Setting, day: date, conditions: int, depth: int) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    while conditions:
        if depth < 8 and r.random() < 0.35:
            inner = r.randint(1, conditions)
            parts.append(group(r, here, day, inner, depth + 1))
            conditions -= inner
        else:
            parts.append(Conditions(r, here, day).any())
            conditions -= 1
    return {"kind": r.choice(["all", "any", "any", "not"]), "of": parts}


@dataclass(frozen=True)
class Conditions:
    """One condition of each kind, as JSON."""

    r: Random
    here: Setting
    day: date

    KINDS = (
        *("performed", "person", "feature", "not_since", "sequence", "stopped", "resumed", "regularly", "amount"),
        *("subscription", "email", "consent", "suppression", "deal", "segment", "list", "cohort", "churn", "random"),
    )

    def any(self) -> dict[str, Any]:
        return self.of(self.r.choice(self.KINDS))

    def of(self, kind: str) -> dict[str, Any]:
        found = getattr(self, f"_{kind}")()
        return {"kind": kind, **{name: value for name, value in found.items() if value is not None}}

    # -- parts

    def maybe(self, value: Any) -> Any:
        return value if self.r.random() < 0.5 else None

    def length(self) -> str:
        return self.r.choice(LENGTHS)

    def local_day(self) -> str:
        return (self.day + timedelta(days=self.r.choice([-31, -7, -2, -1, -1, 0, 0, 1, 7]))).isoformat()

    def some(self, values: Sequence[Any], most: int = 2) -> list[Any]:
        return [self.r.choice(values) for _ in range(self.r.randint(1, most))]

    def event(self) -> dict[str, Any]:
        r = self.r
        names = r.choice([["visit"], ["buy"], ["visit", "buy"], ["open", "visit"], ["nowhere"], [], ["email_opened"]])
        where = [self.where() for _ in range(r.choice([0, 0, 0, 1, 1, 2]))]
        return {"names": names, "where": where, "machines": r.random() < 0.2}

    def where(self) -> dict[str, Any]:
        field, pool = self.r.choice([("plan", PLANS), ("plan", PLANS), ("size", SIZES), ("order", KEYS)])
        return {"field": field, **self.comparison("comparison", pool)}

    def comparison(self, word: str, pool: Sequence[Any]) -> dict[str, Any]:
        op = self.r.choice(
            [
                "is",
                "is",
                "is_not",
                "contains",
                "not_contains",
                "starts_with",
                "ends_with",
                "matches",
                "includes",
                "not_includes",
                "gt",
                "gte",
                "lt",
                "lte",
                "set",
                "not_set",
            ]
        )
        if op in ("gt", "gte", "lt", "lte"):
            return {word: op, "values": [self.r.choice([0, 1, 2.5, 10, "10", -4])]}
        if op == "matches":
            return {word: op, "values": [self.r.choice(["^pr", "o$", "[0-9]+", "e{2}", "TRU."])]}
        return {word: op, "values": [] if op in ("set", "not_set") else self.some(pool, 3)}

    def when(self) -> dict[str, Any]:
        r = self.r
        if r.random() < 0.35:
            return {}
        last, ago = sorted([self.length(), self.length()], key=long, reverse=True)
        both = r.random() < 0.3 and long(last) > long(ago)
        since, until = sorted([self.local_day(), self.local_day()])
        after = r.random() < 0.2
        found = {
            "last": last if both else self.maybe(last),
            "ago": ago if both else None,
            "since": since if r.random() < 0.25 else None,
            "until": until if r.random() < 0.25 else None,
            "after": "signup_at" if after else None,
            "during": self.maybe(self.length()) if after else None,
        }
        if not found["last"] and r.random() < 0.3:
            found["ago"] = ago
        return {name: value for name, value in found.items() if value}

    def compared(self, pool: Sequence[float] = (0, 1, 2, 3, 2.5, 10)) -> dict[str, Any]:
        op = self.r.choice(NUMBERED)
        values = sorted([self.r.choice(pool), self.r.choice(pool)])
        return {"op": op, "values": values if op == "between" else values[:1]}

    # -- kinds

    def _performed(self) -> dict[str, Any]:
        how = self.r.choice(["at_least", "at_least", "exactly", "at_most", "first"])
        return {"event": self.event(), "how": how, "times": self.r.choice([0, 1, 1, 2, 3]), "when": self.when()}

    def _person(self) -> dict[str, Any]:
        r, kind = self.r, self.r.random()
        dated = r.choice(["signup_at", "person.signup_at", "birthday", "birthday", "subscription_ends_at"])
        if kind < 0.4:
            return {"field": r.choice(["plan", "person.plan", "source"]), **self.comparison("op", PLANS)}
        if kind < 0.5:
            field = r.choice(["mrr_micros", "plan"])
            return {"field": field, "op": "between", "values": r.choice([[0, 5_000_000], ["1", 10], [2.5, 2.5]])}
        if kind < 0.65:
            return {"field": dated, "op": r.choice(["before", "on_or_after"]), "day": self.local_day()}
        if kind < 0.75:
            return {"field": dated, "op": "anniversary"}
        op = r.choice(["within_last", "longer_ago", "within_next", "further_ahead"])
        return {"field": dated, "op": op, "length": self.length()}

    def _feature(self) -> dict[str, Any]:
        r = self.r
        slug = r.choice(sorted(FEATURES))
        if r.random() < (0.8 if "plan" in slug else 0.03):
            return {
                "feature": slug,
                "op": r.choice(["is", "is_not"]),
                "texts": self.some(["10", "PRO", "true", "free"]),
            }
        if r.random() < 0.3:
            op = r.choice([one for one in NUMBERED if one != "between"])
            return {"feature": slug, "op": op, "other": r.choice(sorted(FEATURES)), "factor": r.choice([1, 2, 0.5])}
        pool = (0.4005, 0.5005, 0.6005) if slug == "churn_risk" else (0, 1, 2, 3, 7, 30, 2.5, 5_000_000)
        return {"feature": slug, **self.compared(pool)}

    def _not_since(self) -> dict[str, Any]:
        ago, within = sorted([self.length(), self.length()], key=long)
        return self.two("event", "other") | {"ago": ago, "within": self.maybe(within)}

    def two(self, first: str, second: str) -> dict[str, Any]:
        return {first: self.event(), second: self.event(), "same": self.maybe("order")}

    def _sequence(self) -> dict[str, Any]:
        return self.two("event", "then") | {
            "followed": self.r.random() < 0.5,
            "within": self.length(),
            "when": self.when(),
        }

    def _stopped(self) -> dict[str, Any]:
        times = self.r.choice([1, 1, 2])
        return {"event": self.event(), "active": self.length(), "quiet": self.length(), "times": times}

    def _resumed(self) -> dict[str, Any]:
        return {"event": self.event(), "recent": self.length(), "quiet": self.length()}

    def _regularly(self) -> dict[str, Any]:
        of = self.r.choice([1, 2, 3, 4, 7])
        return {"event": self.event(), "period": self.length(), "of": of, "at_least": self.r.randint(1, of)}

    def _amount(self) -> dict[str, Any]:
        by = self.r.choice(["sum", "average", "min", "max", "distinct"])
        field = self.r.choice(["size", "plan", "value_micros"])
        pool = (0, 5_000_000, 19_000_000) if field == "value_micros" and by != "distinct" else (0, 1, 2, 2.5, 3, 10)
        return {"event": self.event(), "field": field, "by": by, "compared": self.compared(pool), "when": self.when()}

    def _subscription(self) -> dict[str, Any]:
        started = self.maybe(self.r.choice(["within_last", "longer_ago"]))
        found = {
            "statuses": self.maybe(self.some(["active", "past_due"])),
            "plans": self.maybe(self.some(["team", "Solo"])),
            "mrr": self.maybe(self.compared((0, 5_000_000, 19_000_000))),
            "started": started,
            "length": self.length() if started else None,
            "ending": self.maybe(self.r.random() < 0.5),
        }
        return found if any(value is not None for value in found.values()) else {"ending": True}

    def _email(self) -> dict[str, Any]:
        return {
            "did": self.some(["opened", "clicked", "replied", "unsubscribed"], 3),
            "how": self.r.choice(["at_least", "exactly", "at_most"]),
            "times": self.r.choice([0, 1, 1, 2]),
            "when": self.when(),
            "campaigns": self.maybe(self.some(["spring", "10"])),
            "machines": self.r.random() < 0.2,
        }

    def _consent(self) -> dict[str, Any]:
        channel, state = self.r.choice(["email", "sms"]), self.r.choice(["opted_in", "opted_out", "unknown"])
        return {"channel": channel, "topic": self.maybe("news"), "state": state}

    def _suppression(self) -> dict[str, Any]:
        reasons = self.maybe(self.some(["bounce", "complaint", "manual"]))
        return {"suppressed": self.r.random() < 0.5, "reasons": reasons}

    def _deal(self) -> dict[str, Any]:
        least, most = sorted([self.length(), self.length()], key=long)
        return {"stages": self.some(["won", "lost", "10"]), "least": self.maybe(least), "most": self.maybe(most)}

    def _segment(self) -> dict[str, Any]:
        if not self.here.rules:
            return {"kind": "random"}
        return {"segment": self.r.choice(sorted(self.here.rules)), "member": self.r.random() < 0.5}

    def _list(self) -> dict[str, Any]:
        return {"people": self.r.choice(["vips", "old"]), "member": self.r.random() < 0.5}

    def _cohort(self) -> dict[str, Any]:
        since, until = sorted([self.local_day(), self.local_day()])
        found = {"since": self.maybe(since), "until": self.maybe(until), "sources": self.maybe(["ads"])}
        return found if any(found.values()) else {"since": since}

    def _churn(self) -> dict[str, Any]:
        return {"compared": self.compared((0.2005, 0.4005, 0.5005, 0.6005, 0.8005))}

    def _random(self) -> dict[str, Any]:
        low, high = sorted(self.r.sample([0, 10, 33.3, 50, 75, 100], 2))
        return {"low": low, "high": high, "seed": self.r.choice(["1", "x"])}
