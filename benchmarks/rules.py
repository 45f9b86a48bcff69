"""Fifty segments of mixed conditions about the crowd, each as a rule and as SQL that finds the same people.

They are made by a fixed recipe: every kind of condition that SQL can say, with other events, times and numbers. A preview
is of a rule of ten conditions, and of the same with one of them changed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, cycle, islice
from typing import Any
from zoneinfo import ZoneInfo

from benchmarks.crowd import NAMES, PLANS, START, YEAR
from benchmarks.questions import DAY, Answer
from gdp_core.segments import rules
from gdp_core.segments.facts import Facts, Surroundings
from gdp_core.segments.rules import Rule
from gdp_core.timeline.arrays import Timeline

AT = START + YEAR
SEGMENTS = "50 segments"
PREVIEW = "preview of ten conditions"
EDITED = "preview after one of ten conditions was edited"
_WORLD = Surroundings(ZoneInfo("UTC"))


@dataclass(frozen=True, slots=True)
class Asked:
    """A condition as rules have it, and as a query of the people for whom it holds; `{div}` divides integers."""

    node: dict[str, Any]
    people: str


@dataclass(frozen=True, slots=True)
class Named:
    """A segment: groups of conditions, (kind, conditions), all of which hold."""

    groups: tuple[tuple[str, tuple[Asked, ...]], ...]

    @property
    def rule(self) -> Rule:
        """As this product reads it."""
        of = [{"kind": kind, "of": [one.node for one in conditions]} for kind, conditions in self.groups]
        return rules.read({"version": 1, "match": {"kind": "all", "of": of}})

    def sql(self, div: str) -> str:
        """A query of how many people are in it."""
        joined = {"all": " AND ", "any": " OR ", "not": " OR "}
        parts = []
        for kind, conditions in self.groups:
            held = joined[kind].join(f"person IN ({one.people.format(div=div)})" for one in conditions)
            parts.append(f"NOT ({held})" if kind == "not" else f"({held})")
        return f"SELECT count(*) FROM people WHERE {' AND '.join(parts)}"


def did(name: str, times: int, days: int) -> Asked:
    """So often in so many days."""
    when = {"last": f"{days}d"}
    query = (
        f"SELECT person FROM ev WHERE event = '{name}' AND ts >= {AT - days * DAY} AND ts < {AT}"
        f" GROUP BY person HAVING count(*) >= {times}"
    )
    return Asked({"kind": "performed", "event": {"names": [name]}, "times": times, "when": when}, query)


def ever(name: str, times: int) -> Asked:
    """So often in all of history."""
    query = f"SELECT person FROM ev WHERE event = '{name}' AND ts < {AT} GROUP BY person HAVING count(*) >= {times}"
    return Asked({"kind": "performed", "event": {"names": [name]}, "times": times}, query)


def waits(name: str, other: str, hours: int) -> Asked:
    """Did one thing so long ago, and not the other since."""
    node = {"kind": "not_since", "event": {"names": [name]}, "other": {"names": [other]}, "ago": f"{hours}h"}
    last = f"max(CASE WHEN event = '{name}' AND ts <= {AT - hours * DAY // 24} THEN ts END)"
    query = (
        f"SELECT person FROM ev WHERE event IN ('{name}', '{other}') AND ts < {AT} GROUP BY person HAVING"
        f" coalesce({last}, 0) > coalesce(max(CASE WHEN event = '{other}' THEN ts END), 0)"
    )
    return Asked(node, query)


def stopped(name: str, days: int) -> Asked:
    """Did it in so many days, and not in as many since."""
    node = {"kind": "stopped", "event": {"names": [name]}, "active": f"{days}d", "quiet": f"{days}d"}
    query = (
        f"SELECT person FROM ev WHERE event = '{name}' AND ts >= {AT - 2 * days * DAY} AND ts < {AT} GROUP BY person"
        f" HAVING max(ts) < {AT - days * DAY}"
    )
    return Asked(node, query)


def regularly(name: str, weeks: int, of: int) -> Asked:
    """In so many of the last weeks."""
    node = {"kind": "regularly", "event": {"names": [name]}, "period": "1w", "of": of, "at_least": weeks}
    query = (
        f"SELECT person FROM ev WHERE event = '{name}' AND ts >= {AT - of * 7 * DAY} AND ts < {AT} GROUP BY person"
        f" HAVING count(DISTINCT ({AT} - 1 - ts) {{div}} {7 * DAY}) >= {weeks}"
    )
    return Asked(node, query)


def from_source(name: str, source: str, days: int) -> Asked:
    """An event of a source, in so many days."""
    where = [{"field": "utm_source", "comparison": "is", "values": [source]}]
    node = {"kind": "performed", "event": {"names": [name], "where": where}, "when": {"last": f"{days}d"}}
    query = f"SELECT person FROM ev WHERE event = '{name}' AND source = '{source}' AND ts >= {AT - days * DAY} AND ts < {AT}"
    return Asked(node, query)


def on_plan(plan: str) -> Asked:
    """A field of the person."""
    node = {"kind": "person", "field": "plan", "op": "is", "values": [plan]}
    return Asked(node, f"SELECT person FROM people WHERE plan = '{plan}'")


def _pairs() -> Iterator[tuple[str, str]]:
    return ((name, other) for step in (1, 5, 7) for name, other in zip(NAMES, NAMES[step:] + NAMES[:step], strict=True))


def segments() -> tuple[Named, ...]:
    """Fifty, of three to six conditions each."""
    pairs, days, sources = cycle(_pairs()), cycle((7, 14, 30, 60, 90)), cycle(("google", "meta", "partner"))
    found = []
    for number, (name, other) in enumerate(islice(pairs, 50)):
        window = next(days)
        first = (did(name, 1 + number % 4, window), on_plan(PLANS[number % 3]))
        choices = (
            (("any", (ever(other, 3), stopped(other, window))), ("not", (did("purchase", 1, window),))),
            (("all", (waits(name, other, 24 + number),)), ("any", (regularly(other, 2, 4), ever("invite_sent", 1)))),
            (("not", (stopped(name, 30), from_source(other, next(sources), window))),),
            (("all", (regularly("page_view", 3, 4), from_source(name, next(sources), 90))), ("not", (ever(other, 9),))),
            (("any", (waits("checkout_started", "purchase", 4), did(other, 2, 30))), ("all", (ever("page_view", 2),))),
        )
        found.append(Named((("any" if number % 2 else "all", first), *choices[number % 5])))
    return tuple(found)


def ten(times: int = 2) -> Named:
    """Ten conditions; how often somebody searched is what is edited."""
    return Named(
        (
            ("all", (did("page_view", 3, 60), ever("session_started", 2), did("search", times, 90))),
            ("any", (waits("checkout_started", "purchase", 4), regularly("product_viewed", 2, 4), on_plan("pro"))),
            ("not", (stopped("page_view", 30), did("support_opened", 2, 30))),
            ("any", (from_source("product_viewed", "google", 90), did("email_clicked", 1, 60))),
        )
    )


def ours(timeline: Timeline) -> dict[str, Answer]:
    """How many people each of the segments has, and the two previews, by this product."""
    shards = tuple(replace(shard, name=f"crowd-{shard.rows}-{number}") for number, shard in enumerate(timeline.shards))
    whole = replace(timeline, shards=shards)
    asked, versions = [one.rule for one in segments()], [ten(times).rule for times in range(2, 40)]
    seen, turn = Facts(whole, AT, _WORLD), count()

    def counts(found: Facts, of: list[Rule]) -> list[int]:
        return [int(rule.holds(found).sum()) for rule in of]

    def edited() -> list[int]:
        """Another version each time, of facts that were asked for the others before; what counts is the first."""
        versions[next(turn) % len(versions)].holds(seen)
        return counts(seen, versions[:1])

    return {
        SEGMENTS: lambda: counts(Facts(whole, AT, _WORLD), asked),
        PREVIEW: lambda: counts(Facts(whole, AT, _WORLD), versions[:1]),
        EDITED: edited,
    }


def theirs(ask: Any, div: str) -> dict[str, Answer]:
    """The same by an engine's SQL; nothing of an earlier answer helps it with an edited rule."""
    asked, one = [segment.sql(div) for segment in segments()], ten().sql(div)

    def preview() -> list[int]:
        return [int(ask(one)[0][0])]

    return {SEGMENTS: lambda: [int(ask(query)[0][0]) for query in asked], PREVIEW: preview, EDITED: preview}
