"""The admin commands as a person or a script calls them: what they print, what they change, what they end with."""

import csv
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from sqlalchemy import exc

from gdp_core import runtime, vault
from gdp_core.accounts import sessions
from gdp_core.clock import now
from gdp_core.db import one, rows, run
from gdp_core.errors import InvalidInput, Unavailable
from gdp_core.importer.mapping import Mapping
from gdp_core.settings import settings
from gdp_core.sources import SOURCES
from jobs import bringing_in, commands, ports, terminal
from jobs.commands import main
from jobs.sentences import sentence
from tests.conftest import ROOT, TestDatabase, _admin, _database
from tests.door import ENCRYPTION_KEYS, connect, serving, sign_standard
from tests.doubles.stripe_api import Answer, StripeApi, running
from tests.forks import Forks
from tests.stripe_story import customer, invoice, subscription

SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"


class Said(NamedTuple):
    """What a command ended with."""

    code: int
    out: str
    err: str


@pytest.fixture
def call(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Callable[..., Said]]:
    """Runs a command against the test's database; `piped` is its standard input."""
    for name in ("STRIPE_API_KEY", "STRIPE_API_BASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATABASE_URL", database.dsn)
    monkeypatch.setenv("GDP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("GDP_ENCRYPTION_KEYS", ENCRYPTION_KEYS)
    monkeypatch.setenv("GDP_BASE_URL", "https://growth.example")
    monkeypatch.setenv("GDP_DOOR_URL", "https://in.example")
    forget()

    def called(*arguments: object, piped: str = "") -> Said:
        with monkeypatch.context() as patch, Piped(piped) as stream:
            patch.setattr(sys, "stdin", stream)
            capsys.readouterr()
            code = main([str(argument) for argument in arguments])
        return Said(code, *capsys.readouterr())

    yield called
    for role in ("gdp_web", "gdp_worker", "gdp_gate"):
        runtime.database(role).close()
    forget()


class Piped:
    """Standard input that is no terminal."""

    def __init__(self, text: str) -> None:
        self._read, write = os.pipe()
        os.write(write, text.encode())
        os.close(write)

    def __enter__(self) -> object:
        self._stream = os.fdopen(self._read)
        return self._stream

    def __exit__(self, *_: object) -> None:
        self._stream.close()


def forget() -> None:
    settings.cache_clear()
    runtime.database.cache_clear()
    vault._keyring.cache_clear()


FORKS = Forks()


@pytest.fixture(scope="module", autouse=True)
def _forks() -> Iterator[None]:
    yield
    FORKS.close()


def in_a_process(dsn: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own, which starts with everything imported."""
    return FORKS.run(arguments, environment_of(dsn, environment))


def started(dsn: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The same from its very start."""
    argv, kept = [sys.executable, "-m", "jobs", *arguments], environment_of(dsn, environment)
    return subprocess.run(argv, cwd=ROOT, env=kept, capture_output=True, text=True, timeout=300, check=False)


def environment_of(dsn: str, more: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GDP_", "STRIPE_", "DATABASE"))}
    return kept | {"DATABASE_URL": dsn, "GDP_ENCRYPTION_KEYS": ENCRYPTION_KEYS, **more}


def orders(path: Path, count: int = 6, *, bad: tuple[int, ...] = ()) -> Path:
    with path.open("w", newline="") as out:
        write = csv.writer(out)
        write.writerow(("customer", "at", "quantity", "price", "item"))
        for n in range(count):
            at = "yesterday" if n in bad else f"2024-05-{n % 28 + 1:02d}"
            write.writerow((f"c{n % 3}", at, n + 1, "2.50", f"item {n}"))
    return path


ORDER = ("--person", "customer", "--event", "=order", "--time", "at", "--value", "quantity*price", "--currency", "=EUR")


class TestWorkspaces:
    def test_are_made_and_listed(self, call: Callable[..., Said]) -> None:
        assert call("workspace", "create", "acme", "--name", "Acme Ltd").code == 0
        listed = call("workspace", "list")
        assert listed.code == 0
        assert "acme" in listed.out
        assert "Acme Ltd" in listed.out

    def test_get_an_owner_at_once(self, call: Callable[..., Said], database: TestDatabase) -> None:
        call("workspace", "create", "acme")
        with database.gate.transaction(None) as session:
            held = rows(session, "SELECT m.role FROM membership m JOIN workspace w ON w.id = m.workspace_id")
        assert {row.role for row in held} == {"OWNER"}

    @pytest.mark.parametrize("slug", ["Bad Slug", "x", "api", "../etc", "a--b"])
    def test_of_a_bad_name_are_refused_in_a_sentence(self, call: Callable[..., Said], slug: str) -> None:
        assert_sentence(call("workspace", "create", "--", slug))

    def test_of_a_taken_name_are_refused(self, call: Callable[..., Said]) -> None:
        call("workspace", "create", "acme")
        assert "already" in assert_sentence(call("workspace", "create", "acme"))


class TestUsers:
    def test_a_new_one_gets_a_link_that_signs_in_where_they_are_a_member(
        self, call: Callable[..., Said], database: TestDatabase
    ) -> None:
        call("workspace", "create", "acme")
        said = call("user", "create", "Ann@Example.com", "-w", "acme", "--role", "ADMIN", "--name", "Ann")
        assert said.code == 0
        address, _, token = said.out.strip().rpartition("/login/")
        assert address == "https://growth.example"
        assert sessions.peek_link(database.gate, token, now()).email == "ann@example.com"
        with database.gate.transaction(None) as session:
            row = one(
                session,
                "SELECT w.slug, m.role FROM membership m JOIN workspace w ON w.id = m.workspace_id"
                " JOIN app_user u ON u.id = m.user_id WHERE u.email = 'ann@example.com'",
            )
        assert tuple(row) == ("acme", "ADMIN")

    def test_without_a_workspace_that_is_said(self, call: Callable[..., Said]) -> None:
        assert "in no workspace" in call("user", "create", "ann@example.com").err

    def test_of_a_workspace_that_is_not_there_nobody_is_made(self, call: Callable[..., Said]) -> None:
        assert_sentence(call("user", "create", "ann@example.com", "-w", "nope"))
        assert "ann@" not in call("user", "list").out

    def test_link_password_list_disable(self, call: Callable[..., Said]) -> None:
        call("user", "create", "ann@example.com")
        assert call("user", "link", "ann@example.com").out.startswith("https://growth.example/login/")
        assert "none" in call("user", "list").out
        assert call("user", "password", "ann@example.com", piped="a long enough passphrase\n").code == 0
        assert "set" in call("user", "list").out
        assert call("user", "disable", "ann@example.com").code == 0

    @pytest.mark.parametrize(
        "arguments",
        [
            ("link", "nobody@example.com"),
            ("disable", "nobody@example.com"),
            ("password", "nobody@example.com"),
            ("create", "not an address"),
        ],
    )
    def test_what_cannot_be_is_a_sentence(self, call: Callable[..., Said], arguments: tuple[str, ...]) -> None:
        assert_sentence(call("user", *arguments, piped="a long enough passphrase\n"))


class TestSources:
    def test_a_signed_one_is_connected_and_verified(self, call: Callable[..., Said], database: TestDatabase) -> None:
        call("workspace", "create", "acme")
        made = call("source", "create", "generic", "-w", "acme", "--name", "CRM")
        address = made.out.strip()
        assert address.startswith("https://in.example/hooks/generic/")
        assert "source secret CRM -w acme" in made.err
        assert call("source", "secret", "CRM", "-w", "acme", piped=SECRET + "\n").code == 0
        path = address.removeprefix("https://in.example")
        body = b'{"event": "deal_won", "email": "ada@example.org"}'
        with serving(database.dsn) as live:
            assert live.client.post(path, content=body).status_code == 401
            assert live.client.post(path, content=body, headers=signed(body)).status_code == 200

    def test_a_secret_can_be_made_here(self, call: Callable[..., Said], database: TestDatabase) -> None:
        call("workspace", "create", "acme")
        path = call("source", "create", "generic", "-w", "acme").out.strip().removeprefix("https://in.example")
        secret = call("source", "secret", "generic", "-w", "acme", "--generate").out.strip()
        body = b'{"event": "deal_won", "email": "ada@example.org"}'
        with serving(database.dsn) as live:
            headers = sign_standard(body, secret, family="webhook")
            assert live.client.post(path, content=body, headers=headers).status_code == 200

    def test_are_listed_with_their_addresses(self, call: Callable[..., Said]) -> None:
        call("workspace", "create", "acme")
        for kind in ("stripe", "segment"):
            call("source", "create", kind, "-w", "acme")
        listed = call("source", "list", "-w", "acme").out
        assert "https://in.example/hooks/stripe/" in listed
        assert "hooks/segment" not in listed

    @pytest.mark.parametrize(
        "arguments",
        [
            ("create", "shopify", "-w", "acme"),
            ("create", "import", "-w", "acme"),
            ("create", "stripe", "-w", "nope"),
            ("secret", "stripe", "-w", "acme"),
            ("secret", "segment", "-w", "acme"),
            ("list", "-w", "nope"),
        ],
    )
    def test_what_cannot_be_is_a_sentence(self, call: Callable[..., Said], arguments: tuple[str, ...]) -> None:
        call("workspace", "create", "acme")
        call("source", "create", "segment", "-w", "acme")
        assert_sentence(call("source", *arguments, piped=SECRET))

    def test_an_empty_secret_is_refused(self, call: Callable[..., Said]) -> None:
        call("workspace", "create", "acme")
        call("source", "create", "stripe", "-w", "acme")
        assert "signing secret" in assert_sentence(call("source", "secret", "stripe", "-w", "acme"))

    def test_of_several_of_a_kind_one_must_be_named(self, call: Callable[..., Said]) -> None:
        call("workspace", "create", "acme")
        for name in ("EU", "US"):
            call("source", "create", "stripe", "-w", "acme", "--name", name)
        assert "EU, US" in assert_sentence(call("source", "secret", "stripe", "-w", "acme", piped=SECRET))
        assert call("source", "secret", "EU", "-w", "acme", piped=SECRET).code == 0


class TestKeys:
    @pytest.mark.parametrize(("kind", "prefix"), [("server", "gdps_"), ("browser", "gdpb_")])
    def test_are_made_accepted_rotated_and_revoked(
        self, call: Callable[..., Said], database: TestDatabase, kind: str, prefix: str
    ) -> None:
        call("workspace", "create", "acme")
        key = call("key", "create", "-w", "acme", "--kind", kind).out.strip()
        assert key.startswith(prefix)
        assert key not in call("key", "list", "-w", "acme").out
        with serving(database.dsn) as live:
            assert track(live.client, key) == 200
        fresh = call("key", "rotate", key[:11], "-w", "acme", "--overlap", "0").out.strip()
        assert call("key", "revoke", fresh[:11], "-w", "acme").code == 0
        assert_sentence(call("key", "revoke", fresh[:11], "-w", "acme"))
        with serving(database.dsn) as live:
            assert [track(live.client, key), track(live.client, fresh)] == [401, 401]

    def test_of_one_source_are_of_one_source(self, call: Callable[..., Said], database: TestDatabase) -> None:
        call("workspace", "create", "acme")
        for of in ("segment", "segment", "posthog"):
            assert call("key", "create", "-w", "acme", "--source", of).code == 0
        with database.gate.transaction(None) as session:
            workspace_id = one(session, "SELECT id FROM workspace WHERE slug = 'acme'").id
        with database.web.transaction(workspace_id) as session:
            found = rows(session, "SELECT source FROM source_instance ORDER BY source")
        assert [row.source for row in found] == ["posthog", "segment"]

    @pytest.mark.parametrize(
        "arguments",
        [
            ("create", "-w", "nope"),
            ("create", "-w", "acme", "--source", "stripe"),
            ("create", "-w", "acme", "--source", "shopify"),
            ("create", "-w", "acme", "--kind", "browser", "--origin", "everywhere"),
            ("create", "-w", "acme", "--origin", "https://www.example.com"),
            ("rotate", "gdps_unknown", "-w", "acme"),
            ("rotate", "", "-w", "acme"),
        ],
    )
    def test_what_cannot_be_is_a_sentence_and_leaves_no_source(
        self, call: Callable[..., Said], arguments: tuple[str, ...]
    ) -> None:
        call("workspace", "create", "acme")
        assert_sentence(call("key", *arguments))
        assert "segment" not in call("source", "list", "-w", "acme").out


class TestImport:
    def test_a_dry_run_says_what_would_be_and_does_nothing(
        self, call: Callable[..., Said], database: TestDatabase, tmp_path: Path
    ) -> None:
        workspace_id = database.workspace()
        said = call("import", orders(tmp_path / "orders.csv"), "-w", "acme", "--dry-run", *ORDER)
        assert said.code == 0
        assert "event order" in said.out
        assert "value in EUR" in said.out
        assert "52.50" in said.out
        assert database_rows(database, workspace_id) == 0

    def test_a_file_of_which_no_row_can_be_used_is_a_failure(
        self, call: Callable[..., Said], database: TestDatabase, tmp_path: Path
    ) -> None:
        workspace_id = database.workspace()
        said = call("import", orders(tmp_path / "orders.csv", bad=(0, 1, 2, 3, 4, 5)), "-w", "acme", *ORDER)
        assert said.code == 1
        assert "6 rejected." in said.out
        assert "correct the mapping" in said.err
        assert database_rows(database, workspace_id) == 0

    def test_without_a_mapping_one_is_proposed_and_nothing_is_done(
        self, call: Callable[..., Said], database: TestDatabase, tmp_path: Path
    ) -> None:
        workspace_id = database.workspace()
        said = call("import", orders(tmp_path / "orders.csv"), "-w", "acme")
        assert said.code == 1
        assert "person: customer" in said.out
        assert "--person" in said.err
        assert database_rows(database, workspace_id) == 0

    def test_a_file_is_imported_once(self, call: Callable[..., Said], database: TestDatabase, tmp_path: Path) -> None:
        workspace_id = database.workspace()
        file = orders(tmp_path / "orders.csv", bad=(2,))
        said = call("import", file, "-w", "acme", *ORDER)
        assert said.code == 0
        assert "6 rows: 5 applied, 0 known already, 1 rejected." in said.out
        assert "Importing: 6 of 6 rows" in said.out  # progress where there is no terminal
        rejected = (tmp_path / "orders.csv.rejects.csv").read_text()
        assert rejected.splitlines()[1].startswith("4,")
        again = call("import", file, "-w", "acme", *ORDER)
        assert again.code == 0
        assert "imported before" in again.err
        assert database_rows(database, workspace_id) == 5
        assert call("inbox", "check", "-w", "acme").code == 0

    def test_files_of_different_kinds_do_not_share_their_ids(
        self, call: Callable[..., Said], database: TestDatabase, tmp_path: Path
    ) -> None:
        """Both number their rows from 1: row 1 of the one is not row 1 of the other."""
        workspace_id = database.workspace()
        by_id = [*ORDER, "--id", "id"]

        def numbered(name: str) -> Path:
            lines = ["customer,at,quantity,price,id", *(f"{name},2024-05-0{n},1,2,{n}" for n in range(1, 7))]
            (tmp_path / name).write_text("\n".join(lines))
            return tmp_path / name

        for name in ("orders-2026-05.csv", "returns.csv"):
            said = call("import", numbered(name), "-w", "acme", *by_id)
            assert "6 rows: 6 applied, 0 known already" in said.out, said
        assert database_rows(database, workspace_id) == 12
        # Next month's file is of the same source: what it holds again counts once.
        again = call("import", numbered("orders-2026-06.csv"), "-w", "acme", *by_id)
        assert "0 applied, 6 known already" in again.out
        # The same content under any other name goes where it went.
        (tmp_path / "copy of it.csv").write_bytes((tmp_path / "returns.csv").read_bytes())
        assert "imported before" in call("import", tmp_path / "copy of it.csv", "-w", "acme", *by_id).err
        assert database_rows(database, workspace_id) == 12
        listed = call("source", "list", "-w", "acme").out
        assert ("orders" in listed, "returns" in listed, "copy" in listed, "files" in listed) == (
            True,
            True,
            False,
            False,
        )

    def test_a_saved_mapping_does_the_same(
        self, call: Callable[..., Said], database: TestDatabase, tmp_path: Path
    ) -> None:
        workspace_id = database.workspace()
        file, saved = orders(tmp_path / "orders.csv"), tmp_path / "orders.yaml"
        assert call("import", file, "-w", "acme", *ORDER, "--save-mapping", saved).code == 0
        assert "imported before" in call("import", file, "-w", "acme", "--mapping", saved).err
        assert database_rows(database, workspace_id) == 6
        flagged = call("import", file, "-w", "acme", "--mapping", saved, "--event", "=sale", "--dry-run")
        assert "event sale" in flagged.out

    def test_every_field_of_a_mapping_has_an_option(self) -> None:
        options = {"properties": "--property", "traits": "--trait", "day_first": "--day-first"}
        helped = in_a_process("postgresql://127.0.0.1:1/x", "import", "--help").stdout
        for field in Mapping.model_fields:
            assert f"{options.get(field, '--' + field)} " in helped, field

    @pytest.mark.parametrize(
        ("arguments", "about"),
        [
            (("missing.csv", "-w", "acme", *ORDER), "missing.csv"),
            ((".", "-w", "acme", *ORDER), "."),
            (("empty.csv", "-w", "acme", *ORDER), "empty"),
            (("orders.csv", "-w", "nope", *ORDER), "workspace create nope"),
            (("orders.csv", "-w", "acme", "--person", "buyer", "--event", "=x", "--time", "at"), "buyer"),
            (("orders.csv", "-w", "acme", *ORDER, "--unit", "weeks"), "unit"),
            (("orders.csv", "-w", "acme", *ORDER, "--timezone", "Mars/Olympus"), "Mars/Olympus"),
            (("orders.csv", "-w", "acme", *ORDER, "--currency", "=POUNDS"), "POUNDS"),
            (("orders.csv", "-w", "acme", *ORDER, "--value", "quantity**2"), "position 10"),
            (("orders.csv", "-w", "acme", "--person", "customer"), "--event"),
            (("orders.csv", "-w", "acme", "--mapping", "missing.yaml"), "missing.yaml"),
            (("orders.csv", "-w", "acme", "--mapping", "orders.csv"), "mapping"),
            (("orders.csv", "-w", "acme", *ORDER, "--save-mapping", "no/such/folder.yaml"), "folder.yaml"),
            (("bad.csv", "-w", "acme", *ORDER, "--rejects", "no/such/folder.csv"), "folder.csv"),
        ],
    )
    def test_what_cannot_be_read_or_mapped_is_a_sentence(
        self,
        call: Callable[..., Said],
        database: TestDatabase,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        arguments: tuple[str, ...],
        about: str,
    ) -> None:
        database.workspace()
        monkeypatch.chdir(tmp_path)
        orders(tmp_path / "orders.csv")
        orders(tmp_path / "bad.csv", bad=(0,))
        (tmp_path / "empty.csv").touch()
        assert about in assert_sentence(call("import", *arguments))

    def test_ctrl_c_is_a_sentence_and_the_next_call_goes_on(
        self, call: Callable[..., Said], database: TestDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        workspace_id = database.workspace()
        file = orders(tmp_path / "orders.csv")

        def interrupted(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(bringing_in, "run_import", interrupted)
            assert "goes on" in assert_sentence(call("import", file, "-w", "acme", *ORDER))
        assert call("import", file, "-w", "acme", *ORDER).code == 0
        assert database_rows(database, workspace_id) == 6

    def test_as_a_process_without_a_traceback(self, database: TestDatabase, tmp_path: Path) -> None:
        database.workspace()
        done = started(database.dsn, "import", str(orders(tmp_path / "orders.csv")), "-w", "acme", *ORDER)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("6 rows: 6 applied, 0 known already, 0 rejected.\n")


def shop(customers: int = 250) -> StripeApi:
    return StripeApi(
        lists={
            "/v1/customers": [customer(id=f"cus_{n}", created=1_760_000_000 + n) for n in reversed(range(customers))],
            "/v1/subscriptions": [subscription(sub_id=f"sub_{n}") for n in range(3)],
            "/v1/invoices": [invoice()],
        }
    )


class TestBackfill:
    def test_reads_everything_once(
        self, call: Callable[..., Said], database: TestDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        workspace_id = database.workspace()
        database.source(workspace_id, "stripe")
        with running(shop()) as api:
            stripe_is(monkeypatch, api)
            first = call("backfill", "stripe", "-w", "acme")
            second = call("backfill", "stripe", "-w", "acme")
        assert first.code == 0, first.err
        assert first.out.splitlines()[-1] == "254 objects read, 254 new."
        assert "customers: 250 objects" in first.out
        assert second.out.splitlines()[-1] == "254 objects read, 0 new."
        assert call("inbox", "check", "-w", "acme").code == 0

    def test_interrupted_by_a_kill_it_goes_on_where_it_was(self, database: TestDatabase) -> None:
        workspace_id = database.workspace()
        database.source(workspace_id, "stripe")
        with running(shop()) as api:
            account = {"STRIPE_API_KEY": "rk_test_1", "STRIPE_API_BASE": api.url}
            killed = started(
                database.dsn, "backfill", "stripe", "-w", "acme", GDP_FAILPOINT="backfill.page:kill", **account
            )
            assert killed.returncode == -signal.SIGKILL
            assert "/v1/invoices" not in dict(api.requests)
            done = started(database.dsn, "backfill", "stripe", "-w", "acme", **account)
        assert done.returncode == 0, done.stderr
        with database.worker.transaction(workspace_id) as session:
            kept = rows(session, "SELECT kind, count(DISTINCT object_id) AS n FROM object_state GROUP BY kind")
            runs = rows(session, "SELECT state FROM import_run WHERE kind = 'backfill'")
        counts = {row.kind: row.n for row in kept}
        assert (counts["stripe.customer"], counts["stripe.subscription"], counts["stripe.invoice"]) == (250, 3, 1)
        assert [row.state for row in runs] == ["done"]

    def test_a_key_that_may_not_read_is_a_sentence(
        self, call: Callable[..., Said], database: TestDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        database.source(database.workspace(), "stripe")
        with running(shop(1)) as api:
            api.script = [Answer(401, body=b'{"error": {"type": "invalid_request_error", "message": "no"}}')]
            stripe_is(monkeypatch, api)
            said = assert_sentence(call("backfill", "stripe", "-w", "acme"))
        assert "rk_test" not in said

    def test_what_is_missing_is_a_sentence(
        self, call: Callable[..., Said], database: TestDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        workspace_id = database.workspace()
        assert "STRIPE_API_KEY" in assert_sentence(call("backfill", "stripe", "-w", "acme"))
        with running(shop(1)) as api:
            stripe_is(monkeypatch, api)
            assert_sentence(call("backfill", "stripe", "-w", "acme"))
            assert "only" in assert_sentence(call("backfill", "paypal", "-w", "acme")).lower()
            for name in ("EU", "US"):
                database.source(workspace_id, "stripe", name=name)
            assert "--source" in assert_sentence(call("backfill", "stripe", "-w", "acme"))
            assert call("backfill", "stripe", "-w", "acme", "--source", "EU").code == 0


class TestInbox:
    def test_replaying_changes_nothing_and_is_on_the_record(
        self, call: Callable[..., Said], database: TestDatabase, tmp_path: Path
    ) -> None:
        workspace_id = database.workspace()
        call("import", orders(tmp_path / "orders.csv"), "-w", "acme", *ORDER)
        said = call("inbox", "replay", "-w", "acme", "--state", "applied")
        assert "1 deliveries wait" in said.err
        with database.worker.transaction(workspace_id) as session:
            assert one(session, "SELECT state FROM inbox").state == "pending"
            assert one(session, "SELECT count(*) AS n FROM audit_log WHERE action = 'inbox.replay'").n == 1
        assert call("inbox", "check", "-w", "acme").code == 0
        assert database_rows(database, workspace_id) == 6

    def test_books_that_do_not_balance_end_with_1(self, call: Callable[..., Said], database: TestDatabase) -> None:
        workspace_id = database.workspace()
        with database.worker.transaction(workspace_id) as session:
            run(
                session,
                "INSERT INTO ledger_entry (id, workspace_id, ledger, source_id, hour, received, applied, duplicate,"
                " quarantined, dead, erased) VALUES (gen_random_uuid(), :ws, 'delivery', gen_random_uuid(), :at, 1, 0,"
                " 0, 0, 0, 0)",
                ws=workspace_id,
                at=now(),
            )
        assert call("inbox", "check", "-w", "acme").code == 1

    @pytest.mark.parametrize(
        "arguments",
        [(), ("--state", "dead"), ("--id", "00000000-0000-0000-0000-000000000001")],
    )
    def test_nothing_to_replay_is_a_sentence(
        self, call: Callable[..., Said], database: TestDatabase, arguments: tuple[str, ...]
    ) -> None:
        database.workspace()
        assert_sentence(call("inbox", "replay", "-w", "acme", *arguments))


class TestKeeping:
    def test_secrets_are_sealed_anew(
        self, call: Callable[..., Said], database: TestDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connect(database, "generic", secret=SECRET)
        assert "k1" in call("encryption", "usage").out
        fresh = call("encryption", "new-key").out.strip()
        monkeypatch.setenv("GDP_ENCRYPTION_KEYS", f"{fresh},{ENCRYPTION_KEYS}")
        settings.cache_clear()
        vault._keyring.cache_clear()
        assert call("encryption", "rotate").err == "1 secrets were sealed anew.\n"
        assert "k1" not in call("encryption", "usage").out

    def test_a_key_file_gets_a_new_key(self, call: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("GDP_ENCRYPTION_KEYS")
        settings.cache_clear()
        vault._keyring.cache_clear()
        assert "seals from now on" in call("encryption", "new-key").err

    def test_the_audit_log_is_verified(self, call: Callable[..., Said], database: TestDatabase) -> None:
        call("workspace", "create", "acme")
        call("source", "create", "stripe", "-w", "acme")
        assert call("audit", "verify", "-w", "acme").code == 0
        with psycopg.connect(database.admin) as connection:
            connection.execute("ALTER TABLE audit_log DISABLE TRIGGER append_only")
            connection.execute("UPDATE audit_log SET user_label = 'somebody else' WHERE action = 'sources.connect'")
        assert call("audit", "verify", "-w", "acme").code == 1

    def test_roles_are_shown(self, call: Callable[..., Said]) -> None:
        assert "inbox.replay" in call("roles").out

    def test_a_new_database_is_prepared_and_has_an_owner(
        self, server: str, call: Callable[..., Said], database: TestDatabase
    ) -> None:
        name = database.dsn.rpartition("/")[2] + "_new"
        _admin(server, f"CREATE DATABASE {name}")
        try:
            empty = _database(server, name)
            for command in (("workspace", "list"), ("worker",), ("analyst",)):
                done = started(empty, *command)
                said = [line for line in done.stderr.splitlines() if not line.startswith("{")]
                assert (done.returncode, len(said)) == (1, 1), done.stderr
                assert "run `python -m jobs prepare` first" in said[0]
            refused = in_a_process(empty, "prepare", GDP_ENCRYPTION_KEYS="k1:short")
            assert refused.returncode == 1
            assert refused.stderr.startswith("GDP_ENCRYPTION_KEYS: write id:base64")
            assert in_a_process(empty, "prepare").returncode == 0
            assert in_a_process(empty, "prepare").returncode == 0
            assert "owner@localhost" in in_a_process(empty, "user", "list").stdout
        finally:
            _admin(server, f"DROP DATABASE {name} WITH (FORCE)")


class TestErrors:
    @pytest.mark.parametrize(
        ("url", "about"),
        [
            ("mysql://127.0.0.1/x", "DATABASE_URL"),
            ("postgresql://u:p@127.0.0.1:1/x", "refused"),
            ("postgresql://u:p@127.0.0.1:99999999/x", "DATABASE_URL"),
            ("postgresql://u:p%zz@[::1/x", "DATABASE_URL"),
        ],
    )
    def test_a_database_that_cannot_be_used(self, url: str, about: str) -> None:
        done = in_a_process(url, "user", "list")
        assert about in assert_sentence(Said(done.returncode, done.stdout, done.stderr))

    def test_a_database_that_does_not_exist(self, database: TestDatabase) -> None:
        done = in_a_process(database.dsn + "_missing", "user", "list")
        assert "does not exist" in assert_sentence(Said(done.returncode, done.stdout, done.stderr))

    def test_a_wrong_password_is_not_repeated(self, database: TestDatabase) -> None:
        done = in_a_process(database.dsn.replace(":test@", ":a-wrong-one@"), "user", "list")
        if done.returncode == 0:
            pytest.skip("this server trusts everybody")
        assert "a-wrong-one" not in assert_sentence(Said(done.returncode, done.stdout, done.stderr))

    @pytest.mark.parametrize("name", ["GDP_DOOR_PORT", "GDP_WORKERS", "GDP_LOG_LEVEL"])
    def test_a_wrong_setting_is_named(self, database: TestDatabase, name: str) -> None:
        done = in_a_process(database.dsn, "user", "list", **{name: "many"})
        assert name in assert_sentence(Said(done.returncode, done.stdout, done.stderr))

    def test_a_folder_that_cannot_be_used(self) -> None:
        done = in_a_process("", "user", "list", GDP_DATA_DIR="/proc/nothing")
        assert "GDP_DATA_DIR" in assert_sentence(Said(done.returncode, done.stdout, done.stderr))

    def test_the_product_itself_says_what_is_wrong(self, database: TestDatabase, tmp_path: Path) -> None:
        here = {"GDP_DATA_DIR": str(tmp_path / "data")}
        done = started("mysql://127.0.0.1/x", **here)
        assert "DATABASE_URL" in assert_sentence(Said(done.returncode, done.stdout, done.stderr))
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            done = started(database.dsn, **here, GDP_DOOR_PORT=port)
        assert f"Port {port}" in assert_sentence(Said(done.returncode, done.stdout, done.stderr))
        done = started("postgresql://u:p@127.0.0.1:1/x", **here, GDP_DOOR_PORT=str(ports.choose()))
        assert done.returncode == 1
        assert "refused" in done.stderr
        assert "Traceback" not in done.stderr

    def test_a_full_disk_of_postgres(self) -> None:
        lost = exc.OperationalError("INSERT", {}, psycopg.errors.DiskFull("could not extend file"))
        error = Unavailable("Postgres cannot be reached; it is tried again by itself.")
        error.__cause__ = lost
        assert "disk of Postgres is full" in (sentence(error) or "")
        assert "disk of Postgres is full" in (sentence(lost) or "")

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (psycopg.errors.IdleInTransactionSessionTimeout("terminating connection"), "stood still"),
            (psycopg.errors.QueryCanceled("canceling statement due to statement timeout"), "too busy"),
            (psycopg.errors.DeadlockDetected("deadlock detected"), "changing the same"),
            (psycopg.errors.LockNotAvailable("canceling statement due to lock timeout"), "changing the same"),
        ],
    )
    def test_what_a_well_server_ends_says_to_run_the_command_again(self, error: psycopg.Error, words: str) -> None:
        wrapped = Unavailable("Postgres cannot be reached; it is tried again by itself.")
        wrapped.__cause__ = exc.DBAPIError("SELECT", {}, error)
        said = sentence(wrapped) or ""
        assert words in said
        assert "run" in said
        assert "again" in said

    def test_a_file_does_not_steer_the_terminal(self, capsys: pytest.CaptureFixture[str]) -> None:
        hostile = "\x1b]0;title\x07\x1b[2J\x9b31m\u202ename"
        terminal.table(("Column",), [(hostile,)])
        terminal.note(f"There is no column {hostile}.")
        said = capsys.readouterr()
        assert "name" in said.out
        assert "name" in said.err
        assert not set("\x1b\x07\x9b\u202e") & set(said.out + said.err)

    def test_a_full_disk_here(self) -> None:
        assert "disk is full" in (sentence(OSError(28, "No space left on device", "out.csv")) or "")

    def test_a_bug_is_not_made_a_sentence(self) -> None:
        assert sentence(ValueError("ours")) is None
        assert sentence(InvalidInput("theirs")) == "theirs"

    def test_a_call_that_is_none_ends_with_2(self, call: Callable[..., Said]) -> None:
        for arguments in (("nonsense",), ("key", "create"), ("import",), ("workspace", "create", "a", "b")):
            assert call(*arguments).code == 2

    def test_every_group_helps(self, call: Callable[..., Said]) -> None:
        for group in commands.app.registered_groups:
            assert "Commands:" in call(group.name, "--help").out

    def test_kinds_of_sources_are_in_the_help(self, call: Callable[..., Said]) -> None:
        helped = call("source", "create", "--help").out
        assert all(source.key in helped for source in SOURCES)


def stripe_is(monkeypatch: pytest.MonkeyPatch, api: StripeApi) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", "rk_test_1")
    monkeypatch.setenv("STRIPE_API_BASE", api.url)
    settings.cache_clear()


def signed(body: bytes) -> dict[str, str]:
    return sign_standard(body, SECRET, family="webhook")


def track(client: object, key: str) -> int:
    body = {"userId": "u1", "event": "signed_up", "messageId": "m1", "writeKey": key}
    return int(client.post("/v1/track", json=body).status_code)  # type: ignore[attr-defined]


def database_rows(database: TestDatabase, workspace_id: object) -> int:
    with database.worker.transaction(workspace_id) as session:  # type: ignore[arg-type]
        return int(one(session, "SELECT count(*) AS n FROM event").n)


def assert_sentence(said: Said) -> str:
    """Exit code 1 and one sentence; returns it."""
    assert said.code == 1, said
    assert "Traceback" not in said.err
    (line,) = said.err.strip().splitlines()
    assert line[-1] in ".)", line
    return line
