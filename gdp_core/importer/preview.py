"""A dry run: what a file holds, how it would be read, the first facts it would make, and what is wrong with it.

Writes nothing. Without a mapping it proposes one by the names of the columns, to be looked at before it is used.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from pathlib import Path
from uuid import UUID

from gdp_core.importer.chunks import Chunk, Import, RejectedRow, bound
from gdp_core.importer.columns import SAMPLE_ROWS, Column, read_columns, suggest
from gdp_core.importer.mapping import Mapping
from gdp_core.importer.reader import Table, open_table
from gdp_core.sources.facts import Delivery, Fact, Identifier
from gdp_core.sources.importing import normalise

_FIRST = 5
_NO_MAPPING = (
    "The names of the columns do not tell what the rows mean; say whom they name with --person, --anonymous or --email, "
    "and what they state with --event and --time or with --trait."
)
_NOBODY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Counts:
    """What the first `rows` rows would do. `people` are different first identifiers, before any are joined.

    `repeated` rows have an id that came before; `events` are (name, how many), the most frequent first; `value` is
    (currency, micros).
    """

    rows: int = 0
    facts: int = 0
    rejected: int = 0
    repeated: int = 0
    people: int = 0
    anonymous: int = 0
    events: tuple[tuple[str, int], ...] = ()
    value: tuple[tuple[str, int], ...] = ()
    earliest: datetime | None = None
    latest: datetime | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """What `preview` found. `mapping` is None where none was given and the columns' names suggest none."""

    file: str
    format: str
    total_rows: int
    columns: tuple[Column, ...]
    mapping: Mapping | None
    suggested: bool
    counts: Counts
    facts: tuple[Fact, ...]
    rejects: tuple[RejectedRow, ...]
    problems: tuple[str, ...]
    key: str = ""  # of the content and the mapping, as the import has it


def preview(path: Path, mapping: Mapping | None = None, *, now: datetime, rows: int = SAMPLE_ROWS) -> Preview:
    """What importing `path` would do, by its first `rows` rows.

    Raises InvalidInput for a file that cannot be read and a mapping that does not fit it.
    """
    table = open_table(path)
    columns = read_columns(table)
    chosen = mapping or suggest(columns, path)
    problems = [*_header_problems(table), *_column_problems(columns)]
    if chosen is None:
        problems.append(_NO_MAPPING)
        return _result(table, columns, None, mapping, problems)
    source = bound(table, chosen, columns)
    sample = list(islice(source.chunks(rows=rows), 1))
    facts = [fact for chunk in sample for fact in _facts(chunk, now)]
    rejects = tuple(reject for chunk in sample for reject in chunk.rejects)
    counts = _counts(sum(chunk.rows for chunk in sample), facts, len(rejects))
    problems += [*_reading_problems(source, mapping), *_reject_problems(rejects, counts.rows), *_fact_problems(counts)]
    return replace(_result(table, columns, chosen, mapping, problems, counts, facts, rejects), key=source.key)


def _result(
    table: Table,
    columns: tuple[Column, ...],
    chosen: Mapping | None,
    given: Mapping | None,
    problems: Iterable[str],
    counts: Counts | None = None,
    facts: Iterable[Fact] = (),
    rejects: tuple[RejectedRow, ...] = (),
) -> Preview:
    return Preview(
        file=table.path.name,
        format=table.describe(),
        total_rows=table.total_rows,
        columns=columns,
        mapping=chosen,
        suggested=given is None,
        counts=counts or Counts(),
        facts=tuple(islice(facts, _FIRST)),
        rejects=rejects[:_FIRST],
        problems=tuple(problems),
    )


def _facts(chunk: Chunk, now: datetime) -> Iterator[Fact]:
    delivery = Delivery(_NOBODY, _NOBODY, _NOBODY, "import", "chunk", "server", now, chunk.body)
    return (fact for fact in normalise(delivery) if isinstance(fact, Fact))


def _counts(rows: int, facts: list[Fact], rejected: int) -> Counts:
    who: set[Identifier] = {fact.actors[0] for fact in facts}
    value: Counter[str] = Counter()
    for fact in facts:
        if fact.event and fact.event.currency and fact.event.value_micros:
            value[fact.event.currency] += fact.event.value_micros
    return Counts(
        rows=rows,
        facts=len(facts),
        rejected=rejected,
        repeated=len(facts) - len({fact.key for fact in facts}),
        people=len(who),
        anonymous=sum(each.namespace == "anonymous" for each in who),
        events=tuple(Counter(fact.event.name for fact in facts if fact.event).most_common()),
        value=tuple(sorted(value.items())),
        earliest=min((fact.occurred_at for fact in facts), default=None),
        latest=max((fact.occurred_at for fact in facts), default=None),
    )


def _header_problems(table: Table) -> Iterator[str]:
    looks_like_data = [name for name in table.columns if name.replace(".", "").replace("-", "").isdigit()]
    if table.format == "csv" and len(looks_like_data) * 2 >= len(table.columns):
        yield "The first line looks like data; put a line with the names of the columns above it."
    if table.format == "csv" and len(table.columns) == 1:
        yield "The file has one column only; if it should have more, its separator was not recognised."


def _column_problems(columns: Iterable[Column]) -> Iterator[str]:
    empty = [column.name for column in columns if column.type == "empty" and column.rows]
    if empty:
        yield f"Empty as far as was looked: {', '.join(empty[:8])}{', …' if len(empty) > 8 else ''}."


def _reading_problems(source: Import, given: Mapping | None) -> Iterator[str]:
    mapping = source.mapping
    if source.day_first is None:
        yield (
            f"“{mapping.time}” could be read day first or month first; it is read day first (3/4 is 3 April). "
            "Set day_first: false in the mapping if that is wrong."
        )
    if given is None and mapping.currency == "=USD":
        yield "The file names no currency; USD is assumed, set it with --currency."
    time = next((column for column in source.profile if column.name == mapping.time), None)
    if time and time.type in ("whole", "number") and mapping.unit is None:
        yield f"“{mapping.time}” is read as Unix time, its unit told from its size; set it with --unit."


def _reject_problems(rejects: tuple[RejectedRow, ...], rows: int) -> Iterator[str]:
    for code, count in Counter(reject.code for reject in rejects).most_common():
        first = next(reject for reject in rejects if reject.code == code)
        yield f"{count:,} of {rows:,} rows would be rejected as {code}; the first is line {first.line}: {first.reason}"


def _fact_problems(counts: Counts) -> Iterator[str]:
    if counts.repeated:
        yield f"{counts.repeated:,} of {counts.rows:,} rows repeat the id of an earlier row; only one of each counts."
    if len(counts.events) > 200:
        yield f"There are {len(counts.events):,} different event names; is --event the right column?"
