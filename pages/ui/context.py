"""What a page knows when it runs: who asks, in which workspace, about which days, and how to write numbers.

`here()` reads session, role and workspace again on every call, so that a removed member's open tab loses access at its
next run. Call it once at the top of a page and once in every fragment and callback that reads or writes.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Concatenate, ParamSpec, TypeVar

from sqlmodel import Session

from gdp_core import clock
from gdp_core.accounts.record import Member
from gdp_core.accounts.roles import Principal, Role
from gdp_core.accounts.sessions import SignedIn
from gdp_core.analytics import scope as scopes
from gdp_core.analytics.scope import Scope
from gdp_core.analytics.workspace import Workspace, read_workspace
from gdp_core.db import Role as PoolRole
from gdp_core.errors import Forbidden, InvalidInput
from gdp_core.runtime import database
from pages.ui import session as tab
from pages.ui import state
from pages.ui.format import Format

P = ParamSpec("P")
R = TypeVar("R")


class Homeless(Forbidden):
    """Somebody who is signed in and belongs to no workspace."""

    def __init__(self, signed_in: SignedIn) -> None:
        self.signed_in = signed_in
        super().__init__("You belong to no workspace: ask the person who invited you to invite you again.")


@dataclass(frozen=True, slots=True)
class Here:
    """One run of a page. `problem`: why its days are not those that the address asks for."""

    signed_in: SignedIn
    member: Member
    principal: Principal
    workspace: Workspace
    scope: Scope
    now: datetime
    write: Format
    problem: str | None

    @property
    def role(self) -> Role:
        """The role of whoever asks."""
        return self.principal.role

    def may(self, action: str) -> bool:
        """Whether to show what the action does."""
        return self.principal.may(action)

    def sees(self, text: str | None) -> str | None:
        """Personal data as this role may see it. Still not safe as Markdown."""
        return self.principal.sees(text)

    def read(self, reader: Callable[Concatenate[Session, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run one read of core in a read-only transaction; not remembered, so personal data is fine."""
        with database("gdp_web").transaction(self.workspace.id, read_only=True) as session:
            return reader(session, *args, **kwargs)

    @contextmanager
    def still(self) -> Iterator[Session]:
        """A read-only transaction in which every read sees the same state."""
        with database("gdp_web").transaction(self.workspace.id, read_only=True, still=True) as session:
            yield session

    @contextmanager
    def change(self, pool: PoolRole = "gdp_web", *, timeout: float = 30.0) -> Iterator[Session]:
        """A transaction for a change. Core checks the role again inside it."""
        with database(pool).transaction(self.workspace.id, timeout=timeout) as session:
            yield session


PERIOD = state.Field("scope", "period", default="30d", longest=40)
COMPARE = state.Field("scope", "compare", default="previous", choices=("previous", "year", "none"))
SCOPE_FIELDS = (PERIOD, COMPARE)


def here() -> Here:
    """Who asks and where.

    Raises Unauthorised (signed out), Homeless, Forbidden (not a member of the workspace in the URL), NotFound,
    Unavailable.
    """
    found = tab.signed_in()
    if not found.memberships:
        raise Homeless(found)
    slug = state.query("ws") or _remembered(found)
    principal = found.principal(slug, ip=tab.address())
    member = next(item for item in found.memberships if item.workspace_id == principal.workspace_id)
    state.WORKSPACE.set(member.slug)
    with database("gdp_web").transaction(member.workspace_id, read_only=True) as session:
        workspace = read_workspace(session)
    now = clock.now()
    chosen, problem = _scope(workspace, now)
    return Here(
        signed_in=found,
        member=member,
        principal=principal,
        workspace=workspace,
        scope=chosen,
        now=now,
        write=Format(workspace.locale, workspace.timezone, workspace.base_currency),
        problem=problem,
    )


_ARRIVED: state.Slot[Here | None] = state.Slot("shell.here", None)


def arrive() -> Here:
    """`here`, kept for the page that the frame goes on to run."""
    place = here()
    _ARRIVED.set(place)
    return place


def arrived() -> Here:
    """What `arrive` found in this run, once; `here` where nothing has. At the top of a page only."""
    return _ARRIVED.take() or here()


def _remembered(found: SignedIn) -> str:
    slug = state.WORKSPACE.get()
    slugs = [member.slug for member in found.memberships]
    return slug if slug in slugs else slugs[0]


def _scope(workspace: Workspace, now: datetime) -> tuple[Scope, str | None]:
    """The days of the address, or the usual ones and why."""

    def made(period: str) -> Scope:
        return scopes.scope(
            workspace.id,
            timezone=workspace.timezone,
            currency=workspace.base_currency,
            now=now,
            period=period,
            compare=COMPARE.parse(state.query("compare")),
        )

    try:
        return made(PERIOD.parse(state.query("period"))), None
    except InvalidInput as error:
        return made(PERIOD.default), f"This link asks for other days, but these are shown. {error}"
