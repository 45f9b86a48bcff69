"""The commands that bring history in: files and backfills."""

from pathlib import Path
from typing import Annotated, Any

import typer

from gdp_core import backfill, clock
from gdp_core.accounts import workspaces
from gdp_core.accounts.roles import Principal
from gdp_core.errors import InvalidInput
from gdp_core.importer.mapping import Mapping, from_yaml, mapping_of
from gdp_core.importer.preview import Preview, preview
from gdp_core.importer.run import prepare_import, run_import, source_name
from gdp_core.runtime import database
from gdp_core.settings import settings
from jobs import terminal
from jobs.session import connected
from jobs.terminal import note, result

app = typer.Typer()

WorkspaceOption = Annotated[str, typer.Option("--workspace", "-w", metavar="SLUG", help="The workspace's short name.")]

_IMPORT_EXAMPLES = """\b
Look first; without any of the mapping's options it proposes one:
  python -m jobs import orders.csv -w acme --dry-run

\b
Then import:
  python -m jobs import orders.csv -w acme --person customer_id --event =order_completed \\
      --time created_at --timezone Europe/London --value "quantity * unit_price" --currency =GBP --property '*'

\b
People only:
  python -m jobs import people.csv -w acme --person id --email email --trait name --trait plan

\b
COL is the name of a column, =TEXT the same for every row. --event, --value, --anonymous and --currency also take an
expression such as "refund if InvoiceNo ^= 'C' else order". docs/import.md says it all.
"""


def _flag(field: str, *names: str, metavar: str = "COL") -> Any:
    """The option of a field of the mapping, described where the mapping is."""
    return typer.Option(*names, metavar=metavar, help=Mapping.model_fields[field].description)


@app.command("import", epilog=_IMPORT_EXAMPLES)
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV, TSV, JSONL or Parquet; gzipped too.")],
    workspace: WorkspaceOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    person: Annotated[str | None, _flag("person")] = None,
    anonymous: Annotated[str | None, _flag("anonymous", metavar="EXPR")] = None,
    email: Annotated[str | None, _flag("email")] = None,
    phone: Annotated[str | None, _flag("phone")] = None,
    event: Annotated[str | None, _flag("event", metavar="EXPR")] = None,
    time: Annotated[str | None, _flag("time")] = None,
    unit: Annotated[str | None, _flag("unit", metavar="s|ms|us")] = None,
    timezone: Annotated[str | None, _flag("timezone", metavar="ZONE")] = None,
    day_first: Annotated[bool | None, _flag("day_first", "--day-first/--month-first")] = None,
    id: Annotated[str | None, _flag("id")] = None,  # noqa: A002 - the flag's name
    value: Annotated[str | None, _flag("value", metavar="EXPR")] = None,
    currency: Annotated[str | None, _flag("currency", metavar="EXPR")] = None,
    trait: Annotated[list[str] | None, _flag("traits", "--trait", metavar="COL[:NAME]")] = None,
    property: Annotated[list[str] | None, _flag("properties", "--property", metavar="COL[:NAME]")] = None,  # noqa: A002
    source: Annotated[str | None, _flag("source", metavar="NAME")] = None,
    mapping: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A mapping saved as YAML; the options above go on top.")
    ] = None,
    save_mapping: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the mapping used there.")] = None,
    rejects: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where rejected rows go; FILE.rejects.csv else.")
    ] = None,
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
        "day_first": day_first,
        "id": id,
        "value": value,
        "currency": currency,
        "traits": tuple(trait) if trait else None,
        "properties": tuple(property) if property else None,
        "source": source,
    }
    chosen = _mapping(mapping, {name: given for name, given in flags.items() if given is not None})
    if chosen is None or dry_run:
        seen = preview(file, chosen, now=clock.now())
        _show(seen)
        if save_mapping and seen.mapping:
            _save(save_mapping, seen.mapping)
        if not dry_run:
            raise InvalidInput("Say what the columns are (--person, --event, --time ...), or give --mapping FILE.")
        return
    if save_mapping:
        _save(save_mapping, chosen)
    _import(file, workspace, chosen, rejects)


def _mapping(saved: Path | None, flags: dict[str, object]) -> Mapping | None:
    if saved is None:
        return mapping_of(flags) if flags else None
    try:
        text = saved.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InvalidInput(f"The mapping {saved} cannot be read: {reason}.") from None
    return mapping_of({**from_yaml(text).model_dump(exclude_defaults=True), **flags})


def _save(target: Path, chosen: Mapping) -> None:
    try:
        target.write_text(chosen.to_yaml(), encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"The mapping cannot be written to {target}: {error.strerror}.") from None


def _import(file: Path, workspace: str, chosen: Mapping, rejects: Path | None) -> None:
    with connected():
        workspace_id = workspaces.find(database("gdp_gate"), workspace)
        seen = preview(file, chosen, now=clock.now(), rows=1)  # a mapping that does not fit leaves nothing behind
        who = Principal.system(workspace_id)
        with database("gdp_web").transaction(workspace_id) as session:
            name = chosen.source or source_name(session, file, seen.key)
            source_id = prepare_import(session, who, name=name, file=file.name, now=clock.now())
        try:
            with terminal.progress("rows") as show:
                done = run_import(
                    database("gdp_worker"),
                    workspace_id,
                    source_id,
                    file,
                    chosen,
                    now=clock.now(),
                    progress=lambda rows, total: show("Importing", rows, total),
                    rejects=rejects,
                )
        except KeyboardInterrupt:
            raise InvalidInput("Stopped: run the same command again and it goes on where it was.") from None
    result(
        f"{done.rows:,} rows: {done.applied:,} applied, {done.duplicate:,} known already, {done.rejected:,} rejected."
    )
    if done.repeated:
        note("This file had been imported before, so nothing changed.")
    if done.rejects:
        note(f"Rejected rows with their reasons: {done.rejects}")
    if done.rows and done.rejected == done.rows:
        raise InvalidInput("Not one row could be used: look at the reasons and correct the mapping.")


def _show(seen: Preview) -> None:
    result(f"{seen.file}: {seen.format}, {seen.total_rows:,} rows, of which {seen.counts.rows:,} were looked at.\n")
    terminal.table(
        ("Column", "Type", "Empty", "Examples"),
        [
            (column.name, column.type, f"{column.nulls:,}", ", ".join(map(str, column.examples))[:60])
            for column in seen.columns
        ],
    )
    if seen.mapping:
        result("A mapping that may fit:" if seen.suggested else "Mapping:")
        result("  " + seen.mapping.to_yaml().strip().replace("\n", "\n  ") + "\n")
        terminal.table(("Of the rows looked at", ""), _would_do(seen))
    for problem in seen.problems:
        result(f"- {problem}")


def _would_do(seen: Preview) -> list[tuple[str, str]]:
    counts = seen.counts
    lines = [(name, f"{getattr(counts, name):,}") for name in ("facts", "rejected", "repeated", "people", "anonymous")]
    lines += [(f"event {event}", f"{count:,}") for event, count in counts.events[:10]]
    lines += [(f"value in {currency}", f"{micros / 1_000_000:,.2f}") for currency, micros in counts.value]
    if counts.earliest and counts.latest:
        lines += [(word, f"{at:%Y-%m-%d %H:%M} UTC") for word, at in (("from", counts.earliest), ("to", counts.latest))]
    return lines


_BACKFILL_EXAMPLES = """\b
  STRIPE_API_KEY=rk_live_... python -m jobs backfill stripe -w acme

A restricted key that may read everything is enough. Connect Stripe first: python -m jobs source create stripe -w acme
"""


@app.command("backfill", epilog=_BACKFILL_EXAMPLES)
def backfill_command(
    vendor: Annotated[str, typer.Argument(metavar="VENDOR", help="stripe")],
    workspace: WorkspaceOption,
    source: Annotated[str, typer.Option(metavar="NAME", help="The Stripe source's name, when there are several.")] = "",
) -> None:
    """Read everything a vendor holds. Goes on where it was interrupted; webhooks may arrive meanwhile."""
    if vendor != "stripe":
        raise InvalidInput(f"Only stripe can be read back, not {vendor[:40]!r}.")
    account = backfill.account_of(settings())
    with connected():
        workspace_id = workspaces.find(database("gdp_gate"), workspace)
        with database("gdp_web").transaction(workspace_id, read_only=True) as session:
            source_id = backfill.stripe_source(session, source or None)
        try:
            with terminal.progress("objects") as show:
                done = backfill.backfill(
                    database("gdp_worker"),
                    workspace_id,
                    source_id,
                    account,
                    progress=lambda kind, count: show(kind.replace("_", " "), count, None),
                )
        except KeyboardInterrupt:
            raise InvalidInput("Stopped: run the same command again and it goes on where it was.") from None
    result(f"{done.objects:,} objects read, {done.applied:,} new.")
