"""The matrix of roles and actions, executed through the functions that change or show something."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlmodel import Session

from gdp_core import reports, vault
from gdp_core.accounts import connections, keys, members, workspaces
from gdp_core.accounts.roles import GRANTS, Principal, Role, authorise
from gdp_core.db import Database, one, run
from gdp_core.errors import Forbidden, NoTenant
from gdp_core.features import definitions
from gdp_core.segments import keeping as segments
from gdp_core.segments.rules import Rule, read
from gdp_core.settings import settings
from tests.conftest import NOW, TestDatabase

EVERYONE = {"OWNER", "ADMIN", "MEMBER", "VIEWER"}
EDITORS = EVERYONE - {"VIEWER"}
ADMINS = {"OWNER", "ADMIN"}
OWNERS = {"OWNER"}

# Written out a second time on purpose: a change of the table in core has to be meant.
MATRIX = {
    "overview.read": EVERYONE,
    "people.read": EVERYONE,
    "events.read": EVERYONE,
    "sources.read": EVERYONE,
    "quality.read": EVERYONE,
    "jobs.read": EVERYONE,
    "settings.read": EVERYONE,
    "members.read": EVERYONE,
    "reports.read": EVERYONE,
    "segments.read": EVERYONE,
    "pii.read": EDITORS,
    "people.export": EDITORS,
    "reports.write": EDITORS,
    "segments.write": EDITORS,
    "features.write": EDITORS,
    "identity.merge": EDITORS,
    "events.write": EDITORS,
    "inbox.read": EDITORS,
    "imports.run": EDITORS,
    "inbox.replay": ADMINS,
    "sources.write": ADMINS,
    "keys.read": ADMINS,
    "keys.write": ADMINS,
    "members.write": ADMINS,
    "settings.write": ADMINS,
    "audit.read": ADMINS,
    "demo.remove": ADMINS,
    "workspace.create": ADMINS,
    "owners.write": OWNERS,
    "workspace.archive": OWNERS,
    "workspace.delete": OWNERS,
}


@pytest.fixture(autouse=True)
def own_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("GDP_DATA_DIR", str(tmp_path))
    settings.cache_clear()
    vault._keyring.cache_clear()
    yield
    settings.cache_clear()
    vault._keyring.cache_clear()


class Scene:
    """A workspace with one member of each role, and something to act on."""

    def __init__(self, database: TestDatabase) -> None:
        self.database = database
        self.workspace = database.workspace("acme", kind="demo")
        self.source = database.source(self.workspace, "stripe")
        self.owner = Principal.system(self.workspace)
        self.people = {role: self._member(role.lower(), role) for role in Role}
        self.target = self._member("target", Role.MEMBER).user_id or uuid.UUID(int=0)
        self.second_owner = self._member("second", Role.OWNER).user_id or uuid.UUID(int=0)
        with database.web.transaction(self.workspace) as session:
            self.key = keys.create(session, self.owner, source_id=self.source, name="k", kind="server", now=NOW).id
            self.secret = connections.set_secret(session, self.owner, self.source, secret="whsec_1234", now=NOW)
            members.invite(session, self.owner, email="new@acme.test", role=Role.MEMBER, now=NOW)
            self.invitation = members.list_invitations(session, self.owner, now=NOW)[0].id
        self._keep_reports()

    def _keep_reports(self) -> None:
        self.person = uuid.uuid4()
        with self.database.worker.transaction(self.workspace) as session:
            run(
                session,
                "INSERT INTO actor (id, workspace_id, namespace, external_id, cluster_id, person_id, is_primary,"
                " personless, event_count, applied_at) VALUES (:id, :ws, 'user', 'u1', :id, :id, true, false, 0, :now)",
                id=self.person,
                ws=self.workspace,
                now=NOW,
            )
        with self.database.web.transaction(self.workspace) as session:
            question = reports.Question("funnel", {"steps": ["a", "b"]})
            self.report = reports.save_report(session, self.owner, "Kept", question, now=NOW).id
            self.gone = reports.save_report(session, self.owner, "Gone", question, now=NOW).id
            reports.delete_report(session, self.owner, self.gone, now=NOW)
            self.list = reports.save_list(session, self.owner, "Kept", [self.person], now=NOW).id
            definitions.define(session, self.owner, definitions.Wanted("Visits", "count", ("visit",)), now=NOW)
            self.segment = segments.create(session, self.owner, "Kept", _rule("kept"), now=NOW).id
            self.put_away = segments.create(session, self.owner, "Put away", _rule("gone"), now=NOW).id
            segments.delete(session, self.owner, self.put_away, now=NOW)

    def _member(self, name: str, role: Role) -> Principal:
        user_id = uuid.uuid4()
        with self.database.gate.transaction(self.workspace) as session:
            run(
                session,
                "INSERT INTO app_user (id, email, name, failed_sign_ins, created_at) VALUES (:id, :email, '', 0, :now)",
                id=user_id,
                email=f"{name}@acme.test",
                now=NOW,
            )
            run(
                session,
                "INSERT INTO membership (user_id, workspace_id, role, created_at) VALUES (:id, :ws, :role, :now)",
                id=user_id,
                ws=self.workspace,
                role=role,
                now=NOW,
            )
        return Principal(user_id, f"{name}@acme.test", self.workspace, role)

    def fingerprint(self) -> object:
        """Everything a refused call might have changed."""
        with self.database.web.transaction(self.workspace) as session:
            return one(
                session,
                "SELECT (SELECT string_agg(w::text, '') FROM workspace w),"
                " (SELECT string_agg(m::text, '' ORDER BY m::text) FROM membership m),"
                " (SELECT string_agg(i::text, '' ORDER BY i::text) FROM invitation i),"
                " (SELECT string_agg(k::text, '' ORDER BY k::text) FROM api_key k),"
                " (SELECT string_agg(s::text, '' ORDER BY s::text) FROM source_instance s),"
                " (SELECT string_agg(x::text, '' ORDER BY x::text) FROM source_secret x),"
                " (SELECT string_agg(r::text, '' ORDER BY r::text) FROM saved_report r),"
                " (SELECT string_agg(l::text, '' ORDER BY l::text) FROM static_list l),"
                " (SELECT string_agg(m::text, '' ORDER BY m::text) FROM static_list_member m),"
                " (SELECT string_agg(f::text, '' ORDER BY f::text) FROM feature_definition f),"
                " (SELECT string_agg(s::text, '' ORDER BY s::text) FROM segment s),"
                " (SELECT string_agg(v::text, '' ORDER BY v::text) FROM segment_version v),"
                " (SELECT count(*) FROM audit_log)",
            )


def _rule(event: str) -> Rule:
    return read({"version": 1, "match": {"kind": "all", "of": [{"kind": "performed", "event": {"names": [event]}}]}})


def _web(call: Callable[[Session, Principal, Scene], object]) -> Callable[[Scene, Principal], object]:
    def run_it(scene: Scene, principal: Principal) -> object:
        with scene.database.web.transaction(scene.workspace) as session:
            return call(session, principal, scene)

    return run_it


def _gate(call: Callable[[Session, Principal, Scene], object]) -> Callable[[Scene, Principal], object]:
    def run_it(scene: Scene, principal: Principal) -> object:
        with scene.database.gate.transaction(scene.workspace) as session:
            return call(session, principal, scene)

    return run_it


# name -> (the action it needs, how to do it, whether it changes something)
CALLS: dict[str, tuple[str, Callable[[Scene, Principal], object], bool]] = {
    "list members": ("members.read", _web(lambda s, p, x: members.list_members(s, p)), False),
    "list invitations": ("members.write", _web(lambda s, p, x: members.list_invitations(s, p, now=NOW)), False),
    "invite": (
        "members.write",
        _web(lambda s, p, x: members.invite(s, p, email="eve@acme.test", role=Role.VIEWER, now=NOW)),
        True,
    ),
    "invite an owner": (
        "owners.write",
        _web(lambda s, p, x: members.invite(s, p, email="eve@acme.test", role=Role.OWNER, now=NOW)),
        True,
    ),
    "uninvite": ("members.write", _web(lambda s, p, x: members.revoke_invitation(s, p, x.invitation, now=NOW)), True),
    "change a role": (
        "members.write",
        _gate(lambda s, p, x: members.change_role(s, p, x.target, role=Role.VIEWER, now=NOW)),
        True,
    ),
    "make an owner": (
        "owners.write",
        _gate(lambda s, p, x: members.change_role(s, p, x.target, role=Role.OWNER, now=NOW)),
        True,
    ),
    "demote an owner": (
        "owners.write",
        _gate(lambda s, p, x: members.change_role(s, p, x.second_owner, role=Role.VIEWER, now=NOW)),
        True,
    ),
    "remove a member": ("members.write", _gate(lambda s, p, x: members.remove(s, p, x.target, now=NOW)), True),
    "remove an owner": ("owners.write", _gate(lambda s, p, x: members.remove(s, p, x.second_owner, now=NOW)), True),
    "list keys": ("keys.read", _web(lambda s, p, x: keys.list_keys(s, p)), False),
    "make a key": (
        "keys.write",
        _web(lambda s, p, x: keys.create(s, p, source_id=x.source, name="n", kind="browser", now=NOW)),
        True,
    ),
    "rotate a key": ("keys.write", _web(lambda s, p, x: keys.rotate(s, p, x.key, now=NOW)), True),
    "revoke a key": ("keys.write", _web(lambda s, p, x: keys.revoke(s, p, x.key, now=NOW)), True),
    "list sources": ("sources.read", _web(lambda s, p, x: connections.list_connections(s, p)), False),
    "list secrets": ("sources.read", _web(lambda s, p, x: connections.list_secrets(s, p, x.source, now=NOW)), False),
    "connect": (
        "sources.write",
        _web(lambda s, p, x: connections.connect(s, p, source="resend", name="Mail", now=NOW)),
        True,
    ),
    "rename a source": (
        "sources.write",
        _web(lambda s, p, x: connections.rename(s, p, x.source, name="New", now=NOW)),
        True,
    ),
    "archive a source": ("sources.write", _web(lambda s, p, x: connections.archive(s, p, x.source, now=NOW)), True),
    "change an address": (
        "sources.write",
        _web(lambda s, p, x: connections.change_address(s, p, x.source, now=NOW)),
        True,
    ),
    "set a secret": (
        "sources.write",
        _web(lambda s, p, x: connections.set_secret(s, p, x.source, secret="whsec_5678", now=NOW)),
        True,
    ),
    "drop a secret": (
        "sources.write",
        _web(lambda s, p, x: connections.drop_secret(s, p, x.source, x.secret, now=NOW)),
        True,
    ),
    "save a report": (
        "reports.write",
        _web(lambda s, p, x: reports.save_report(s, p, "New", reports.Question("funnel", {}), now=NOW)),
        True,
    ),
    "change a report": (
        "reports.write",
        _web(lambda s, p, x: reports.change_report(s, p, x.report, reports.Question("revenue", {}), now=NOW)),
        True,
    ),
    "rename a report": (
        "reports.write",
        _web(lambda s, p, x: reports.rename_report(s, p, x.report, "B", now=NOW)),
        True,
    ),
    "delete a report": ("reports.write", _web(lambda s, p, x: reports.delete_report(s, p, x.report, now=NOW)), True),
    "restore a report": ("reports.write", _web(lambda s, p, x: reports.restore_report(s, p, x.gone, now=NOW)), True),
    "save a list": ("reports.write", _web(lambda s, p, x: reports.save_list(s, p, "New", [x.person], now=NOW)), True),
    "rename a list": ("reports.write", _web(lambda s, p, x: reports.rename_list(s, p, x.list, "B", now=NOW)), True),
    "delete a list": ("reports.write", _web(lambda s, p, x: reports.delete_list(s, p, x.list, now=NOW)), True),
    "make a segment": (
        "segments.write",
        _web(lambda s, p, x: segments.create(s, p, "New", _rule("new"), now=NOW)),
        True,
    ),
    "change a segment": (
        "segments.write",
        _web(lambda s, p, x: segments.change(s, p, x.segment, _rule("other"), expected_version=1, now=NOW)),
        True,
    ),
    "rename a segment": ("segments.write", _web(lambda s, p, x: segments.rename(s, p, x.segment, "B", now=NOW)), True),
    "disable a segment": (
        "segments.write",
        _web(lambda s, p, x: segments.set_enabled(s, p, x.segment, False, now=NOW)),
        True,
    ),
    "delete a segment": ("segments.write", _web(lambda s, p, x: segments.delete(s, p, x.segment, now=NOW)), True),
    "restore a segment": ("segments.write", _web(lambda s, p, x: segments.restore(s, p, x.put_away, now=NOW)), True),
    "draft a segment": (
        "segments.write",
        _web(lambda s, p, x: segments.write_draft(s, p, x.segment, {"match": None}, now=NOW)),
        False,
    ),
    "define a feature": (
        "features.write",
        _web(lambda s, p, x: definitions.define(s, p, definitions.Wanted("Logins", "count", ("login",)), now=NOW)),
        True,
    ),
    "define a feature anew": (
        "features.write",
        _web(lambda s, p, x: definitions.redefine(s, p, "visits", definitions.Wanted("Visits", "days"), now=NOW)),
        True,
    ),
    "remove a feature": ("features.write", _web(lambda s, p, x: definitions.remove(s, p, "visits", now=NOW)), True),
    "change settings": (
        "settings.write",
        _web(lambda s, p, x: workspaces.change(s, p, workspaces.WorkspaceSettings(name="New"), now=NOW)),
        True,
    ),
    "archive the workspace": (
        "workspace.archive",
        _web(lambda s, p, x: workspaces.archive(s, p, confirm="acme", now=NOW)),
        True,
    ),
    "restore the workspace": ("workspace.archive", _web(lambda s, p, x: workspaces.restore(s, p, now=NOW)), True),
    "create a workspace": (
        "workspace.create",
        lambda x, p: workspaces.create(x.database.gate, p, slug="second", now=NOW),
        False,
    ),
    "enter": ("overview.read", lambda x, p: workspaces.enter(x.database.gate, p, now=NOW), True),
    "delete the workspace": (
        "workspace.delete",
        lambda x, p: workspaces.delete(x.database.web, x.database.worker, p, confirm="acme", now=NOW),
        False,
    ),
    "remove the demo": (
        "demo.remove",
        lambda x, p: workspaces.remove_demo(x.database.web, x.database.worker, p, now=NOW),
        False,
    ),
}


def test_the_table_is_the_one_that_was_meant() -> None:
    assert {action: set(map(str, grant.roles)) for action, grant in GRANTS.items()} == MATRIX


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("action", list(MATRIX))
def test_every_role_and_action_in_core(role: Role, action: str) -> None:
    principal = Principal(uuid.UUID(int=1), "x@acme.test", uuid.UUID(int=2), role)
    assert principal.may(action) == (role in MATRIX[action])
    if role not in MATRIX[action]:
        with pytest.raises(Forbidden, match=rf"Your role {role.spelt} may not {GRANTS[action].phrase}: .*\."):
            principal.require(action)
    else:
        principal.require(action)


@pytest.mark.parametrize("name", list(CALLS))
def test_every_call_under_every_role(database: TestDatabase, name: str) -> None:
    action, call, changes = CALLS[name]
    scene = Scene(database)
    allowed = [role for role in Role if role in MATRIX[action]]
    for role in Role:
        if role in allowed:
            continue
        before = scene.fingerprint()
        with pytest.raises(Forbidden):
            call(scene, scene.people[role])
        assert scene.fingerprint() == before
    before = scene.fingerprint()
    call(scene, scene.people[allowed[-1]])  # the weakest role that may
    if changes:
        after = scene.fingerprint()
        assert after[-1] == before[-1] + 1  # exactly one audit row, in the same transaction


def test_an_unknown_action_is_a_bug_and_not_a_permission() -> None:
    with pytest.raises(KeyError):
        Principal.system(uuid.UUID(int=1)).may("people.fly")


def test_a_viewer_sees_people_masked() -> None:
    viewer = Principal(uuid.UUID(int=1), "v@x.test", uuid.UUID(int=2), Role.VIEWER)
    assert viewer.sees("ann@example.com") == "a•••@e•••.com"
    assert viewer.sees(None) is None
    assert Principal.system(uuid.UUID(int=2)).sees("ann@example.com") == "ann@example.com"


@pytest.mark.parametrize("pool", ["web", "gate", "worker"])
def test_a_forged_role_does_not_count(database: TestDatabase, pool: str) -> None:
    scene = Scene(database)
    viewer = scene.people[Role.VIEWER]
    forged = Principal(viewer.user_id, viewer.label, scene.workspace, Role.OWNER)
    connection: Database = getattr(database, pool)
    with pytest.raises(Forbidden, match="changed"), connection.transaction(scene.workspace) as session:
        authorise(session, forged, "settings.write")


def test_a_principal_acts_in_its_own_workspace_only(database: TestDatabase) -> None:
    scene, other = Scene(database), database.workspace("other")
    with pytest.raises(NoTenant), database.web.transaction(other) as session:
        authorise(session, scene.people[Role.OWNER], "overview.read")
    with pytest.raises(NoTenant), database.web.transaction(None) as session:
        authorise(session, scene.people[Role.OWNER], "overview.read")
    stranger = Principal(scene.people[Role.OWNER].user_id, "owner@acme.test", other, Role.OWNER)
    with pytest.raises(Forbidden), database.web.transaction(other) as session:
        authorise(session, stranger, "overview.read")
