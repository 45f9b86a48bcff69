"""Which days a report covers, in the workspace's own calendar. The one value that filters every report.

A period is half-open, [since, until). One that includes today ends now, and is compared with an earlier one that ends
at the same time of day, so that a morning is never compared with a whole day.
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from gdp_core.errors import InvalidInput

Compare = Literal["previous", "year", "none"]
PRESETS = {"7d": 7, "30d": 30, "90d": 90, "365d": 365}
_LONGEST = 3660


@dataclass(frozen=True, slots=True)
class Scope:
    """Local days [start, end) of a workspace, seen at `now`. Hashable: the key of every cached report."""

    workspace_id: UUID
    timezone: str
    currency: str
    start: date
    end: date
    now: datetime
    compare: Compare = "previous"

    @property
    def zone(self) -> ZoneInfo:
        """The workspace's time zone."""
        return ZoneInfo(self.timezone)

    @property
    def days(self) -> int:
        """How many calendar days it covers, the running one included."""
        return (self.end - self.start).days

    @property
    def today(self) -> date:
        """The running local day."""
        return self.now.astimezone(self.zone).date()

    @property
    def since(self) -> datetime:
        """Its first instant, UTC."""
        return midnight(self.start, self.zone)

    @property
    def until(self) -> datetime:
        """The instant it ends before, UTC: never later than now."""
        return min(midnight(self.end, self.zone), self.now)

    @property
    def is_running(self) -> bool:
        """Whether its last day is not over yet."""
        return midnight(self.end, self.zone) > self.now

    def earlier(self) -> "Scope | None":
        """What it is compared with; None for nothing."""
        if self.compare == "none":
            return None
        shift = timedelta(days=365 if self.compare == "year" else self.days)
        wall = self.now.astimezone(self.zone).replace(tzinfo=None) - shift
        return replace(
            self,
            start=self.start - shift,
            end=self.end - shift,
            now=wall.replace(tzinfo=self.zone).astimezone(UTC),
        )


def in_reach(start: date, end: date) -> bool:
    """Whether events can have happened on these days: sources take no earlier ones, and calendars end."""
    return start.year >= 1990 and end.year <= 9000


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of a local day, UTC."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def scope(
    workspace_id: UUID,
    *,
    timezone: str,
    currency: str,
    now: datetime,
    period: str = "30d",
    compare: str = "previous",
) -> Scope:
    """A scope from what a URL says: `7d`, `30d`, `90d`, `365d`, or `2026-01-01..2026-03-31` (both days included).

    Raises InvalidInput for anything else.
    """
    today = now.astimezone(ZoneInfo(timezone)).date()
    start, end = _days(period, today)
    chosen: Compare = compare if compare in ("previous", "year", "none") else "previous"  # type: ignore[assignment]
    return Scope(workspace_id, timezone, currency, start, end, now, chosen)


def _days(period: str, today: date) -> tuple[date, date]:
    if period in PRESETS:
        end = today + timedelta(days=1)
        return end - timedelta(days=PRESETS[period]), end
    first, _, last = period.partition("..")
    try:
        start, end = date.fromisoformat(first), date.fromisoformat(last) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise InvalidInput("A period is 7d, 30d, 90d, 365d or two days like 2026-01-01..2026-03-31.") from None
    if not 1 <= (end - start).days <= _LONGEST or not in_reach(start, end):
        raise InvalidInput("Choose a period of at least one day and at most ten years.")
    return start, end
