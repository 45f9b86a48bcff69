"""What each role may do, as one table, and the person who asks. Pages ask it to decide what to show; core asks it
before every change. Refuses to let a role that was taken away count: `authorise` reads the membership again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, Self
from uuid import UUID

from sqlmodel import Session

from gdp_core.db import one, workspace_of
from gdp_core.errors import Forbidden, NoTenant


class Role(StrEnum):
    """A user's role in a workspace, from most to least."""

    OWNER = "OWNER"
    ADMIN = "ADMIN"
    MEMBER = "MEMBER"
    VIEWER = "VIEWER"

    @property
    def spelt(self) -> str:
        """As people read it: Owner."""
        return self.value.capitalize()


class Grant(NamedTuple):
    """Who may do an action, and its name inside a sentence."""

    roles: frozenset[Role]
    phrase: str


_EVERYONE = frozenset(Role)
_EDITORS = frozenset({Role.OWNER, Role.ADMIN, Role.MEMBER})
_ADMINS = frozenset({Role.OWNER, Role.ADMIN})
_OWNERS = frozenset({Role.OWNER})

GRANTS: Mapping[str, Grant] = MappingProxyType(
    {
        "overview.read": Grant(_EVERYONE, "see the overview"),
        "people.read": Grant(_EVERYONE, "see people"),
        "events.read": Grant(_EVERYONE, "see the event catalogue"),
        "sources.read": Grant(_EVERYONE, "see sources"),
        "quality.read": Grant(_EVERYONE, "see data quality"),
        "jobs.read": Grant(_EVERYONE, "see jobs"),
        "settings.read": Grant(_EVERYONE, "see the settings"),
        "members.read": Grant(_EVERYONE, "see who is a member"),
        "reports.read": Grant(_EVERYONE, "see reports"),
        "segments.read": Grant(_EVERYONE, "see segments"),
        "pii.read": Grant(_EDITORS, "see names, e-mail addresses and other identifiers in full"),
        "people.export": Grant(_EDITORS, "export people"),
        "reports.write": Grant(_EDITORS, "save reports and lists of people"),
        "segments.write": Grant(_EDITORS, "make and change segments"),
        "features.write": Grant(_EDITORS, "define features of people"),
        "identity.merge": Grant(_EDITORS, "merge and unmerge people"),
        "events.write": Grant(_EDITORS, "change the event catalogue"),
        "inbox.read": Grant(_EDITORS, "read raw deliveries"),
        "imports.run": Grant(_EDITORS, "import files"),
        "inbox.replay": Grant(_ADMINS, "replay deliveries"),
        "sources.write": Grant(_ADMINS, "connect and change sources"),
        "keys.read": Grant(_ADMINS, "see API keys"),
        "keys.write": Grant(_ADMINS, "make and revoke API keys"),
        "members.write": Grant(_ADMINS, "invite and change members"),
        "settings.write": Grant(_ADMINS, "change the settings"),
        "audit.read": Grant(_ADMINS, "read the audit log"),
        "demo.remove": Grant(_ADMINS, "remove the demo workspace"),
        "workspace.create": Grant(_ADMINS, "create a workspace"),
        "owners.write": Grant(_OWNERS, "make, change or remove an owner"),
        "workspace.archive": Grant(_OWNERS, "archive a workspace"),
        "workspace.delete": Grant(_OWNERS, "delete a workspace"),
    }
)


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who acts in a workspace. `user_id` None: a command on the server, recorded as "system"."""

    user_id: UUID | None
    label: str  # the e-mail address, as the audit log shows it
    workspace_id: UUID
    role: Role
    ip: str | None = None

    @classmethod
    def system(cls, workspace_id: UUID) -> Self:
        """Whoever has a shell on the server may do everything."""
        return cls(user_id=None, label="system", workspace_id=workspace_id, role=Role.OWNER)

    def may(self, action: str) -> bool:
        """Whether the role allows the action. Raises KeyError for one that is not in the table."""
        return self.role in GRANTS[action].roles

    def require(self, action: str) -> None:
        """Raises Forbidden with a sentence that says who may."""
        if not self.may(action):
            grant = GRANTS[action]
            *others, last = (role.spelt for role in Role if role in grant.roles)
            allowed = f"{', '.join(others)} or {last}" if others else last
            raise Forbidden(
                f"Your role {self.role.spelt} may not {grant.phrase}: ask somebody whose role is {allowed}."
            )

    def sees(self, text: str | None) -> str | None:
        """`text` as this person may see it: masked without pii.read."""
        return text if text is None or self.may("pii.read") else masked(text)


def authorise(session: Session, principal: Principal, action: str) -> None:
    """Let the principal act in the open transaction's workspace, by the role they have now.

    `session` runs as gdp_web, gdp_worker or gdp_gate. Raises Forbidden, or NoTenant when the transaction is for
    another workspace than the principal.
    """
    if workspace_of(session) != principal.workspace_id:
        raise NoTenant("The transaction is for another workspace than the person who acts in it.")
    principal.require(action)
    if principal.user_id is None:
        return
    held = one(
        session,
        "SELECT role FROM membership WHERE user_id = :user AND workspace_id = :workspace",
        user=principal.user_id,
        workspace=principal.workspace_id,
    )
    if held is None or held.role != principal.role:
        raise Forbidden("Your role in this workspace was changed: sign in again.")


def masked(text: str) -> str:
    """`text` with everything but the first character of each part covered: a•••@e•••.com, A••• L•••."""
    local, at, domain = text.rpartition("@")
    if at and local:
        name, dot, suffix = domain.rpartition(".")
        return f"{_covered(local)}@{_covered(name or suffix)}{dot}{suffix if name else ''}"
    return " ".join(_covered(part) for part in text.split()) or text


def _covered(part: str) -> str:
    return part[:1] + "•••"
