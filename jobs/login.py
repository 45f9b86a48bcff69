"""The runtime user of the embedded server: not its superuser, and with no secret of its own to keep."""

import hashlib
import hmac

from jobs.postgres import ServerUrls

LOGIN = "gdp_login"


def login_of(urls: ServerUrls) -> tuple[str, str]:
    """Name and password, which follows from the superuser's."""
    return LOGIN, hmac.new(urls.password.encode(), LOGIN.encode(), hashlib.sha256).hexdigest()


def runtime_url(urls: ServerUrls) -> str:
    """The address that runtime processes connect to."""
    return urls.url(*login_of(urls))
