"""How every table is written: singular names, `workspace_id` second and in every key, text + CHECK instead of enums.

Tables are dumb: no methods, no relationships, no defaults that depend on a clock. Row-level security and partitions are
the migrations' business.
"""

from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, DateTime, LargeBinary, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field

# One builder per kind of column: `seen_at: datetime | None = instant()`; the annotation says whether it may be NULL.


def key() -> Any:
    """Part of the primary key."""
    return Field(primary_key=True)


def word(**options: Any) -> Any:
    """Text of any length."""
    return Field(sa_type=Text, **options)


def word_key() -> Any:
    """Text that is part of the primary key."""
    return Field(sa_type=Text, primary_key=True)


def instant(**options: Any) -> Any:
    """timestamptz; Python sees aware datetimes."""
    return Field(sa_type=DateTime(timezone=True), **options)


def whole(**options: Any) -> Any:
    """bigint: counts, and money in micros."""
    return Field(sa_type=BigInteger, **options)


def jsonb(**options: Any) -> Any:
    """A JSON object or array."""
    return Field(sa_type=JSONB, **options)


def words(**options: Any) -> Any:
    """text[]."""
    return Field(sa_type=ARRAY(Text), **options)


def raw(**options: Any) -> Any:
    """bytea."""
    return Field(sa_type=LargeBinary, **options)


def one_of(column: str, *values: str) -> CheckConstraint:
    """CHECK that a text column holds one of `values` (NULL passes)."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_is_known")
