"""How every table is written: singular names, `workspace_id` second and in every key, text + CHECK instead of enums.

Tables are dumb: no methods, no relationships, no defaults that depend on a clock. Row-level security and partitions are
the migrations' business.
"""

from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.types import UserDefinedType
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


class TransactionNumber(UserDefinedType[str]):
    """Postgres's xid8: the transaction that wrote a row. It only grows."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """The type's name."""
        return "xid8"


ischema_names["xid8"] = TransactionNumber  # so that a schema with such columns can be compared with these tables


def written_by(*, primary_key: bool = False) -> Any:
    """The transaction that wrote the row last, by default the one that inserts it. The lake is brought up to date by it."""
    default = text("pg_current_xact_id()")
    return Field(
        default=None,
        sa_column=Column("tx", TransactionNumber(), primary_key=primary_key, nullable=False, server_default=default),
    )


def one_of(column: str, *values: str) -> CheckConstraint:
    """CHECK that a text column holds one of `values` (NULL passes)."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_is_known")
