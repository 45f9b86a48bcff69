"""What the builder offers: events with their volume, fields, their most frequent values, features, segments, lists.

Names come from what was received, so a picker offers what there is. What a rule names beside that is offered too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from gdp_core.analytics.fields import Fields
from gdp_core.analytics.measures import MONEY
from gdp_core.segments.conditions.deal import STAGE
from gdp_core.segments.conditions.subscription import PLAN, STATUS
from gdp_core.segments.facts import Surroundings
from pages.ui.escape import clean
from pages.ui.format import label
from pages.ui.reporting.picking import allowed
from pages.ui.reporting.sight import Sight
from pages.ui.segments.tree import Node

Offered = Mapping[str, str]
"""What is stored, and how it is spelt."""
_PERSON = "person."
_USUAL_SAME = ("checkout_id", "order_id", "deal_id", "booking_id", "session_id")
_CHANNELS = ("email", "sms", "push", "phone", "post")


@dataclass(frozen=True)
class Offers:
    """What one workspace offers. `own`: the segment that is edited, which cannot be made of itself."""

    sight: Sight
    fields: Fields
    around: Surroundings
    own: str | None = None

    @cached_property
    def events(self) -> Offered:
        """Events with how often they were received lately."""
        write = self.sight.place.write
        return {
            name: clean(f"{name} · {write.number(count)} in 30 d", longest=80) for name, count in self.fields.events
        }

    def properties(self, names: Iterable[str]) -> Offered:
        """The fields of these events, or of all."""
        return _spelt(allowed(self.sight.place, self.fields.of_events(tuple(names))))

    def shared(self, node: Node) -> Offered:
        """The properties by which two events of a condition can be told to belong together: those both have, first."""
        first, second = (
            (node.get(name) or {}).get("names") or () for name in ("event", "other" if "other" in node else "then")
        )
        known = [set(self.fields.of_events(tuple(names))) for names in (first, second) if names]
        both = set.intersection(*known) if known else set()
        carried = {item for name in (*first, *second) for item in self.fields.properties.get(name, ())}
        likely = sorted(both & carried, key=lambda name: (name not in _USUAL_SAME, name))
        return _spelt(allowed(self.sight.place, [*likely, *sorted(carried)]))

    def amounts(self, node: Node) -> Offered:
        """The fields of a condition's events that can be added up or counted."""
        found = self.properties((node.get("event") or {}).get("names") or ())
        return {MONEY: spell_property(MONEY)} | dict(found)

    @cached_property
    def traits(self) -> Offered:
        """Fields of people."""
        found = allowed(self.sight.place, self.fields.of_people)
        return {name.removeprefix(_PERSON): spell_field(name.removeprefix(_PERSON)) for name in found}

    @cached_property
    def instants(self) -> Offered:
        """Instants of people."""
        return {name: spell_field(name) for name in self.traits if name.endswith("_at")}

    @cached_property
    def features(self) -> Offered:
        """Features by their titles."""
        return {slug: clean(one.title, longest=80) for slug, one in self.around.features.items()}

    @cached_property
    def segments(self) -> Offered:
        """Other segments."""
        names = self.around.names
        return {key: clean(names.segment(key), longest=80) for key in self.around.rules if key != self.own}

    @cached_property
    def lists(self) -> Offered:
        """Saved lists of people."""
        return {key: clean(self.around.names.static_list(key), longest=80) for key in self.around.lists}

    def values(self, field: str) -> Offered:
        """The most frequent values of a field of events, or with "person." before it of people."""
        return {value: clean(value, longest=80) for value in self.sight.values(field)} if field else {}

    def texts(self, kind: str, field: str, node: Node) -> Offered:
        """What texts a field of a condition may be."""
        match kind, field:
            case "person", "values":
                return self.values(f"{_PERSON}{node.get('field', '')}") if node.get("field") else {}
            case "subscription", "statuses":
                return self.values(f"{_PERSON}{STATUS}")
            case "subscription", "plans":
                return self.values(f"{_PERSON}{PLAN}")
            case "email", "campaigns":
                return self.values("utm_campaign")
            case "deal", "stages":
                return self.values(STAGE)
            case "cohort", "sources":
                return {value: label(value) for value in self.values(f"{_PERSON}source")}
            case "consent", "channel":
                return {value: label(value) for value in dict.fromkeys([*_CHANNELS, *self.values("channel")])}
            case "consent", "topic":
                return self.values("topic")
        return {}


def spell_field(name: str) -> str:
    """A field of a person as people read it."""
    return clean(
        label(name.removesuffix("_micros").removesuffix("_at") if name.endswith(("_micros", "_at")) else name),
        longest=60,
    )


def spell_property(name: str) -> str:
    """A field of an event as people read it."""
    return "value (money)" if name == MONEY else name


def _spelt(names: Iterable[str]) -> Offered:
    return {name: clean(spell_property(name), longest=60) for name in names}
