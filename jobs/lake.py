"""The commands of the lake: bring it up, tidy it, make it again, compare it, forget somebody in it."""

from typing import Annotated
from uuid import UUID

import typer

from gdp_core import clock
from gdp_core.accounts import workspaces
from gdp_core.errors import GrowthError, InvalidInput, NotFound
from gdp_core.lake import upkeep, writing
from gdp_core.lake.process import lake
from gdp_core.runtime import database
from gdp_core.segments import recording
from gdp_core.settings import settings
from gdp_core.timeline import following
from jobs import terminal
from jobs.session import connected
from jobs.terminal import note, result

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, help=__doc__
)

WorkspaceOption = Annotated[str, typer.Option("--workspace", "-w", metavar="SLUG", help="The workspace's short name.")]


@app.command()
def flush(workspace: WorkspaceOption) -> None:
    """Bring what changed in Postgres to the lake and to the timeline of reports. Does nothing twice."""
    with connected():
        workspace_id = workspaces.find(database("gdp_gate"), workspace)
        done = following.follow(lake(), database("gdp_worker"), settings().timeline_folder, workspace_id, clock.now())
    result(f"{done:,} rows changed." if done else "Nothing was new.")


@app.command()
def maintain(workspace: WorkspaceOption) -> None:
    """Merge small files, drop what was deleted, and expire versions older than two days. The analyst does it daily."""
    with connected():
        workspace_id = workspaces.find(database("gdp_gate"), workspace)
        pool, folder = database("gdp_worker"), settings().timeline_folder
        done = following.keep_up(lake(), pool, folder, [workspace_id], clock.now())
    result(f"Tidied: {done['expired']:,} old versions dropped, {done['trimmed']:,} events no longer kept.")


@app.command()
def rebuild(workspace: WorkspaceOption) -> None:
    """Make the lake and the timeline of a workspace again from Postgres; reports read the old ones meanwhile."""
    with connected():
        workspace_id = workspaces.find(database("gdp_gate"), workspace)
        done = writing.rebuild(lake(), database("gdp_worker"), workspace_id, clock.now())
        following.renew(lake(), database("gdp_worker"), settings().timeline_folder, workspace_id)
    result(f"Rebuilt: {done.events:,} events of {done.people:,} people.")


@app.command()
def check(workspace: WorkspaceOption) -> None:
    """Compare every row of the lake with Postgres. Ends with an error when one differs."""
    with connected():
        workspace_id = workspaces.find(database("gdp_gate"), workspace)
        if not writing.exists(lake(), workspace_id):
            raise NotFound(f"{workspace} has no lake yet: run python -m jobs lake flush -w {workspace} first.")
        found = writing.compare(lake(), workspace_id)
    terminal.table(
        ("Table", "In Postgres", "In the lake", ""),
        [
            (table.table, f"{table.there:,}", f"{table.here:,}", "the same" if table.same else "different")
            for table in found
        ],
    )
    if not all(table.same for table in found):
        raise GrowthError(
            "The lake differs from Postgres: run python -m jobs lake rebuild, and tell us how it came to it."
        )


@app.command()
def erase(
    workspace: WorkspaceOption,
    person: Annotated[str, typer.Option("--person", metavar="ID", help="The person's id, as in their page's address.")],
) -> None:
    """Forget a person in the lake, in every version of it, in the timeline, and in what segments tell of them.

    Postgres keeps their events. If it ends with an error, run it again: it goes on.
    """
    try:
        person_id = UUID(person)
    except ValueError:
        raise InvalidInput(f"{person[:40]!r} is not a person's id: copy it from the address of their page.") from None
    with connected():
        workspace_id = workspaces.find(database("gdp_gate"), workspace)
        recording.forget(database("gdp_worker"), workspace_id, person_id)
        done = upkeep.erase(lake(), database("gdp_worker"), workspace_id, person_id, clock.now())
        following.renew(lake(), database("gdp_worker"), settings().timeline_folder, workspace_id, wholly=True)
    result(f"Erased: {done:,} events.")
    note("Other workspaces' timelines are made again by the analyst within a minute.")
