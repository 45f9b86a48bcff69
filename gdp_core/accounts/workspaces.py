"""Workspaces: making, configuring, entering, archiving and deleting them.

`change`, `archive` and `restore` run as gdp_web; making and entering as gdp_gate; deleting needs gdp_worker too, because
it removes what the worker wrote.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import available_timezones

from babel import Locale, UnknownLocaleError
from babel.numbers import list_currencies
from sqlalchemy import exc
from sqlmodel import Session, SQLModel

import gdp_core.tables  # noqa: F401 - deleting walks every table, so they must all be known
from gdp_core.accounts.audit import audit
from gdp_core.accounts.roles import Principal, Role, authorise
from gdp_core.db import Database, lock_key, one, rows, run
from gdp_core.errors import Forbidden, InvalidInput, NotFound
from gdp_core.words import one_line

_SLUG = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_LONGEST_SLUG = 40
_LONGEST_NAME = 80
_RESERVED = frozenset("api app admin login logout invite oidc static media new none null all".split())
_DELETE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class WorkspaceSettings:
    """What a workspace's owners choose. None leaves a value as it is."""

    name: str | None = None
    timezone: str | None = None
    locale: str | None = None
    base_currency: str | None = None
    trial_days: int | None = None
    dormant_days: int | None = None
    inbox_retention_days: int | None = None


def valid_slug(text: str) -> str:
    """A slug as it is stored: 2 to 40 of a-z, 0-9 and single hyphens, a letter first. Raises InvalidInput."""
    slug = text.strip().lower()
    if not _SLUG.fullmatch(slug) or not 2 <= len(slug) <= _LONGEST_SLUG:
        raise InvalidInput(
            f"A workspace's short name is 2 to {_LONGEST_SLUG} letters, digits and single hyphens, for example acme-eu."
        )
    if slug in _RESERVED:
        raise InvalidInput(f"{slug!r} is reserved: choose another short name.")
    return slug


def create(database: Database, principal: Principal | None, *, slug: str, name: str = "", now: datetime) -> UUID:
    """Make a workspace; who makes it becomes its owner. None: a command, and the first owner adopts it at next start.

    `database` runs as gdp_gate; the principal acts in the workspace they are in. Raises InvalidInput, Forbidden.
    """
    slug = valid_slug(slug)
    if principal is not None:
        with database.transaction(principal.workspace_id) as session:
            authorise(session, principal, "workspace.create")
    workspace_id = uuid4()
    with database.transaction(workspace_id) as session:
        make(session, principal, workspace_id, slug=slug, name=name, now=now)
    return workspace_id


def make(
    session: Session, principal: Principal | None, workspace_id: UUID, *, slug: str, name: str, now: datetime
) -> None:
    """A workspace, its owner and its first audit row in the open transaction; whether they may is the caller's part."""
    insert_workspace(session, workspace_id, slug=slug, name=name.strip() or slug, now=now)
    if principal is not None and principal.user_id is not None:
        run(
            session,
            "INSERT INTO membership (user_id, workspace_id, role, created_at) VALUES (:user, :ws, :role, :now)",
            user=principal.user_id,
            ws=workspace_id,
            role=Role.OWNER,
            now=now,
        )
    audit(
        session,
        principal,
        action="workspace.create",
        object_kind="workspace",
        object_id=workspace_id,
        detail={"slug": slug},
        now=now,
    )


def insert_workspace(
    session: Session, workspace_id: UUID, *, slug: str, name: str, kind: str = "normal", now: datetime
) -> None:
    """The row of a workspace in the open transaction of gdp_gate. Raises InvalidInput when the slug is taken."""
    try:
        run(
            session,
            "INSERT INTO workspace (id, slug, name, kind, plan, timezone, locale, base_currency, trial_days, dormant_days,"
            " inbox_retention_days, created_at)"
            " VALUES (:id, :slug, :name, :kind, 'free', 'UTC', 'en_US', 'USD', 14, 60, 90, :now)",
            id=workspace_id,
            slug=slug,
            name=_name(name),
            kind=kind,
            now=now,
        )
    except exc.IntegrityError as error:
        raise InvalidInput(f"There is a workspace {slug!r} already: choose another short name.") from error


def find(database: Database, slug: str) -> UUID:
    """The workspace of that slug, for commands; `database` runs as gdp_gate. Raises NotFound."""
    with database.transaction(None, read_only=True) as session:
        row = one(session, "SELECT id FROM workspace WHERE slug = :slug", slug=slug)
    if row is None:
        raise NotFound(f"There is no workspace {slug!r}: make it with `python -m jobs workspace create {slug}`.")
    workspace_id: UUID = row.id
    return workspace_id


def change(session: Session, principal: Principal, wanted: WorkspaceSettings, *, now: datetime) -> None:
    """Change the open workspace's settings. Raises InvalidInput naming the one that cannot be used, Forbidden."""
    authorise(session, principal, "settings.write")
    values = {name: getattr(wanted, name) for name in wanted.__slots__ if getattr(wanted, name) is not None}
    _check(values)
    if not values:
        return
    names = ", ".join(values)
    before = one(session, f"SELECT {names} FROM workspace")
    run(
        session,
        f"UPDATE workspace SET {', '.join(f'{name} = :{name}' for name in values)} WHERE id = :id",
        **values,
        id=principal.workspace_id,
    )
    audit(
        session,
        principal,
        action="settings.write",
        object_kind="workspace",
        object_id=principal.workspace_id,
        before=dict(before._mapping),
        after=values,
        detail={"changed": sorted(values)},
        now=now,
    )


def enter(database: Database, principal: Principal, *, now: datetime) -> None:
    """Make the principal's workspace the one they come back to. Raises Forbidden."""
    with database.transaction(principal.workspace_id) as session:
        authorise(session, principal, "overview.read")
        run(
            session,
            "UPDATE app_user SET active_workspace_id = :ws WHERE id = :user",
            ws=principal.workspace_id,
            user=principal.user_id,
        )
        audit(
            session,
            principal,
            action="workspace.enter",
            object_kind="workspace",
            object_id=principal.workspace_id,
            now=now,
        )


def archive(session: Session, principal: Principal, *, confirm: str, now: datetime) -> None:
    """Put the open workspace away: its keys and addresses stop working and nobody sees it, but nothing is deleted.

    `confirm` repeats its slug. Raises InvalidInput, Forbidden.
    """
    authorise(session, principal, "workspace.archive")
    _confirmed(session, principal, confirm)
    _archive(session, principal, "workspace.archive", now)


def restore(session: Session, principal: Principal, *, now: datetime) -> None:
    """Take an archived workspace back into use. Raises Forbidden."""
    authorise(session, principal, "workspace.archive")
    run(session, "UPDATE workspace SET archived_at = NULL WHERE id = :id", id=principal.workspace_id)
    audit(
        session,
        principal,
        action="workspace.restore",
        object_kind="workspace",
        object_id=principal.workspace_id,
        now=now,
    )


def delete(web: Database, worker: Database, principal: Principal, *, confirm: str, now: datetime) -> None:
    """Delete a workspace with everything in it, for ever. `confirm` repeats its slug. May be run again when killed.

    Raises InvalidInput, Forbidden.
    """
    with web.transaction(principal.workspace_id) as session:
        authorise(session, principal, "workspace.delete")
        _confirmed(session, principal, confirm)
        _archive(session, principal, "workspace.delete", now)
    _erase(worker, principal.workspace_id)


def remove_demo(web: Database, worker: Database, principal: Principal, *, now: datetime) -> None:
    """Delete the demo workspace with everything in it. Raises Forbidden, also for a workspace that is no demo."""
    with web.transaction(principal.workspace_id) as session:
        authorise(session, principal, "demo.remove")
        row = one(session, "SELECT kind FROM workspace")
        if row is None or row.kind != "demo":
            raise Forbidden("This is not a demo workspace: delete it in its settings.")
        _archive(session, principal, "demo.remove", now)
    _erase(worker, principal.workspace_id)


def _archive(session: Session, principal: Principal, action: str, now: datetime) -> None:
    run(
        session,
        "UPDATE workspace SET archived_at = coalesce(archived_at, :now) WHERE id = :id",
        now=now,
        id=principal.workspace_id,
    )
    audit(session, principal, action=action, object_kind="workspace", object_id=principal.workspace_id, now=now)


def _erase(worker: Database, workspace_id: UUID) -> None:
    owned = [table.name for table in SQLModel.metadata.sorted_tables if _holds_facts(table)]
    for name in reversed(owned):
        with worker.transaction(workspace_id, timeout=_DELETE_SECONDS) as session:
            run(session, f"DELETE FROM {name} WHERE workspace_id = :ws", ws=workspace_id)
    # The archived workspace accepts nothing any more; what was being applied meanwhile goes with the row itself.
    with worker.transaction(workspace_id, timeout=_DELETE_SECONDS) as session:
        run(session, "SELECT pg_advisory_xact_lock(:key)", key=lock_key(workspace_id))
        for name in reversed(owned):
            run(session, f"DELETE FROM {name} WHERE workspace_id = :ws", ws=workspace_id)
        run(session, "DELETE FROM workspace WHERE id = :ws", ws=workspace_id)


def _holds_facts(table: Any) -> bool:
    """Whether a table of tenants does not go with the workspace by itself."""
    cascades = any(key.column.table.name == "workspace" for key in table.foreign_keys)
    return "workspace_id" in table.columns and table.schema is None and not cascades


def _confirmed(session: Session, principal: Principal, confirm: str) -> None:
    row = one(session, "SELECT slug FROM workspace WHERE id = :id", id=principal.workspace_id)
    if row is None:
        raise NotFound("This workspace does not exist any more.")
    if confirm.strip() != row.slug:
        raise InvalidInput(f"Write the workspace's short name {row.slug} to confirm.")


def _check(values: dict[str, Any]) -> None:
    for name, value in values.items():
        if not _CHECKS[name][0](value):
            raise InvalidInput(_CHECKS[name][1])
    if "name" in values:
        values["name"] = _name(values["name"])


def _is_locale(value: str) -> bool:
    try:
        Locale.parse(value)
    except (ValueError, UnknownLocaleError, TypeError):
        return False
    return True


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (lambda value: bool(_name(value)), "Give the workspace a name."),
    "timezone": (lambda value: value in available_timezones(), "Choose a time zone like Europe/Berlin."),
    "locale": (_is_locale, "Choose a locale like en_US or de_DE."),
    "base_currency": (lambda value: value in list_currencies(), "Choose a currency by its code, like USD."),
    "trial_days": (lambda value: 0 <= value <= 365, "The trial window is 0 to 365 days."),
    "dormant_days": (lambda value: 1 <= value <= 3650, "People become dormant after 1 to 3650 days."),
    "inbox_retention_days": (lambda value: 1 <= value <= 3650, "Raw deliveries are kept for 1 to 3650 days."),
}


def _name(text: str) -> str:
    return one_line(text, _LONGEST_NAME)


def list_archived(database: Database, user_id: UUID) -> list[tuple[UUID, str, str]]:
    """(id, slug, name) of the archived workspaces a user owns; `database` runs as gdp_gate."""
    with database.transaction(None, read_only=True) as session:
        found = rows(
            session,
            "SELECT w.id, w.slug, w.name FROM workspace w JOIN membership m ON m.workspace_id = w.id"
            " WHERE m.user_id = :user AND m.role = 'OWNER' AND w.archived_at IS NOT NULL ORDER BY w.slug",
            user=user_id,
        )
    return [(row.id, row.slug, row.name) for row in found]
