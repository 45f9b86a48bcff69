"""What is reckoned of people: their features, what a workspace wants to know besides, and the model that warns of churn."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import SQLModel

from gdp_core.tables.base import instant, jsonb, key, one_of, word, word_key, words


class PersonFeature(SQLModel, table=True):
    """A feature of a person: a number, a text or an instant. What is 0 or nothing has no row."""

    __tablename__ = "person_feature"
    __table_args__ = (
        CheckConstraint("num_nonnulls(number, word, at) > 0", name="has_a_value"),
        Index(
            "person_feature_by_number",
            "workspace_id",
            "feature",
            "number",
            postgresql_where=text("number IS NOT NULL"),
        ),
        Index("person_feature_by_word", "workspace_id", "feature", "word", postgresql_where=text("word IS NOT NULL")),
        Index("person_feature_by_at", "workspace_id", "feature", "at", postgresql_where=text("at IS NOT NULL")),
    )

    person_id: UUID = key()
    workspace_id: UUID = key()
    feature: str = word_key()
    number: float | None = None
    word: str | None = word(default=None)
    at: datetime | None = instant(default=None)
    parts: dict[str, Any] | None = jsonb(default=None)  # what made a score so high, by feature
    computed_at: datetime = instant()  # when it became what it is


class FeatureDefinition(SQLModel, table=True):
    """A feature that the workspace defined: which events, what of them, and how far back."""

    __tablename__ = "feature_definition"
    __table_args__ = (one_of("aggregate", "count", "sum", "distinct", "days", "since", "first", "last"),)

    slug: str = word_key()
    workspace_id: UUID = key()
    title: str = word()
    unit: str = word()
    event_names: list[str] = words()  # none: whatever a person does
    conditions: list[str] = words()  # as Condition.text writes them
    aggregate: str = word()
    lookback: str | None = word(default=None)  # as Window.text writes it; NULL: all there is
    field: str | None = word(default=None)
    created_at: datetime = instant()
    created_by: UUID | None = None
    updated_at: datetime = instant()
    updated_by: UUID | None = None


class ChurnModel(SQLModel, table=True):
    """A trained early-warning model, or why there is none. The same history makes the same text."""

    __tablename__ = "churn_model"

    version: int = key()
    workspace_id: UUID = key()
    model: str = word()
    trained_at: datetime = instant()
    checked_at: datetime = instant()  # when it was last found to be what the history says
