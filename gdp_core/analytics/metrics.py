"""The headline numbers: each declared once, with the sentence that says what it is. Cards, tooltips and docs read this.

How a number is computed is in the report it comes from; what is here is what people are told of it. Definitions follow
docs/definitions; those of revenue are the report's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from gdp_core.analytics.revenue import MEANINGS
from gdp_core.errors import NotFound

Unit = Literal["count", "money", "ratio", "seconds"]
Good = Literal["up", "down", "neither"]
"""Which way is better."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A number as people are told of it. Money is in micros of the workspace's currency, a ratio between 0 and 1."""

    slug: str
    title: str
    unit: Unit
    definition: str
    good: Good = "up"


def metric(slug: str) -> Declared:
    """What is declared under a slug. Raises NotFound."""
    if slug not in METRICS:
        raise NotFound(f"There is no metric {slug!r}; choose one of {', '.join(METRICS)}.")
    return METRICS[slug]


def _by_slug(*declared: Declared) -> Mapping[str, Declared]:
    found = {one.slug: one for one in declared}
    if len(found) != len(declared):
        raise ValueError("A metric is declared once.")
    return MappingProxyType(found)


METRICS = _by_slug(
    Declared(
        "new_people",
        "New people",
        "count",
        "People seen for the first time in the period, visitors nobody knows yet included.",
    ),
    Declared(
        "active_people",
        "Active people",
        "count",
        "People who did something in the period: a machine's or the billing system's events do not count, nor opened mails.",
    ),
    Declared(
        "events",
        "Events",
        "count",
        "Everything that was recorded in the period, machine events included, by UTC day. The comparison leaves the"
        " running day out on both sides.",
        "neither",
    ),
    Declared(
        "daily_active",
        "Daily active people",
        "count",
        "People who did something on the last complete local day of the period.",
    ),
    Declared(
        "weekly_active",
        "Weekly active people",
        "count",
        "People who did something in the 7 local days that end with the last complete day of the period.",
    ),
    Declared(
        "monthly_active",
        "Monthly active people",
        "count",
        "People who did something in the 30 local days that end with the last complete day of the period.",
    ),
    Declared(
        "stickiness",
        "DAU / MAU",
        "ratio",
        "The mean of the daily active people of 30 local days, of everybody active in those 30 days.",
    ),
    Declared(
        "retention_d7",
        "Day 7 retention",
        "ratio",
        "Of those who started, who did something on the seventh local day after the day they did. Only cohorts whose"
        " seventh day is over.",
    ),
    Declared(
        "retention_d30",
        "Day 30 retention",
        "ratio",
        "Of those who started, who did something on the thirtieth local day after the day they did. Only cohorts whose"
        " thirtieth day is over.",
    ),
    Declared(
        "activation_rate",
        "Activation rate",
        "ratio",
        "Of those who started, who met the activation criteria in time. Only those whose time is over.",
    ),
    Declared(
        "time_to_activate",
        "Time to activate",
        "seconds",
        "The median time from the start to meeting the activation criteria, of those who did.",
        "down",
    ),
    Declared(
        "dormant_people",
        "Dormant people",
        "count",
        "People active in the interval before, and not in this one.",
        "down",
    ),
    Declared(
        "resurrected_people",
        "Resurrected people",
        "count",
        "People active in the interval and not in the one before, but some time earlier.",
    ),
    Declared(
        "trial_to_paid",
        "Trial to paid",
        "ratio",
        "Of the trials that ended in the period, the share that became paying.",
    ),
    Declared(
        "mrr",
        "MRR",
        "money",
        "What the subscriptions that are active or past due are worth a month at the end of the period, by the exchange"
        " rate of each day. Trials, one-off payments and usage are not in it.",
    ),
    Declared("arr", "ARR", "money", MEANINGS["arr"]),
    Declared("committed_mrr", "Committed MRR", "money", MEANINGS["committed"]),
    Declared("trial_mrr", "Trial MRR", "money", MEANINGS["trial"]),
    Declared("customers", "Customers", "count", MEANINGS["customers"]),
    Declared("arpa", "ARPA", "money", MEANINGS["arpa"]),
    Declared("customer_churn", "Customer churn", "ratio", MEANINGS["customer_churn"], "down"),
    Declared("gross_mrr_churn", "Gross MRR churn", "ratio", MEANINGS["gross_mrr_churn"], "down"),
    Declared("nrr", "Net revenue retention", "ratio", MEANINGS["nrr"]),
    Declared("grr", "Gross revenue retention", "ratio", MEANINGS["grr"]),
    Declared("predicted_ltv", "Predicted lifetime value", "money", MEANINGS["predicted_ltv"]),
)
