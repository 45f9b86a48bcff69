"""Writes the pages of docs/ that repeat what the code says: `python -m scripts.docs`. A test keeps them up to date."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from typer.main import get_command

from gdp_core.accounts.roles import GRANTS, Role
from gdp_core.settings import Settings
from gdp_core.sources import SOURCES
from jobs.commands import app

DOCS = Path(__file__).parent.parent / "docs"
_MADE = "<!-- Made by `python -m scripts.docs`. -->\n\n"


def settings_page() -> str:
    """docs/settings.md"""
    lines = [
        "# Settings",
        "",
        "Read once at start, from the environment or from a file `.env` in the project's folder. A wrong value ends in "
        "one sentence that names the variable. Nothing else reads the environment.",
        "",
        "| Variable | Default | What it is |",
        "|---|---|---|",
        *(_setting(field) for field in Settings.model_fields.values()),
        "",
        "What belongs to a workspace (time zone, currency, retention, event roles, internal people) is set on the "
        "Settings page of the dashboard; signing secrets and keys on the Sources and Keys pages.",
    ]
    return _MADE + "\n".join(lines) + "\n"


def _setting(field: FieldInfo) -> str:
    alias = field.validation_alias
    names = [str(name) for name in alias.choices if str(name).isupper()] if isinstance(alias, AliasChoices) else []
    also = f" Also read as {', '.join(f'`{name}`' for name in names[1:])}." if names[1:] else ""
    default = "" if field.default in (None, "") else f"`{str(field.default).lower()}`"
    what = (field.description or "").replace("<", "&lt;")
    return f"| `{names[0]}` | {default} | {what}{also} |"


def connect_page() -> str:
    """docs/connect.md"""
    parts = [
        "# Connecting a source\n",
        "The Sources page shows these guides with your own address and key filled in. On a server without a browser:\n",
        "```sh\n"
        "python -m jobs source create stripe --workspace SLUG     # prints the address\n"
        "python -m jobs source secret Stripe --workspace SLUG     # asks for the signing secret\n"
        "python -m jobs key create --workspace SLUG --kind server # prints a tracking key, once\n"
        "```\n",
        "Python code that runs beside the product needs neither address nor key: see `gdp_core/track.py`.\n",
    ]
    for source in SOURCES:
        guide = source.guide
        for name, value in {"door": "http://127.0.0.1:8600", "key": "KEY", "secret": "whsec_SECRET"}.items():
            guide = guide.replace("{" + name + "}", value)
        parts.append(f"## {source.title}\n\nThe source `{source.key}`. {source.summary}\n\n{guide.strip()}\n")
    return _MADE + "\n".join(parts)


def roles_page() -> str:
    """docs/roles.md"""
    lines = [
        "# Roles",
        "",
        "A person has one role in each workspace. Core asks this table before every change; pages only hide what it "
        "refuses. The last owner of a workspace cannot leave it.",
        "",
        f"| Action | {' | '.join(Role)} | Which means |",
        "|---|" + ":-:|" * len(Role) + "---|",
    ]
    for action, grant in GRANTS.items():
        marks = " | ".join("yes" if role in grant.roles else "" for role in Role)
        lines.append(f"| `{action}` | {marks} | {grant.phrase} |")
    return _MADE + "\n".join(lines) + "\n"


def commands_page() -> str:
    """docs/commands.md"""
    intro = (
        "# Commands\n\n`python -m jobs` alone runs the product; `make run` is that with the dashboard and the demo. With "
        "a command it administers, whether or not the product runs. Results go to standard output, remarks to standard "
        "error; the exit code is 0, 1 for an error and 2 for a wrong call.\n\n"
    )
    return _MADE + intro + "\n".join(_command(path, command) for path, command in _leaves(get_command(app), ()))


def _leaves(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Typer brings a click of its own, so commands are known by what they have, not by their class."""
    parts: Mapping[str, Any] = getattr(command, "commands", {})
    if not parts:
        yield path, command
    for name, part in sorted(parts.items()):
        if not part.hidden:
            yield from _leaves(part, (*path, name))


def _command(path: tuple[str, ...], command: Any) -> str:
    name = " ".join(path)
    context = command.context_class(command, info_name=f"python -m jobs {name}", terminal_width=110)
    return f"## `{name}`\n\n```text\n{command.get_help(context).strip()}\n```\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "connect.md": connect_page,
    "roles.md": roles_page,
    "commands.md": commands_page,
}


if __name__ == "__main__":
    for name, written in PAGES.items():
        (DOCS / name).write_text(written(), encoding="utf-8")
