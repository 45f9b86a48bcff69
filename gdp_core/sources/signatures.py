"""Webhook signatures, verified over the raw bytes.

Vendors' own verifiers raise on hostile headers, and Stripe's accepts times far in the future; these answer False to
everything but a valid signature made within five minutes of `now`, and never raise. Any secret of several may match
(rotation), and any signature of several in the header.
"""

import base64
import binascii
import hmac
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

TOLERANCE = 300  # seconds, both ways


def stripe(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime) -> bool:
    """`Stripe-Signature: t=<unix s>,v1=<hex>[,v1=<hex>]` over "<t>.<body>", keyed by the whole `whsec_...` text."""
    pairs = [part.partition("=")[::2] for part in headers.get("stripe-signature", "").split(",")]
    stamp = next((value for name, value in pairs if name == "t"), "")
    if not _recent(stamp, now):
        return False
    given = [_bytes(value) for name, value in pairs if name == "v1"]
    message = stamp.encode() + b"." + body
    keys = [_bytes(secret) for secret in secrets if secret]
    return _any_match((hmac.digest(key, message, "sha256").hex().encode() for key in keys), given)


def standard_webhooks(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: datetime) -> bool:
    """Standard Webhooks and Svix (Resend): `webhook-*` or `svix-*` id, timestamp and signature "v1,<base64> ...".

    The key is the base64 after `whsec_`; signed is "<id>.<timestamp>.<body>". A secret that is no base64 never matches.
    """
    family = "svix" if "svix-id" in headers else "webhook"
    message_id, stamp, signatures = (headers.get(f"{family}-{part}", "") for part in ("id", "timestamp", "signature"))
    if not message_id or not _recent(stamp, now):
        return False
    versioned = [signature.partition(",")[::2] for signature in signatures.split()]
    given = [_bytes(value) for version, value in versioned if version == "v1"]
    message = _bytes(message_id) + b"." + stamp.encode() + b"." + body
    return _any_match((base64.b64encode(hmac.digest(key, message, "sha256")) for key in _keys(secrets)), given)


def _keys(secrets: Sequence[str]) -> Iterator[bytes]:
    for secret in secrets:
        text = secret.removeprefix("whsec_").rstrip("=")
        try:
            key = base64.b64decode(_bytes(text) + b"=" * (-len(text) % 4), validate=True)
        except binascii.Error:
            continue
        if key:  # an empty key would let anybody sign
            yield key


def _recent(stamp: str, now: datetime) -> bool:
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        return False
    return abs(now.timestamp() - int(stamp)) <= TOLERANCE


def _any_match(expected: Iterator[bytes], given: Sequence[bytes]) -> bool:
    # Bytes, because compare_digest raises on text that is not ASCII.
    return any(hmac.compare_digest(want, signature) for want in expected for signature in given)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
