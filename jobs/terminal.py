"""What commands say: results on standard output, everything else on standard error, progress on either kind of output.

On a terminal progress is a bar; in a log, a pipe or a cron mail it is a line now and then.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

_WIDE = 200  # where nobody looks at it in a window, nothing is cut off
_EVERY = 5.0  # seconds between two lines of progress

Show = Callable[[str, int, int | None], None]
"""show(what, done, of how many or None where nobody knows)."""


_CONTROLS = {
    number: "\N{REPLACEMENT CHARACTER}"
    for number in (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    if chr(number) not in "\t\n"
}


def plain(text: str) -> str:
    """Text for a terminal: what files and senders wrote must not move its cursor, retitle it or turn its lines."""
    return text.translate(_CONTROLS)


def result(text: str) -> None:
    """What the command was asked for; the only thing on standard output, so that a script can take it."""
    print(text)


def note(text: str) -> None:
    """What a person may want to know besides."""
    print(plain(text), file=sys.stderr)


def table(headings: Sequence[str], lines: Sequence[Sequence[object]]) -> None:
    """Lines under headings, on standard output."""
    shown = Table(*headings, box=box.SIMPLE_HEAD, pad_edge=False)
    for line in lines:
        shown.add_row(*(plain(str(cell)) for cell in line))
    _console().print(shown)


def ask_secret(label: str) -> str:
    """A secret typed unseen, or the first line of what is piped in."""
    if sys.stdin.isatty():
        return str(typer.prompt(label, hide_input=True, err=True))
    return sys.stdin.readline().strip()


@contextmanager
def progress(unit: str, *, aside: bool = False) -> Iterator[Show]:
    """Shows how far something is while it goes on; `aside`: on standard error, where the result is on standard output."""
    console = _console(aside=aside)
    if not console.is_terminal:
        lines = _Lines(unit, sys.stderr if aside else sys.stdout)
        yield lines.show
        lines.finish()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[count]} " + unit))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as bars:
        tasks: dict[str, object] = {}

        def show(what: str, done: int, total: int | None) -> None:
            task = tasks.get(what)
            if task is None:
                task = tasks[what] = bars.add_task(what, total=total, count="")
            bars.update(task, completed=done, total=total, count=_count(done, total))  # type: ignore[arg-type]

        yield show


class _Lines:
    """Progress as lines: the first at once, the last at the end, between them one every few seconds."""

    def __init__(self, unit: str, output: TextIO) -> None:
        self._unit = unit
        self._output = output
        self._due = 0.0
        self._what = self._said = self._latest = ""

    def show(self, what: str, done: int, total: int | None) -> None:
        if what != self._what:  # the end of one thing is said before the next begins
            self.finish()
            self._what = what
        self._latest = f"{what}: {_count(done, total)} {self._unit}"
        if time.monotonic() >= self._due:
            self.finish()
            self._due = time.monotonic() + _EVERY

    def finish(self) -> None:
        if self._latest != self._said:
            self._said = self._latest
            print(self._latest, file=self._output, flush=True)


def _count(done: int, total: int | None) -> str:
    return f"{done:,}" if total is None else f"{done:,} of {total:,}"


def _console(*, aside: bool = False) -> Console:
    wide = None if (sys.stderr if aside else sys.stdout).isatty() else _WIDE
    return Console(markup=False, highlight=False, width=wide, stderr=aside)
