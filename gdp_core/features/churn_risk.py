"""The early-warning score."""

from gdp_core.features.base import Feature, Scored

FEATURE = Feature(
    slug="churn_risk",
    title="Churn risk",
    unit="",
    definition="How likely they do nothing the product is for in the next 30 days, told of people who did in the last 60, "
    "by the workspace's own history. Reckoned once a day; missing where there is too little history to tell.",
    made=Scored(),
)
