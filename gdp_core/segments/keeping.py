"""Segments as people keep them: a name, a rule in versions, and drafts of what is not finished.

Who may is asked here, and every change is audited in its own transaction (gdp_web). A rule is kept only when everything
it names is there and it does not lead back to itself; who belongs to it, the cycle finds out (`cycle.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import EllipsisType
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import exc
from sqlmodel import Session

from gdp_core import in_use
from gdp_core.accounts.audit import audit
from gdp_core.accounts.roles import Principal, authorise
from gdp_core.db import one, rows, run
from gdp_core.errors import Conflict, InvalidInput, NotFound
from gdp_core.ids import time_ordered
from gdp_core.segments import rules
from gdp_core.segments.rules import BadRule, Rule, check
from gdp_core.segments.surroundings import read_surroundings
from gdp_core.words import is_visible, is_whole, one_line

MOST = 500
LONGEST_NAME, LONGEST_TEXT = 120, 1000
_LARGEST_DRAFT, _LARGEST_ACTION = 512 << 10, 64 << 10
_NEW = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Segment:
    """Who is meant, under a name. The ids of users; None: a command on the server.

    `people`, `evaluated_at`, `seconds`: what the last good evaluation came to, by the rule of `counted_version`; None
    before the first. `error`: why it cannot be evaluated, since `failed_at`. `pending`: so many entries and exits are
    found and being written, so that `people` are on their way. `resumed_at`: since when it is evaluated; a disabled one
    keeps the people it had.
    """

    id: UUID
    name: str
    description: str
    rule: Rule
    version: int
    enabled: bool
    resumed_at: datetime
    goal: str
    action: Mapping[str, Any] | None
    people: int | None
    counted_version: int | None
    pending: int
    evaluated_at: datetime | None
    seconds: float | None
    error: str | None
    failed_at: datetime | None
    starter: str | None
    created_at: datetime
    created_by: UUID | None
    updated_at: datetime
    updated_by: UUID | None

    @property
    def is_awaited(self) -> bool:
        """Whether its people are not yet those of its rule: it is new, turned on again, changed, or being written."""
        is_counted = self.evaluated_at is not None and self.evaluated_at >= self.resumed_at
        return self.enabled and (not is_counted or self.counted_version != self.version or self.pending > 0)


@dataclass(frozen=True, slots=True)
class Version:
    """A rule that a segment had or has."""

    version: int
    rule: Rule
    note: str
    created_at: datetime
    created_by: UUID | None


@dataclass(frozen=True, slots=True)
class Deleted:
    """A segment that was deleted, which `restore` brings back."""

    id: UUID
    name: str
    at: datetime
    by: UUID | None


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody was writing: JSON, perhaps unfinished. `segment_id` None: a new segment."""

    segment_id: UUID | None
    content: Mapping[str, Any]
    updated_at: datetime


# --------------------------------------------------------------------------------------------------------- reading

_SEGMENT = """
SELECT s.id, s.name, s.description, v.rule, s.version, s.enabled, s.resumed_at, s.goal, s.action, t.people,
    t.version AS counted_version, coalesce(t.pending, 0) AS pending, t.evaluated_at, t.seconds,
    t.error, t.failed_at, s.starter, s.created_at, s.created_by, s.updated_at, s.updated_by
FROM segment s
JOIN segment_version v ON v.workspace_id = s.workspace_id AND v.segment_id = s.id AND v.version = s.version
LEFT JOIN segment_state t ON t.workspace_id = s.workspace_id AND t.segment_id = s.id
WHERE s.archived_at IS NULL
"""


Place = tuple[str, UUID]
"""Where a page of segments ended: the last one's name and id."""


def list_segments(session: Session, *, after: Place | None = None, size: int | None = None) -> list[Segment]:
    """The segments by name; `size` of them from behind where the last page ended, or all."""
    place = "" if after is None else " AND (s.name, s.id) > (:name, :id)"
    found = rows(
        session,
        f"{_SEGMENT}{place} ORDER BY s.name, s.id LIMIT :size",
        size=size,
        **({"name": after[0], "id": after[1]} if after else {}),
    )
    return [_segment(row) for row in found]


def read_segment(session: Session, segment_id: UUID) -> Segment:
    """One segment. Raises NotFound."""
    row = one(session, f"{_SEGMENT} AND s.id = :id", id=segment_id)
    if row is None:
        is_deleted = one(session, "SELECT 1 FROM segment WHERE id = :id", id=segment_id) is not None
        raise NotFound(
            "This segment was deleted: restore it to go on." if is_deleted else "There is no segment of this id."
        )
    return _segment(row)


def find_segment(session: Session, name: str) -> Segment:
    """The segment of a name. Raises NotFound, InvalidInput for what can be none."""
    row = one(session, f"{_SEGMENT} AND s.name = :name", name=_line("name", name, len(name)))
    if row is None:
        raise NotFound(f"There is no segment called “{name[:LONGEST_NAME]}”.")
    return _segment(row)


def read_versions(session: Session, segment_id: UUID) -> list[Version]:
    """Every rule a segment had, the newest first."""
    found = rows(
        session,
        "SELECT version, rule, note, created_at, created_by FROM segment_version WHERE segment_id = :id"
        " ORDER BY version DESC",
        id=segment_id,
    )
    return [Version(row.version, rules.kept(row.rule), row.note, row.created_at, row.created_by) for row in found]


def list_deleted(session: Session, most: int = 100) -> list[Deleted]:
    """The segments that were deleted and can be restored, the last one first."""
    found = rows(
        session,
        "SELECT id, name, archived_at, updated_by FROM segment WHERE archived_at IS NOT NULL"
        " ORDER BY archived_at DESC, id DESC LIMIT :most",
        most=most,
    )
    return [Deleted(*row) for row in found]


def used_by(session: Session, segment_id: UUID) -> list[Segment]:
    """The segments whose rules name this one, by name."""
    return [one for one in list_segments(session) if str(segment_id) in one.rule.uses.segments]


def _segment(row: Any) -> Segment:
    return Segment(**{**row._mapping, "rule": rules.kept(row.rule)})


# -------------------------------------------------------------------------------------------------------- changing


def create(
    session: Session,
    principal: Principal,
    name: str,
    rule: Rule,
    *,
    description: str = "",
    enabled: bool = True,
    goal: str = "",
    action: Mapping[str, Any] | None = None,
    starter: str | None = None,
    now: datetime,
) -> Segment:
    """Keep a rule under a name that no other segment has. Raises BadRule, Conflict for the name, InvalidInput, Forbidden."""
    _begin(session, principal)
    title, segment_id = _name(name), time_ordered(now)
    _check(session, rule)
    if one(session, "SELECT count(*) AS n FROM segment WHERE archived_at IS NULL").n >= MOST:
        raise InvalidInput(f"A workspace keeps at most {MOST} segments: delete one that nobody needs.")
    made = run(
        session,
        "INSERT INTO segment (id, workspace_id, name, description, version, enabled, resumed_at, goal, action, starter,"
        " created_at, created_by, updated_at, updated_by) VALUES (:id, app_ws(), :name, :description, 1, :enabled, :now,"
        " :goal, CAST(:action AS jsonb), :starter, :now, :user, :now, :user) ON CONFLICT DO NOTHING",
        id=segment_id,
        name=title,
        description=_line("description", description, LONGEST_TEXT),
        enabled=enabled,
        goal=_line("goal", goal, LONGEST_TEXT),
        action=_json(action, _LARGEST_ACTION) if action is not None else None,
        starter=starter,
        now=now,
        user=principal.user_id,
    )
    if not made:
        raise _taken(title)
    _write(session, principal, segment_id, 1, rule, "", now)
    _record(session, principal, segment_id, after=rule.plain, name=title, version=1, now=now)
    return read_segment(session, segment_id)


def change(
    session: Session,
    principal: Principal,
    segment_id: UUID,
    rule: Rule,
    *,
    note: str = "",
    expected_version: int,
    now: datetime,
) -> Segment:
    """Give a segment another rule, as its next version. One that is the same makes none.

    `expected_version` is the one that was edited. Raises BadRule, Conflict when somebody saved another meanwhile,
    InvalidInput, NotFound, Forbidden.
    """
    _begin(session, principal)
    before = read_segment(session, segment_id)
    if rule.json_text == before.rule.json_text:  # who asks again whether it came through
        return before
    if before.version != expected_version:
        raise Conflict(
            f"Somebody saved version {before.version} of this segment while you edited version {expected_version}:"
            " look at it, and apply your change to that one."
        )
    _check(session, rule, own=segment_id)
    version = before.version + 1
    _write(session, principal, segment_id, version, rule, _line("note", note, LONGEST_TEXT), now)
    _touch(session, principal, segment_id, "version = :version", now, version=version)
    _record(
        session,
        principal,
        segment_id,
        before=before.rule.plain,
        after=rule.plain,
        name=before.name,
        version=version,
        now=now,
    )
    return read_segment(session, segment_id)


def restore_version(
    session: Session, principal: Principal, segment_id: UUID, version: int, *, expected_version: int, now: datetime
) -> Segment:
    """Give a segment the rule of an earlier version, as its next one. Raises as `change`, and NotFound for no such one."""
    found = [one for one in read_versions(session, segment_id) if one.version == version]
    if not found:
        raise NotFound(f"This segment has no version {version}.")
    note = f"As version {version}"
    return change(session, principal, segment_id, found[0].rule, note=note, expected_version=expected_version, now=now)


def rename(
    session: Session,
    principal: Principal,
    segment_id: UUID,
    name: str,
    *,
    description: str | None = None,
    goal: str | None = None,
    now: datetime,
) -> Segment:
    """Give a segment another name; another description and goal unless None.

    Raises Conflict for a name that another has, InvalidInput, NotFound, Forbidden.
    """
    _begin(session, principal)
    before, title = read_segment(session, segment_id), _name(name)
    try:
        _touch(
            session,
            principal,
            segment_id,
            "name = :name, description = :description, goal = :goal",
            now,
            name=title,
            description=before.description if description is None else _line("description", description, LONGEST_TEXT),
            goal=before.goal if goal is None else _line("goal", goal, LONGEST_TEXT),
        )
    except exc.IntegrityError as error:
        raise _taken(title) from error
    _record(session, principal, segment_id, before=before.name, after=title, name=title, now=now)
    return read_segment(session, segment_id)


def set_enabled(session: Session, principal: Principal, segment_id: UUID, enabled: bool, *, now: datetime) -> Segment:
    """Evaluate a segment from now on, or keep the people it has as they are. Raises NotFound, Forbidden."""
    _begin(session, principal)
    before = read_segment(session, segment_id)
    if before.enabled != enabled:
        _touch(
            session,
            principal,
            segment_id,
            "enabled = :enabled, resumed_at = CASE WHEN :enabled THEN :now ELSE resumed_at END",
            now,
            enabled=enabled,
        )
        _record(session, principal, segment_id, name=before.name, enabled=enabled, now=now)
    return read_segment(session, segment_id)


def delete(session: Session, principal: Principal, segment_id: UUID, *, now: datetime) -> None:
    """Put a segment away: its name is free again, its history and what others were writing of it stay, `restore` brings it
    back.

    Raises Conflict while another segment is made of it, NotFound, Forbidden.
    """
    _begin(session, principal)
    before = read_segment(session, segment_id)
    in_use.refuse_while_named(session, "segment", str(segment_id))
    _touch(session, principal, segment_id, "archived_at = :now", now)
    _record(session, principal, segment_id, before=before.rule.plain, name=before.name, deleted=True, now=now)


def restore(session: Session, principal: Principal, segment_id: UUID, *, now: datetime) -> Segment:
    """Bring a deleted segment back. Raises NotFound, Conflict when another has its name now, Forbidden."""
    _begin(session, principal)
    row = one(session, "SELECT name FROM segment WHERE id = :id AND archived_at IS NOT NULL", id=segment_id)
    if row is None:
        raise NotFound("There is no deleted segment of this id.")
    try:
        _touch(session, principal, segment_id, "archived_at = NULL, resumed_at = :now", now)
    except exc.IntegrityError as error:
        raise _taken(row.name) from error
    found = read_segment(session, segment_id)
    _record(session, principal, segment_id, after=found.rule.plain, name=found.name, deleted=False, now=now)
    return found


def _begin(session: Session, principal: Principal) -> None:
    """Two who change segments of a workspace at once come one after the other: together they could make a circle."""
    authorise(session, principal, "segments.write")
    in_use.alone(session)


def _check(session: Session, rule: Rule, *, own: UUID | None = None) -> None:
    """Raises BadRule for what it names and is not there."""
    surroundings = read_surroundings(session, timezone="UTC", people=False)
    problems = check(rule, surroundings, own=str(own) if own else None)
    if problems:
        raise BadRule(problems)


def _write(
    session: Session, principal: Principal, segment_id: UUID, version: int, rule: Rule, note: str, now: datetime
) -> None:
    run(
        session,
        "INSERT INTO segment_version (segment_id, workspace_id, version, rule, note, created_at, created_by)"
        " VALUES (:id, app_ws(), :version, CAST(:rule AS jsonb), :note, :now, :user)",
        id=segment_id,
        version=version,
        rule=rule.json_text,
        note=note,
        now=now,
        user=principal.user_id,
    )


def _touch(
    session: Session, principal: Principal, segment_id: UUID, assignments: str, now: datetime, **values: object
) -> None:
    run(
        session,
        f"UPDATE segment SET {assignments}, updated_at = :now, updated_by = :user WHERE id = :id",
        id=segment_id,
        now=now,
        user=principal.user_id,
        **values,
    )


# ---------------------------------------------------------------------------------------------------------- drafts


def read_draft(session: Session, principal: Principal, segment_id: UUID | None) -> Draft | None:
    """What this user was writing of a segment (None: of a new one)."""
    row = one(
        session,
        "SELECT content, updated_at FROM segment_draft WHERE segment_id = :id AND user_id = :user",
        **_place(principal, segment_id),
    )
    return Draft(segment_id, row.content, row.updated_at) if row else None


def read_drafted(session: Session, principal: Principal) -> set[UUID]:
    """The segments of which this user has a draft."""
    found = rows(
        session,
        "SELECT segment_id FROM segment_draft WHERE user_id = :user AND segment_id <> :new",
        user=principal.user_id or _NEW,
        new=_NEW,
    )
    return {row.segment_id for row in found}


def write_draft(
    session: Session,
    principal: Principal,
    segment_id: UUID | None,
    content: Mapping[str, Any],
    *,
    expected: datetime | EllipsisType | None = ...,
    now: datetime,
) -> None:
    """Keep what this user is writing, in place of what was kept before. Raises InvalidInput, Forbidden.

    `expected`: when what is replaced was written, None for nothing. Raises Conflict when there is another one by now:
    the same user writes in two tabs. It is no change of the segment, so nobody is told of it.
    """
    authorise(session, principal, "segments.write")
    made = run(
        session,
        "INSERT INTO segment_draft AS d (segment_id, workspace_id, user_id, content, updated_at)"
        " VALUES (:id, app_ws(), :user, CAST(:content AS jsonb), :now) ON CONFLICT (segment_id, workspace_id, user_id)"
        " DO UPDATE SET content = excluded.content, updated_at = excluded.updated_at"
        " WHERE CAST(:anything AS boolean) OR d.updated_at = CAST(:expected AS timestamptz)",
        content=_json(content, _LARGEST_DRAFT),
        anything=expected is ...,
        expected=None if expected is ... else expected,
        now=now,
        **_place(principal, segment_id),
    )
    if not made:
        raise Conflict("This draft was changed in another tab of yours: choose which of the two to go on with.")


def discard_draft(
    session: Session,
    principal: Principal,
    segment_id: UUID | None,
    *,
    expected: datetime | EllipsisType | None = ...,
) -> None:
    """Forget what this user was writing of a segment; where it is `expected`, only what was written then. Raises
    Forbidden.
    """
    authorise(session, principal, "segments.write")
    run(
        session,
        "DELETE FROM segment_draft WHERE segment_id = :id AND user_id = :user"
        " AND (CAST(:anything AS boolean) OR updated_at = CAST(:expected AS timestamptz))",
        anything=expected is ...,
        expected=None if expected is ... else expected,
        **_place(principal, segment_id),
    )


def _place(principal: Principal, segment_id: UUID | None) -> dict[str, UUID]:
    return {"id": segment_id or _NEW, "user": principal.user_id or _NEW}


# ---------------------------------------------------------------------------------------------------------- shared


def _json(content: Mapping[str, Any], largest: int) -> str:
    """Raises InvalidInput for what is no JSON or too long."""
    try:
        text = orjson.dumps(dict(content)).decode().replace("\\u0000", "\\ufffd")
    except (TypeError, ValueError) as error:
        raise InvalidInput("This cannot be kept: it is not a JSON object.") from error
    if len(text) > largest:
        raise InvalidInput(f"This is too long to be kept: at most {largest >> 10} kB of JSON.")
    return text


def _name(text: str) -> str:
    name = _line("name", text, LONGEST_NAME)
    if not is_visible(name):
        raise InvalidInput("Give the segment a name.")
    return name


def _line(what: str, text: str, longest: int) -> str:
    """Raises InvalidInput for what is too long, as nothing of it is left out in silence, or cannot be kept."""
    if not is_whole(text):
        raise InvalidInput(rules.HALF)
    line = one_line(text, len(text))
    if len(line) > longest:
        raise InvalidInput(f"The {what} is {len(line):,} characters long: make it {longest:,} at most.")
    return line


def _taken(name: str) -> Conflict:
    return Conflict(f"There is a segment called “{name}” already: choose another name.")


def _record(
    session: Session,
    principal: Principal,
    segment_id: UUID,
    *,
    before: object = None,
    after: object = None,
    now: datetime,
    **detail: object,
) -> None:
    audit(
        session,
        principal,
        action="segments.write",
        object_kind="segment",
        object_id=segment_id,
        before=before,
        after=after,
        detail=detail,
        now=now,
    )
