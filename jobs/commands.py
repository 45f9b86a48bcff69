"""The admin commands. Each works with or without the product running, and ends in one clear sentence when it cannot.

Results go to standard output, remarks to standard error; the exit code is 0, 1 for an error and 2 for a wrong call.
"""

import shlex
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import typer

from gdp_core import clock, inbox, replay, vault
from gdp_core.accounts import audit, connections, keys, members, users, workspaces
from gdp_core.accounts.roles import GRANTS, Principal, Role
from gdp_core.analytics.inbox_view import InboxFilter
from gdp_core.db import Database, one, rows
from gdp_core.demo import fill as demo_fill
from gdp_core.errors import InvalidInput, NotFound
from gdp_core.runtime import database
from gdp_core.schema import prepare as prepare_schema
from gdp_core.settings import settings, use_database
from gdp_core.sources import SOURCES, source
from jobs import bringing_in, features, lake, report, segment, terminal
from jobs.calling import call, group
from jobs.login import login_of, runtime_url
from jobs.postgres import running
from jobs.session import connected
from jobs.terminal import note, result

app = group(__doc__ or "")
workspace_app = group("Workspaces: the unit of isolation, one per brand or organisation.")
user_app = group("People who sign in.")
source_app = group("Connected sources, their addresses and signing secrets.")
key_app = group("Tracking keys.")
inbox_app = group("What arrived and what became of it.")
encryption_app = group("The keys that signing secrets are sealed with.")
audit_app = group("The log of what people changed.")
app.registered_commands.extend(bringing_in.app.registered_commands)
for name, part in (
    ("workspace", workspace_app),
    ("user", user_app),
    ("source", source_app),
    ("key", key_app),
    ("inbox", inbox_app),
    ("encryption", encryption_app),
    ("audit", audit_app),
    ("lake", lake.app),
    ("features", features.app),
    ("report", report.app),
    ("segment", segment.app),
):
    app.add_typer(part, name=name)


class KeyKind(StrEnum):
    """What a key may do."""

    SERVER = "server"
    BROWSER = "browser"


class KeyRole(StrEnum):
    """What a server key may ask and change by the API."""

    MEMBER = "member"
    VIEWER = "viewer"
    NONE = "none"


class Finished(StrEnum):
    """The states of a delivery that can be replayed."""

    DEAD = "dead"
    QUARANTINED = "quarantined"
    APPLIED = "applied"
    DUPLICATE = "duplicate"


WorkspaceOption = Annotated[str, typer.Option("--workspace", "-w", metavar="SLUG", help="The workspace's short name.")]
EmailArgument = Annotated[str, typer.Argument(metavar="EMAIL", help="The address they sign in with.")]
OverlapOption = Annotated[int, typer.Option(metavar="HOURS", help="How long the old one counts beside the new one.")]


def main(arguments: Sequence[str]) -> int:
    """Run one command. Returns its exit code."""
    return call(app, arguments)


def find(slug: str) -> UUID:
    """The workspace's id. Raises NotFound."""
    return workspaces.find(database("gdp_gate"), slug)


@app.command()
def prepare(
    demo: Annotated[bool, typer.Option("--demo", help="Fill the demo workspaces if they never were.")] = False,
    embedded: Annotated[bool, typer.Option("--embedded", hidden=True)] = False,
) -> None:
    """Bring the database up to date: roles, tables, the first owner. Run it after every upgrade.

    DATABASE_URL must be of a user who may create roles here; `python -m jobs` does this at every start.
    """
    if embedded:
        with running(settings().data_dir) as urls:
            prepare_schema(urls.admin_url, login=login_of(urls))
            use_database(runtime_url(urls))
            _prepared(demo)
    else:
        with connected(migrate=True):
            _prepared(demo)


def _prepared(demo: bool) -> None:
    vault.check()  # at the start, not at the first webhook whose secret cannot be opened
    if demo and not demo_fill.is_done(database("gdp_worker")):
        fill_demo()
    users.first_start(database("gdp_gate"), now=clock.now())


@app.command("demo")
def fill_demo_command() -> None:
    """Fill the demo workspaces, if they never were. They are removed on the Settings page."""
    with connected():
        if demo_fill.is_done(database("gdp_worker")):
            note("The demo was filled before; what was removed is not made again.")
        else:
            fill_demo()


def fill_demo() -> None:
    """Fill the demo and show how far it is."""
    whole = demo_fill.EXPECTED_BYTES
    with terminal.progress("%") as show:
        demo_fill.fill(
            database("gdp_gate"),
            database("gdp_web"),
            database("gdp_worker"),
            now=clock.now(),
            progress=lambda done: show("Filling the demo workspaces", min(100 * done // whole, 99), 100),
        )
        show("Filling the demo workspaces", 100, 100)


@app.command("roles")
def list_roles() -> None:
    """What each role may do."""
    terminal.table(
        ("Action", *Role, "Which means"),
        [
            (action, *("yes" if role in grant.roles else "-" for role in Role), grant.phrase)
            for action, grant in GRANTS.items()
        ],
    )


@workspace_app.command("create")
def workspace_create(
    slug: Annotated[str, typer.Argument(metavar="SLUG", help="Short name: letters, digits, hyphens; acme-eu.")],
    name: Annotated[str, typer.Option(help="Display name; the short name else.")] = "",
) -> None:
    """Make a workspace. The installation's first user becomes its owner."""
    with connected():
        workspaces.create(database("gdp_gate"), None, slug=slug, name=name, now=clock.now())
        users.first_start(database("gdp_gate"), now=clock.now())
    note(f"Workspace {workspaces.valid_slug(slug)} is there.")


@workspace_app.command("list")
def workspace_list() -> None:
    """Every workspace that is not archived."""
    with connected(), database("gdp_gate").transaction(None, read_only=True) as session:
        found = rows(session, "SELECT slug, name, kind FROM workspace WHERE archived_at IS NULL ORDER BY slug")
    terminal.table(("Short name", "Name", "Kind"), found)


@user_app.command("first-link", hidden=True)
def user_first_link() -> None:
    """Print how to sign in: a one-time link until the owner has a password."""
    with connected():
        path = users.first_start(database("gdp_gate"), now=clock.now())
    result(f"Sign in at {settings().dashboard_address}{path or '/'}")


@user_app.command("create")
def user_create(
    email: EmailArgument,
    workspace: Annotated[str, typer.Option("--workspace", "-w", metavar="SLUG", help="Make them a member.")] = "",
    role: Annotated[Role, typer.Option(help="Their role there.")] = Role.MEMBER,
    name: Annotated[str, typer.Option(help="The name others see.")] = "",
) -> None:
    """Make an account and print a one-time sign-in link, good for 24 hours."""
    now = clock.now()
    with connected():
        gate = database("gdp_gate")
        workspace_id = find(workspace) if workspace else None
        user_id = users.create_user(gate, email, name=name, now=now)
        if workspace_id:
            _join(gate, workspace_id, user_id, users.normal_email(email), role)
        result(settings().dashboard_address + users.sign_in_link(gate, email, now=now))
    if not workspace:
        note("They are in no workspace yet: invite them on the Members page.")


def _join(gate: Database, workspace_id: UUID, user_id: UUID, email: str, role: Role) -> None:
    now = clock.now()
    with database("gdp_web").transaction(workspace_id) as session:
        members.invite(session, Principal.system(workspace_id), email=email, role=role, now=now)
    for invitation in members.open_invitations(gate, email, now):
        if invitation.workspace_id == workspace_id:
            members.accept_for(gate, invitation, user_id, now=now, ip=None)


@user_app.command("link")
def user_link(email: EmailArgument) -> None:
    """Print a one-time sign-in link, good for 24 hours."""
    with connected():
        result(settings().dashboard_address + users.sign_in_link(database("gdp_gate"), email, now=clock.now()))


@user_app.command("password")
def user_password(email: EmailArgument) -> None:
    """Set a forgotten password anew and end every session. It is asked for, or read from standard input."""
    with connected():
        users.reset_password(database("gdp_gate"), email, terminal.ask_secret("New password"), now=clock.now())
    note(f"{email} has a new password.")


@user_app.command("list")
def user_list() -> None:
    """Every account."""
    with connected():
        found = users.list_users(database("gdp_gate"))
    terminal.table(
        ("E-mail", "Name", "Password"),
        [(user.email, user.name, "set" if user.has_password else "none") for user in found],
    )


@user_app.command("disable")
def user_disable(email: EmailArgument) -> None:
    """Sign somebody out for good."""
    with connected():
        users.disable(database("gdp_gate"), email, now=clock.now())
    note(f"{email} cannot sign in any more.")


@source_app.command("create")
def source_create(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=", ".join(item.key for item in SOURCES))],
    workspace: WorkspaceOption,
    name: Annotated[str, typer.Option(help="What to call it, if there are several.")] = "",
) -> None:
    """Connect a source and print the address to give to its sender."""
    chosen = source(kind)
    if chosen.kind == "file":
        raise InvalidInput("Files need no source: `python -m jobs import FILE --workspace SLUG` makes one.")
    with connected():
        workspace_id = find(workspace)
        who = Principal.system(workspace_id)
        with database("gdp_web").transaction(workspace_id) as session:
            made = connections.connect(
                session,
                who,
                source=kind,
                name=name or chosen.title,
                has_invoices=chosen.has_invoices,
                now=clock.now(),
            )
    if chosen.kind == "tracking":
        result(settings().door_address)
        note(f"Now make a key: python -m jobs key create -w {workspace} --source {kind}")
        return
    result(f"{settings().door_address}/hooks/{kind}/{made.hook_key}")
    if chosen.verify:
        named = f"{shlex.quote(made.name)} -w {workspace}"
        note(f"Nothing is accepted before its signing secret is set: python -m jobs source secret {named}")


@source_app.command("secret")
def source_secret(
    of: Annotated[str, typer.Argument(metavar="SOURCE", help="Its name, or its kind where there is one.")],
    workspace: WorkspaceOption,
    generate: Annotated[bool, typer.Option("--generate", help="Make one and print it, for a sender of yours.")] = False,
    overlap: OverlapOption = 0,
) -> None:
    """Set the signing secret of a source. It is asked for, or read from standard input; never an argument."""
    with connected():
        workspace_id = find(workspace)
        who = Principal.system(workspace_id)
        with database("gdp_web").transaction(workspace_id, read_only=True) as session:
            target = _connection(connections.list_connections(session, who), of)
        if source(target.source).verify is None:
            raise InvalidInput(f"{target.name} is not signed: its keys are what proves the sender.")
        secret = connections.new_secret() if generate else terminal.ask_secret("Signing secret")
        with database("gdp_web").transaction(workspace_id) as session:
            connections.set_secret(session, who, target.id, secret=secret, overlap_hours=overlap, now=clock.now())
    note(f"{target.name} is verified with the new secret.")
    if generate:
        result(secret)


@source_app.command("list")
def source_list(workspace: WorkspaceOption) -> None:
    """The workspace's sources and where they send to."""
    with connected():
        workspace_id = find(workspace)
        with database("gdp_web").transaction(workspace_id, read_only=True) as session:
            found = connections.list_connections(session, Principal.system(workspace_id))
    terminal.table(
        ("Kind", "Name", "Address"),
        [(item.source, item.name, _address(item)) for item in found],
    )


def _address(of: connections.Connection) -> str:
    kind = source(of.source).kind
    if kind == "webhook":
        return f"{settings().door_address}/hooks/{of.source}/{of.hook_key}"
    return settings().door_address if kind == "tracking" else "python -m jobs import"


def _connection(known: Sequence[connections.Connection], of: str) -> connections.Connection:
    """The source of that name, or the only one of that kind."""
    found = [item for item in known if item.name == of] or [item for item in known if item.source == of]
    if not found:
        raise NotFound(f"No source {of!r} is connected here: see `python -m jobs source list`.")
    if len(found) > 1:
        raise InvalidInput(f"Several sources are {of!r}; name one: {', '.join(item.name for item in found)}.")
    return found[0]


@key_app.command("create")
def key_create(
    workspace: WorkspaceOption,
    kind: Annotated[KeyKind, typer.Option(help="A server key is secret; a browser key is for pages.")] = KeyKind.SERVER,
    of: Annotated[
        str, typer.Option("--source", metavar="SOURCE", help="segment, posthog, or the name of a source.")
    ] = "segment",
    name: Annotated[str, typer.Option(help="Who uses it.")] = "",
    origin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL", help="Site a browser key is accepted from; may be repeated. None: from every site."
        ),
    ] = None,
    role: Annotated[
        KeyRole, typer.Option(help="What a server key may ask and change by the API besides sending; none: nothing.")
    ] = KeyRole.NONE,
) -> None:
    """Make a tracking key and print it; it is shown this once. Connects the source if need be."""
    with connected():
        workspace_id = find(workspace)
        who = Principal.system(workspace_id)
        with database("gdp_web").transaction(workspace_id) as session:
            known = connections.list_connections(session, who)
            kinds = {item.key: item.title for item in SOURCES if item.kind == "tracking"}
            if of in kinds and all(of not in (item.source, item.name) for item in known):
                target = connections.connect(session, who, source=of, name=kinds[of], now=clock.now())
            else:
                target = _connection(known, of)
            if target.source not in kinds:
                raise InvalidInput(f"Keys are for {' and '.join(kinds)}; {target.name} is signed with a secret.")
            made = keys.create(
                session,
                who,
                source_id=target.id,
                kind=kind.value,
                name=name or f"{target.name} {kind.value}",
                allowed_origins=origin or (),
                role=None if role is KeyRole.NONE else Role(role.upper()),
                now=clock.now(),
            )
    result(made.secret)


@key_app.command("list")
def key_list(workspace: WorkspaceOption) -> None:
    """The workspace's keys, by their first characters."""
    with connected():
        workspace_id = find(workspace)
        with database("gdp_web").transaction(workspace_id, read_only=True) as session:
            found = keys.list_keys(session, Principal.system(workspace_id))
    terminal.table(
        ("Key", "Kind", "Role", "Name", "Made", "State"),
        [
            (
                key.prefix,
                key.kind,
                key.role.spelt if key.role else "-",
                key.name,
                f"{key.created_at:%Y-%m-%d}",
                _key_state(key),
            )
            for key in found
        ],
    )


def _key_state(key: keys.KeyRow) -> str:
    if key.revoked_at:
        return "revoked"
    if key.expires_at is None:
        return "in use"
    return f"until {key.expires_at:%Y-%m-%d %H:%M} UTC" if key.expires_at > clock.now() else "expired"


_KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="Its first characters, as `key list` shows them.")]


@key_app.command("rotate")
def key_rotate(prefix: _KeyArgument, workspace: WorkspaceOption, overlap: OverlapOption = 24) -> None:
    """Make a new key in place of an old one and print it; both work for a while."""
    with connected():
        workspace_id = find(workspace)
        who = Principal.system(workspace_id)
        with database("gdp_web").transaction(workspace_id) as session:
            old = _key(keys.list_keys(session, who), prefix)
            made = keys.rotate(session, who, old, overlap_hours=overlap, now=clock.now())
    result(made.secret)


@key_app.command("revoke")
def key_revoke(prefix: _KeyArgument, workspace: WorkspaceOption) -> None:
    """Make a key stop working. The door notices within five seconds."""
    with connected():
        workspace_id = find(workspace)
        who = Principal.system(workspace_id)
        with database("gdp_web").transaction(workspace_id) as session:
            keys.revoke(session, who, _key(keys.list_keys(session, who), prefix), now=clock.now())
    note("The key does not work any more.")


def _key(known: Sequence[keys.KeyRow], prefix: str) -> UUID:
    found = [key.id for key in known if not key.revoked_at and prefix.startswith(key.prefix)]
    if len(found) != 1:
        raise NotFound(f"No key in use begins with {prefix[:11]!r}: see `python -m jobs key list`.")
    return found[0]


@inbox_app.command("replay")
def inbox_replay(
    workspace: WorkspaceOption,
    identifier: Annotated[
        list[UUID] | None, typer.Option("--id", metavar="ID", help="A delivery's id; may be repeated.")
    ] = None,
    state: Annotated[Finished | None, typer.Option(help="All that ended so.")] = None,
) -> None:
    """Put deliveries back to be applied again. What they stated before is recognised and not counted twice."""
    if bool(identifier) == bool(state):
        raise InvalidInput("Say which deliveries, by either --id ID or --state dead.")
    with connected():
        workspace_id = find(workspace)
        who = Principal.system(workspace_id)
        with database("gdp_worker").transaction(workspace_id) as session:
            if state:
                count = replay.replay_found(session, who, InboxFilter(state=state.value), now=clock.now())
            else:
                count = replay.replay(session, who, identifier or (), now=clock.now())
    note(f"{count:,} deliveries wait to be applied again; a running worker takes them at once.")
    if state and count == replay.MOST:
        note("There may be more of them: run it again when these are done.")


@inbox_app.command("check")
def inbox_check(workspace: WorkspaceOption) -> None:
    """Print the books of deliveries and of facts; ends with 1 when they do not balance."""
    with connected():
        workspace_id = find(workspace)
        with database("gdp_web").transaction(workspace_id, read_only=True) as session:
            balances = inbox.balances(session)
    terminal.table(
        ("ledger", *inbox.Balance._fields[1:], "difference"),
        [(*balance, balance.difference) for balance in balances],
    )
    if any(balance.difference for balance in balances):
        raise typer.Exit(1)


def _every_workspace() -> list[UUID]:
    """Archived ones too: their secrets must open when they come back."""
    with database("gdp_gate").transaction(None, read_only=True) as session:
        return [row.id for row in rows(session, "SELECT id FROM workspace ORDER BY id")]


@encryption_app.command("new-key")
def encryption_new_key() -> None:
    """Make a new key. Where keys are in GDP_ENCRYPTION_KEYS it is printed, to be put in front of the others there."""
    if settings().encryption_key is not None:
        result(vault.generate_key(f"k{clock.now():%Y%m%d}"))
        note("Put it in front of the others in GDP_ENCRYPTION_KEYS, restart, then run `encryption rotate`.")
        return
    note(f"Key {vault.add_key()} seals from now on; seal the old secrets anew with `encryption rotate`.")


@encryption_app.command("rotate")
def encryption_rotate() -> None:
    """Seal every signing secret with the newest key. May be interrupted and run again."""
    with connected():
        done = vault.rotate(database("gdp_worker"), _every_workspace())
    note(f"{done:,} secrets were sealed anew.")


@encryption_app.command("usage")
def encryption_usage() -> None:
    """How many secrets each key still seals. A key that is not listed may be removed, except the last one of all."""
    with connected():
        counts = vault.usage(database("gdp_worker"), _every_workspace())
    terminal.table(("Key", "Secrets"), sorted(counts.items()))


@audit_app.command("verify")
def audit_verify(workspace: WorkspaceOption) -> None:
    """Check the chain of the audit log; ends with 1 when a row was altered or removed."""
    with connected():
        workspace_id = find(workspace)
        with database("gdp_web").transaction(workspace_id, read_only=True, timeout=600) as session:
            broken = audit.verify(session)
            count = one(session, "SELECT count(*) AS n FROM audit_log").n
    if broken is not None:
        note(f"The log was altered at or just before row {broken}: compare it with a backup.")
        raise typer.Exit(1)
    note(f"{count:,} rows, unbroken.")
