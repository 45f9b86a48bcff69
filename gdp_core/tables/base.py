"""How every table is written: singular names, `workspace_id` second and in every key, text + CHECK instead of enums.

Tables are dumb: no methods, no relationships, no defaults that depend on a clock other than the database's. Row-level
security and partitions are the migrations' business.
"""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, DateTime, Text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field

# Columns of a SQLModel class are annotated with these, e.g. `seen_at: Instant | None = None`.
Instant = Annotated[datetime, Field(sa_type=DateTime(timezone=True))]  # type: ignore[call-overload]
OptionalInstant = Annotated[datetime | None, Field(sa_type=DateTime(timezone=True))]  # type: ignore[call-overload]
Micros = Annotated[int, Field(sa_type=BigInteger)]
OptionalMicros = Annotated[int | None, Field(sa_type=BigInteger)]
Word = Annotated[str, Field(sa_type=Text)]
OptionalWord = Annotated[str | None, Field(sa_type=Text)]
Object = Annotated[dict[str, Any], Field(sa_type=JSONB)]
OptionalObject = Annotated[dict[str, Any] | None, Field(sa_type=JSONB)]
Words = Annotated[list[str], Field(sa_type=ARRAY(Text))]  # type: ignore[call-overload]
Key = Annotated[UUID, Field(primary_key=True)]


def one_of(column: str, *values: str) -> CheckConstraint:
    """CHECK that a text column holds one of `values` (NULL passes)."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_is_known")
