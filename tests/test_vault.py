"""Secrets at rest: they open in their own row only, survive key rotation, and never appear in a dump."""

import base64
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdp_core import vault
from gdp_core.db import run
from gdp_core.errors import BadSetting
from gdp_core.settings import settings
from tests.conftest import NOW, ROOT, TestDatabase

HOME = {"workspace_id": uuid.UUID(int=1), "table": "source_secret", "row_id": uuid.UUID(int=2), "column": "ciphertext"}


def _forget() -> None:
    settings.cache_clear()
    vault._keyring.cache_clear()


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A key folder of the test's own."""
    monkeypatch.setenv("GDP_DATA_DIR", str(tmp_path))
    for name in ("GDP_ENCRYPTION_KEYS", "DATA_ENCRYPTION_KEY"):
        monkeypatch.delenv(name, raising=False)
    _forget()
    yield tmp_path / "keys"
    _forget()


def _use(monkeypatch: pytest.MonkeyPatch, *entries: str) -> None:
    monkeypatch.setenv("GDP_ENCRYPTION_KEYS", ",".join(entries))
    _forget()


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_what_was_sealed_opens(secret: str) -> None:
    assert vault.unseal(vault.seal(secret, **HOME), **HOME) == secret


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"workspace_id": uuid.UUID(int=9)},
        {"table": "api_key"},
        {"row_id": uuid.UUID(int=9)},
        {"column": "config"},
    ],
)
def test_an_envelope_moved_to_another_place_does_not_open(elsewhere: dict[str, object]) -> None:
    with pytest.raises(vault.Sealed, match="does not open"):
        vault.unseal(vault.seal("whsec_1", **HOME), **{**HOME, **elsewhere})


@given(st.binary(max_size=80))
def test_garbage_is_refused_in_one_sentence(garbage: bytes) -> None:
    with pytest.raises(vault.Sealed):
        vault.unseal(garbage, **HOME)


@given(st.integers(min_value=0, max_value=60), st.integers(min_value=1, max_value=255))
def test_a_flipped_byte_is_noticed(position: int, flip: int) -> None:
    envelope = bytearray(vault.seal("a secret of some length", **HOME))
    envelope[position % len(envelope)] ^= flip
    with pytest.raises(vault.Sealed):
        vault.unseal(bytes(envelope), **HOME)


def test_the_key_file_is_private_and_made_once(keys: Path) -> None:
    script = "import uuid; from gdp_core import vault; print(vault.digest(uuid.UUID(int=1), 'x').hex())"

    def start(_: int) -> str:
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout

    with ThreadPoolExecutor(6) as pool:
        assert len(set(pool.map(start, range(6)))) == 1
    assert (keys / "encryption.key").stat().st_mode & 0o777 == 0o600
    assert keys.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in keys.iterdir()] == ["encryption.key"]


def test_digests_differ_by_workspace_and_survive_a_new_key() -> None:
    before = vault.digest(uuid.UUID(int=1), "ann@example.com")
    assert len(before) == 32
    assert before != vault.digest(uuid.UUID(int=2), "ann@example.com")
    vault.add_key()
    assert vault.digest(uuid.UUID(int=1), "ann@example.com") == before


@pytest.mark.parametrize("bad", ["nonsense", "k1:AAAA", "k1:*", ":" + "A" * 44, "a|b:" + "A" * 43 + "="])
def test_a_bad_setting_names_the_variable_and_not_the_key(bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _use(monkeypatch, bad)
    with pytest.raises(BadSetting, match="GDP_ENCRYPTION_KEYS") as refusal:
        vault.seal("x", **HOME)
    assert bad not in str(refusal.value)


def test_two_keys_of_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    _use(monkeypatch, vault.generate_key("a"), vault.generate_key("a"))
    with pytest.raises(BadSetting):
        vault.seal("x", **HOME)


def test_an_unreadable_folder_is_one_sentence(keys: Path) -> None:
    keys.write_text("a file where the folder should be")
    with pytest.raises(BadSetting, match="cannot be used"):
        vault.seal("x", **HOME)


def test_a_key_another_process_added_is_found() -> None:
    vault.seal("x", **HOME)
    script = (
        "import uuid; from gdp_core import vault; vault.add_key(); print(vault.seal('new', workspace_id=uuid.UUID(int=1),"
        " table='source_secret', row_id=uuid.UUID(int=2), column='ciphertext').hex())"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert vault.unseal(bytes.fromhex(done.stdout.strip()), **HOME) == "new"


def _store(database: TestDatabase, workspace_id: uuid.UUID, secrets: list[str]) -> dict[uuid.UUID, str]:
    source_id = database.source(workspace_id, "stripe")
    stored = {}
    with database.web.transaction(workspace_id) as session:
        for secret in secrets:
            row_id = uuid.uuid4()
            run(
                session,
                "INSERT INTO source_secret (id, workspace_id, source_id, ciphertext, created_at)"
                " VALUES (:id, :ws, :source, :ciphertext, :now)",
                id=row_id,
                ws=workspace_id,
                source=source_id,
                ciphertext=vault.seal(
                    secret, workspace_id=workspace_id, table="source_secret", row_id=row_id, column="ciphertext"
                ),
                now=NOW,
            )
            stored[row_id] = secret
    return stored


def _readable(database: TestDatabase, workspace_id: uuid.UUID, stored: dict[uuid.UUID, str]) -> None:
    with psycopg.connect(database.admin) as connection:
        rows = connection.execute("SELECT id, ciphertext FROM source_secret").fetchall()
    opened = {
        row_id: vault.unseal(
            ciphertext, workspace_id=workspace_id, table="source_secret", row_id=row_id, column="ciphertext"
        )
        for row_id, ciphertext in rows
    }
    assert opened == stored


def test_rotation_killed_anywhere_leaves_all_readable(database: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new, index = (vault.generate_key(kid) for kid in ("old", "new", "index"))
    _use(monkeypatch, old, index)
    acme = database.workspace()
    stored = _store(database, acme, [f"whsec_{n}" for n in range(30)])
    _use(monkeypatch, new, old, index)
    monkeypatch.setattr(vault, "_BATCH", 5)
    really_seal = vault.seal
    for survives in (0, 4, 7, 11):  # dies in the first, first, second and third batch of what is left
        calls = iter(range(survives))

        def dying(*args: object, calls: Iterator[int] = calls, **kwargs: object) -> bytes:
            if next(calls, None) is None:
                raise KeyboardInterrupt
            return really_seal(*args, **kwargs)

        monkeypatch.setattr(vault, "seal", dying)
        with pytest.raises(KeyboardInterrupt):
            vault.rotate(database.worker, [acme])
        monkeypatch.setattr(vault, "seal", really_seal)
        _readable(database, acme, stored)
        assert vault.usage(database.worker, [acme])["old"] > 0
    assert vault.rotate(database.worker, [acme]) == 15
    assert vault.rotate(database.worker, [acme]) == 0
    assert vault.usage(database.worker, [acme]) == {"new": 30}
    _use(monkeypatch, new, index)
    _readable(database, acme, stored)


def test_a_key_taken_off_too_early_is_named(database: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    _use(monkeypatch, vault.generate_key("old"))
    envelope = vault.seal("x", **HOME)
    _use(monkeypatch, vault.generate_key("new"))
    with pytest.raises(vault.Sealed, match="'old' is not listed any more"):
        vault.unseal(envelope, **HOME)


def test_a_dump_holds_no_secret(database: TestDatabase) -> None:
    acme = database.workspace()
    seeded = ["whsec_canary_0123456789", "sk_live_canary_987654"]
    _store(database, acme, seeded)
    with psycopg.connect(database.admin) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        dump = b""
        for (table,) in cursor.fetchall():
            with cursor.copy(f"COPY (SELECT * FROM {table}) TO STDOUT") as copy:
                dump += b"".join(bytes(chunk) for chunk in copy)
    assert uuid.UUID(int=acme.int).hex[:8].encode() in dump.replace(b"-", b"")
    for secret in seeded:
        for form in (secret.encode(), secret.encode().hex().encode(), base64.b64encode(secret.encode())):
            assert form not in dump


def test_the_keyring_never_shows_its_keys() -> None:
    vault.seal("x", **HOME)
    text = (settings().data_dir / "keys" / "encryption.key").read_text()
    shown = repr(vault._keyring()) + str(vault._keyring())
    assert all(entry.partition(":")[2][:10] not in shown for entry in text.split(","))
    assert os.environ.get("GDP_ENCRYPTION_KEYS") is None
