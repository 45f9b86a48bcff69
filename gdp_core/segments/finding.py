"""Finds somebody by any id or identifier they ever had: what a script holds is a user id or an address, not a person's id."""

from uuid import UUID

from sqlmodel import Session

from gdp_core.db import rows, workspace_of
from gdp_core.errors import InvalidInput, NotFound
from gdp_core.identity import actor_id
from gdp_core.sources.people import identifier

NAMESPACES = ("user", "email", "phone", "anonymous", "stripe", "posthog", "meta")
_LONGEST = 1000


def find_person(session: Session, text: str) -> tuple[UUID, int]:
    """(id, lasting number) of the person of an id of ours, or of an identifier: ada@example.com, 42, or user:42.

    Raises NotFound, and InvalidInput when several people have it, each in another namespace.
    """
    given = text.replace("\x00", "").strip()[:_LONGEST]
    found = rows(
        session,
        "SELECT DISTINCT p.id, p.number FROM actor a JOIN actor p ON p.workspace_id = a.workspace_id AND p.id = a.person_id"
        " WHERE a.workspace_id = app_ws() AND a.id = ANY(:ids)",
        ids=_ids(workspace_of(session), given),
    )
    if not found:
        raise NotFound("Nobody has this id or identifier.")
    if len(found) > 1:
        raise InvalidInput(f"Several people have this identifier: say which kind it is, like user:{given[:80]}.")
    return found[0].id, int(found[0].number)


def _ids(workspace_id: UUID | None, given: str) -> list[UUID]:
    """The actors it may be: an id of ours is no identifier of theirs."""
    try:
        return [UUID(given)]
    except ValueError:
        pass
    namespace, _, value = given.partition(":")
    spelt = [(namespace, value)] if namespace in NAMESPACES and value else []
    asked = spelt or [(name, given) for name in NAMESPACES]
    known = [one for one in (identifier(*pair) for pair in asked) if one is not None]
    return [actor_id(workspace_id, one) for one in known] if workspace_id else []
