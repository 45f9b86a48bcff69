"""Every feature there is, one file each: adding one is a file and a line here."""

from gdp_core.features import (
    active_days,
    active_days_30d,
    churn_risk,
    core_actions,
    core_actions_30d,
    days_since_core_action,
    days_since_last_active,
    days_since_signup,
    email_clicks,
    email_opens,
    letters_created,
    letters_sent,
    lifetime_value,
    pricing_views,
    recipients_added,
    templates_created,
)
from gdp_core.features.base import Feature

FEATURES: tuple[Feature, ...] = (
    active_days.FEATURE,
    active_days_30d.FEATURE,
    core_actions.FEATURE,
    core_actions_30d.FEATURE,
    pricing_views.FEATURE,
    email_opens.FEATURE,
    email_clicks.FEATURE,
    letters_created.FEATURE,
    letters_sent.FEATURE,
    templates_created.FEATURE,
    recipients_added.FEATURE,
    days_since_signup.FEATURE,
    days_since_last_active.FEATURE,
    days_since_core_action.FEATURE,
    lifetime_value.FEATURE,
    churn_risk.FEATURE,
)
"""In the order in which they are shown. Source document 000 names the plain ones; a workspace adds its own."""

if len({feature.slug for feature in FEATURES}) < len(FEATURES):
    raise ValueError("Two features have one slug.")
