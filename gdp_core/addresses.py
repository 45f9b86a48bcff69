"""IP addresses: whose word about them is taken, by what part they are counted, and what part may be stored."""

import ipaddress
from collections.abc import Callable
from functools import lru_cache

from gdp_core.errors import InvalidInput

_HOPS = 10


class Proxies:
    """Addresses and networks, separated by commas, whose X-Forwarded-For is believed. Raises InvalidInput."""

    def __init__(self, text: str) -> None:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        try:
            self._networks = [ipaddress.ip_network(part, strict=False) for part in parts]
        except ValueError:
            raise InvalidInput("GDP_TRUSTED_PROXIES must be addresses or networks separated by commas.") from None
        self.include: Callable[[str], bool] = lru_cache(maxsize=4096)(self._includes)

    def _includes(self, address: str) -> bool:
        parsed = _parsed(address)
        return parsed is not None and any(parsed in network for network in self._networks)


def client_address(peer: str | None, forwarded: str, trusted: Proxies) -> str | None:
    """Who sent a request: the last address in X-Forwarded-For that is not one of our proxies, or the peer."""
    if peer is None or not trusted.include(peer):
        return peer
    for hop in reversed(forwarded.split(",")[-_HOPS:]):
        address = hop.strip()
        if _parsed(address) is None:
            return peer
        if not trusted.include(address):
            return address
    return peer


@lru_cache(maxsize=8192)
def counted_as(address: str | None) -> str | None:
    """What limits count an address by: itself, but of IPv6 the /64, of which one sender has every address."""
    parsed = _parsed(address or "")
    if not isinstance(parsed, ipaddress.IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


@lru_cache(maxsize=8192)
def truncated(address: str | None) -> str | None:
    """An address without the part that tells people apart: IPv4 to /24, IPv6 to /48. None for what is no address."""
    parsed = _parsed(address or "")
    if parsed is None:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    prefix = 24 if parsed.version == 4 else 48
    return str(ipaddress.ip_network((parsed, prefix), strict=False).network_address)


@lru_cache(maxsize=8192)
def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address)
    except ValueError:
        return None
