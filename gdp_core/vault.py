"""Secrets at rest: AES-256-GCM envelopes bound to the row they belong to, and keyed digests for looking things up.

An envelope is `v|kid|nonce|ciphertext`; its place (workspace, table, row, column) is authenticated, so an envelope
copied to another row does not open. Keys come from GDP_ENCRYPTION_KEYS or are made once in <data dir>/keys. The first
key listed seals, every listed key opens, and the last one keys the digests, which is why it stays last for ever.
Refuses to know what a secret is for, and never shows one in an error.
"""

import base64
import binascii
import fcntl
import hashlib
import hmac
import os
import secrets
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gdp_core import db
from gdp_core.errors import BadSetting, GrowthError
from gdp_core.settings import settings

_VERSION = b"1"
_NONCE_BYTES = 12
_KEY_BYTES = 32
_BATCH = 100
_DIGEST_KEY_ID = "index"
_SEALED = ("source_secret", "webhook_subscription")
"""The tables with a column `ciphertext` of envelopes."""


class Sealed(GrowthError):
    """This secret cannot be opened: it was sealed with a key that is no longer listed, or belongs to another row."""


@dataclass(frozen=True)
class Keyring:
    """The keys of this installation, newest first."""

    keys: tuple[tuple[str, bytes], ...] = field(repr=False)

    @property
    def newest(self) -> tuple[str, bytes]:
        """(id, key) that seals."""
        return self.keys[0]

    def find(self, kid: str) -> bytes | None:
        """The key of that id, or None."""
        return next((key for name, key in self.keys if name == kid), None)


def check() -> None:
    """Whether the keys can be used, made first where there are none. Raises BadSetting when they cannot."""
    _keyring()


def seal(plaintext: str, *, workspace_id: UUID, table: str, row_id: UUID, column: str) -> bytes:
    """The envelope to store in that column of that row. Raises BadSetting when the keys cannot be read."""
    kid, key = _keyring().newest
    nonce = secrets.token_bytes(_NONCE_BYTES)
    place = _place(workspace_id, table, row_id, column)
    return b"|".join((_VERSION, kid.encode(), nonce + AESGCM(key).encrypt(nonce, plaintext.encode(), place)))


def unseal(ciphertext: bytes, *, workspace_id: UUID, table: str, row_id: UUID, column: str) -> str:
    """What was sealed for exactly this place. Raises Sealed."""
    kid, nonce, body = _parts(ciphertext)
    key = _keyring().find(kid)
    if key is None:
        _keyring.cache_clear()  # another process may have added a key to the file since
        key = _keyring().find(kid)
    if key is None:
        raise Sealed(f"The encryption key {kid!r} is not listed any more: add it to GDP_ENCRYPTION_KEYS again.")
    try:
        return AESGCM(key).decrypt(nonce, body, _place(workspace_id, table, row_id, column)).decode()
    except InvalidTag:
        raise Sealed(
            f"The stored {column} of {table} {row_id} does not open: set it again, it was altered or moved here."
        ) from None


def key_id(ciphertext: bytes) -> str:
    """The id of the key an envelope was sealed with. Raises Sealed."""
    return _parts(ciphertext)[0]


def digest(workspace_id: UUID, text: str) -> bytes:
    """32 bytes that stand for `text` in this workspace and cannot be guessed back without the key."""
    return hmac.digest(_pepper(_keyring(), workspace_id), text.encode("utf-8", "surrogatepass"), "sha256")


def rotate(database: db.Database, workspaces: Iterable[UUID]) -> int:
    """Seal every stored secret of these workspaces with the newest key; the number of envelopes made anew.

    `database` runs as gdp_worker. Works in small transactions and does only what is left, so it may be killed and
    run again at any time. Raises Sealed for an envelope no listed key opens.
    """
    return sum(_rotate_table(database, workspace_id, table) for workspace_id in workspaces for table in _SEALED)


def usage(database: db.Database, workspaces: Iterable[UUID]) -> dict[str, int]:
    """How many stored secrets each key id still seals; a key that is not in here may be taken off the list."""
    counts: dict[str, int] = {}
    for workspace_id in workspaces:
        with database.transaction(workspace_id, read_only=True) as session:
            for table in _SEALED:
                for row in db.rows(session, f"SELECT ciphertext FROM {table}"):
                    kid = key_id(bytes(row.ciphertext))
                    counts[kid] = counts.get(kid, 0) + 1
    return counts


def generate_key(kid: str) -> str:
    """A fresh `id:base64` entry for GDP_ENCRYPTION_KEYS."""
    return f"{kid}:{base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()}"


def add_key() -> str:
    """Put a fresh key in front of the key file; its id. Raises BadSetting when the keys are in the environment."""
    if settings().encryption_key is not None:
        raise BadSetting("The keys are in GDP_ENCRYPTION_KEYS: put a new id:base64 entry in front of the others there.")
    path = _key_file()
    _file_text(path)
    with path.parent.joinpath(".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two additions at once keep both keys
        listed = _file_text(path)
        kid = f"k{len(listed.split(','))}-{secrets.token_hex(3)}"
        _replace(path, f"{generate_key(kid)},{listed}")
    _keyring.cache_clear()
    return kid


def _rotate_table(database: db.Database, workspace_id: UUID, table: str) -> int:
    newest = _keyring().newest[0]
    done = 0
    while True:
        with database.transaction(workspace_id) as session:
            stale = db.rows(
                session,
                f"SELECT id, ciphertext FROM {table} WHERE substr(ciphertext, 1, length(:sealed)) <> :sealed"
                " ORDER BY id LIMIT :batch FOR UPDATE",
                sealed=_VERSION + b"|" + newest.encode() + b"|",
                batch=_BATCH,
            )
            for row in stale:
                plaintext = unseal(
                    bytes(row.ciphertext),
                    workspace_id=workspace_id,
                    table=table,
                    row_id=row.id,
                    column="ciphertext",
                )
                db.run(
                    session,
                    f"UPDATE {table} SET ciphertext = :ciphertext WHERE id = :id",
                    id=row.id,
                    ciphertext=seal(
                        plaintext,
                        workspace_id=workspace_id,
                        table=table,
                        row_id=row.id,
                        column="ciphertext",
                    ),
                )
        if not stale:
            return done
        done += len(stale)


def _place(workspace_id: UUID, table: str, row_id: UUID, column: str) -> bytes:
    return f"{workspace_id}|{table}|{row_id}|{column}".encode()


def _parts(ciphertext: bytes) -> tuple[str, bytes, bytes]:
    version, _, rest = ciphertext.partition(b"|")
    kid, _, body = rest.partition(b"|")
    if version != _VERSION or not kid.isascii() or len(body) <= _NONCE_BYTES:
        raise Sealed("The stored secret is not one of this product's envelopes: set it again.")
    return kid.decode(), body[:_NONCE_BYTES], body[_NONCE_BYTES:]


@lru_cache(maxsize=1024)
def _pepper(keyring: Keyring, workspace_id: UUID) -> bytes:
    return hmac.digest(keyring.keys[-1][1], b"digest|" + workspace_id.bytes, hashlib.sha256)


@lru_cache(maxsize=1)
def _keyring() -> Keyring:
    given = settings().encryption_key
    if given is not None:
        return _parse(given.get_secret_value(), "GDP_ENCRYPTION_KEYS")
    path = _key_file()
    return _parse(_file_text(path), str(path))


def _parse(text: str, origin: str) -> Keyring:
    entries = [entry.strip().partition(":") for entry in text.split(",") if entry.strip()]
    keys = tuple((kid.strip(), _decode(encoded)) for kid, _, encoded in entries)
    names = [kid for kid, _ in keys]
    usable = all(kid and kid.isascii() and "|" not in kid for kid in names)
    if not keys or not usable or len(set(names)) < len(names) or any(len(key) != _KEY_BYTES for _, key in keys):
        raise BadSetting(f"{origin}: write id:base64 entries of 32 bytes each, separated by commas, newest first.")
    return Keyring(keys)


def _decode(encoded: str) -> bytes:
    with suppress(binascii.Error, ValueError):
        return base64.b64decode(encoded.strip(), validate=True)
    return b""


def _key_file() -> Path:
    return settings().data_dir / "keys" / "encryption.key"


def _file_text(path: Path) -> str:
    """The key file's text; made on first use, by whichever process comes first."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = _written(path, f"{generate_key('k1')},{generate_key(_DIGEST_KEY_ID)}")
        try:
            with suppress(FileExistsError):
                os.link(temporary, path)  # link, not rename: the first process wins and the others read its keys
        finally:
            temporary.unlink()
        return path.read_text().strip()
    except OSError as error:
        raise _unusable(path, error) from error


def _replace(path: Path, text: str) -> None:
    try:
        temporary = _written(path, text)
        temporary.replace(path)
    except OSError as error:
        raise _unusable(path, error) from error


def _written(path: Path, text: str) -> Path:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    with os.fdopen(handle, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


def _unusable(path: Path, error: OSError) -> BadSetting:
    return BadSetting(
        f"The encryption keys at {path} cannot be used ({error.strerror}): make the folder writable for this user,"
        " or set GDP_ENCRYPTION_KEYS."
    )
