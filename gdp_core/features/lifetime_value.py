"""What somebody has brought."""

from gdp_core.features.base import Feature, Held

FEATURE = Feature(
    slug="lifetime_value",
    title="Lifetime value",
    unit="",
    definition="What they paid, minus refunds and lost disputes, in all their time.",
    made=Held("lifetime_value_micros", "money"),
)
