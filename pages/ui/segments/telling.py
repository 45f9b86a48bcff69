"""What is said of a segment wherever it is named: its sentence as a role may read it, its state, how fresh it is."""

from datetime import timedelta

from gdp_core.segments.conditions.base import Condition, Names
from gdp_core.segments.keeping import Segment
from gdp_core.segments.personal import Reader
from gdp_core.segments.rules import GROUP_SENTENCES, Group, Rule
from gdp_core.segments.surroundings import read_names
from pages.ui import layout
from pages.ui.context import Here

LATE = timedelta(minutes=15)


def names(place: Here) -> Names:
    """What things are called: read it once in a run, and tell as many rules as there are."""
    return place.read(read_names)


def sentence(place: Here, known: Names, rule: Rule) -> str:
    """A rule in English, as the role may read it."""
    return Reader(place.principal, known).sentence(rule)


def line(place: Here, known: Names, condition: Condition) -> str:
    """A condition likewise."""
    return Reader(place.principal, known).line(condition)


def lines(place: Here, known: Names, rule: Rule) -> list[tuple[int, str]]:
    """A rule as lines, with how deep each is."""
    return list(_lines(place, known, rule.match, 0))


def _lines(place: Here, known: Names, node: Group | Condition, depth: int) -> list[tuple[int, str]]:
    if not isinstance(node, Group):
        return [(depth, line(place, known, node))]
    return [
        (depth, GROUP_SENTENCES[node.kind].capitalize()),
        *(told for part in node.of for told in _lines(place, known, part, depth + 1)),
    ]


def badges(place: Here, one: Segment) -> None:
    """What is out of the ordinary."""
    if not one.enabled:
        layout.badge("Off", "gray", ":material/pause_circle:")
    elif one.error:
        layout.badge("Failing", "red", ":material/error:")
    elif one.pending:
        layout.badge("Being written", "blue", ":material/hourglass_top:")
    elif _is_late(place, one):
        layout.badge("Late", "orange", ":material/schedule:")
    elif one.is_awaited:
        layout.badge("Being counted", "blue", ":material/hourglass_top:")


def _is_late(place: Here, one: Segment) -> bool:
    return place.now - max(one.evaluated_at or one.created_at, one.updated_at) > LATE


def trouble(place: Here, one: Segment) -> None:
    """Why it is not kept up to date, and how old its people are."""
    write = place.write
    if one.evaluated_at is None:
        age = "Nobody has been counted yet."
    else:
        age = f"Its people are those of {write.instant(one.evaluated_at)}, {write.ago(one.evaluated_at, place.now)}."
    if one.enabled and one.error:
        since = f" since {write.instant(one.failed_at)}" if one.failed_at else ""
        layout.remark(f"It has been failing{since}: {one.error} {age}")
    elif not one.enabled:
        layout.remark(f"It is off: nobody enters or leaves it. {age}")
    elif one.pending:
        people = write.number(one.pending)
        layout.remark(f"It changed for very many people, who are written step by step: {people} are still to come.")
    elif _is_late(place, one):
        layout.remark(f"It has not been counted lately: the jobs may have stopped. {age}")
