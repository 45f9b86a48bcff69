"""Group commit: acknowledged means stored, neighbours do not suffer, memory is bounded, Postgres may go away."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from gdp_core.appender import Appender, Unstorable
from gdp_core.clock import now
from gdp_core.errors import BadSetting, Unavailable
from gdp_core.ids import time_ordered
from gdp_core.line import Line
from gdp_core.senders import KNOWN_SECONDS, UNKNOWN_SECONDS, Senders
from gdp_core.settings import settings
from gdp_core.sources.facts import Delivery
from tests.door import inbox, issue_key, query, received

PATIENT: dict[str, Any] = {"patience": 30.0}  # a busy machine is no Postgres that does not answer


@pytest.fixture
def make(database) -> Callable[..., Delivery]:
    """Makes deliveries of one source."""
    workspace_id = database.workspace()
    source_id = database.source(workspace_id, "stripe")

    def delivery(**changed: Any) -> Delivery:
        at = changed.pop("received_at", now())
        plain = Delivery(time_ordered(at), workspace_id, source_id, "stripe", "webhook", "signed", at, b"{}", {}, {})
        return replace(plain, **changed)

    return delivery


def with_appender(dsn: str, use: Callable[[Appender], Awaitable[Any]], **options: Any) -> Any:
    """Run `use` with an appender that drains, and close it."""

    async def main() -> Any:
        line = Line(dsn, "test")
        appender = Appender(line, **PATIENT | options)
        appender.start()
        try:
            return await use(appender)
        finally:
            await appender.close()
            await line.close()

    return asyncio.run(main())


async def outcomes(appender: Appender, deliveries: list[Delivery]) -> list[type[BaseException] | None]:
    """What each append raised."""
    results = await asyncio.gather(*map(appender.append, deliveries), return_exceptions=True)
    return [type(result) if result is not None else None for result in results]


def test_what_comes_together_is_one_commit_and_one_posting(database, make):
    sizes: list[int] = []
    other = database.source(database.workspace("other"), "resend")
    deliveries = [make() for _ in range(30)]
    deliveries += [make(workspace_id=uuid.uuid5(uuid.NAMESPACE_DNS, "other"), source_id=other) for _ in range(10)]

    async def use(appender: Appender) -> list[type[BaseException] | None]:
        return await outcomes(appender, deliveries)

    results = with_appender(database.dsn, use, observe=lambda rows, _seconds: sizes.append(rows))
    assert results == [None] * 40
    assert sum(sizes) == 40
    assert len(sizes) <= 2
    assert {row["id"] for row in inbox(database)} == {delivery.id for delivery in deliveries}
    postings = query(database, "SELECT source_id, sum(received)::int AS n FROM ledger_entry GROUP BY source_id")
    assert {row["source_id"]: row["n"] for row in postings} == {deliveries[0].source_id: 30, other: 10}


def test_every_column_survives(database, make):
    delivery = make(
        headers={"user-agent": 'ü"\\ \ufffd', "x-client-ip": "1.2.3.0"},
        query={"_": "1"},
        body=bytes(range(256)),
        trust="browser",
        route="v1/track",
    )
    with_appender(database.dsn, lambda appender: appender.append(delivery))
    (row,) = inbox(database)
    stored = {
        name: row[name] for name in ("id", "workspace_id", "source_id", "source", "route", "trust", "headers", "query")
    }
    assert stored == {name: getattr(delivery, name) for name in stored}
    assert bytes(row["body"]) == delivery.body
    assert row["received_at"] == row["run_at"] == delivery.received_at


@pytest.mark.parametrize("position", [0, 7, 19])
@pytest.mark.parametrize(
    "poison", [{"headers": {"user-agent": "\0"}}, {"source": "\0"}, {"source": None}, {"source": "\ud800"}]
)
def test_a_poison_delivery_is_refused_alone(database, make, position, poison):
    deliveries = [make() for _ in range(20)]
    deliveries[position] = make(**poison)

    async def use(appender: Appender) -> list[type[BaseException] | None]:
        return await outcomes(appender, deliveries)

    results = with_appender(database.dsn, use)
    expected: list[type[BaseException] | None] = [None] * 20
    expected[position] = Unstorable
    assert results == expected
    assert len(inbox(database)) == received(database) == 19


def test_a_month_without_a_partition_gets_one(database, make):
    times = [datetime(2031, month, 15, tzinfo=UTC) for month in (1, 1, 2, 12)] + [now()]

    async def use(appender: Appender) -> list[type[BaseException] | None]:
        return await outcomes(appender, [make(received_at=at) for at in times])

    assert with_appender(database.dsn, use) == [None] * 5
    assert len(inbox(database)) == received(database) == 5
    names = {row["name"] for row in query(database, "SELECT name FROM partition_list('inbox')")}
    assert {"inbox_2031_01", "inbox_2031_02", "inbox_2031_12"} <= names


def test_the_role_of_the_door_reads_nothing(database):
    async def main() -> list[str]:
        line = Line(database.dsn, "test")
        connection = await line.connection()
        refused = []
        for statement in (
            "SELECT * FROM inbox",
            "SELECT * FROM ledger_entry",
            "SELECT * FROM api_key",
            "SELECT * FROM source_secret",
            "UPDATE inbox SET body = ''",
            "DELETE FROM inbox",
            "INSERT INTO event_key DEFAULT VALUES",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await connection.execute(statement)
            refused.append(statement)
        await line.close()
        return refused

    assert len(asyncio.run(main())) == 7


def test_browsers_are_shed_first_and_signed_webhooks_last(database, make):
    async def use(appender: Appender, free: asyncio.Event) -> list[str]:
        kept: list[asyncio.Task[None]] = []
        shed = []
        for trust, attempts in (("browser", 8), ("server", 6), ("signed", 6)):
            for _ in range(attempts):
                kept.append(asyncio.create_task(appender.append(make(trust=trust))))
                await asyncio.sleep(0)
                if kept[-1].done():
                    with pytest.raises(Unavailable):
                        kept.pop().result()
                    shed.append(trust)
        assert appender.depth == 12
        free.set()
        await asyncio.gather(*kept)
        return shed

    shed = with_stalled_line(database.dsn, use, rows=12)
    assert shed == ["browser"] * 2 + ["server"] * 3 + ["signed"] * 3
    assert len(inbox(database)) == 12


def test_the_queue_is_bounded_in_bytes(database, make):
    async def use(appender: Appender, free: asyncio.Event) -> None:
        first = asyncio.create_task(appender.append(make(body=b"x" * 900)))
        await asyncio.sleep(0)
        assert appender.queued_bytes == 900
        with pytest.raises(Unavailable):
            await appender.append(make(body=b"x" * 200))
        free.set()
        await asyncio.gather(first, appender.append(make(body=b"x" * 100)))
        assert appender.queued_bytes == 0

    with_stalled_line(database.dsn, use, size=1_000)
    assert len(inbox(database)) == 2


def with_stalled_line(dsn: str, use: Callable[[Appender, asyncio.Event], Awaitable[Any]], **options: Any) -> Any:
    """Like with_appender, but nothing is stored until `use` sets the event it is given."""

    class Stalled(Line):
        free: asyncio.Event

        async def wait_until_open(self) -> Any:
            await self.free.wait()
            return await super().wait_until_open()

    async def main() -> Any:
        line = Stalled(dsn, "test")
        line.free = asyncio.Event()
        appender = Appender(line, **PATIENT | options)
        appender.start()
        try:
            return await use(appender, line.free)
        finally:
            await appender.close()
            await line.close()

    return asyncio.run(main())


def test_a_locked_inbox_means_unavailable_and_never_stored_unseen(database, make):
    """Who is told to come back may be stored all the same; who is told nothing wrong is stored."""

    async def use(appender: Appender) -> tuple[Any, Any]:
        async with await psycopg.AsyncConnection.connect(database.admin) as holder:
            await holder.execute("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
            waiting = await outcomes(appender, [make() for _ in range(5)])
        appender._patience = 30.0
        return waiting, await outcomes(appender, [make() for _ in range(5)])

    waiting, after = with_appender(database.dsn, use, patience=0.3)
    assert waiting == [Unavailable] * 5
    assert after == [None] * 5


def test_postgres_that_is_not_there(make):
    async def use(appender: Appender) -> list[Any]:
        return await outcomes(appender, [make() for _ in range(3)])

    results = with_appender("postgresql://nobody:x@127.0.0.1:1/none", use, patience=0.2)
    assert results == [Unavailable] * 3


def test_a_connection_that_is_killed_is_opened_again(database, make):
    async def use(appender: Appender) -> list[Any]:
        await appender.append(make())
        query(database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gdp test'")
        seen = []
        for _ in range(20):
            seen += await outcomes(appender, [make()])
        return seen

    results = with_appender(database.dsn, use)
    assert set(results) <= {None, Unavailable}
    assert results[-1] is None
    assert len(inbox(database)) >= 1 + results.count(None)


def test_a_server_that_may_lose_data_is_refused(database):
    class Careless(Line):
        options = Line.options.replace("synchronous_commit=on", "synchronous_commit=off")

    async def main() -> None:
        line = Careless(database.dsn, "test")
        with pytest.raises(BadSetting, match="synchronous_commit"):
            await line.connection()
        with pytest.raises(Unavailable):
            await Senders(line).by_hook("x")

    asyncio.run(main())


def test_a_failure_of_its_own_is_not_an_answer(database, make, monkeypatch):
    monkeypatch.setenv("GDP_FAILPOINT", "door.appended:raise")
    settings.cache_clear()

    async def use(appender: Appender) -> list[Any]:
        failed = await outcomes(appender, [make() for _ in range(3)])
        monkeypatch.delenv("GDP_FAILPOINT")
        settings.cache_clear()
        return failed + await outcomes(appender, [make()])

    assert with_appender(database.dsn, use) == [Unavailable] * 3 + [None]
    assert len(inbox(database)) == 1
    settings.cache_clear()


def test_closing_stores_what_waits_and_takes_no_more(database, make):
    async def main() -> list[Any]:
        line = Line(database.dsn, "test")
        appender = Appender(line, **PATIENT)
        waiting = asyncio.gather(*(appender.append(make()) for _ in range(10)), return_exceptions=True)
        await asyncio.sleep(0)
        appender.start()
        await appender.close()
        results = await waiting
        with pytest.raises(Unavailable):
            await appender.append(make())
        await line.close()
        return results

    assert asyncio.run(main()) == [None] * 10
    assert len(inbox(database)) == 10


@pytest.mark.parametrize("state", ["53100", "53200", "42501", "57014", "40001", "P0001"])
def test_what_is_not_the_senders_fault_is_not_said_to_be(database, make, state):
    """A full disk, a missing grant, a timeout: come back later. It goes on by itself when that is over."""
    query(
        database,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$",
    )
    query(database, "CREATE TRIGGER refuse BEFORE INSERT ON ledger_entry EXECUTE FUNCTION refuse()")

    async def use(appender: Appender) -> list[Any]:
        refused = await outcomes(appender, [make() for _ in range(4)])
        query(database, "DROP TRIGGER refuse ON ledger_entry")
        return refused + await outcomes(appender, [make()])

    assert with_appender(database.dsn, use) == [Unavailable] * 4 + [None]
    assert len(inbox(database)) == received(database) == 1


# --- look-ups


def test_look_ups_are_remembered_for_seconds_only(database):
    key = issue_key(database, "segment")
    clock = 0.0

    async def main() -> list[bool]:
        line = Line(database.dsn, "test")
        senders = Senders(line, clock=lambda: clock)
        seen = []

        async def look(asked: str, advance: float = 0.0) -> None:
            nonlocal clock
            clock += advance
            seen.append(await senders.by_key(asked, now()) is not None)

        await look(key)
        await look("unknown")
        query(database, "UPDATE api_key SET revoked_at = now()")
        await look(key)
        await look(key, KNOWN_SECONDS + 0.01)
        query(database, "UPDATE api_key SET revoked_at = NULL")
        await look(key)
        await look(key, UNKNOWN_SECONDS + 0.01)
        assert senders.knows_key(key)
        assert not senders.knows_key("unknown")
        await line.close()
        return seen

    assert asyncio.run(main()) == [True, False, True, False, False, True]


def test_a_key_that_expires_is_refused_even_while_remembered(database):
    key = issue_key(database, "segment", expires_at=(now() + timedelta(hours=1)).isoformat())

    async def main() -> list[bool]:
        line = Line(database.dsn, "test")
        senders = Senders(line)
        answers = [await senders.by_key(key, now() + timedelta(minutes=minutes)) is not None for minutes in (0, 59, 61)]
        await line.close()
        return answers

    assert asyncio.run(main()) == [True, True, False]


def test_guesses_do_not_push_out_what_is_known(database):
    key = issue_key(database, "segment")

    async def main() -> tuple[bool, int]:
        line = Line(database.dsn, "test")
        senders = Senders(line)
        assert await senders.by_key(key, now())
        for number in range(300):
            await senders.by_key(f"guess{number}", now())
        await line.close()
        return senders.knows_key(key), len(senders._keys._known)

    assert asyncio.run(main()) == (True, 1)


@pytest.mark.parametrize("hook", ["", "x" * 10_000, "\0", "ä", "'; DROP TABLE inbox; --"])
def test_hostile_addresses_are_unknown(database, hook):
    async def main() -> object:
        line = Line(database.dsn, "test")
        try:
            return await Senders(line).by_hook(hook)
        finally:
            await line.close()

    assert asyncio.run(main()) is None
