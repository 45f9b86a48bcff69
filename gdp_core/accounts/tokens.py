"""Unguessable tokens of sessions, links, invitations and keys. Only their SHA-256 is ever stored."""

import hashlib
import secrets
from typing import NamedTuple

_BYTES = 32
_LONGEST = 200


class Token(NamedTuple):
    """A fresh token and what to store of it."""

    text: str
    hash: bytes


def new_token(prefix: str = "") -> Token:
    """256 random bits as URL-safe text after `prefix`."""
    text = prefix + secrets.token_urlsafe(_BYTES)
    return Token(text, hash_of(text))


def hash_of(token: str) -> bytes:
    """32 bytes to look a token up by; anything a stranger may send is accepted."""
    return hashlib.sha256(token[:_LONGEST].encode("utf-8", "surrogatepass")).digest()
