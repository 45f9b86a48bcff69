"""The only place that reads the wall clock. Everything else takes `now` as an argument."""

from datetime import UTC, datetime


def now() -> datetime:
    """The current instant, aware UTC."""
    return datetime.now(UTC)


def aware(value: datetime) -> datetime:
    """`value` in UTC; a naive datetime is taken to be UTC already (Segment's Python client sends such ones)."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def from_unix(seconds: float) -> datetime:
    """Unix seconds to aware UTC. Raises ValueError outside the years 1-9999."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, OSError) as error:
        raise ValueError(f"{seconds!r} is not a time") from error
