"""Runs a command line: its groups of commands, and how whatever a user can cause ends in one sentence."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from gdp_core.errors import BadSetting, InvalidInput
from jobs.sentences import EXPECTED, sentence
from jobs.terminal import note

ALONE = ("report", "segment", "lake", "features")
"""Groups that need nothing of the others: called by name, the rest is not even loaded, which takes seconds."""


class Questions(TyperGroup):
    """What cannot be asked is a wrong call, like an option that does not exist: what is wrong, and exit code 2."""

    def invoke(self, ctx: Any) -> Any:
        """Run one of its commands."""
        try:
            return super().invoke(ctx)
        except BadSetting:
            raise
        except InvalidInput as error:
            for line in lines_of(error):
                note(line)
            raise typer.Exit(2) from None


def lines_of(error: InvalidInput) -> list[str]:
    """An error as lines: of a rule, everything that is wrong with it and where."""
    problems = getattr(error, "problems", None)
    if not problems:
        return [str(error)]
    places = [".".join(str(place + 1) for place in one.path) for one in problems]
    return [
        f"{f'Condition {place}' if place else 'The rule'}{f', {one.field}' if one.field else ''}: {one.message}"
        for place, one in zip(places, problems, strict=True)
    ]


def group(summary: str) -> typer.Typer:
    """A set of commands. Plain help: it is read in pipes and narrow windows too."""
    return typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help=summary,
    )


def alone(name: str) -> typer.Typer:
    """The command line with one of the groups only."""
    app = group("")
    app.add_typer(import_module(f"jobs.{name}").app, name=name)
    return app


def call(app: typer.Typer, arguments: Sequence[str]) -> int:
    """Run one command. Returns its exit code; whatever a user can cause is said in one sentence, without a traceback."""
    try:
        app(list(arguments), prog_name="python -m jobs")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except EXPECTED as error:
        said = sentence(error)
        if said is None:
            raise
        note(said)
        return 1
    return 0
