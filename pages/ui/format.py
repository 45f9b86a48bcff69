"""Numbers, money, dates and times as the workspace writes them. Unknown is "–", never 0.

Amounts come in micros with a currency, instants are aware; the results are plain text.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime, format_timedelta
from babel.numbers import (
    format_compact_currency,
    format_compact_decimal,
    format_currency,
    format_decimal,
    format_percent,
    get_currency_precision,
)

from gdp_core.accounts.roles import Role
from gdp_core.money import MICROS

UNKNOWN = "–"


@lru_cache(maxsize=20_000)
def _decimal(value: float, locale: str) -> str:
    """Remembered: a page writes hundreds, mostly those of its last run."""
    return format_decimal(value, locale=locale)


@dataclass(frozen=True, slots=True)
class Format:
    """How one workspace writes things."""

    locale: str
    timezone: str
    currency: str

    @property
    def zone(self) -> ZoneInfo:
        """The time zone that instants are shown in."""
        return ZoneInfo(self.timezone)

    def number(self, value: float | None, *, decimals: int = 0) -> str:
        """12,480"""
        if value is None:
            return UNKNOWN
        return _decimal(round(value, decimals) + 0, self.locale)  # -0.0 is 0

    def compact(self, value: float | None) -> str:
        """1.8M from a million on, exact below."""
        if value is None or abs(value) < 1_000_000:
            return self.number(value)
        return format_compact_decimal(value, fraction_digits=2, locale=self.locale)

    def size(self, count: int) -> str:
        """Bytes as people read them: 512 B, 14 KB, 5.7 MB."""
        if count < 1000:
            return f"{count} B"
        if count < 1_000_000:
            return f"{self.number(count / 1000)} KB"
        return f"{self.number(count / 1_000_000, decimals=1)} MB"

    def percent(self, ratio: float | None) -> str:
        """61.8% of a ratio of 0.618; what is there but tiny is "<0.1%"."""
        if ratio is None:
            return UNKNOWN
        if -0.0005 < ratio <= 0:
            ratio = 0.0  # never -0%
        if 0 < ratio < 0.0005:
            return f"<{self.percent(0.001)}"
        pattern = Locale.parse(self.locale).percent_formats[None].pattern.replace("0%", "0.#%").replace("0 %", "0.# %")
        return format_percent(ratio, format=pattern.replace("0\xa0%", "0.#\xa0%"), locale=self.locale)

    def change(self, now: float | None, before: float | None) -> str | None:
        """By how much `now` is more than `before`: "4.2%", "-3%"; None when nothing can be said."""
        if now is None or not before:
            return None
        ratio = (now - before) / abs(before)
        return (
            self.percent(ratio) if abs(ratio) < 10 else f"×{format_decimal(round(now / before, 1), locale=self.locale)}"
        )

    def points(self, now: float | None, before: float | None) -> str | None:
        """The difference of two ratios in percentage points: "1.4 pp"."""
        if now is None or before is None:
            return None
        return f"{format_decimal(round((now - before) * 100, 1), locale=self.locale)} pp"

    def money(self, micros: int | None, currency: str | None = None) -> str:
        """$1,234.50; without its cents when there are none."""
        if micros is None:
            return UNKNOWN
        code = currency or self.currency
        amount = Decimal(micros) / MICROS
        digits = get_currency_precision(code)
        whole = amount == amount.to_integral_value() and abs(amount) >= 1000
        if whole or not digits:
            return format_currency(amount, code, format=self._whole_money(), currency_digits=False, locale=self.locale)
        return format_currency(amount, code, locale=self.locale)

    def money_short(self, micros: int | None, currency: str | None = None) -> str:
        """$1.82M from a million on, $12,345 below: for headlines."""
        if micros is None:
            return UNKNOWN
        code = currency or self.currency
        amount = Decimal(micros) / MICROS
        if abs(amount) >= 1_000_000:
            return format_compact_currency(amount, code, fraction_digits=2, locale=self.locale)
        if abs(amount) < 100:
            return self.money(micros, code)
        return format_currency(
            round(amount), code, format=self._whole_money(), currency_digits=False, locale=self.locale
        )

    def money_compact(self, micros: int, currency: str | None = None) -> str:
        """$1.8M, $36K: for charts only, where two digits must do."""
        amount = Decimal(micros) / MICROS
        if abs(amount) < 1000:  # babel shortens from a thousand on, and below it writes every digit there is
            amount = round(amount, 0)
        leading = abs(amount)
        while leading >= 1000:
            leading /= 1000
        return format_compact_currency(
            amount,
            currency or self.currency,
            fraction_digits=1 if abs(amount) >= 1000 and leading < 10 else 0,
            locale=self.locale,
        )

    def _whole_money(self) -> str:
        pattern: str = Locale.parse(self.locale).currency_formats["standard"].pattern
        return pattern.replace(".00", "")

    def day(self, value: date | None) -> str:
        """19 Nov 2026"""
        return UNKNOWN if value is None else format_date(value, "d MMM y", locale=self.locale)

    def short_day(self, value: date) -> str:
        """19 Nov"""
        return format_date(value, "d MMM", locale=self.locale)

    def month(self, value: date) -> str:
        """Nov 2026"""
        return format_date(value, "MMM y", locale=self.locale)

    def short_month(self, value: date) -> str:
        """Nov, and the year with January: for axes."""
        return format_date(value, "MMM y" if value.month == 1 else "MMM", locale=self.locale)

    def instant(self, value: datetime | None, *, seconds: bool = False) -> str:
        """19 Nov 2026, 09:00, in the workspace's time zone (name it once per page: `zone_name`)."""
        if value is None:
            return UNKNOWN
        pattern = "d MMM y, HH:mm:ss" if seconds else "d MMM y, HH:mm"
        return format_datetime(value, pattern, tzinfo=self.zone, locale=self.locale)

    def clock(self, value: datetime) -> str:
        """09:00, the local time of day of an instant."""
        return format_datetime(value, "HH:mm", tzinfo=self.zone, locale=self.locale)

    def date_of(self, value: datetime | None) -> str:
        """19 Nov 2026, the local day of an instant."""
        return UNKNOWN if value is None else self.day(value.astimezone(self.zone).date())

    def zone_name(self, at: datetime) -> str:
        """CET, or the zone's own name where it has no short one."""
        name = at.astimezone(self.zone).tzname() or self.timezone
        return self.timezone if name[:1] in "+-" else name

    def ago(self, value: datetime | None, now: datetime) -> str:
        """5 minutes ago; "just now" below a minute; the date beyond 30 days."""
        if value is None:
            return "never"
        passed = now - value
        if abs(passed) < timedelta(minutes=1):
            return "just now"
        if abs(passed) > timedelta(days=30):
            return self.date_of(value)
        return format_timedelta(-passed, add_direction=True, locale=self._words())

    def span(self, value: timedelta) -> str:
        """3 days: a length of time in its largest unit."""
        return format_timedelta(value, locale=self._words())

    def lasting(self, seconds: float | None) -> str:
        """45 s, 12 min, 2.4 h, 3.1 days: how long something took."""
        if seconds is None:
            return UNKNOWN
        for size, unit in ((86_400, "days"), (3600, "h"), (60, "min")):
            if seconds >= size:
                return f"{self.number(seconds / size, decimals=1)} {unit if seconds != 86_400 else 'day'}"
        return f"{self.number(seconds, decimals=1 if seconds < 10 else 0)} s"

    def _words(self) -> str:
        # The interface speaks English; only an English locale may choose its own words.
        return self.locale if self.locale.startswith("en") else "en_GB"


def label(word: str | None) -> str:
    """A stored word as people read it: paid_ads -> Paid ads."""
    if not word:
        return UNKNOWN
    text = word.replace("_", " ").replace(".", " ")
    return _SPELT.get(word, text[:1].upper() + text[1:])


_SPELT = {
    "sms_campaign": "SMS campaign",
    "email_campaign": "E-mail campaign",
    "email": "E-mail",
    "sms": "SMS",
    "posthog": "PostHog",
    "meta": "Meta",
    "mrr": "MRR",
    "wal_held": "WAL held",
    "ip": "IP address",
    "url": "URL",
    **{f"utm_{word}": f"UTM {word}" for word in ("source", "medium", "campaign", "term", "content")},
    **{role.value: role.spelt for role in Role},
}
