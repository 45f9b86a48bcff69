"""The kinds of conditions. A new kind is a file here and a line below: reader, builder, sentence and explanation find it."""

from typing import Annotated

from pydantic import Field

from gdp_core.segments.conditions.amount import Amount
from gdp_core.segments.conditions.base import Condition
from gdp_core.segments.conditions.churn import Churn
from gdp_core.segments.conditions.cohort import Cohort
from gdp_core.segments.conditions.consent import Consent
from gdp_core.segments.conditions.deal import Deal
from gdp_core.segments.conditions.email import Email
from gdp_core.segments.conditions.feature import FeatureIs
from gdp_core.segments.conditions.not_since import NotSince
from gdp_core.segments.conditions.performed import Performed
from gdp_core.segments.conditions.person import Person
from gdp_core.segments.conditions.random import Random
from gdp_core.segments.conditions.regularly import Regularly
from gdp_core.segments.conditions.resumed import Resumed
from gdp_core.segments.conditions.segment import Segment
from gdp_core.segments.conditions.sequence import Sequence
from gdp_core.segments.conditions.static_list import OnList
from gdp_core.segments.conditions.stopped import Stopped
from gdp_core.segments.conditions.subscription import Subscription
from gdp_core.segments.conditions.suppression import Suppression

KINDS: tuple[type[Condition], ...] = (
    Performed,
    Person,
    FeatureIs,
    NotSince,
    Sequence,
    Stopped,
    Resumed,
    Regularly,
    Amount,
    Subscription,
    Email,
    Consent,
    Suppression,
    Deal,
    Segment,
    OnList,
    Cohort,
    Churn,
    Random,
)
"""In the order in which the builder offers them."""

AnyCondition = Annotated[
    Performed
    | Person
    | FeatureIs
    | NotSince
    | Sequence
    | Stopped
    | Resumed
    | Regularly
    | Amount
    | Subscription
    | Email
    | Consent
    | Suppression
    | Deal
    | Segment
    | OnList
    | Cohort
    | Churn
    | Random,
    Field(discriminator="kind"),
]

__all__ = ["KINDS", "AnyCondition", "Condition"]
