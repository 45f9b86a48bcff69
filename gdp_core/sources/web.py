"""What a request or an event tells of where and when: page, campaign, browser, money and the corrected time.

Shared by every source that carries web context. Owns the mapping to EventFact's columns and the one rule for clocks;
knows no vendor's envelope.
"""

import ipaddress
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal, TypedDict
from urllib.parse import parse_qsl, urlsplit

from gdp_core.clock import aware, from_unix
from gdp_core.errors import InvalidInput
from gdp_core.money import from_units
from gdp_core.sources.facts import Json
from gdp_core.sources.payload import Unusable

CLIENT_IP = "x-client-ip"
"""The header in which the door hands on the address it believes a browser to have; never taken from a sender."""

AHEAD = timedelta(minutes=5)
FAR_AHEAD = timedelta(hours=23)
OLDEST = datetime(1990, 1, 1, tzinfo=UTC)  # earlier is a zero or a broken clock; every month would be a partition

MAX_URL = 4_096
MAX_TEXT = 512

_UTM = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
_CLICK = ("gclid", "fbclid", "ttclid")
_OTHER_CLICK = (
    "gbraid wbraid msclkid dclid gclsrc gad_source twclid li_fat_id igshid rdt_cid epik qclid sccid irclid _kx mc_cid"
).split()
CAMPAIGN_NAMES = frozenset((*_UTM, *_CLICK, *_OTHER_CLICK))

_MACHINE = re.compile(
    r"(?<!cu)bot(\b|_)|crawl|spider|slurp|headless|phantomjs|lighthouse|pagespeed|gtmetrix|pingdom|uptime|statuscake"
    r"|selenium|webdriver|scrapy|curl/|wget/|python-|aiohttp|httpx|go-http-client|libwww|java/|axios|node-fetch"
    r"|apache-httpclient|facebookexternalhit|bingpreview|whatsapp|skypeuripreview|embedly|mediapartners"
    r"|barracuda|mimecast|proofpoint|safelinks|urldefense|forcepoint|symantec|trendmicro|urlscan|virustotal"
    r"|yahoomailproxy|googleimageproxy",
    re.IGNORECASE,
)


class Web(TypedDict):
    """The columns of an EventFact that describe a visit."""

    url: str | None
    referrer: str | None
    user_agent: str | None
    ip: str | None
    is_machine: bool
    utm_source: str | None
    utm_medium: str | None
    utm_campaign: str | None
    utm_term: str | None
    utm_content: str | None
    gclid: str | None
    fbclid: str | None
    ttclid: str | None


def web(
    *,
    url: Json = None,
    referrer: Json = None,
    user_agent: Json = None,
    ip: Json = None,
    search: Json = None,
    stated: Mapping[str, Json] | None = None,
) -> tuple[Web, dict[str, str]]:
    """(EventFact's columns, the click ids that have no column) of a visit.

    `search` is the page's query where `url` lacks it; `stated` holds utm_* and click ids the sender names itself, which
    win over the URL's.
    """
    address, agent, origin = text(url, MAX_URL), text(user_agent), text(referrer, MAX_URL)
    touch = _query(address, text(search, MAX_URL))
    if stated:
        touch |= {name: value for name in CAMPAIGN_NAMES & stated.keys() if (value := text(stated[name]))}
    columns = Web(
        url=address,
        referrer=None if origin == "$direct" else origin,
        user_agent=agent,
        ip=ip_address(ip),
        is_machine=is_machine(agent),
        utm_source=touch.get("utm_source"),
        utm_medium=touch.get("utm_medium"),
        utm_campaign=touch.get("utm_campaign"),
        utm_term=touch.get("utm_term"),
        utm_content=touch.get("utm_content"),
        gclid=touch.get("gclid"),
        fbclid=touch.get("fbclid"),
        ttclid=touch.get("ttclid"),
    )
    return columns, {name: touch[name] for name in _OTHER_CLICK if name in touch}


def text(value: Json, limit: int = MAX_TEXT) -> str | None:
    """Text or a number as trimmed text of at most `limit` characters; None for anything else and for blanks."""
    if value is None or isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return str(value).strip()[:limit].strip() or None


@lru_cache(maxsize=4_096)
def is_machine(user_agent: str | None) -> bool:
    """Whether a user agent is a known crawler, link scanner, image proxy or HTTP library."""
    return bool(user_agent and _MACHINE.search(user_agent))


def ip_address(value: Json) -> str | None:
    """An IP address as received, or None for what is not one."""
    return _ip_address(value.strip()) if isinstance(value, str) else None


@lru_cache(maxsize=16_384)
def _ip_address(written: str) -> str | None:
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return None
    return None if address.is_unspecified or "%" in written else str(address)


def truncated_ip(value: Json) -> str | None:
    """The /24 or /48 network of an address, which is what may be stored; None for what is no address."""
    address = ip_address(value)
    if address is None:
        return None
    width = 48 if ":" in address else 24
    return str(ipaddress.ip_network(f"{address}/{width}", strict=False).network_address)


def event_name(value: Json) -> str:
    """The name of an event, trimmed, at most 200 characters. Raises Unusable when blank."""
    name = text(value, 200)
    if not name:
        raise Unusable("blank_name", "The event has no name.")
    return name


def event_type(name: str, value_micros: int | None) -> Literal["PAGE_VIEW", "CONVERSION", "CUSTOM"]:
    """page_view is a PAGE_VIEW, what has a value a CONVERSION, the rest CUSTOM."""
    return "PAGE_VIEW" if name == "page_view" else "CONVERSION" if value_micros is not None else "CUSTOM"


def worth(properties: Mapping[str, Json]) -> tuple[int | None, str | None]:
    """(micros, currency) of an event: `revenue`, or `value` where a currency says that it is money.

    A bare `value` is often a rating or a count; counting it as revenue would be worse than not to.
    """
    currency = currency_code(properties.get("currency"))
    micros = amount(properties.get("revenue"))
    if micros is None and currency:
        micros = amount(properties.get("value"))
    return micros, currency if micros is not None else None


def amount(value: Json) -> int | None:
    """Micros of an amount in main units (39.95 or "39.95"), or None for what is not an amount of money."""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or len(str(value)) > 40:
        return None
    try:
        return from_units(value)
    except (InvalidInput, ArithmeticError):
        return None


def currency_code(value: Json) -> str | None:
    """Three letters in upper case, or None."""
    code = value.strip().upper() if isinstance(value, str) else ""
    return code if len(code) == 3 and code.isascii() and code.isalpha() else None


def instant(value: Json) -> datetime | None:
    """A sender's timestamp: ISO 8601 (without zone: UTC), Unix seconds, milliseconds or microseconds. None for none.

    Raises ValueError for anything else.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        stripped = value.strip()
        if stripped.isascii() and stripped.replace(".", "", 1).isdigit() and len(stripped.split(".")[0]) >= 9:
            return _unix(float(stripped))
        try:
            return aware(datetime.fromisoformat(stripped))
        except OverflowError as error:
            raise ValueError(f"{stripped!r} is not a time") from error
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a time")
    return _unix(value)


def when(
    timestamp: Json,
    sent_at: Json,
    received_at: datetime,
    *,
    offset: Json = None,
) -> tuple[datetime, datetime | None]:
    """(occurred_at, the sender's own time where that differs) of an event.

    The sender's clock is corrected as Segment and PostHog do, received_at - (sent_at - timestamp); `offset`, the
    milliseconds between the event and its sending, wins; without any of them it is received_at. A result more than
    23 hours ahead becomes received_at, one more than five minutes ahead is clamped. Pass `sent_at` None to take the
    timestamp as it is. Raises Unusable for a time that cannot be read or lies before 1990.
    """
    try:
        stated = instant(timestamp)
        occurred = _corrected(stated, _lenient(sent_at), received_at, offset)
    except (ValueError, OverflowError):
        raise Unusable("bad_timestamp", "Its timestamp is not a time; send ISO 8601 with a zone.") from None
    if occurred < OLDEST:
        raise Unusable("bad_timestamp", f"Its timestamp lies before {OLDEST.year}; send when it really happened.")
    if occurred > received_at + FAR_AHEAD:
        occurred = received_at
    occurred = min(occurred, received_at + AHEAD)
    return occurred, stated if stated != occurred else None


def _corrected(stated: datetime | None, sent_at: datetime | None, received_at: datetime, offset: Json) -> datetime:
    if isinstance(offset, int | float) and not isinstance(offset, bool):
        return received_at - timedelta(milliseconds=offset)
    if stated is None:
        return received_at
    return received_at - (sent_at - stated) if sent_at else stated


def _lenient(sent_at: Json) -> datetime | None:
    try:
        return instant(sent_at)
    except ValueError:
        return None


def _unix(value: float) -> datetime:
    seconds = value / 1e6 if abs(value) >= 1e14 else value / 1e3 if abs(value) >= 1e11 else value
    return from_unix(seconds)


def _query(url: str | None, search: str | None) -> dict[str, str]:
    """The utm_* and click ids of a URL and of a bare query, the first of each name."""
    found: dict[str, str] = {}
    for query in (_url_query(url), (search or "").lstrip("?")):
        if not query:
            continue
        try:
            pairs = parse_qsl(query, max_num_fields=200)
        except ValueError:
            continue
        for name, value in pairs:
            short = text(value.replace("\0", "\ufffd"))
            if name in CAMPAIGN_NAMES and short:
                found.setdefault(name, short)
    return found


def _url_query(url: str | None) -> str:
    if url is None or "?" not in url:
        return ""
    try:
        return urlsplit(url).query
    except ValueError:
        return ""
