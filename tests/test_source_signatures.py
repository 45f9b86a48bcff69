"""Signatures: the vendors' vectors, the vendors' own verifiers as oracle, and whatever an attacker may send."""

import base64
import binascii
import hmac
import secrets as random_secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import pytest
import stripe as stripe_sdk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook as StandardWebhook
from standardwebhooks.webhooks import WebhookVerificationError
from svix.webhooks import Webhook as SvixWebhook

from gdp_core.sources import signatures

FIXTURES = Path(__file__).parents[2] / "shared" / "fixtures"
NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
STRIPE_SECRETS = ["whsec_old", "whsec_new"]
SECRETS = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + base64.b64encode(b"n" * 32).decode()]

need_fixtures = pytest.mark.skipif(not FIXTURES.exists(), reason="the recorded fixtures are not beside this clone")
many = settings(max_examples=1_500, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def stripe_header(body: bytes, secret: str, at: datetime = NOW) -> str:
    stamp = int(at.timestamp())
    digest = stripe_sdk.WebhookSignature._compute_signature(f"{stamp}.{body.decode()}", secret)
    return f"t={stamp},v1={digest}"


def standard_headers(body: bytes, secret: str, at: datetime = NOW, family: str = "svix") -> dict[str, str]:
    signature = StandardWebhook(secret).sign("msg_1", at, body.decode())
    return {f"{family}-id": "msg_1", f"{family}-timestamp": str(int(at.timestamp())), f"{family}-signature": signature}


@pytest.fixture(scope="module", autouse=True)
def vendors_clock() -> Iterator[None]:
    """The vendors' verifiers read the clock; let it stand at NOW."""

    class Frozen(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return NOW

    with patch("time.time", return_value=NOW.timestamp()), patch("standardwebhooks.webhooks.datetime", Frozen):
        assert time.time() == NOW.timestamp()
        yield


def stripe_sdk_says(header: str, body: bytes, secret: str) -> bool:
    try:
        return bool(stripe_sdk.WebhookSignature.verify_header(body, header, secret, tolerance=300))
    except (stripe_sdk.SignatureVerificationError, ValueError, TypeError):
        return False


def svix_says(headers: dict[str, str], body: bytes, secret: str) -> bool:
    try:
        SvixWebhook(secret).verify(body, headers)
    except (WebhookVerificationError, ValueError, binascii.Error, TypeError):
        return False
    return True


@need_fixtures
def test_stripe_vectors() -> None:
    fixture = orjson.loads((FIXTURES / "stripe/signature_vectors.json").read_bytes())
    for vector in fixture["vectors"]:
        at = datetime.fromtimestamp(vector["timestamp"], UTC)
        headers, body = {"stripe-signature": vector["header"]}, vector["body"].encode()
        assert signatures.stripe(headers, body, [fixture["secret"]], at)
        assert not signatures.stripe(headers, body + b" ", [fixture["secret"]], at)


@need_fixtures
def test_standard_webhooks_vectors() -> None:
    fixture = orjson.loads((FIXTURES / "webhooks/standard_webhooks_vectors.json").read_bytes())
    for vector in fixture["vectors"]:
        at, body = datetime.fromtimestamp(vector["timestamp"], UTC), vector["body"].encode()
        for prefix in fixture["header_prefixes"]:
            headers = {prefix + "id": vector["id"], prefix + "timestamp": str(vector["timestamp"])}
            headers[prefix + "signature"] = vector["signature"]
            assert signatures.standard_webhooks(headers, body, [fixture["secret"]], at)
            assert not signatures.standard_webhooks(headers, body[:-1], [fixture["secret"]], at)


@pytest.mark.parametrize(("seconds", "valid"), [(-301, False), (-300, True), (-299, True), (299, True), (301, False)])
def test_a_signature_is_good_for_five_minutes_both_ways(seconds: int, valid: bool) -> None:
    body, at = b'{"a":1}', NOW + timedelta(seconds=seconds)
    signed = {"stripe-signature": stripe_header(body, STRIPE_SECRETS[0], at)}
    assert signatures.stripe(signed, body, STRIPE_SECRETS, NOW) is valid
    assert signatures.standard_webhooks(standard_headers(body, SECRETS[0], at), body, SECRETS, NOW) is valid


@pytest.mark.parametrize("active", [[0], [1], [0, 1], [1, 0], []])
@pytest.mark.parametrize("signed_with", [0, 1])
def test_any_active_secret_verifies_and_no_other(active: list[int], signed_with: int) -> None:
    body = b"{}"
    header = {"stripe-signature": stripe_header(body, STRIPE_SECRETS[signed_with])}
    assert signatures.stripe(header, body, [STRIPE_SECRETS[i] for i in active], NOW) is (signed_with in active)
    headers = standard_headers(body, SECRETS[signed_with], family="webhook")
    known = [SECRETS[i] for i in active]
    assert signatures.standard_webhooks(headers, body, known, NOW) is (signed_with in active)


def test_one_good_signature_among_several_is_enough() -> None:
    body = b"{}"
    stamp, good = stripe_header(body, STRIPE_SECRETS[1]).split(",")
    both = {"stripe-signature": f"{stamp},v1={'0' * 64},v0=x,{good}"}
    assert signatures.stripe(both, body, STRIPE_SECRETS[1:], NOW)
    headers = standard_headers(body, SECRETS[1])
    headers["svix-signature"] = f"v1a,abc v1,AAAA {headers['svix-signature']}"
    assert signatures.standard_webhooks(headers, body, SECRETS[1:], NOW)


@pytest.mark.parametrize("version", ["v2", "v1a", "V1", ""])
def test_another_version_of_the_same_signature_does_not_count(version: str) -> None:
    headers = standard_headers(b"{}", SECRETS[0])
    headers["svix-signature"] = headers["svix-signature"].replace("v1,", f"{version},")
    assert not signatures.standard_webhooks(headers, b"{}", SECRETS, NOW)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_=", "whsec_!!!!", "whsec_\ud800", "é"])
def test_an_empty_or_broken_secret_lets_nobody_in(secret: str) -> None:
    body, stamp = b"{}", str(int(NOW.timestamp()))
    forged = base64.b64encode(hmac.digest(b"", f"m.{stamp}.".encode() + body, "sha256")).decode()
    headers = {"svix-id": "m", "svix-timestamp": stamp, "svix-signature": f"v1,{forged}"}
    assert not signatures.standard_webhooks(headers, body, [secret], NOW)
    assert not signatures.stripe({"stripe-signature": f"t={stamp},v1={'0' * 64}"}, body, [secret], NOW)


def test_every_flipped_bit_is_noticed() -> None:
    body = orjson.dumps({"id": "evt_1", "n": random_secrets.token_hex(8)})
    header = stripe_header(body, STRIPE_SECRETS[0])
    headers = standard_headers(body, SECRETS[0])
    for position in range(len(body)):
        for bit in range(8):
            other = body[:position] + bytes([body[position] ^ 1 << bit]) + body[position + 1 :]
            assert not signatures.stripe({"stripe-signature": header}, other, STRIPE_SECRETS, NOW)
            assert not signatures.standard_webhooks(headers, other, SECRETS, NOW)
    for position in range(len(header)):
        other_header = header[:position] + chr(ord(header[position]) ^ 1) + header[position + 1 :]
        assert not signatures.stripe({"stripe-signature": other_header}, body, STRIPE_SECRETS, NOW)
    for name, value in headers.items():
        for position in range(len(value) - 1):  # the last character of base64 is padding
            changed = value[:position] + chr(ord(value[position]) ^ 1) + value[position + 1 :]
            assert not signatures.standard_webhooks(headers | {name: changed}, body, SECRETS, NOW)


bodies = st.one_of(st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")), st.binary(max_size=60))
ages = st.integers(-400, 400)
noise = st.text(st.characters(max_codepoint=127), max_size=80)  # its SDK raises on more


@many
@given(body=bodies.filter(lambda body: not _broken(body)), age=ages, tampered=st.booleans(), junk=noise)
def test_stripe_agrees_with_its_sdk(body: bytes, age: int, tampered: bool, junk: str) -> None:
    header = stripe_header(body, STRIPE_SECRETS[0], NOW + timedelta(seconds=age))
    if tampered:
        header = header.replace("v1=", f"v1={junk},v1=") if age % 2 else f"{header}{junk}"
    ours = signatures.stripe({"stripe-signature": header}, body, STRIPE_SECRETS[:1], NOW)
    theirs = stripe_sdk_says(header, body, STRIPE_SECRETS[0]) and age <= signatures.TOLERANCE  # it takes any future
    assert theirs or not ours
    assert ours or not theirs or "=" in junk, "its SDK overlooks what follows a second equals sign; we do not"


@many
@given(
    body=bodies.filter(lambda body: not _broken(body)),
    age=ages,
    tampered=st.booleans(),
    junk=st.text("Az09+/=, v1", max_size=40),
)
def test_standard_webhooks_agree_with_svix(body: bytes, age: int, tampered: bool, junk: str) -> None:
    headers = standard_headers(body, SECRETS[0], NOW + timedelta(seconds=age))
    if tampered:
        headers["svix-signature"] = f"v1,{junk.replace(',', '').replace(' ', '')}"
    ours = signatures.standard_webhooks(headers, body, SECRETS[:1], NOW)
    assert ours is svix_says(headers, body, SECRETS[0])


def _broken(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return True
    return False


headers_of_an_attacker = st.dictionaries(
    st.sampled_from(
        ["stripe-signature"]
        + [f"{family}-{part}" for family in ("svix", "webhook") for part in ("id", "timestamp", "signature")]
    ),
    st.one_of(
        st.text(max_size=120),
        st.just(str(int(NOW.timestamp()))),
        st.text("v1a,t=0123456789 ", max_size=60),
        st.builds(lambda junk: f"t={int(NOW.timestamp())},v1={junk}", st.text(max_size=40)),
    ),
)


@settings(max_examples=3_000, deadline=None)
@given(headers=headers_of_an_attacker, body=st.binary(max_size=80), known=st.lists(st.text(max_size=20), max_size=2))
def test_nothing_an_attacker_sends_raises_or_passes(headers: dict[str, str], body: bytes, known: list[str]) -> None:
    assert signatures.stripe(headers, body, [*known, STRIPE_SECRETS[0]], NOW) is False
    assert signatures.standard_webhooks(headers, body, [SECRETS[0]], NOW) is False
    assert signatures.standard_webhooks(headers, body, known, NOW) in (True, False)
