"""The security headers of every answer, and the cookie that signs a browser in."""

import base64
import hashlib
import re
from functools import lru_cache
from pathlib import Path

import streamlit
from starlette.datastructures import MutableHeaders
from starlette.responses import Response

from gdp_core.accounts.sessions import LONGEST
from gdp_core.settings import settings

_INDEX = Path(streamlit.__file__).parent / "static" / "index.html"
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_LASTING = ("/static/", "/app/static/")  # fingerprinted or public files, which may be cached


def is_https() -> bool:
    """Whether browsers reach the dashboard over TLS."""
    return settings().dashboard_address.startswith("https://")


def cookie_name() -> str:
    """`__Host-` makes the browser insist on Secure, this host and the whole path."""
    return "__Host-gdp" if is_https() else "gdp"


def set_cookie(response: Response, token: str) -> None:
    """Give the browser its session."""
    response.set_cookie(
        cookie_name(),
        token,
        max_age=int(LONGEST.total_seconds()),
        httponly=True,
        secure=is_https(),
        samesite="lax",
    )


def clear_cookie(response: Response) -> None:
    """Take the session from the browser."""
    response.delete_cookie(cookie_name(), httponly=True, secure=is_https(), samesite="lax")


@lru_cache(maxsize=1)
def content_security_policy() -> str:
    """The policy under which every page works: nothing from elsewhere, no inline script but the framework's own."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in _INLINE_SCRIPT.findall(_INDEX.read_text(encoding="utf-8"))
    )
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self' blob: {hashes}".rstrip(),
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
        )
    )


def secure(headers: MutableHeaders, *, path: str, request_id: str) -> None:
    """Set every security header on an answer to `path`."""
    headers["content-security-policy"] = content_security_policy()
    headers["x-content-type-options"] = "nosniff"
    headers["x-frame-options"] = "DENY"
    headers["referrer-policy"] = "same-origin"  # no-referrer would blank the Origin that forms are checked by
    headers["permissions-policy"] = "camera=(), geolocation=(), microphone=(), payment=()"
    headers["cross-origin-opener-policy"] = "same-origin"
    headers["cross-origin-resource-policy"] = "same-origin"
    headers["x-request-id"] = request_id
    if is_https():
        headers["strict-transport-security"] = "max-age=31536000; includeSubDomains"
    if not path.startswith(_LASTING):
        headers["cache-control"] = "no-store"
    for name in ("server", "access-control-allow-origin"):
        if name in headers:
            del headers[name]
