"""The command of segments: whom a rule means, why, how it would have gone, and the segments that are kept.

A rule is JSON in a file, or - for standard input, as docs/segments.md describes it, field rules and event rules of other
systems included; or that of a segment, by its name.
"""

import sys
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import orjson
import typer

from gdp_core import clock, reports
from gdp_core.accounts import workspaces
from gdp_core.accounts.roles import Principal
from gdp_core.analytics.calendar import instant, micros
from gdp_core.analytics.scope import Scope, in_reach
from gdp_core.analytics.workspace import read_workspace
from gdp_core.errors import InvalidInput, NotFound
from gdp_core.lake.process import lake
from gdp_core.runtime import database
from gdp_core.segments import backtesting, explaining, importing, keeping, membership, previewing, rules
from gdp_core.segments.backtesting import MOST_DAYS
from gdp_core.segments.cycle import run_cycle
from gdp_core.segments.facts import Facts, Surroundings
from gdp_core.segments.finding import find_person
from gdp_core.segments.importing import WrittenAs
from gdp_core.segments.past import read_history
from gdp_core.segments.personal import Reader
from gdp_core.segments.rules import BadRule, Rule
from gdp_core.segments.surroundings import read_names, read_surroundings
from gdp_core.settings import settings
from gdp_core.timeline import following
from gdp_core.timeline.arrays import Timeline
from gdp_core.timeline.store import Store
from jobs import terminal
from jobs.api import shapes
from jobs.calling import Questions
from jobs.session import connected
from jobs.terminal import note, result

app = typer.Typer(
    cls=Questions,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help=__doc__,
)

_DAYS = 90

WorkspaceOption = Annotated[str, typer.Option("--workspace", "-w", metavar="SLUG", help="The workspace's short name.")]
RuleOption = Annotated[
    str, typer.Option("--rule", metavar="FILE", help="A rule as JSON, ours or of another system; - is standard input.")
]
SegmentOption = Annotated[str, typer.Option("--segment", metavar="NAME", help="Or the rule of a segment.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Everything, as JSON on standard output.")]


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """A rule and what it is asked of. `saved`: the segment it is of."""

    workspace_id: UUID
    rule: Rule
    written_as: WrittenAs | None
    saved: keeping.Segment | None
    timeline: Timeline
    surroundings: Surroundings
    timezone: str
    now: datetime

    @property
    def own(self) -> str | None:
        """The id of the segment, as rules name it."""
        return str(self.saved.id) if self.saved else None

    @property
    def reader(self) -> Reader:
        """Who has a shell may read everything."""
        return Reader(Principal.system(self.workspace_id), self.surroundings.names)

    @property
    def head(self) -> dict[str, Any]:
        """What every answer begins with."""
        return {
            "segment": self.own,
            "written_as": self.written_as,
            "sentence": self.reader.sentence(self.rule),
            "at": self.now,
            "snapshot": self.timeline.snapshot,
        }


@app.command("list")
def list_segments(workspace: WorkspaceOption, as_json: JsonOption = False) -> None:
    """The segments that are kept, their sizes and how their last evaluation went."""
    with connected():
        workspace_id = workspaces.find(database("gdp_gate"), workspace)
        with database("gdp_web").transaction(workspace_id, read_only=True) as session:
            found = keeping.list_segments(session)
            names = read_names(session)
    if as_json:
        _print([{**asdict(one), "rule": one.rule.plain, "sentence": one.rule.sentence(names)} for one in found])
        return
    terminal.table(
        ("Segment", "People", "Evaluated", "State", "Who"),
        [
            (
                one.name,
                "-" if one.people is None else f"{one.people:,}",
                f"{one.evaluated_at:%Y-%m-%d %H:%M:%S} UTC" if one.evaluated_at else "not yet",
                one.error or ("on" if one.enabled else "off"),
                one.rule.sentence(names),
            )
            for one in found
        ],
    )


@app.command()
def count(
    workspace: WorkspaceOption, rule: RuleOption = "", segment: SegmentOption = "", as_json: JsonOption = False
) -> None:
    """How many people a rule means now, and for how many each part of it holds."""
    with connected():
        asked = _asked(workspace, rule, segment)
        found = previewing.preview(asked.timeline, asked.rule, asked.surroundings, asked.now, own=asked.own)
    parts = shapes.Part.all_of(asked.rule, found.per_condition, asked.reader)
    if as_json:
        told = {
            "people": found.people,
            "of": found.of,
            "conditions": [part.model_dump() for part in parts],
            "remarks": list(found.remarks),
        }
        _print(asked.head | told)
        return
    terminal.table(
        ("Part", "People", "Of all", "Which says"),
        [
            (
                ".".join(str(place + 1) for place in part.path) or "rule",
                f"{part.people:,}",
                f"{part.people / found.of:.1%}" if found.of else "-",
                part.sentence if part.path else asked.reader.sentence(asked.rule),
            )
            for part in parts
        ],
    )
    for remark in found.remarks:
        note(remark)


@app.command()
def members(
    workspace: WorkspaceOption,
    rule: RuleOption = "",
    segment: SegmentOption = "",
    at: Annotated[
        str, typer.Option("--at", metavar="INSTANT", help="Of a segment: who was in it then, like 2026-01-31T08:00Z.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Everybody in a segment, as it was evaluated last or by an instant; or everybody whom a rule means now."""
    with connected():
        if segment and not rule:
            _kept_members(workspace, segment, _at(at) if at else None, as_json=as_json)
            return
        if at:
            raise InvalidInput("--at is for a --segment; how a rule would have gone, `segment backtest` says.")
        asked = _asked(workspace, rule, segment)
        _check(asked)
        held = asked.rule.holds(Facts(asked.timeline, micros(asked.now), asked.surroundings))
        with database("gdp_web").transaction(asked.workspace_id, read_only=True, timeout=120) as session:
            persons = reports.persons_of(session, asked.timeline.numbers[held].tolist())
    if as_json:
        _print(asked.head | {"people": len(persons), "members": [{"person": person} for person in persons]})
    else:
        for person in persons:
            result(str(person))


def _kept_members(workspace: str, name: str, at: datetime | None, *, as_json: bool) -> None:
    workspace_id = workspaces.find(database("gdp_gate"), workspace)
    with database("gdp_web").transaction(workspace_id, read_only=True, timeout=120, still=True) as session:
        saved = keeping.find_segment(session, name)
        sentence = saved.rule.sentence(read_names(session))
        found = list(membership.every_member(session, saved.id, at))
    as_of = at or saved.evaluated_at
    if as_json:
        head = {"segment": str(saved.id), "sentence": sentence, "at": as_of}
        told = [{"person": one.person_id, "entered_at": one.entered_at, "entry": one.entry} for one in found]
        _print(head | {"people": len(found), "members": told})
        return
    for one in found:
        result(str(one.person_id))
    note(f"As of {as_of:%Y-%m-%d %H:%M:%S} UTC." if as_of else "It was not evaluated yet.")


@app.command()
def explain(
    workspace: WorkspaceOption,
    person: Annotated[
        str,
        typer.Option("--person", metavar="WHO", help="Any id or identifier of theirs: 42, user:42, ada@example.com."),
    ],
    rule: RuleOption = "",
    segment: SegmentOption = "",
    as_json: JsonOption = False,
) -> None:
    """Why somebody is meant by a rule or not, and when time alone will change that."""
    with connected():
        asked = _asked(workspace, rule, segment)
        with database("gdp_web").transaction(asked.workspace_id, read_only=True) as session:
            person_id, number = find_person(session, person)
        told = explaining.explain(asked.timeline, asked.rule, asked.surroundings, number, asked.now, own=asked.own)
        happenings = [one for part in told.parts if part.evidence for one in part.evidence.happenings]
        with database("gdp_web").transaction(asked.workspace_id, read_only=True) as session:
            events = explaining.event_ids(session, person_id, happenings)
    if as_json:
        why = {
            "person": person_id,
            "belongs": told.belongs,
            "counts": told.counts,
            "says": told.sentence,
            "turns_at": _instant(told.turns_at),
            "looked_until": _instant(told.looked_until),
            "tree": shapes.Reasoning.of_part(told.tree, asked.rule, asked.reader, events).model_dump(),
        }
        _print(asked.head | why)
        return
    note(f"{'In it' if told.belongs else 'Not in it'}. {told.sentence}")
    terminal.table(
        ("Part", "Holds", "Which says", "Found", "Until"),
        [
            (
                ".".join(str(place + 1) for place in part.path) or "rule",
                "yes" if part.holds else "no",
                part.sentence,
                part.evidence.sentence if part.evidence else "",
                f"{instant(part.until):%Y-%m-%d %H:%M} UTC" if part.until is not None else "",
            )
            for part in told.parts
        ],
    )


@app.command()
def backtest(
    workspace: WorkspaceOption,
    rule: RuleOption = "",
    segment: SegmentOption = "",
    since: Annotated[str, typer.Option("--since", metavar="DAY", help=f"First local day; {_DAYS} days ago else.")] = "",
    until: Annotated[str, typer.Option("--until", metavar="DAY", help="Last local day, included; today else.")] = "",
    known: Annotated[
        bool, typer.Option("--known", help="Only by what had been known by each day, not by what came late.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """How a rule would have gone: who it would have meant at the end of each day, without a look ahead."""
    with connected():
        asked = _asked(workspace, rule, segment)
        _check(asked)
        with database("gdp_web").transaction(asked.workspace_id, read_only=True, timeout=120) as session:
            history = read_history(session, asked.rule, asked.surroundings, known=known)
        scope = _scope(asked, since, until)
        with terminal.progress("days", aside=True) as show:
            days = backtesting.backtest(
                asked.timeline,
                asked.rule,
                asked.surroundings,
                history,
                scope,
                known=known,
                watch=lambda done, of: show("Looking back", done, of),
            )
    if as_json:
        _print(asked.head | {"known": known, "timezone": asked.timezone, "days": [asdict(day) for day in days]})
        return
    terminal.table(
        ("Day", "People", "Entered", "Exited"),
        [(day.day.isoformat(), f"{day.people:,}", f"{day.entered:,}", f"{day.exited:,}") for day in days],
    )


@app.command()
def evaluate(workspace: WorkspaceOption, as_json: JsonOption = False) -> None:
    """Evaluate every segment that is on, and keep who entered and who exited. The analyst does it every few seconds."""
    with connected():
        workspace_id, now = workspaces.find(database("gdp_gate"), workspace), clock.now()
        done = run_cycle(
            database("gdp_worker"), workspace_id, _timeline(workspace_id, now), settings().timeline_folder, now
        )
    if as_json:
        _print(asdict(done))
        return
    failed = f" {done.failed:,} failed: see `segment list`." if done.failed else ""
    waiting = f" {done.postponed:,} wait for the next time." if done.postponed else ""
    result(
        f"{done.segments:,} segments in {done.seconds:.2f} s: {done.entered:,} entered, {done.exited:,} exited."
        f"{failed}{waiting}"
    )


@app.command()
def restore(
    workspace: WorkspaceOption,
    segment: Annotated[str, typer.Option("--segment", metavar="NAME", help="The name it had; the last one deleted.")],
    as_json: JsonOption = False,
) -> None:
    """Bring back a segment that was deleted, with its history; its people are found again by the next evaluation."""
    with connected():
        workspace_id = workspaces.find(database("gdp_gate"), workspace)
        with database("gdp_web").transaction(workspace_id) as session:
            gone = next((one for one in keeping.list_deleted(session) if one.name == segment.strip()), None)
            if gone is None:
                raise NotFound(f"There is no deleted segment called “{segment[:80]}”.")
            back = keeping.restore(session, Principal.system(workspace_id), gone.id, now=clock.now())
    if as_json:
        _print({"segment": back.id, "name": back.name, "version": back.version, "enabled": back.enabled})
    else:
        result(f"{back.name} is back.")


# ----------------------------------------------------------------------------------------------------- questions


def _asked(workspace: str, file: str, name: str) -> _Asked:
    """What is asked, of a timeline that is brought up to date first."""
    if bool(file) == bool(name):
        raise InvalidInput("Give a rule with --rule FILE, or a segment with --segment NAME.")
    given = _read(file) if file else None
    workspace_id, now = workspaces.find(database("gdp_gate"), workspace), clock.now()
    timeline = _timeline(workspace_id, now)
    with database("gdp_web").transaction(workspace_id, read_only=True) as session:
        saved = keeping.find_segment(session, name) if name else None
        rule, written_as = (saved.rule, None) if saved else importing.read_told(given)
        timezone = read_workspace(session).timezone
        surroundings = read_surroundings(session, timezone=timezone, rule=rule)
    asked = _Asked(workspace_id, rule, written_as, saved, timeline, surroundings, timezone, now)
    if written_as not in (None, "rule"):
        note(f"Read as {importing.WRITTEN[written_as]}: {asked.reader.sentence(rule)}")
    return asked


def _read(file: str) -> bytes:
    try:
        if file == "-":
            return sys.stdin.buffer.read(rules.LARGEST + 1)
        with Path(file).open("rb") as opened:
            return opened.read(rules.LARGEST + 1)
    except OSError as error:
        raise InvalidInput(f"The rule cannot be read from {file} ({error.strerror}).") from None


def _check(asked: _Asked) -> None:
    problems = rules.check(asked.rule, asked.surroundings, own=asked.own)
    if problems:
        raise BadRule(problems)


def _timeline(workspace_id: UUID, now: datetime) -> Timeline:
    folder = settings().timeline_folder
    following.follow(lake(), database("gdp_worker"), folder, workspace_id, now)
    return Store(folder, workspace_id).open(lake())


def _scope(asked: _Asked, since: str, until: str) -> Scope:
    today = asked.now.astimezone(ZoneInfo(asked.timezone)).date()
    last = _day("--until", until) if until else today
    first = _day("--since", since) if since else last - timedelta(days=_DAYS - 1)
    if not 0 <= (last - first).days < MOST_DAYS or not in_reach(first, last):
        raise InvalidInput(f"Choose 1 to {MOST_DAYS} days, --since the first and --until the last of them.")
    return Scope(asked.workspace_id, asked.timezone, "", first, last + timedelta(days=1), asked.now, "none")


def _at(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        at = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInput(f"--at is an instant like 2026-01-31T08:00Z, not {text[:40]!r}.") from None
    membership.check_past(at, clock.now())
    return at


def _day(option: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InvalidInput(f"{option} is a day like 2026-01-31, not {text[:40]!r}.") from None


# ------------------------------------------------------------------------------------------------------- telling


def _instant(at: int | None) -> datetime | None:
    return None if at is None else instant(at)


def _print(told: Any) -> None:
    result(orjson.dumps(told, option=orjson.OPT_INDENT_2, default=_plain).decode())


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else dict(value)
