"""A rule: a tree of groups and conditions, as versioned JSON. It says who is meant, and knows nothing of people.

A rule that was read is whole: at most 8 groups deep, at most 100 conditions, every one of a known kind with values that
can be compared. What is wrong with one that cannot be read is said for each field; one that was kept and cannot be read
by this release stands where it was kept, means nobody, and is never kept anew.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from gdp_core.errors import InvalidInput
from gdp_core.segments.conditions import AnyCondition
from gdp_core.segments.conditions.base import Condition, Mask, Model, Names, Uses
from gdp_core.segments.conditions.unreadable import UNREADABLE, Unreadable

if TYPE_CHECKING:
    from gdp_core.segments.facts import Facts

VERSION: Literal[1] = 1
DEEPEST, MOST_CONDITIONS, LARGEST = 8, 100, 256 << 10
Path = tuple[int, ...]
"""Where a node is: the places to go down from the outermost group, which is ()."""
GROUP_SENTENCES = {"all": "all of these", "any": "any of these", "not": "none of these"}


class Group(Model):
    """Holds when all, any or, for "not", none of its parts hold."""

    kind: Literal["all", "any", "not"]
    of: tuple["Node", ...] = Field(min_length=1)


Node = Annotated[Group | AnyCondition, Field(discriminator="kind")]
Group.model_rebuild()


class Rule(Model):
    """A whole rule. `match` is its outermost group."""

    version: Literal[1] = VERSION
    match: Group

    @property
    def json_text(self) -> str:
        """As `read` reads it, the same text for the same rule."""
        return orjson.dumps(self.plain, option=orjson.OPT_SORT_KEYS).decode()

    @property
    def plain(self) -> dict[str, Any]:
        """As JSON has it; what is left at its default is left out."""
        return self.model_dump(mode="json", exclude_defaults=False, exclude_none=True)

    def holds(self, facts: "Facts") -> Mask:
        """Who is meant: a mask over facts.timeline.numbers. Internal people are in no segment."""
        return _held(self.match, facts) & facts.live

    def truths(self, facts: "Facts") -> Iterator[tuple[Path, Mask]]:
        """For whom each node holds, whoever counts or not: groups after their parts, the outermost, (), last."""
        yield from _truths(self.match, (), facts)

    def sentence(self, names: Names) -> str:
        """In English: People who ... ."""
        return f"People {_said(self.match, names, outermost=True)}."

    def conditions(self) -> Iterator[tuple[Path, Condition]]:
        """Every condition and where it is, from top to bottom."""
        yield from _leaves(self.match, ())

    def at(self, path: Path) -> Group | Condition:
        """The node at a path that leads to one."""
        node: Any = self.match
        for place in path:
            node = node.of[place]
        return node  # type: ignore[no-any-return]

    @property
    def uses(self) -> Uses:
        """What its conditions name, each once."""
        found = [condition.uses for _, condition in self.conditions()]
        named: dict[str, Any] = {
            name: tuple(dict.fromkeys(item for one in found for item in getattr(one, name)))
            for name in ("events", "fields", "properties", "features", "segments", "lists")
        }
        return Uses(**named, stops=any(one.stops for one in found))


_WHATEVER: Any = (Unreadable(),)


class Unread(Rule):
    """A rule that was kept and that this release cannot read, as the JSON it is."""

    match: Group = Group.model_construct(kind="all", of=_WHATEVER)
    given: dict[str, Any]

    @property
    def plain(self) -> dict[str, Any]:
        """As it was kept."""
        return self.given


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a node: `path` leads to it, `field` names the part ("" for the node), `message` is a sentence."""

    path: Path
    field: str
    message: str


_TOO_LARGE = (Problem((), "", f"A rule is at most {LARGEST >> 10} kB of JSON: make it shorter."),)


class BadRule(InvalidInput):
    """A rule that cannot be used; `problems` says what and where."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = problems[0]
        place = f"Condition {'.'.join(str(part + 1) for part in first.path)}: " if first.path else ""
        more = f" ({len(problems) - 1} more.)" if len(problems) > 1 else ""
        super().__init__(f"{place}{first.message}{more}")
        self.problems = tuple(problems)


_READER = TypeAdapter(Rule)


def read(given: object) -> Rule:
    """A rule from its JSON, as text or as objects. Raises BadRule with everything that is wrong."""
    found, problems = examine(given)
    if found is None:
        raise BadRule(problems)
    return found


def examine(given: object) -> tuple[Rule | None, tuple[Problem, ...]]:
    """A rule, or None and what is wrong with it."""
    try:
        given = load(given)
    except BadRule as error:
        return None, error.problems
    if isinstance(given, Mapping) and "version" in given and given["version"] != VERSION:
        return None, (Problem((), "version", f"This release reads rules of version {VERSION}."),)
    problems = tuple(_too_much(given))
    if problems:
        return None, problems
    try:
        found = _READER.validate_python(given)
    except ValidationError as error:
        return None, _problems(error)
    return (None, _TOO_LARGE) if len(found.json_text) > LARGEST else (found, ())


def kept(given: dict[str, Any]) -> Rule:
    """A rule that was kept as JSON, perhaps by another release; `Unread` where it cannot be read."""
    return examine(given)[0] or Unread(given=given)


def load(given: object) -> object:
    """What JSON says; what is no text is as it is. Raises BadRule for text that is no JSON or too long."""
    if not isinstance(given, str | bytes):
        return given
    if len(given) > LARGEST:
        raise BadRule(_TOO_LARGE)
    try:
        return orjson.loads(given)
    except orjson.JSONDecodeError as error:
        raise BadRule((Problem((), "", f"This is no JSON: {error}."),)) from None


def _too_much(given: object) -> Iterator[Problem]:
    """Depth and number are looked at before anything is read: what is too large is not worth a list of its mistakes."""
    if not isinstance(given, Mapping) or not isinstance(given.get("match"), Mapping):
        yield Problem((), "", 'A rule is an object like {"version": 1, "match": {"kind": "all", "of": [...]}}.')
        return
    conditions = 0
    waiting: list[tuple[object, Path]] = [(given["match"], ())]
    while waiting:
        node, path = waiting.pop()
        if not isinstance(node, Mapping) or node.get("kind") not in tuple(GROUP_SENTENCES):  # of any type
            conditions += 1
            continue
        if len(path) >= DEEPEST:
            yield Problem(path, "", f"Groups can be at most {DEEPEST} deep: take this one out of another.")
            return
        parts = node.get("of")
        if isinstance(parts, list | tuple):
            waiting += [(part, (*path, place)) for place, part in enumerate(parts)]
    if conditions > MOST_CONDITIONS:
        yield Problem(
            (),
            "",
            f"A rule has at most {MOST_CONDITIONS} conditions, and this one {conditions}: split it into segments.",
        )
    if not conditions and not yielded_empty(given["match"]):
        yield Problem((), "of", "Add a condition: a rule without one means nobody in particular.")


def yielded_empty(match: Mapping[str, Any]) -> bool:
    """Whether an inner group is empty: pydantic says so at the group itself."""
    parts = match.get("of")
    return isinstance(parts, list | tuple) and len(parts) > 0


HALF = "This text holds half a character: type it again."
_MESSAGES = {
    "union_tag_invalid": "There is no condition of this kind.",
    "union_tag_not_found": "Say of which kind this condition is.",
    "extra_forbidden": "There is no such field here.",
    "missing": "This is needed.",
    "too_short": "Add something here: it is empty.",
    "string_too_short": "Fill this in: it is empty.",
    "string_too_long": "This text is too long: make it shorter.",
    "string_type": "This must be a text.",
    "string_unicode": HALF,
    "too_long": "These are too many: leave some out.",
    "tuple_type": "This must be a list.",
    "model_type": "This must be an object.",
    "model_attributes_type": "This must be an object.",
    "literal_error": "This is none of the choices there are: choose another.",
    "bool_type": "This must be true or false.",
    "bool_parsing": "This must be true or false.",
    "int_type": "This must be a whole number.",
    "int_parsing": "This must be a whole number.",
    "int_from_float": "This must be a whole number.",
    "float_type": "This must be a number.",
    "float_parsing": "This must be a number.",
    "finite_number": "This must be a number.",
    "greater_than_equal": "This must be {ge:,.10g} or more.",
    "less_than_equal": "This must be {le:,.10g} or less.",
}


def said_of(error: Any) -> str:
    """What one error of pydantic's says is wrong, as a sentence."""
    told = _MESSAGES.get(error["type"])
    return told.format(**error.get("ctx", {})) if told else str(error["msg"]).removeprefix("Value error, ")


def _problems(error: ValidationError) -> tuple[Problem, ...]:
    """Everything that is wrong, each once. Not that a group is too short because what is in it could not be read."""
    told = (one for one in error.errors(include_url=False) if not (one["type"] == "too_short" and one["input"]))
    return tuple(dict.fromkeys(map(_problem, told)))


def _problem(error: Any) -> Problem:
    path: list[int] = []
    names: list[str] = []
    location = [part for part in error["loc"] if part != "match"]
    place = 0
    while place < len(location):
        if location[place] == "of" and place + 1 < len(location) and isinstance(location[place + 1], int):
            path.append(location[place + 1])
            names = []
            place += 2
            continue
        names.append(str(location[place]))
        place += 1
    if path:
        names = names[1:]  # the first is the kind
    names = [name for name in names if not name.startswith("literal[")]  # one of several lists of choices
    context = error.get("ctx", {})
    if error["type"] == "at_field":
        names.append(context["field"])
    message = said_of(error)
    if error["type"] == "too_short" and names == ["of"]:
        message = "Add a condition to this group, or remove it."
    if not path and names == ["kind"]:
        message = "A rule begins with a group: all, any or not."
    return Problem(tuple(path), ".".join(names), message)


def _held(node: Any, facts: "Facts") -> Mask:
    """Leaves are shared by every rule that is asked of the same facts."""
    if not isinstance(node, Group):
        return facts.mask(("leaf", node.key), lambda: node.holds(facts))
    return _joined(node.kind, (_held(part, facts) for part in node.of))


def _truths(node: Any, path: Path, facts: "Facts") -> Iterator[tuple[Path, Mask]]:
    if not isinstance(node, Group):
        yield path, _held(node, facts)
        return
    parts = []
    for place, part in enumerate(node.of):
        for below, held in _truths(part, (*path, place), facts):
            yield below, held
        parts.append(held)
    yield path, _joined(node.kind, parts)


def _joined(kind: str, parts: Iterable[Mask]) -> Mask:
    masks = iter(parts)
    found = next(masks)
    for mask in masks:
        found = found & mask if kind == "all" else found | mask
    return ~found if kind == "not" else found


def _leaves(node: Any, path: Path) -> Iterator[tuple[Path, Condition]]:
    if isinstance(node, Group):
        for place, part in enumerate(node.of):
            yield from _leaves(part, (*path, place))
    else:
        yield path, node


def _said(node: Any, names: Names, *, outermost: bool = False) -> str:
    """Behind "who"; of the outermost group, behind "People"."""
    if not isinstance(node, Group):
        return str(node.sentence(names))
    said = [f"({text})" if _is_wide(part) else text for part in node.of for text in [_said(part, names)]]
    together = (" and " if node.kind == "all" else " or ").join(said)
    if node.kind == "not":
        those = f"those who {together}" if len(node.of) == 1 or outermost else f"those who ({together})"
        return f"except {those}" if outermost else f"are not among {those}"
    return f"who {together}" if outermost else together


def _is_wide(node: Any) -> bool:
    """Whether what is said of it needs parentheses among others."""
    while isinstance(node, Group) and len(node.of) == 1 and node.kind != "not":
        node = node.of[0]
    return isinstance(node, Group) and (len(node.of) > 1 and node.kind != "not")


def check(rule: Rule, surroundings: Any, *, own: str | None = None) -> tuple[Problem, ...]:
    """Why a rule cannot be evaluated: it names what is not there, or a segment of which that is so or which leads back.

    `own` is the segment the rule is of.
    """
    found = []
    for path, condition in rule.conditions():
        found += [Problem(path, *told) for told in _missing(condition, surroundings, own)]
        for key in condition.uses.segments:
            inside = _wrong_inside(key, surroundings, own)
            found += [Problem(path, "segment", inside)] if inside else []
    return tuple(found)


def _missing(condition: Condition, surroundings: Any, own: str | None = None) -> Iterator[tuple[str, str]]:
    """The fields of a condition that name what is not there, each with a sentence."""
    if isinstance(condition, Unreadable):
        yield "", UNREADABLE
    for slug in condition.uses.features:
        if slug not in surroundings.features:
            yield _field_of(condition, slug), f"There is no feature {slug!r} any more: choose another."
    for key in condition.uses.lists:
        if key not in surroundings.lists:
            yield _field_of(condition, key), "This list was deleted: choose another."
    for key in condition.uses.segments:
        if key not in surroundings.rules and key != own:
            yield "segment", "This segment was deleted: choose another."


def _wrong_inside(key: str, surroundings: Any, own: str | None) -> str | None:
    """Why a segment that a rule names cannot be evaluated, if so."""
    inside = reachable(surroundings.rules, key)
    if own and own in {key, *inside}:
        return "A segment cannot be made of itself: choose another."
    if not inside:  # it was deleted
        return None
    for made_of in sorted(inside):
        for _, condition in surroundings.rules[made_of].conditions():
            for _, message in _missing(condition, surroundings):
                return f"The segment “{surroundings.names.segment(made_of)}” has to be mended first. {message}"
    try:
        in_order(surroundings.rules, key)
    except InvalidInput as error:
        return str(error)
    return None


def _field_of(condition: Condition, named: str) -> str:
    """The field of a condition that names something; "" where it is the condition itself that does."""
    return next((name for name in type(condition).model_fields if getattr(condition, name) == named), "")


def in_order(rules: Mapping[str, Rule], key: str) -> tuple[str, ...]:
    """A segment after every one it is made of. Raises InvalidInput for one that was deleted or leads back to itself."""
    graph: dict[str, tuple[str, ...]] = {}
    waiting = [key]
    while waiting:
        one = waiting.pop()
        if one not in rules:
            raise InvalidInput("A segment this one is made of was deleted: choose another.")
        if one not in graph:
            graph[one] = rules[one].uses.segments
            waiting += graph[one]
    try:
        return tuple(TopologicalSorter(graph).static_order())
    except CycleError:
        raise InvalidInput("This segment is made of itself: take that condition out.") from None


def reachable(rules: Mapping[str, Rule], key: str) -> set[str]:
    """Every segment that one is made of, itself included."""
    seen, waiting = set[str](), [key]
    while waiting:
        one = waiting.pop()
        if one not in seen and one in rules:
            seen.add(one)
            waiting += rules[one].uses.segments
    return seen
