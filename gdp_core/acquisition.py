"""Where somebody came from: the channel that a touch (its campaign, its ad's click id, its referrer) belongs to. Pure."""

from typing import Any
from urllib.parse import urlsplit

_SOCIAL = frozenset("facebook instagram twitter x linkedin tiktok reddit pinterest youtube mastodon bluesky".split())
_SEARCH = frozenset("google bing duckduckgo yahoo ecosia baidu yandex brave kagi startpage".split())
_PAID_MEDIUMS = frozenset(
    "cpc ppc paid paidsearch paid_search paid_social paidsocial display cpm retargeting ads".split()
)


def channel_of(touch: dict[str, Any]) -> str:
    """The acquisition channel of a touch: website, sms_campaign, email_campaign, referral, organic, paid_ads, ..."""
    medium = str(touch.get("utm_medium") or "").lower()
    source = str(touch.get("utm_source") or "").lower()
    site = _site(touch.get("referrer"))
    if (
        touch.get("gclid")
        or touch.get("ttclid")
        or medium in _PAID_MEDIUMS
        or (touch.get("fbclid") and "paid" in medium)
    ):
        return "paid_ads"
    if medium in {"sms", "text"}:
        return "sms_campaign"
    if medium in {"email", "newsletter"} or source in {"newsletter", "email"}:
        return "email_campaign"
    if medium in {"social", "organic_social"} or touch.get("fbclid") or _is_one_of(source or site, _SOCIAL):
        return "social"
    if medium == "organic" or _is_one_of(source or site, _SEARCH):
        return "organic"
    if medium in {"referral", "partner", "affiliate"} or source == "referral" or site:
        return "referral"
    return "other" if source or medium else "website"


def _site(referrer: Any) -> str:
    try:
        return (urlsplit(str(referrer)).hostname or "").removeprefix("www.") if referrer else ""
    except ValueError:
        return ""


def _is_one_of(name: str, words: frozenset[str]) -> bool:
    return any(part in words for part in name.split("."))
