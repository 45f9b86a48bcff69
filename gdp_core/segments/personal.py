"""Who may read what a rule says of people: pages, API and commands tell a rule and what was found through this.

A condition is personal when a field it asks about says who somebody is, also one a feature is made from, or when a value
of it looks like an address or a telephone number. Who may not see personal data reads that it is there, not what it
compares with nor what was found; any other text that was found of somebody is masked, as it is on their profile. They
cannot ask with a personal condition of their own either: how many it holds for would tell letter by letter.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from gdp_core.accounts.roles import Principal, masked
from gdp_core.analytics.fields import is_personal, names_somebody
from gdp_core.errors import Forbidden
from gdp_core.features.base import Feature, Tally
from gdp_core.lake.tables import PERSON_FIELDS, PERSON_WHOLE
from gdp_core.segments.conditions.base import Condition, Evidence, Names
from gdp_core.segments.rules import GROUP_SENTENCES, Group, Rule, Unread
from gdp_core.timeline.matching import as_text

_HIDDEN = "meet a condition on personal data, which your role may not read"
_COVER = "•••"
_VALUES = frozenset({"values", "texts", "day"})
_IDS = frozenset({"kind", "segment", "people", "since", "until", "day"})
_ORDERING = frozenset({"gt", "gte", "lt", "lte", "between"})


def is_personal_feature(feature: Feature) -> bool:
    """Whether a feature says who somebody is: the first or last of a field that does."""
    made = feature.made
    return isinstance(made, Tally) and made.kind == "text" and is_personal(made.field or "")


def says_personal(condition: Condition, names: Names) -> bool:
    """Whether a condition may say who somebody is."""
    uses = condition.uses
    fields = [
        *(f"person.{name}" for name in uses.fields),
        *uses.properties,
        *(where.field for event in uses.events for where in event.where),
    ]
    return (
        any(map(is_personal, fields))
        or not names.personal.isdisjoint(uses.features)
        or any(map(names_somebody, _texts(condition.model_dump(mode="json"))))
    )


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who reads rules, and what things are called."""

    principal: Principal
    names: Names

    def hides(self, condition: Condition) -> bool:
        """Whether they may not read a condition."""
        return not self._sees_all and says_personal(condition, self.names)

    def sentence(self, rule: Rule) -> str:
        """A rule in English, as they may read it."""
        return rule.model_copy(update={"match": self._readable(rule.match)}).sentence(self.names)

    def line(self, node: Group | Condition) -> str:
        """A condition likewise; of a group only how its parts are joined."""
        if isinstance(node, Group):
            return GROUP_SENTENCES[node.kind]
        return _HIDDEN if self.hides(node) else node.sentence(self.names)

    def plain(self, rule: Rule) -> dict[str, Any]:
        """A rule as JSON, the values of what they may not read covered."""
        if isinstance(rule, Unread) and not self._sees_all:
            return {}  # what it says of whom, nobody knows
        told = rule.plain
        for path, condition in rule.conditions():
            if self.hides(condition):
                *above, last = path
                parts = told["match"]["of"]
                for place in above:
                    parts = parts[place]["of"]
                parts[last] = _covered(parts[last])
        return told

    def evidence(self, condition: Condition, found: Evidence | None) -> Evidence | None:
        """What was found of somebody, as they may read it."""
        if found is None or self._sees_all or not (self.hides(condition) or self._may_name(condition, found)):
            return found
        if self.hides(condition) or not found.found or found.found not in found.sentence:
            said = "what was found is personal data, which your role may not read"
            return Evidence(said, happenings=found.happenings, events=found.events)
        shown = masked(found.found)
        return replace(found, sentence=found.sentence.replace(found.found, shown), found=shown)

    def check(self, rule: Rule) -> None:
        """Raises Forbidden for a rule of their own that asks for what they may not read."""
        for path, condition in rule.conditions():
            if self.hides(condition):
                place = ".".join(str(part + 1) for part in path)
                raise Forbidden(
                    f"Condition {place} asks about personal data, which your role {self.principal.role.spelt} may not"
                    " read: take it out, or ask with a role that may."
                )

    @property
    def _sees_all(self) -> bool:
        return self.principal.may("pii.read")

    def _readable(self, node: Group | Condition) -> Group | Condition:
        if isinstance(node, Group):
            return node.model_copy(update={"of": tuple(map(self._readable, node.of))})
        return _Hidden() if self.hides(node) else node

    def _may_name(self, condition: Condition, found: Evidence) -> bool:
        """Whether it is a text of theirs that no field of ours holds, or looks like an address or number."""
        uses = condition.uses
        if uses.fields and PERSON_WHOLE.issuperset(uses.fields):
            return False
        is_theirs = not PERSON_FIELDS.issuperset(uses.fields) or not self.names.texts.isdisjoint(uses.features)
        return is_theirs or any(map(names_somebody, (found.found, found.sentence)))


class _Hidden(Condition):
    """Stands for a condition that is not to be read."""

    kind: Literal["hidden"] = "hidden"

    def sentence(self, names: Names) -> str:  # noqa: ARG002 - nothing in it is called anything
        """See Condition."""
        return _HIDDEN


def _texts(node: Any, key: str = "") -> Iterator[str]:
    """Every text of a condition's JSON that somebody wrote, and whole numbers that are not put in an order."""
    if isinstance(node, Mapping):
        is_number = node.get("op", node.get("comparison")) in _ORDERING or str(node.get("field")).endswith("_micros")
        for name, part in node.items():
            if not (is_number and name == "values" and not any(isinstance(one, str) for one in part)):
                yield from _texts(part, name)
    elif isinstance(node, list | tuple):
        for part in node:
            yield from _texts(part, key)
    elif key not in _IDS and (isinstance(node, str) or (key == "values" and type(node) is int)):
        yield as_text(node)


def _covered(node: Any, key: str = "") -> Any:
    if isinstance(node, Mapping):
        return {name: _covered(part, name) for name, part in node.items()}
    if isinstance(node, list | tuple):
        return [_covered(part, key) for part in node]
    if key in _VALUES or (key not in _IDS and isinstance(node, str) and names_somebody(node)):
        return _COVER
    return node
