"""Which addresses a request may come from and lead to: the client's, the dashboard's own, and where to go next."""

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers

from gdp_core.addresses import Proxies, client_address
from gdp_core.settings import settings

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_PATH = re.compile(r"/(?![/\\])[^\\\x00-\x1f\x7f]*")
_SIGN_IN = ("/login", "/logout", "/invite", "/oidc", "/api", "/_stcore", "/media", "/static", "/app/static")
_LONGEST = 2000


def safe_next(wanted: str | None) -> str:
    """A path of this site to go to after sign-in, percent-encoded; "/" for anything that might lead elsewhere."""
    if not wanted or len(wanted) > _LONGEST or not _PATH.fullmatch(wanted):
        return "/"
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return "/"
    if parts.scheme or parts.netloc or any(parts.path == p or parts.path.startswith(f"{p}/") for p in _SIGN_IN):
        return "/"
    return quote(wanted, safe="/?&=%:@+,;~!$'()*-._#", errors="replace")


def client_ip(peer: str | None, headers: Headers) -> str | None:
    """Who sent a request: the nearest address in X-Forwarded-For that is no trusted proxy, if the peer is one."""
    return client_address(peer, ",".join(headers.getlist("x-forwarded-for")), _proxies(settings().trusted_proxies))


_proxies = lru_cache(maxsize=1)(Proxies)


def is_own_host(host: str | None) -> bool:
    """Whether a Host header names the dashboard; a name an attacker points at 127.0.0.1 does not."""
    if not host:
        return False
    return _name(host.lower()) in _LOOPBACK or host.lower() == _own_netloc()


def is_own_origin(headers: Headers) -> bool:
    """Whether a form was sent by one of the dashboard's own pages."""
    site = headers.get("sec-fetch-site")
    origin = headers.get("origin") or headers.get("referer") or ""
    try:
        netloc = urlsplit(origin).netloc.lower()
    except ValueError:
        return False
    return site in (None, "same-origin") and bool(netloc) and netloc in {headers.get("host", "").lower(), _own_netloc()}


def is_own_page(headers: Headers) -> bool:
    """Whether a WebSocket is opened by one of the dashboard's own pages, or by something that is no browser."""
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc.lower() in {headers.get("host", "").lower(), _own_netloc()}
    except ValueError:
        return False


def cookie(headers: Iterable[tuple[bytes, bytes]], name: str) -> str | None:
    """The first cookie of that name."""
    for key, value in headers:
        if key == b"cookie":
            for part in value.decode("latin-1").split(";"):
                found, _, text = part.strip().partition("=")
                if found == name and text:
                    return text
    return None


def _own_netloc() -> str:
    return urlsplit(settings().dashboard_address).netloc.lower()


def _name(host: str) -> str:
    return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
