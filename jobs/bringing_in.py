"""The commands that bring history in: files and backfills."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from gdp_core import backfill, clock
from gdp_core.accounts import workspaces
from gdp_core.accounts.roles import Principal
from gdp_core.errors import InvalidInput
from gdp_core.importer.mapping import Mapping, from_yaml, mapping_of
from gdp_core.importer.preview import Preview, preview
from gdp_core.importer.run import prepare_import, run_import
from gdp_core.runtime import database
from gdp_core.settings import settings
from jobs.session import connected

console = Console()
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_Text = Annotated[str | None, typer.Option()]
_Many = Annotated[list[str] | None, typer.Option()]


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL or Parquet; .gz too.")],
    workspace: Annotated[str, typer.Option("--workspace", "-w", help="The workspace's short name.")],
    mapping: Annotated[Path | None, typer.Option(help="A mapping saved as YAML; flags go on top.")] = None,
    save_mapping: Annotated[Path | None, typer.Option(help="Write the mapping used to this file.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    rejects: Annotated[Path | None, typer.Option(help="Where rejected rows go; <file>.rejects.csv else.")] = None,
    person: _Text = None,
    anonymous: _Text = None,
    email: _Text = None,
    phone: _Text = None,
    event: _Text = None,
    time: _Text = None,
    unit: _Text = None,
    timezone: _Text = None,
    id: _Text = None,  # noqa: A002 - the flag's name
    value: _Text = None,
    currency: _Text = None,
    trait: _Many = None,
    property: _Many = None,  # noqa: A002 - the flag's name
    source: _Text = None,
) -> None:
    """Import a file of events or people. Importing it again changes nothing; automations never fire."""
    flags = {
        "person": person,
        "anonymous": anonymous,
        "email": email,
        "phone": phone,
        "event": event,
        "time": time,
        "unit": unit,
        "timezone": timezone,
        "id": id,
        "value": value,
        "currency": currency,
        "traits": tuple(trait) if trait else None,
        "properties": tuple(property) if property else None,
        "source": source,
    }
    chosen = _mapping(mapping, {name: given for name, given in flags.items() if given is not None})
    if chosen is None or dry_run:
        _show(preview(file, chosen, now=clock.now()))
        if not dry_run:
            raise InvalidInput("Say what the columns are (--person, --event, --time ...), or give --mapping FILE.")
        return
    if save_mapping:
        save_mapping.write_text(chosen.to_yaml(), encoding="utf-8")
    _import(file, workspace, chosen, rejects)


def _mapping(saved: Path | None, flags: dict[str, object]) -> Mapping | None:
    if saved is None:
        return mapping_of(flags) if flags else None
    try:
        text = saved.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The mapping {saved} cannot be read: {error}.") from None
    return mapping_of({**from_yaml(text).model_dump(exclude_defaults=True), **flags})


def _import(file: Path, workspace: str, chosen: Mapping, rejects: Path | None) -> None:
    with connected():
        workspace_id = workspaces.find(database("gdp_gate"), workspace)
        who = Principal.system(workspace_id)
        with database("gdp_web").transaction(workspace_id) as session:
            name = chosen.source or "files"
            source_id = prepare_import(session, who, name=name, file=file.name, now=clock.now())
        columns = (TextColumn("Importing"), BarColumn(), MofNCompleteColumn(), TextColumn("rows"))
        with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
            task = progress.add_task("import", total=None)
            result = run_import(
                database("gdp_worker"),
                workspace_id,
                source_id,
                file,
                chosen,
                now=clock.now(),
                progress=lambda done, total: progress.update(task, completed=done, total=total),
                rejects=rejects,
            )
    again = " This file had been imported before, so nothing changed." if result.repeated else ""
    console.print(
        f"{result.rows:,} rows: {result.applied:,} applied, {result.duplicate:,} known already,"
        f" {result.rejected:,} rejected.{again}"
    )
    if result.rejects:
        console.print(f"Rejected rows with their reasons: {result.rejects}", soft_wrap=True)


def _show(seen: Preview) -> None:
    console.print(
        f"{seen.file}: {seen.format}, {seen.total_rows:,} rows, of which {seen.counts.rows:,} were looked at."
    )
    table = Table("Column", "Type", "Empty", "Examples")
    for column in seen.columns:
        table.add_row(column.name, str(column.type), f"{column.nulls:,}", ", ".join(map(str, column.examples))[:60])
    console.print(table)
    if seen.mapping:
        console.print("A mapping that may fit:" if seen.suggested else "Mapping:", style="bold")
        console.print(seen.mapping.to_yaml(), highlight=False, markup=False)
    console.print(_would_do(seen))
    for problem in seen.problems:
        console.print(f"- {problem}", markup=False)


def _would_do(seen: Preview) -> Table:
    counts = seen.counts
    table = Table("Of the rows looked at", "")
    for name in ("facts", "rejected", "repeated", "people", "anonymous"):
        table.add_row(name, f"{getattr(counts, name):,}")
    for event, count in counts.events[:10]:
        table.add_row(f"event {event}", f"{count:,}")
    for currency, micros in counts.value:
        table.add_row(f"value in {currency}", f"{micros / 1_000_000:,.2f}")
    if counts.earliest and counts.latest:
        table.add_row("from", f"{counts.earliest:%Y-%m-%d %H:%M} UTC")
        table.add_row("to", f"{counts.latest:%Y-%m-%d %H:%M} UTC")
    return table


@app.command("backfill")
def backfill_command(
    vendor: Annotated[str, typer.Argument(help="stripe")],
    workspace: Annotated[str, typer.Option("--workspace", "-w", help="The workspace's short name.")],
    source: Annotated[str, typer.Option(help="The Stripe source's name, when there are several.")] = "",
) -> None:
    """Read everything a vendor holds. Goes on where it was interrupted; needs STRIPE_API_KEY."""
    if vendor != "stripe":
        raise InvalidInput(f"Only stripe can be read back, not {vendor[:40]!r}.")
    account = backfill.account_of(settings())
    with connected():
        workspace_id = workspaces.find(database("gdp_gate"), workspace)
        with database("gdp_web").transaction(workspace_id, read_only=True) as session:
            source_id = backfill.stripe_source(session, source or None)
        with Progress(
            TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        ) as progress:
            tasks: dict[str, TaskID] = {}

            def show(kind: str, done: int) -> None:
                if kind not in tasks:
                    tasks[kind] = progress.add_task(kind.replace("_", " "), total=None)
                progress.update(tasks[kind], completed=done)

            done = backfill.backfill(database("gdp_worker"), workspace_id, source_id, account, progress=show)
    console.print(f"{done.objects:,} objects read, {done.applied:,} new.")
