"""What the API answers and is asked, as models: the description's types, fields and examples come from here."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from gdp_core.analytics.calendar import instant
from gdp_core.segments import explaining, rules
from gdp_core.segments.conditions.base import Condition, Names
from gdp_core.segments.conditions.base import Happening as Happened
from gdp_core.segments.importing import WrittenAs
from gdp_core.segments.keeping import LONGEST_NAME, LONGEST_TEXT
from gdp_core.segments.membership import Kind, Reason
from gdp_core.segments.personal import Reader

RULE: dict[str, Any] = {
    "version": 1,
    "match": {
        "kind": "all",
        "of": [
            {"kind": "performed", "event": {"names": ["letter_sent"]}, "times": 3, "when": {"last": "30d"}},
            {"kind": "person", "field": "stage", "op": "is", "values": ["subscribed"]},
        ],
    },
}
"""The rule of the examples."""
_READ = rules.read(RULE)
_SAID = _READ.sentence(Names())
_PARTS: Any = [
    {"path": [], "kind": "all", "sentence": rules.GROUP_SENTENCES["all"], "people": 412},
    *(
        {"path": list(path), "kind": one.kind, "sentence": one.sentence(Names()), "people": 977}
        for path, one in _READ.conditions()
    ),
]
_ID, _PERSON = "0197f3a0-5c1e-7d2b-8a55-0242ac120002", "5f0c2a9e-3d17-5b7e-9c1d-8a4f6b2e7d10"
_AT = "2026-11-18T12:00:00Z"
Rule = dict[str, Any]
AskedRule = dict[str, Any] | list[Any]
"""A rule of ours, or field rules or event rules of another system."""
_FIELD_RULES: dict[str, Any] = {
    "operator": "AND",
    "conditions": [{"field": "stage", "operator": "eq", "value": "subscribed"}],
}
_EVENT_RULES = [{"condition": "event", "eventType": "letter_sent", "eventCount": {"gte": 3}, "eventWindow": "30d"}]
_WRITTEN_AS = "How the rule was written: as one of ours (rule), or as field or event rules of another system"


class Asked(BaseModel):
    """A body: what is not known is refused, so that a misspelt field is not lost."""

    model_config = ConfigDict(extra="forbid")


def _example(*values: dict[str, Any]) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": list(values)})


class NewSegment(Asked):
    """A segment to make."""

    model_config = _example(
        {"name": "Busy subscribers", "rule": RULE, "goal": "Upgrade to a yearly plan"},
        {"name": "Subscribers", "rule": _FIELD_RULES},
    )
    name: str = Field(max_length=LONGEST_NAME)
    rule: AskedRule = Field(description="See docs/segments.md")
    description: str = Field("", max_length=LONGEST_TEXT)
    goal: str = Field("", max_length=LONGEST_TEXT, description="What its people should do")
    enabled: bool = Field(True, description="Whether it is evaluated")


class Change(Asked):
    """What is to be otherwise; what is left out stays. A rule needs the version that it was edited from."""

    model_config = _example({"rule": RULE, "version": 1, "note": "Three letters are enough"}, {"enabled": False})
    name: str | None = Field(None, max_length=LONGEST_NAME)
    description: str | None = Field(None, max_length=LONGEST_TEXT)
    goal: str | None = Field(None, max_length=LONGEST_TEXT)
    enabled: bool | None = None
    rule: AskedRule | None = None
    version: int | None = None
    note: str = Field("", max_length=LONGEST_TEXT)


class Segment(BaseModel):
    """A segment. `people`, `evaluated_at`, `seconds`: of the last good evaluation; null before the first."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _ID,
                    "name": "Busy subscribers",
                    "description": "",
                    "goal": "Upgrade to a yearly plan",
                    "sentence": _SAID,
                    "rule": RULE,
                    "version": 1,
                    "enabled": True,
                    "people": 412,
                    "pending": 0,
                    "evaluated_at": _AT,
                    "seconds": 0.02,
                    "error": None,
                    "failed_at": None,
                    "starter": None,
                    "created_at": _AT,
                    "updated_at": _AT,
                }
            ]
        }
    )
    id: UUID
    name: str
    description: str
    goal: str
    sentence: str
    rule: Rule
    version: int
    enabled: bool
    people: int | None
    pending: int = Field(
        description="So many entries and exits are found and being written: until then people grow or shrink"
    )
    evaluated_at: datetime | None
    seconds: float | None
    error: str | None = Field(description="Why it cannot be evaluated, since `failed_at`")
    failed_at: datetime | None
    starter: str | None
    created_at: datetime
    updated_at: datetime


class MadeSegment(Segment):
    """One just made; `rule` is what it was read as."""

    written_as: WrittenAs = Field(description=_WRITTEN_AS)


class Segments(BaseModel):
    """A page of segments by name. `next`: what to give as `after` for the next page; null: this is the last."""

    segments: list[Segment]
    next: str | None


class DeletedSegment(BaseModel):
    """One that was deleted and can be restored."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": _ID, "name": "Old", "deleted_at": _AT}]})
    id: UUID
    name: str
    deleted_at: datetime


class DeletedSegments(BaseModel):
    """The deleted segments, the last one first."""

    segments: list[DeletedSegment]


class Member(BaseModel):
    """Somebody in a segment since `entered_at`, for the `entry`-th time. Addresses only for keys that may see them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"person": _PERSON, "entered_at": _AT, "entry": 1, "email": "ada@example.com", "user_ids": ["42"]}
            ]
        }
    )
    person: UUID
    entered_at: datetime
    entry: int
    email: str | None
    user_ids: list[str]


class Members(BaseModel):
    """A page of members, who entered last first. `next`: what to give as `after` for the next page; null: this is the last."""

    members: list[Member]
    next: str | None


class Membership(BaseModel):
    """Whether somebody is in a segment, since when, and for which time they entered it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"person": _PERSON, "member": True, "since": _AT, "entry": 2}]}
    )
    person: UUID
    member: bool
    since: datetime | None
    entry: int | None
    evaluated_at: datetime | None = Field(description="As of when")


class Size(BaseModel):
    """How many people a segment had from `at` until the next of these."""

    at: datetime
    people: int


class Flow(BaseModel):
    """How many entered and exited on a local day of the workspace."""

    day: date
    entered: int
    exited: int


class History(BaseModel):
    """How a segment grew."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "since": "2026-11-17",
                    "until": "2026-11-18",
                    "timezone": "Europe/Amsterdam",
                    "sizes": [{"at": "2026-11-17T09:15:00Z", "people": 409}, {"at": _AT, "people": 412}],
                    "flow": [
                        {"day": "2026-11-17", "entered": 4, "exited": 2},
                        {"day": "2026-11-18", "entered": 3, "exited": 0},
                    ],
                }
            ]
        }
    )
    since: date
    until: date
    timezone: str
    sizes: list[Size]
    flow: list[Flow]


class Transition(BaseModel):
    """Somebody entered or exited a segment, found by the evaluation at `at`, by that version of its rule."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "seq": 90211,
                    "segment": _ID,
                    "person": _PERSON,
                    "kind": "entered",
                    "at": _AT,
                    "entry": 1,
                    "version": 1,
                    "reason": "facts",
                }
            ]
        }
    )
    seq: int
    segment: UUID
    person: UUID
    kind: Kind
    at: datetime
    entry: int
    version: int
    reason: Reason


class Transitions(BaseModel):
    """A part of the feed, in the order written. `next`: give it as `after` to go on; the same as given: nothing is new."""

    transitions: list[Transition]
    next: int


class RuleOnly(Asked):
    """A rule, saved or not."""

    model_config = _example({"rule": RULE}, {"rule": _EVENT_RULES})
    rule: AskedRule


class Part(BaseModel):
    """A group or condition of a rule, by the places to go down to it, and for how many it holds by itself."""

    path: list[int]
    kind: str
    sentence: str
    people: int

    @classmethod
    def all_of(cls, rule: rules.Rule, counts: Mapping[rules.Path, int], reader: Reader) -> "list[Self]":
        """Those of a rule, from top to bottom, as somebody may read them."""
        nodes = [(path, rule.at(path)) for path in sorted(counts)]
        return [
            cls(path=list(path), kind=node.kind, sentence=reader.line(node), people=counts[path])
            for path, node in nodes
        ]


class Preview(BaseModel):
    """How many people a rule means as of `complete_until`, of how many; some of them; and what should be known of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "people": 412,
                    "of": 9120,
                    "sentence": _SAID,
                    "conditions": _PARTS,
                    "rule": RULE,
                    "written_as": "rule",
                    "sample": [_PERSON],
                    "remarks": [],
                    "complete_until": _AT,
                }
            ]
        }
    )
    people: int
    of: int
    sentence: str
    rule: Rule = Field(description="What was asked, as a rule of ours")
    written_as: WrittenAs = Field(description=_WRITTEN_AS)
    conditions: list[Part]
    sample: list[UUID]
    remarks: list[str]
    complete_until: datetime


class Question(Asked):
    """Why somebody is in a segment or not: of a saved one by its id, or of a rule."""

    model_config = _example({"segment": _ID, "person": "ada@example.com"}, {"rule": RULE, "person": "user:42"})
    person: str = Field(description="Any id or identifier they ever had: a person's id, 42, user:42, ada@example.com")
    segment: UUID | None = None
    rule: AskedRule | None = None


class Happening(BaseModel):
    """An event behind an answer, and the ids it has; none for one that was deleted since."""

    name: str
    at: datetime
    events: list[UUID]


class Evidence(BaseModel):
    """What was found of the person, and the newest of the `events` behind it."""

    sentence: str
    found: str
    wanted: str
    events: int
    happenings: list[Happening]


class Reasoning(BaseModel):
    """A group or condition, whether it holds, until when if nothing happens, and what was found."""

    path: list[int]
    kind: str
    holds: bool
    sentence: str
    until: datetime | None
    evidence: Evidence | None
    of: list["Reasoning"]

    @classmethod
    def of_part(
        cls,
        part: explaining.Part,
        rule: rules.Rule,
        reader: Reader,
        events: Mapping[Happened, Sequence[UUID]],
    ) -> "Reasoning":
        """A part of an explanation of a rule and what is below it, as somebody may read it, with the ids of events."""
        node = rule.at(part.path)
        found = reader.evidence(node, part.evidence) if isinstance(node, Condition) else None
        return cls(
            path=list(part.path),
            kind=part.kind,
            holds=part.holds,
            sentence=reader.line(node),
            until=None if part.until is None else instant(part.until),
            evidence=None
            if found is None
            else Evidence(
                sentence=found.sentence,
                found=found.found,
                wanted=found.wanted,
                events=found.events,
                happenings=[
                    Happening(name=one.name, at=instant(one.at), events=list(events.get(one, ())))
                    for one in found.happenings
                ],
            ),
            of=[cls.of_part(one, rule, reader, events) for one in part.of],
        )


class Why(BaseModel):
    """Whether somebody belongs as of `at` and why. `turns_at`: when that changes if nothing happens; null: not before
    `looked_until`, or never."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "person": _PERSON,
                    "at": _AT,
                    "belongs": True,
                    "counts": True,
                    "written_as": None,
                    "sentence": "Leaves on 2026-12-02 08:30 UTC if nothing happens.",
                    "turns_at": "2026-12-02T08:30:00Z",
                    "looked_until": None,
                    "tree": {
                        "path": [],
                        "kind": "all",
                        "holds": True,
                        "sentence": "all of these",
                        "until": "2026-12-02T08:30:00Z",
                        "evidence": None,
                        "of": [],
                    },
                }
            ]
        }
    )
    person: UUID
    at: datetime
    belongs: bool
    counts: bool = Field(description="False for internal people, who are in no segment")
    written_as: WrittenAs | None = Field(description=f"{_WRITTEN_AS}; null of a saved one")
    sentence: str
    turns_at: datetime | None
    looked_until: datetime | None
    tree: Reasoning


class NewSubscription(Asked):
    """An address to be told of entries and exits."""

    model_config = _example({"url": "https://hooks.example.com/segments", "segment": _ID, "kinds": ["entered"]})
    url: str
    segment: UUID | None = Field(None, description="Of one segment; of all else")
    kinds: list[Kind] = Field(["entered", "exited"], min_length=1)


class Subscription(BaseModel):
    """An address that is told. `position`: the `seq` up to which it was."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": _ID,
                    "url": "https://hooks.example.com/segments",
                    "segment": None,
                    "kinds": ["entered", "exited"],
                    "enabled": True,
                    "position": 90211,
                    "created_at": _AT,
                }
            ]
        }
    )
    id: UUID
    url: str
    segment: UUID | None
    kinds: list[Kind]
    enabled: bool
    position: int
    created_at: datetime


class Subscriptions(BaseModel):
    """The subscriptions, the oldest first."""

    subscriptions: list[Subscription]


class MadeSubscription(Subscription):
    """One just made. `secret` signs what it is sent (Standard Webhooks), and is never shown again."""

    secret: str


class Trouble(BaseModel):
    """One thing that is wrong: `path` leads to the condition of a rule, `field` names the part of it or of the body."""

    path: list[int]
    field: str
    message: str


class ErrorBody(BaseModel):
    """What is wrong, as one sentence; of a rule or a body also everything that is."""

    code: str
    message: str
    problems: list[Trouble] | None = None


class Error(BaseModel):
    """Every error."""

    error: ErrorBody
    request_id: str


MEANINGS: dict[int, str] = {
    400: "The rule, body or query cannot be used; `problems` says what and where",
    401: "No such key",
    403: "A browser key, or a key that may not do this",
    404: "There is no such thing in this workspace",
    409: "It is there already, somebody saved another version, or a segment is made of this one",
    413: "Too large",
    429: "Too many requests; see Retry-After",
    503: "Not now; see Retry-After",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The answers of a route besides its good one; those that all have are added."""
    every = sorted({*statuses, 401, 403, 429, 503})
    return {status: {"model": Error, "description": MEANINGS[status]} for status in every}
