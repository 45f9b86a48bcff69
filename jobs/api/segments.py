"""Segments by the API: what the pages do, with a key instead of a session."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from sqlmodel import Session

from gdp_core import reports
from gdp_core.accounts.roles import Principal
from gdp_core.analytics.calendar import instant
from gdp_core.analytics.scope import in_reach, midnight
from gdp_core.analytics.workspace import read_workspace
from gdp_core.db import rows
from gdp_core.errors import InvalidInput
from gdp_core.segments import explaining, importing, keeping, membership, previewing
from gdp_core.segments.finding import find_person
from gdp_core.segments.personal import Reader
from gdp_core.segments.surroundings import read_names
from jobs.api import shapes
from jobs.api.asking import Asking, turn, world

router = APIRouter(prefix="/api/v1", tags=["Segments"])
Read = TypeVar("Read")

At = Annotated[datetime | None, Query(description="As of an instant that is past, like 2026-01-31T08:00:00Z; now else")]
After = Annotated[str, Query(description="`next` of the page before")]
MOST_SEGMENTS = 100
MOST_MEMBERS, MOST_TRANSITIONS, MOST_DAYS = 1000, 1000, 800


@router.get("/segments", summary="The segments", responses=shapes.errors())
def list_segments(
    caller: Asking,
    after: After = "",
    limit: Annotated[int, Query(ge=1, le=MOST_SEGMENTS)] = 50,
) -> shapes.Segments:
    """A page of those that were not deleted, by name, with their sizes and how fresh these are."""
    place = _place(after, str) if after else None
    with caller.reading() as (session, principal):
        reader = _reader(session, principal)
        found = keeping.list_segments(session, after=place, size=limit + 1)
    shown = found[:limit]
    more = _cursor(shown[-1].name, shown[-1].id) if len(found) > limit else None
    return shapes.Segments(segments=[_segment(one, reader) for one in shown], next=more)


@router.get("/segments/deleted", summary="The deleted segments", responses=shapes.errors())
def list_deleted(caller: Asking) -> shapes.DeletedSegments:
    """At most a hundred that can be restored, the last one first."""
    with caller.reading() as (session, _):
        found = keeping.list_deleted(session)
    return shapes.DeletedSegments(
        segments=[shapes.DeletedSegment(id=one.id, name=one.name, deleted_at=one.at) for one in found]
    )


@router.post("/segments", status_code=201, summary="Make a segment", responses=shapes.errors(400, 409, 413))
def create_segment(caller: Asking, asked: shapes.NewSegment) -> shapes.MadeSegment:
    """Its people are found by the next evaluation, within seconds. Field rules and event rules of other systems are read
    too, and kept as the rule in the answer."""
    rule, written_as = importing.read_told(asked.rule)
    with caller.changing() as (session, principal):
        made = keeping.create(
            session,
            principal,
            asked.name,
            rule,
            description=asked.description,
            goal=asked.goal,
            enabled=asked.enabled,
            now=caller.now,
        )
        told = _segment(made, _reader(session, principal))
    return shapes.MadeSegment(**dict(told), written_as=written_as)


@router.post("/segments/preview", summary="Whom a rule means now", responses=shapes.errors(400, 413))
def preview(caller: Asking, asked: shapes.RuleOnly) -> shapes.Preview:
    """Nothing is saved. Each group and condition says for how many it holds by itself."""
    rule, written_as = importing.read_told(asked.rule)
    with caller.reading() as (session, principal):
        found = world(caller, session, rule)
    reader = Reader(principal, found.surroundings.names)
    reader.check(rule)
    with turn(caller.workspace_id):
        told = previewing.preview(found.timeline, rule, found.surroundings, found.now)
    with caller.reading() as (session, _):
        sample = reports.persons_of(session, told.sample.tolist())
    return shapes.Preview(
        people=told.people,
        of=told.of,
        sentence=reader.sentence(rule),
        rule=reader.plain(rule),
        written_as=written_as,
        conditions=shapes.Part.all_of(rule, told.per_condition, reader),
        sample=sample,
        remarks=list(told.remarks),
        complete_until=found.now,
    )


@router.post("/segments/explain", summary="Why somebody is in or not", responses=shapes.errors(400, 404, 413))
def explain(caller: Asking, asked: shapes.Question) -> shapes.Why:
    """The rule as a tree, each part with what was found and until when it holds if nothing happens."""
    if (asked.segment is None) == (asked.rule is None):
        raise InvalidInput("Give the id of a segment, or a rule.")
    with caller.reading() as (session, principal):
        saved = keeping.read_segment(session, asked.segment) if asked.segment else None
        rule, written_as = (saved.rule, None) if saved else importing.read_told(asked.rule)
        found = world(caller, session, rule)
        reader = Reader(principal, found.surroundings.names)
        if saved is None:
            reader.check(rule)
        person_id, number = find_person(session, asked.person)
    own = str(saved.id) if saved else None
    with turn(caller.workspace_id):
        told = explaining.explain(found.timeline, rule, found.surroundings, number, found.now, own=own)
    happenings = [one for part in told.parts if part.evidence for one in part.evidence.happenings]
    with caller.reading() as (session, _):
        events = explaining.event_ids(session, person_id, happenings)
    return shapes.Why(
        person=person_id,
        at=instant(told.at),
        belongs=told.belongs,
        counts=told.counts,
        written_as=written_as,
        sentence=told.sentence,
        turns_at=_instant(told.turns_at),
        looked_until=_instant(told.looked_until),
        tree=shapes.Reasoning.of_part(told.tree, rule, reader, events),
    )


@router.get("/segments/{segment_id}", summary="One segment", responses=shapes.errors(404))
def read_segment(caller: Asking, segment_id: UUID) -> shapes.Segment:
    """With its rule, the sentence of that, and how its last evaluation went."""
    with caller.reading() as (session, principal):
        return _segment(keeping.read_segment(session, segment_id), _reader(session, principal))


@router.patch("/segments/{segment_id}", summary="Change a segment", responses=shapes.errors(400, 404, 409, 413))
def change_segment(caller: Asking, segment_id: UUID, asked: shapes.Change) -> shapes.Segment:
    """All of it or nothing. A rule becomes the next version, if nobody saved another since the `version` given."""
    rule = importing.read_any(asked.rule) if asked.rule is not None else None
    if rule is not None and asked.version is None:
        raise InvalidInput("Say which version of the rule was edited, in `version`.")
    with caller.changing() as (session, principal):
        found = keeping.read_segment(session, segment_id)
        if any(part is not None for part in (asked.name, asked.description, asked.goal)):
            found = keeping.rename(
                session,
                principal,
                segment_id,
                found.name if asked.name is None else asked.name,
                description=asked.description,
                goal=asked.goal,
                now=caller.now,
            )
        if rule is not None and asked.version is not None:
            found = keeping.change(
                session, principal, segment_id, rule, note=asked.note, expected_version=asked.version, now=caller.now
            )
        if asked.enabled is not None:
            found = keeping.set_enabled(session, principal, segment_id, asked.enabled, now=caller.now)
        return _segment(found, _reader(session, principal))


@router.delete("/segments/{segment_id}", status_code=204, summary="Delete a segment", responses=shapes.errors(404, 409))
def delete_segment(caller: Asking, segment_id: UUID) -> None:
    """Its history stays, and it can be restored."""
    with caller.changing() as (session, principal):
        keeping.delete(session, principal, segment_id, now=caller.now)


@router.post("/segments/{segment_id}/restore", summary="Restore a segment", responses=shapes.errors(400, 404, 409))
def restore_segment(caller: Asking, segment_id: UUID) -> shapes.Segment:
    """One that was deleted; its people are found again by the next evaluation."""
    with caller.changing() as (session, principal):
        found = keeping.restore(session, principal, segment_id, now=caller.now)
        return _segment(found, _reader(session, principal))


@router.get("/segments/{segment_id}/members", summary="Its members", responses=shapes.errors(400, 404))
def list_members(
    caller: Asking,
    segment_id: UUID,
    after: After = "",
    limit: Annotated[int, Query(ge=1, le=MOST_MEMBERS)] = 100,
    at: At = None,
) -> shapes.Members:
    """Who entered last comes first, so whoever enters while you read on is not among the later pages.

    Of an instant: who was in it by the evaluation before it, who entered first comes first, by the ids they had then.
    """
    then = _then(caller, at)
    place = _place(after, _aware) if after and not then else None
    with caller.reading() as (session, principal):
        keeping.read_segment(session, segment_id)
        if then:
            page, following = membership.read_members_at(session, segment_id, then, after=_seq(after), size=limit)
            following_text = None if following is None else str(following)
            return shapes.Members(members=_members(session, principal, page), next=following_text)
        found = membership.read_members(session, segment_id, after=place, size=limit + 1)
        shown = found[:limit]
        more = _cursor(shown[-1].entered_at.isoformat(), shown[-1].person_id) if len(found) > limit else None
        return shapes.Members(members=_members(session, principal, shown), next=more)


@router.get(
    "/segments/{segment_id}/members/{person:path}",
    summary="Whether somebody is in it",
    responses=shapes.errors(400, 404),
)
def read_member(caller: Asking, segment_id: UUID, person: str, at: At = None) -> shapes.Membership:
    """`person`: any id or identifier they ever had, such as 42, user:42 or ada@example.com."""
    then = _then(caller, at)
    with caller.reading() as (session, _):
        segment = keeping.read_segment(session, segment_id)
        person_id, _number = find_person(session, person)
        found = (
            membership.find_member_at(session, segment_id, person_id, then)
            if then
            else membership.find_member(session, segment_id, person_id)
        )
    return shapes.Membership(
        person=person_id,
        member=found is not None,
        since=found.entered_at if found else None,
        entry=found.entry if found else None,
        evaluated_at=then or segment.evaluated_at,
    )


@router.get("/segments/{segment_id}/history", summary="How it grew", responses=shapes.errors(400, 404))
def read_history(
    caller: Asking,
    segment_id: UUID,
    since: Annotated[date | None, Query(description="First local day; 30 days before the last else")] = None,
    until: Annotated[date | None, Query(description="Last local day; today else")] = None,
) -> shapes.History:
    """Its size whenever that changed, to the quarter of an hour, and entries and exits by local day."""
    with caller.reading() as (session, _):
        keeping.read_segment(session, segment_id)
        timezone = read_workspace(session).timezone
        zone = ZoneInfo(timezone)
        last = until or caller.now.astimezone(zone).date()
        first = since or last - timedelta(days=30)
        if not 0 <= (last - first).days < MOST_DAYS or not in_reach(first, last):
            raise InvalidInput(f"Choose a period of at least one day and at most {MOST_DAYS} days.")
        begin, end = midnight(first, zone), midnight(last + timedelta(days=1), zone)
        sizes = membership.read_sizes(session, segment_id, begin, end)
        flow = membership.read_flow(session, segment_id, first, last, timezone)
    return shapes.History(
        since=first,
        until=last,
        timezone=timezone,
        sizes=[shapes.Size(at=one.at, people=one.people) for one in sizes],
        flow=[shapes.Flow(day=one.day, entered=one.entered, exited=one.exited) for one in flow],
    )


@router.get("/transitions", summary="Entries and exits", responses=shapes.errors(400, 404))
def list_transitions(
    caller: Asking,
    after: Annotated[int, Query(ge=0, le=2**63 - 1, description="`next` of the part before; 0: from the first")] = 0,
    segment: Annotated[UUID | None, Query(description="Of one segment")] = None,
    limit: Annotated[int, Query(ge=1, le=MOST_TRANSITIONS)] = 100,
) -> shapes.Transitions:
    """In the order in which they were written: who reads on from `next` misses none and sees none twice."""
    with caller.reading() as (session, _):
        if segment is not None:
            keeping.read_segment(session, segment)
        found = membership.read_transitions(session, after=after, size=limit, segment_id=segment)
    return shapes.Transitions(
        transitions=[
            shapes.Transition(
                seq=one.seq,
                segment=one.segment_id,
                person=one.person_id,
                kind=one.kind,
                at=one.at,
                entry=one.entry,
                version=one.version,
                reason=one.reason,
            )
            for one in found
        ],
        next=found[-1].seq if found else after,
    )


# ---------------------------------------------------------------------------------------------------------- shapes


def _reader(session: Session, principal: Principal) -> Reader:
    return Reader(principal, read_names(session))


def _segment(one: keeping.Segment, reader: Reader) -> shapes.Segment:
    told = {name: getattr(one, name) for name in shapes.Segment.model_fields if name not in ("rule", "sentence")}
    return shapes.Segment(**told, rule=reader.plain(one.rule), sentence=reader.sentence(one.rule))


def _members(session: Session, principal: Principal, found: Sequence[membership.Member]) -> list[shapes.Member]:
    told: dict[UUID, Any] = {}
    if principal.may("pii.read"):
        persons = [one.person_id for one in found]
        told = {
            row.id: row
            for row in rows(
                session,
                "SELECT p.id, p.email, (SELECT array_agg(a.external_id ORDER BY a.external_id) FROM actor a"
                " WHERE a.workspace_id = p.workspace_id AND a.person_id = p.id AND a.namespace = 'user') AS users"
                " FROM person p WHERE p.workspace_id = app_ws() AND p.id = ANY(:persons)",
                persons=persons,
            )
        }
    return [
        shapes.Member(
            person=one.person_id,
            entered_at=one.entered_at,
            entry=one.entry,
            email=told[one.person_id].email if one.person_id in told else None,
            user_ids=(told[one.person_id].users or []) if one.person_id in told else [],
        )
        for one in found
    ]


def _cursor(last: str, last_id: UUID) -> str:
    return urlsafe_b64encode(f"{last}|{last_id}".encode()).decode().rstrip("=")


def _then(caller: Asking, at: datetime | None) -> datetime | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise InvalidInput("Give the instant `at` with its zone, like 2026-01-31T08:00:00Z.")
    membership.check_past(at, caller.now)
    return at


def _seq(cursor: str) -> int:
    if not cursor:
        return 0
    if not cursor.isascii() or not cursor.isdecimal() or len(cursor) > 18:
        raise InvalidInput("Give as `after` what a page said as `next`.")
    return int(cursor)


def _place(cursor: str, read: Callable[[str], Read]) -> tuple[Read, UUID]:
    try:
        last, _, last_id = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().rpartition("|")
        if "\x00" in last:
            raise ValueError(cursor)
        return read(last), UUID(last_id)
    except ValueError:
        raise InvalidInput("Give as `after` what a page said as `next`.") from None


def _aware(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(text)
    return found


def _instant(micros: int | None) -> datetime | None:
    return None if micros is None else instant(micros)
