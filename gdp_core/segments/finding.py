"""Finds somebody by any id or identifier they ever had: what a script holds is a user id or an address, not a person's id."""

import re
from uuid import UUID

from sqlmodel import Session

from gdp_core.db import rows, workspace_of
from gdp_core.errors import InvalidInput, NotFound
from gdp_core.identity import actor_id
from gdp_core.sources.facts import Identifier
from gdp_core.sources.people import NAMESPACES, identifier
from gdp_core.words import is_whole

_LONGEST = 1000
_OURS = "person"
_KIND = re.compile(r"[a-z][a-z0-9_]{0,39}")


def find_person(session: Session, text: str) -> tuple[UUID, int]:
    """(id, lasting number) of the person of an id of ours, or of an identifier: ada@example.com, 42, or user:42.

    `person:` before an id says that it is ours. Raises NotFound, and InvalidInput when several people have it, each in another namespace.
    """
    given = text.replace("\x00", "").strip()[:_LONGEST]
    found = rows(
        session,
        "SELECT DISTINCT p.id, p.number FROM actor a JOIN actor p ON p.workspace_id = a.workspace_id AND p.id = a.person_id"
        " WHERE a.workspace_id = app_ws() AND a.id = ANY(:ids)",
        ids=list(_ids(workspace_of(session), given)),
    )
    if not found:
        raise NotFound("Nobody has this id or identifier.")
    if len(found) > 1:
        raise InvalidInput(f"Several people have this identifier: say which kind it is, like user:{given[:80]}.")
    return found[0].id, int(found[0].number)


def _ids(workspace_id: UUID | None, given: str) -> set[UUID]:
    """The actors it may be: of an id of ours, or of an identifier of any kind, which may look like one of ours."""
    if workspace_id is None or not is_whole(given):
        return set()
    kind, _, value = given.partition(":")
    spelt = [(kind, value)] if value and _KIND.fullmatch(kind) else []
    known = {_OURS, *NAMESPACES}
    asked = spelt if kind in known and spelt else [*spelt, *((name, given) for name in sorted(known))]
    found = (identifier(*pair) for pair in asked)
    return {actor_id(workspace_id, one) for one in found if one is not None and (one.namespace != _OURS or _is_id(one))}


def _is_id(one: Identifier) -> bool:
    try:
        UUID(one.value)
    except ValueError:
        return False
    return True
