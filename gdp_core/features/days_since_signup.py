"""How old an account is."""

from gdp_core.features.base import Feature, Held

FEATURE = Feature(
    slug="days_since_signup",
    title="Days since signup",
    unit="days",
    definition="Whole days of 24 h since they signed up (the event role “signup”).",
    made=Held("signup_at", "since"),
)
