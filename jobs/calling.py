"""Runs a command line: its groups of commands, and how whatever a user can cause ends in one sentence."""

from collections.abc import Sequence
from importlib import import_module

import typer

from jobs.sentences import EXPECTED, sentence
from jobs.terminal import note

ALONE = ("report", "lake", "features")
"""Groups that need nothing of the others: called by name, the rest is not even loaded, which takes seconds."""


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
