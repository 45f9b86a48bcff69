"""The commands of features: bring them up to date, train the early warning, list them, define and remove one.

An event is a name; conditions are like plan=pro|team, amount>=10 or url~/pricing; a window is like 7d or 3mo.
"""

from dataclasses import asdict
from typing import Annotated, Any, get_args
from uuid import UUID

import orjson
import typer

from gdp_core import clock, early_warning
from gdp_core.accounts import workspaces
from gdp_core.accounts.roles import Principal
from gdp_core.analytics.warning import TooLittle
from gdp_core.analytics.window import Window
from gdp_core.errors import InvalidInput
from gdp_core.features import definitions
from gdp_core.features.base import Aggregate, Feature
from gdp_core.lake.process import lake
from gdp_core.runtime import database
from gdp_core.settings import settings
from gdp_core.timeline import following
from gdp_core.timeline.arrays import Timeline
from gdp_core.timeline.matching import Condition
from gdp_core.timeline.store import Store
from jobs import terminal
from jobs.session import connected
from jobs.terminal import note, result

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, help=__doc__
)

WorkspaceOption = Annotated[str, typer.Option("--workspace", "-w", metavar="SLUG", help="The workspace's short name.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Everything, as JSON on standard output.")]


@app.command()
def recompute(workspace: WorkspaceOption, as_json: JsonOption = False) -> None:
    """Bring every person's features and scores up to now. Writes only what changed; the analyst does it every minute."""
    with connected():
        workspace_id, now = _found(workspace), clock.now()
        timeline = _timeline(workspace_id)
        done = early_warning.refresh(database("gdp_worker"), workspace_id, timeline, settings().timeline_folder, now)
    if as_json:
        _print({"workspace": workspace, "at": now, "snapshot": timeline.snapshot, **asdict(done)})
    else:
        result(f"{done.written:,} values written, {done.removed:,} removed; all others are as they were.")


@app.command()
def train(workspace: WorkspaceOption, as_json: JsonOption = False) -> None:
    """Train the early warning anew from the history so far, and say how good it is. The analyst does it every week."""
    with connected():
        workspace_id, now = _found(workspace), clock.now()
        done = early_warning.learn(database("gdp_worker"), workspace_id, _timeline(workspace_id), now)
    outcome = done.outcome
    if as_json:
        enough = not isinstance(outcome, TooLittle)
        known = {"version": done.version, "is_new": done.is_new, "enough": enough, "sentence": outcome.sentence}
        useful = {"is_useful": outcome.is_useful} if not isinstance(outcome, TooLittle) else {}
        _print({"workspace": workspace, "at": now, **known, **useful, "outcome": asdict(outcome)})
        return
    result(outcome.sentence)
    if not isinstance(outcome, TooLittle):
        note(f"Version {done.version}, {'new' if done.is_new else 'the same as before'}.")
        terminal.table(
            ("People", "Said", "Happened"),
            [(f"{one.people:,}", f"{one.said:.1%}", f"{one.happened:.1%}") for one in outcome.judged.bins],
        )


@app.command("list")
def list_features(workspace: WorkspaceOption, as_json: JsonOption = False) -> None:
    """The features people have here, and what each means."""
    with connected(), database("gdp_web").transaction(_found(workspace), read_only=True) as session:
        found = definitions.read_features(session)
    if as_json:
        _print([_told(feature) for feature in found])
    else:
        terminal.table(("Feature", "Title", "What it is"), [(one.slug, one.title, one.definition) for one in found])


@app.command()
def define(
    title: Annotated[str, typer.Argument(metavar="TITLE", help="What to call it; its short name follows from it.")],
    workspace: WorkspaceOption,
    by: Annotated[str, typer.Option(metavar="WHAT", help=f"{', '.join(get_args(Aggregate))}.")] = "count",
    event: Annotated[
        list[str] | None, typer.Option("--event", metavar="EVENT", help="Of which events; of all else. Several: any.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="COND", help="Only events for which this holds. Several: all."),
    ] = None,
    window: Annotated[str, typer.Option(metavar="TIME", help="Only of the last 7d, 3mo and so on.")] = "",
    field: Annotated[str, typer.Option(metavar="FIELD", help="What is added up, told apart or quoted.")] = "",
    unit: Annotated[str, typer.Option(metavar="WORD", help="What follows the number.")] = "",
) -> None:
    """Define a feature of your own: count, sum, distinct, days, since, first or last of events."""
    if by not in get_args(Aggregate):
        raise InvalidInput(f"--by is one of {', '.join(get_args(Aggregate))}, not {by[:40]!r}.")
    wanted = definitions.Wanted(
        title=title,
        by=by,  # type: ignore[arg-type]
        events=tuple(event or ()),
        conditions=tuple(map(Condition.parse, where or ())),
        window=Window.parse(window) if window else None,
        field=field or None,
        unit=unit,
    )
    with connected():
        workspace_id = _found(workspace)
        with database("gdp_web").transaction(workspace_id) as session:
            made = definitions.define(session, Principal.system(workspace_id), wanted, now=clock.now())
    result(made.slug)
    note(f"{made.definition} It is reckoned within a minute.")


@app.command()
def remove(slug: Annotated[str, typer.Argument(metavar="FEATURE")], workspace: WorkspaceOption) -> None:
    """Remove a feature of your own, and everybody's value of it."""
    with connected():
        workspace_id = _found(workspace)
        with database("gdp_web").transaction(workspace_id) as session:
            definitions.remove(session, Principal.system(workspace_id), slug, now=clock.now())
    note(f"{slug} is removed.")


def _found(slug: str) -> UUID:
    return workspaces.find(database("gdp_gate"), slug)


def _timeline(workspace_id: UUID) -> Timeline:
    """The workspace's timeline, brought up to date first."""
    folder = settings().timeline_folder
    following.follow(lake(), database("gdp_worker"), folder, workspace_id, clock.now())
    return Store(folder, workspace_id).open(lake())


def _told(feature: Feature) -> dict[str, Any]:
    return {
        "feature": feature.slug,
        "title": feature.title,
        "unit": feature.unit,
        "kind": feature.kind,
        "definition": feature.definition,
        "is_defined": feature.is_defined,
    }


def _print(told: Any) -> None:
    result(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
