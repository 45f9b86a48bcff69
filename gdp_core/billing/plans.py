"""Which plan a price belongs to: the workspace's own mapping first, else Stripe's names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Match = Literal["price", "product", "lookup_key"]


class Plan(NamedTuple):
    """A plan as people here call it. `is_mapped` tells whether someone said so."""

    id: str
    name: str
    is_mapped: bool


@dataclass(frozen=True, slots=True)
class PlanMapping:
    """The rows of `plan_mapping`: (match, value) -> (plan id, plan name)."""

    entries: Mapping[tuple[Match, str], tuple[str, str]] = field(default_factory=dict)

    def plan_of(
        self,
        *,
        price_id: str | None,
        product_id: str | None,
        lookup_key: str | None = None,
        nickname: str | None = None,
        product_name: str | None = None,
    ) -> Plan:
        """The mapped plan (price before lookup key before product), else the product under its own name."""
        named: tuple[tuple[Match, str | None], ...] = (
            ("price", price_id),
            ("lookup_key", lookup_key),
            ("product", product_id),
        )
        for match, value in named:
            if value is not None and (entry := self.entries.get((match, value))):
                return Plan(*entry, is_mapped=True)
        plan_id = product_id or price_id or "unknown"
        return Plan(plan_id, product_name or nickname or lookup_key or plan_id, is_mapped=False)
