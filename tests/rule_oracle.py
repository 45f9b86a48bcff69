"""What a rule means, read one person at a time: plain Python over a list of events, written from what conditions promise.

It shares nothing with the evaluation it checks but the models a rule is read into.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from typing import Any
from zoneinfo import ZoneInfo

from gdp_core.analytics.warning import Model
from gdp_core.features.base import Feature, Held, Role, Scored, Tally
from gdp_core.segments.conditions.base import Event, When
from gdp_core.segments.rules import Group, Rule
from gdp_core.timeline.arrays import BILLING, MACHINE, WEAK
from gdp_core.timeline.matching import Match

from .lives import EPOCH, first_instant
from .timelines import Happened, Somebody

DAY = 86_400_000_000
_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "mo": 30 * 86_400}


@dataclass(frozen=True)
class Setting:
    """What a workspace says besides its people's histories. `stops`: (reason, since, lifted or None) by number."""

    zone: ZoneInfo
    features: Mapping[str, Feature] = field(default_factory=dict)
    roles: Mapping[str, Match] = field(default_factory=dict)
    model: Model | None = None
    rules: Mapping[str, Rule] = field(default_factory=dict)
    lists: Mapping[str, Sequence[int]] = field(default_factory=dict)
    stops: Mapping[int, Sequence[tuple[str, int, int | None]]] = field(default_factory=dict)


def belongs(rule: Rule, who: Somebody, number: int, at: int, here: Setting) -> bool:
    """Whether a person is meant by a rule at an instant."""
    return who.live and Asked(who, number, at, here).holds(rule.match)


def long(text: str) -> int:
    """A length in microseconds."""
    amount, unit = re.fullmatch(r"(\d+)([a-z]+)", text).groups()
    return int(amount) * _UNITS[unit] * 1_000_000


# ---------------------------------------------------------------------------------------------------------- values


def reads_as(value: Any) -> str:
    """A value as text: of 10, 10.0 and "10" the same."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value == int(value):
        return str(int(value))
    return str(value)


def number_of(value: Any) -> float | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return float(value) if re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", value) else None
    return float(value)


def compare(value: Any, op: str, wanted: Sequence[Any]) -> bool:
    """A comparison of a field; None is a missing one."""
    opposite = {"is_not": "is", "not_contains": "contains", "not_includes": "includes", "not_set": "set"}.get(op)
    if opposite:
        return not compare(value, opposite, wanted)
    if op == "set":
        return value is not None
    if value is None:
        return False
    text, texts = reads_as(value).lower(), [reads_as(one).lower() for one in wanted]
    if op == "is":
        return text in texts
    if op == "contains":
        return any(one in text for one in texts)
    if op == "starts_with":
        return any(text[: len(one)] == one for one in texts)
    if op == "ends_with":
        return any(text[len(text) - len(one) :] == one for one in texts if len(one) <= len(text))
    if op == "matches":
        return re.search(reads_as(wanted[0]), text, re.IGNORECASE) is not None
    if op == "includes":
        elements = json.loads(value) if isinstance(value, str) and value[:1] == "[" else [value]
        return any(reads_as(one).lower() in texts for one in elements)
    mine, other = number_of(value), number_of(wanted[0])
    return mine is not None and ordered(mine, op, [other])


def ordered(mine: float, op: str, wanted: Sequence[float]) -> bool:
    """A comparison of numbers."""
    low, high = wanted[0], wanted[-1]
    return {
        "is": mine == low,
        "is_not": mine != low,
        "gt": mine > low,
        "gte": mine >= low,
        "lt": mine < low,
        "lte": mine <= low,
        "between": low <= mine <= high,
    }[op]


def instant_of(value: Any) -> int | None:
    """An instant a person has: ISO text, of UTC where it names no zone, or microseconds."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return int(value)
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return (found - EPOCH) // timedelta(microseconds=1)


# ----------------------------------------------------------------------------------------------------- one person


@dataclass(frozen=True)
class Asked:
    """A person at an instant."""

    who: Somebody
    number: int
    at: int
    here: Setting

    def holds(self, node: Any) -> bool:
        """Whether a group or condition holds."""
        if isinstance(node, Group):
            held = [self.holds(part) for part in node.of]
            return {"all": all(held), "any": any(held), "not": not any(held)}[node.kind]
        return getattr(self, f"_{node.kind}")(node)

    # -------------------------------------------------------------------------------------------------- events

    def history(self, asked: Event) -> list[tuple[int, Happened]]:
        """(place in the order of ties, event) of all these events before now."""
        found = []
        for place, event in enumerate(sorted(self.who.events, key=lambda one: one.at)):
            if event.at >= self.at or (event.flags & MACHINE and not asked.machines):
                continue
            if asked.names and event.name not in asked.names:
                continue
            if not asked.names and event.flags & (BILLING | WEAK):
                continue
            if all(compare(event.properties.get(one.field), one.comparison, one.values) for one in asked.where):
                found.append((place, event))
        return found

    def local_day(self, day: str, more: int = 0) -> int:
        return first_instant(date.fromisoformat(day) + timedelta(days=more), self.here.zone)

    def is_within(self, at: int, when: When) -> bool:
        """Whether an instant before now is of this time."""
        ago = self.at - at
        if when.last and not 0 < ago <= long(when.last):
            return False
        if when.ago and not ago > long(when.ago):
            return False
        if when.since and at < self.local_day(when.since):
            return False
        if when.until and at >= self.local_day(when.until, 1):
            return False
        if when.after:
            since = instant_of(self.who.traits.get(when.after))
            if since is None or at < since or (when.during and at - since >= long(when.during)):
                return False
        return True

    def done(self, asked: Event, when: When) -> list[Happened]:
        return [event for _, event in self.history(asked) if self.is_within(event.at, when)]

    def times_between(self, asked: Event, most_ago: float, least_ago: int) -> int:
        """How many in [now - most_ago, now - least_ago)."""
        return sum(least_ago < self.at - event.at <= most_ago for _, event in self.history(asked))

    def _performed(self, node: Any) -> bool:
        if node.how == "first":
            ever = self.history(node.event)
            return bool(ever) and self.is_within(ever[0][1].at, node.when)
        times = len(self.done(node.event, node.when))
        return {"at_least": times >= node.times, "exactly": times == node.times, "at_most": times <= node.times}[
            node.how
        ]

    def _email(self, node: Any) -> bool:
        names = {"reply_received" if did == "replied" else f"email_{did}" for did in node.did}
        times = sum(
            event.name in names
            and (node.machines or not event.flags & MACHINE)
            and (not node.campaigns or compare(event.properties.get("utm_campaign"), "is", node.campaigns))
            and self.is_within(event.at, node.when)
            for event in self.who.events
            if event.at < self.at
        )
        return {"at_least": times >= node.times, "exactly": times == node.times, "at_most": times <= node.times}[
            node.how
        ]

    def _amount(self, node: Any) -> bool:
        values = [event.properties.get(node.field) for event in self.done(node.event, node.when)]
        if node.by == "distinct":
            found = len({reads_as(value) for value in values if value is not None})
        else:
            numbers = [number for number in map(number_of, values) if number is not None]
            if not numbers and node.by != "sum":
                return False
            found = {
                "sum": sum,
                "average": lambda all_of: sum(all_of) / len(all_of),
                "min": min,
                "max": max,
            }[node.by](numbers)
        return ordered(found, node.compared.op, node.compared.values)

    def _not_since(self, node: Any) -> bool:
        answers = self.history(node.other)
        for place, event in self.history(node.event):
            ago = self.at - event.at
            if ago < long(node.ago) or (node.within and ago > long(node.within)):
                continue
            if node.same and event.properties.get(node.same) is None:
                continue
            if not any(later > place and self.is_same(event, answer, node.same) for later, answer in answers):
                return True
        return False

    def is_same(self, one: Happened, other: Happened, same: str | None) -> bool:
        if not same:
            return True
        values = one.properties.get(same), other.properties.get(same)
        return None not in values and reads_as(values[0]) == reads_as(values[1])

    def _sequence(self, node: Any) -> bool:
        followers = self.history(node.then)
        for place, event in self.history(node.event):
            if not self.is_within(event.at, node.when) or (node.same and event.properties.get(node.same) is None):
                continue
            met = any(
                later > place
                and follower.at - event.at <= long(node.within)
                and self.is_same(event, follower, node.same)
                for later, follower in followers
            )
            over = self.at - event.at > long(node.within)
            if met if node.followed else over and not met:
                return True
        return False

    def _stopped(self, node: Any) -> bool:
        active, quiet = long(node.active), long(node.quiet)
        before = self.times_between(node.event, active + quiet, quiet)
        return before >= node.times and self.times_between(node.event, quiet, 0) == 0

    def _resumed(self, node: Any) -> bool:
        recent, quiet = long(node.recent), long(node.quiet)
        return (
            self.times_between(node.event, recent, 0) > 0
            and self.times_between(node.event, recent + quiet, recent) == 0
            and self.times_between(node.event, math.inf, recent + quiet) > 0
        )

    def _regularly(self, node: Any) -> bool:
        each = long(node.period)
        had = sum(self.times_between(node.event, (past + 1) * each, past * each) > 0 for past in range(node.of))
        return had >= node.at_least

    def _consent(self, node: Any) -> bool:
        leaves = node.channel == "email" and not node.topic
        left = [event.at for _, event in self.history(Event(names=("email_unsubscribed",))) if leaves]
        state, said_at = "unknown", None
        for _, event in self.history(Event(names=("consent_changed",))):
            told = event.properties.get
            if compare(told("channel"), "is", [node.channel]) and (
                not node.topic or compare(told("topic"), "is", [node.topic])
            ):
                said_at, said = event.at, reads_as(told("state")).lower()
                yes = said in ("opted_in", "granted", "subscribed", "true")
                no = said in ("opted_out", "denied", "revoked", "unsubscribed", "false")
                state = "opted_in" if yes else "opted_out" if no else "unknown"
        if left and (said_at is None or left[-1] >= said_at):
            state = "opted_out"
        return state == node.state

    def _deal(self, node: Any) -> bool:
        stands: dict[str | None, Happened] = {}
        for _, event in self.history(Event(names=("deal_stage_changed",))):
            deal = event.properties.get("deal_id")
            stands[None if deal is None else reads_as(deal)] = event
        return any(
            compare(event.properties.get("stage"), "is", node.stages)
            and (not node.least or self.at - event.at >= long(node.least))
            and (not node.most or self.at - event.at <= long(node.most))
            for event in stands.values()
        )

    # ------------------------------------------------------------------------------------------------ the person

    def _person(self, node: Any) -> bool:
        value = self.who.traits.get(node.field.removeprefix("person."))
        if node.op == "between":
            mine = number_of(value)
            return mine is not None and ordered(mine, "between", [number_of(one) for one in node.values])
        found = instant_of(value)
        match node.op:
            case "before":
                return found is not None and found < self.local_day(node.day)
            case "on_or_after":
                return found is not None and found >= self.local_day(node.day)
            case "within_last":
                return found is not None and 0 < self.at - found <= long(node.length)
            case "longer_ago":
                return found is not None and self.at - found > long(node.length)
            case "within_next":
                return found is not None and 0 <= found - self.at < long(node.length)
            case "further_ahead":
                return found is not None and found - self.at >= long(node.length)
            case "anniversary":
                return found is not None and self.is_anniversary(found)
        return compare(value, node.op, node.values)

    def is_anniversary(self, found: int) -> bool:
        day, today = (self.day_of(at) for at in (found, self.at))
        if today.year <= day.year:
            return False
        if (day.month, day.day) == (2, 29) and not is_leap(today.year):
            return (today.month, today.day) == (2, 28)
        return (today.month, today.day) == (day.month, day.day)

    def day_of(self, at: int) -> date:
        return (EPOCH + timedelta(microseconds=at)).astimezone(self.here.zone).date()

    def _cohort(self, node: Any) -> bool:
        at = instant_of(self.who.traits.get("signup_at"))
        if (node.since or node.until) and at is None:
            return False
        if node.since and at < self.local_day(node.since):
            return False
        if node.until and at >= self.local_day(node.until, 1):
            return False
        return not node.sources or compare(self.who.traits.get("source"), "is", node.sources)

    def _subscription(self, node: Any) -> bool:
        mine = self.who.traits.get
        status, began = mine("subscription_status"), instant_of(mine("subscription_started_at"))
        worth = number_of(mine("mrr_micros"))
        said = [
            not node.statuses or compare(status, "is", node.statuses),
            not node.plans or (status is not None and compare(mine("plan_name"), "is", node.plans)),
            node.mrr is None or (worth is not None and ordered(worth, node.mrr.op, node.mrr.values)),
            node.ending is None or (status is not None and (mine("subscription_ends_at") is not None) == node.ending),
        ]
        if node.started:
            ago = None if began is None else self.at - began
            within, longer = (
                ago is not None and 0 < ago <= long(node.length),
                ago is not None and ago > long(node.length),
            )
            said.append(within if node.started == "within_last" else longer)
        return all(said)

    def _suppression(self, node: Any) -> bool:
        held = any(
            (not node.reasons or reason in node.reasons)
            and since < self.at
            and not (lifted is not None and since <= lifted < self.at)
            for reason, since, lifted in self.here.stops.get(self.number, ())
        )
        return held == node.suppressed

    def _segment(self, node: Any) -> bool:
        return belongs(self.here.rules[node.segment], self.who, self.number, self.at, self.here) == node.member

    def _list(self, node: Any) -> bool:
        return (self.number in self.here.lists[node.people]) == node.member

    def _random(self, node: Any) -> bool:
        return node.low <= place_in_hundred(self.number, node.seed) < node.high

    # ------------------------------------------------------------------------------------------ features, scores

    def _feature(self, node: Any) -> bool:
        found = self.feature(self.here.features[node.feature])
        if node.texts:
            texts = [text.lower() for text in node.texts]
            if not isinstance(found, str):
                return False
            return (found.lower() in texts) != (node.op == "is_not")
        wanted: Sequence[Any] = node.values
        if node.other:
            other = number_of(self.feature(self.here.features[node.other]))
            wanted = [other * node.factor] if other is not None else [None]
        mine = number_of(found)
        return mine is not None and None not in wanted and ordered(mine, node.op, wanted)

    def feature(self, feature: Feature) -> float | str | None:
        """A feature as it is compared; None for nothing."""
        made = feature.made
        if isinstance(made, Scored):
            return self.score()
        if isinstance(made, Held) or feature.held:
            held = feature.held or made
            value = self.who.traits.get(held.column)
            if held.kind in ("since", "instant"):
                at = instant_of(value)
                return (self.at - at) // DAY if at is not None and at < self.at else None
            return number_of(value) or 0.0
        return self.tally(made)

    def tally(self, made: Tally) -> float | str | None:
        match = self.here.roles.get(made.of.name) if isinstance(made.of, Role) else made.of
        done = [] if match is None else [event for _, event in self.history(Event.of(match))]
        if made.window:
            most = made.window.amount * _UNITS[made.window.unit] * 1_000_000
            done = [event for event in done if self.at - event.at <= most]
        values = [event.properties.get(made.field) for event in done] if made.field else []
        values = [value for value in values if value is not None]
        match made.by:
            case "count":
                return len(done)
            case "days":
                return len({event.at // DAY for event in done})
            case "sum":
                return sum(number for number in map(number_of, values) if number is not None)
            case "distinct":
                return len(set(map(reads_as, values)))
            case "since":
                return (self.at - done[-1].at) // DAY if done else None
        if made.field:
            return None if not values else reads_as(values[0 if made.by == "first" else -1])
        return None if not done else (self.at - done[0 if made.by == "first" else -1].at) // DAY

    def _churn(self, node: Any) -> bool:
        score = self.score()
        return score is not None and ordered(score, node.compared.op, node.compared.values)

    def score(self) -> float | None:
        """The churn score as of the last midnight UTC, of who did something of the core in the baseline before it."""
        model = self.here.model
        if model is None or not self.who.live:
            return None
        midnight = self.at // DAY * DAY
        then = Asked(self.who, self.number, midnight, self.here)
        baseline = model.baseline.amount * _UNITS[model.baseline.unit] * 1_000_000
        if not any(midnight - event.at <= baseline for _, event in then.history(Event.of(model.core))):
            return None
        odds = model.logistic.intercept
        for place, feature in enumerate(model.features):
            told = then.feature(feature)
            if feature.kind in ("since", "instant"):
                seen = math.log1p(min(730.0, 730.0 if told is None else told))
            else:
                seen = math.copysign(math.log1p(abs(told)), told)
            fitted = model.logistic
            odds += fitted.weights[place] * (seen - fitted.means[place]) / fitted.scales[place]
        return round(1 / (1 + math.exp(-(model.calibration.slope * odds + model.calibration.offset))), 3)


def is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def place_in_hundred(number: int, seed: str) -> float:
    """Splitmix64 of a number and a seed, as a share of a hundred."""
    whole = 2**64 - 1
    mixed = (number * 0x9E3779B97F4A7C15 + int(blake2b(seed.encode(), digest_size=8).hexdigest(), 16)) & whole
    mixed = ((mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9) & whole
    mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) & whole
    return ((mixed ^ mixed >> 31) >> 11) / 2**53 * 100
