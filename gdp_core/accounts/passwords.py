"""Passwords: argon2id with the parameters OWASP asks for, checked in the same time whether the account exists or not."""

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from gdp_core.errors import InvalidInput

SHORTEST = 10
LONGEST = 200

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_nobody = _hasher.hash("the password of an account that does not exist")
_gate = threading.Semaphore(4)  # each check takes 19 MiB: a burst of guesses must not take the machine's memory


def hashed(password: str, *, email: str = "") -> str:
    """The hash to store. Raises InvalidInput for a password that is too easy to guess."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise InvalidInput(f"Choose a password of {SHORTEST} to {LONGEST} characters.")
    if len(set(password)) < 4 or password.lower() in {email.lower(), email.partition("@")[0].lower()}:
        raise InvalidInput("Choose a password that is harder to guess.")
    with _gate:
        return _hasher.hash(_bytes(password))


def matches(stored: str | None, password: str) -> bool:
    """Whether the password is the one whose hash was stored. None takes as long as a wrong password."""
    with _gate:
        try:
            return _hasher.verify(stored or _nobody, _bytes(password[: LONGEST + 1])) and stored is not None
        except (VerifyMismatchError, InvalidHashError):
            return False


def outdated(stored: str) -> bool:
    """Whether a hash was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(stored)


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
