"""What the rules of segments name, so that nobody takes it away from under them.

Rules are read here as they are kept, whatever release wrote them; what they mean is for gdp_core.segments to say.
"""

from collections.abc import Sequence
from typing import Literal

from sqlmodel import Session

from gdp_core.db import rows, run
from gdp_core.errors import Conflict

_LOCK_SPACE = 0x7365676D  # "segm": its own space, so that it never meets another lock
_SHOWN = 3
_PLACES = {
    "feature": '@.kind == "feature" && (@.feature == $key || @.other == $key)',
    "list": '@.kind == "list" && @.people == $key',
    "segment": '@.kind == "segment" && @.segment == $key',
}


def alone(session: Session) -> None:
    """Two who change what rules of a workspace name, or those rules, come one after the other until they commit."""
    run(
        session,
        "SELECT pg_advisory_xact_lock(:space, hashtext(app_ws()::text))",
        space=_LOCK_SPACE,
    )


def refuse_while_named(session: Session, kind: Literal["feature", "list", "segment"], key: str) -> None:
    """Raises Conflict with the names of the segments whose rules name a feature's slug, or a list's or segment's id."""
    alone(session)
    found = rows(
        session,
        "SELECT s.name FROM segment s JOIN segment_version v ON v.workspace_id = s.workspace_id AND v.segment_id = s.id"
        " AND v.version = s.version WHERE s.archived_at IS NULL AND jsonb_path_exists(v.rule, CAST(:path AS jsonpath),"
        " jsonb_build_object('key', CAST(:key AS text))) ORDER BY s.name",
        path=f"$.** ? ({_PLACES[kind]})",
        key=key,
    )
    if found:
        names = _quoted([row.name for row in found])
        raise Conflict(f"The rule of the segment {names} names this {kind}: take it out there first.")


def _quoted(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(f"“{name}”" for name in names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
