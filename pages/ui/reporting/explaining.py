"""What stands below every report: what its numbers mean, the command that gives the same ones, the table as a file."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta

import streamlit as st

from gdp_core.analytics.breakdown import Breakdown
from gdp_core.analytics.fields import names_somebody
from gdp_core.analytics.scope import Scope
from gdp_core.timeline.matching import Condition, Match
from pages.ui import csv, layout
from pages.ui.context import Here
from pages.ui.escape import clean, safe_text
from pages.ui.format import label
from pages.ui.reporting.asking import Who


class Command:
    """A command line, built option by option."""

    def __init__(self, report: str, place: Here) -> None:
        self._words = ["python", "-m", "jobs", "report", report, "--workspace", place.workspace.slug]

    def option(self, name: str, value: object, usual: object = None) -> "Command":
        """Another option; nothing where it is the usual value, None or empty."""
        if value == usual or value is None or value == "":
            return self
        self._words += [name] if value is True else [name, str(value)]
        return self

    def options(self, name: str, values: Iterable[object]) -> "Command":
        """One option several times."""
        for value in values:
            self.option(name, value)
        return self

    def events(self, name: str, matches: Sequence[Match]) -> "Command":
        """Events by their names; the conditions they all share are said once, others with the number of their event."""
        return self.options(name, [match.text for match in matches]).where(matches)

    def where(self, matches: Sequence[Match], name: str = "--where") -> "Command":
        """The conditions of the events that stand before, as `events` says them."""
        if len({match.conditions for match in matches}) == 1:
            return self.options(name, (condition.text for condition in matches[0].conditions))
        return self.options(
            name,
            (f"{number}:{one.text}" for number, match in enumerate(matches, 1) for one in match.conditions),
        )

    def breakdown(self, by: Breakdown | None) -> "Command":
        """By which field, and into how many groups."""
        if by is None:
            return self
        return self.option("--breakdown", by.field).option("--top", by.most, Breakdown(by.field).most)

    def period(self, scope: Scope) -> "Command":
        """The days; --to is not among them."""
        return self.option("--from", scope.start).option("--to", scope.end)

    def compared(self, scope: Scope) -> "Command":
        """What the period is compared with."""
        return self.option("--compare", scope.compare, "none")

    def of(self, who: Who) -> "Command":
        """Of whom it counts."""
        for condition in who.conditions:
            short = condition.text.removeprefix("person.")
            self.option("--people", condition.text if short.startswith("person.") else short)
        return self.option("--people", f"in:{who.list_id}" if who.list_id else None)

    @property
    def text(self) -> str:
        """One line for a shell."""
        return " ".join(shlex.quote(word) for word in [*self._words, "--json"])


def foot(definition: str, *commands: Command) -> None:
    """The definition, and the commands."""
    with st.expander("What these numbers mean, and how to get them elsewhere", icon=":material/menu_book:"):
        st.markdown(safe_text(definition, longest=4000))
        layout.note("The same numbers from a terminal:")
        for command in commands:
            st.code(command.text, language="bash", wrap_lines=True)


def below(
    place: Here,
    name: str,
    columns: Mapping[str, Sequence[csv.Cell]],
    *,
    key: str,
    hint: str = "Click a number, a bar or a point to see its people.",
) -> None:
    """The line below a report's table: what can be clicked, and the table as CSV. `name` says what it is."""
    header = list(columns)
    rows = list(zip(*columns.values(), strict=True))
    first, last = place.scope.start, place.scope.end - timedelta(days=1)
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.caption(safe_text(hint), width="content")
        st.download_button(
            "CSV",
            data=lambda: b"".join(csv.stream(header, rows)),
            file_name=f"{words}-{place.workspace.slug}-{first}-{last}.csv",
            mime="text/csv",
            icon=":material/download:",
            type="tertiary",
            key=key,
            on_click="ignore",
            help="This table as a file for spreadsheets",
        )


def shown(place: Here, field: str, value: str) -> str:
    """A value of a breakdown as the role may see it: what looks like somebody's address is masked."""
    if field in _WORDS:
        return label(value)
    if place.may("pii.read"):
        return clean(value, longest=120)
    name = Condition(field, "set").name
    if name in ("url", "referrer"):
        return clean(value.partition("?")[0], longest=120)
    return clean(place.sees(value) or "" if names_somebody(value) else value, longest=120)


def is_covered(place: Here, field: str, value: str) -> bool:
    """Whether the role may see only a part of a value, so that it must not be offered to choose from."""
    return field not in _WORDS and shown(place, field, value) != clean(value, longest=120)


_WORDS = ("person.stage", "person.source", "person.status")
