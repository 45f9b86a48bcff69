"""The admin commands. Each works with or without the product running, and ends in one clear sentence when it cannot."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gdp_core import clock, inbox
from gdp_core.accounts import connections, keys, users, workspaces
from gdp_core.accounts.roles import Principal
from gdp_core.db import rows
from gdp_core.demo import fill as demo_fill
from gdp_core.errors import InvalidInput
from gdp_core.runtime import database
from gdp_core.schema import prepare as prepare_schema
from gdp_core.settings import settings, use_database
from gdp_core.sources import SOURCES, source
from jobs import bringing_in
from jobs.login import login_of, runtime_url
from jobs.postgres import running
from jobs.session import connected

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
workspace_app = typer.Typer(no_args_is_help=True, help="Workspaces.")
user_app = typer.Typer(no_args_is_help=True, help="People who sign in.")
key_app = typer.Typer(no_args_is_help=True, help="Tracking keys.")
source_app = typer.Typer(no_args_is_help=True, help="Connected sources.")
inbox_app = typer.Typer(no_args_is_help=True, help="Deliveries.")
for command in bringing_in.app.registered_commands:
    app.registered_commands.append(command)
app.add_typer(workspace_app, name="workspace")
app.add_typer(user_app, name="user")
app.add_typer(key_app, name="key")
app.add_typer(source_app, name="source")
app.add_typer(inbox_app, name="inbox")


class KeyKind(StrEnum):
    """What a key may do."""

    SERVER = "server"
    BROWSER = "browser"


console = Console()
WorkspaceOption = Annotated[str, typer.Option("--workspace", "-w", help="The workspace's short name.")]


def find(slug: str) -> UUID:
    """The workspace's id. Raises NotFound."""
    return workspaces.find(database("gdp_gate"), slug)


@app.command()
def prepare(
    demo: Annotated[bool, typer.Option(help="Fill the demo workspaces if they never were.")] = False,
    embedded: Annotated[bool, typer.Option(hidden=True)] = False,
) -> None:
    """Bring the database up to date."""
    if embedded:
        with running(settings().data_dir) as urls:
            prepare_schema(urls.admin_url, login=login_of(urls))
            use_database(runtime_url(urls))
            _prepared(demo)
    else:
        with connected(migrate=True):
            _prepared(demo)


def _prepared(demo: bool) -> None:
    if demo and not demo_fill.is_done(database("gdp_worker")):
        fill_demo()
    users.first_start(database("gdp_gate"), now=clock.now())


@app.command("demo")
def fill_demo_command() -> None:
    """Fill the demo workspaces, if they never were."""
    with connected():
        if demo_fill.is_done(database("gdp_worker")):
            console.print("The demo was filled before; what was removed is not made again.")
        else:
            fill_demo()


def fill_demo() -> None:
    """Fill the demo with a progress bar."""
    with Progress(
        TextColumn("Filling the demo workspace"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    ) as progress:
        task = progress.add_task("demo", total=demo_fill.EXPECTED_BYTES)
        demo_fill.fill(
            database("gdp_gate"),
            database("gdp_web"),
            database("gdp_worker"),
            now=clock.now(),
            progress=lambda done: progress.update(task, completed=min(done, demo_fill.EXPECTED_BYTES)),
        )
        progress.update(task, completed=demo_fill.EXPECTED_BYTES)


@workspace_app.command("create")
def workspace_create(slug: str, name: Annotated[str, typer.Option(help="Display name.")] = "") -> None:
    """Make a workspace."""
    with connected():
        workspaces.create(database("gdp_gate"), None, slug=slug, name=name, now=clock.now())
        users.first_start(database("gdp_gate"), now=clock.now())  # the first owner becomes its owner
        console.print(f"Workspace {slug} is there.")


@workspace_app.command("list")
def workspace_list() -> None:
    """Every workspace."""
    with connected():
        table = Table("Short name", "Name", "Kind")
        with database("gdp_gate").transaction(None, read_only=True) as session:
            for row in rows(session, "SELECT slug, name, kind FROM workspace WHERE archived_at IS NULL ORDER BY slug"):
                table.add_row(*row)
        console.print(table)


@user_app.command("first-link", hidden=True)
def user_first_link() -> None:
    """Print how to sign in: a one-time link until the owner has a password."""
    with connected():
        path = users.first_start(database("gdp_gate"), now=clock.now())
        address = settings().dashboard_address
        console.print(f"Sign in at {address}{path or '/'}", style="bold", soft_wrap=True)


@user_app.command("create")
def user_create(email: str, name: Annotated[str, typer.Option()] = "") -> None:
    """Make an account and print a one-time sign-in link."""
    with connected():
        users.create_user(database("gdp_gate"), email, name=name, now=clock.now())
        console.print(
            settings().dashboard_address + users.sign_in_link(database("gdp_gate"), email, now=clock.now()),
            soft_wrap=True,
        )


@user_app.command("link")
def user_link(email: str) -> None:
    """Print a one-time sign-in link."""
    with connected():
        console.print(
            settings().dashboard_address + users.sign_in_link(database("gdp_gate"), email, now=clock.now()),
            soft_wrap=True,
        )


@user_app.command("list")
def user_list() -> None:
    """Every account."""
    with connected():
        table = Table("E-mail", "Name", "Password")
        for user in users.list_users(database("gdp_gate")):
            table.add_row(user.email, user.name, "set" if user.has_password else "none")
        console.print(table)


@user_app.command("disable")
def user_disable(email: str) -> None:
    """Sign somebody out for good."""
    with connected():
        users.disable(database("gdp_gate"), email, now=clock.now())
        console.print(f"{email} cannot sign in any more.")


@source_app.command("create")
def source_create(
    kind: Annotated[str, typer.Argument(help=", ".join(item.key for item in SOURCES))],
    workspace: WorkspaceOption,
    name: Annotated[str, typer.Option(help="What to call it.")] = "",
) -> None:
    """Connect a source and print its address; a signing secret is asked for, not shown."""
    chosen = source(kind)
    secret = typer.prompt("Signing secret", hide_input=True) if chosen.verify else ""
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
            if secret:
                connections.set_secret(session, who, made.id, secret=secret, now=clock.now())
        console.print(f"{settings().door_address}/hooks/{kind}/{made.hook_key}", soft_wrap=True)


@key_app.command("create")
def key_create(
    workspace: WorkspaceOption,
    kind: Annotated[KeyKind, typer.Option(help="A server key is secret; a browser key is for pages.")] = KeyKind.SERVER,
    of: Annotated[str, typer.Option("--source", help="segment or posthog")] = "segment",
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
) -> None:
    """Make a tracking key and print it; it is shown this once."""
    with connected():
        workspace_id = find(workspace)
        who = Principal.system(workspace_id)
        with database("gdp_web").transaction(workspace_id) as session:
            known = [item for item in connections.list_connections(session, who) if item.source == of]
            target = (
                known[0]
                if known
                else connections.connect(session, who, source=of, name=source(of).title, now=clock.now())
            )
            made = keys.create(
                session, who, source_id=target.id, kind=kind.value, name=name or f"{of} {kind.value}", now=clock.now()
            )
        console.print(made.secret, soft_wrap=True, highlight=False)


@inbox_app.command("replay")
def inbox_replay(
    workspace: WorkspaceOption,
    identifier: Annotated[list[UUID] | None, typer.Option("--id", help="A delivery's id; may be repeated.")] = None,
    state: Annotated[str, typer.Option(help="All that are dead, quarantined, applied or duplicate.")] = "",
) -> None:
    """Put deliveries back to be applied again."""
    if not identifier and not state:
        raise InvalidInput("Say which deliveries: --id ID or --state dead.")
    with connected():
        workspace_id = find(workspace)
        with database("gdp_worker").transaction(workspace_id) as session:
            count = inbox.replay(session, ids=identifier or (), state=state or None)
        console.print(f"{count} deliveries will be applied again.")


@inbox_app.command("check")
def inbox_check(workspace: WorkspaceOption) -> None:
    """Print both ledgers; ends with 1 when they do not balance."""
    with connected():
        workspace_id = find(workspace)
        with database("gdp_web").transaction(workspace_id, read_only=True) as session:
            balances = inbox.balances(session)
        table = Table("Ledger", *inbox.Balance._fields[1:], "difference")
        for balance in balances:
            table.add_row(*(str(value) for value in balance), str(balance.difference))
        console.print(table)
        if any(balance.difference for balance in balances):
            raise typer.Exit(1)
