"""Events of code inside the installation: on disk at once, once each, and nonsense is refused to its face."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from gdp_core import clock, inbox, pipeline, runtime
from gdp_core.db import rows
from gdp_core.errors import InvalidInput, NotFound
from gdp_core.settings import settings
from gdp_core.track import track
from tests.conftest import TestDatabase


@pytest.fixture(autouse=True)
def here(database: TestDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("DATABASE_URL", database.dsn)
    settings.cache_clear()
    runtime.database.cache_clear()
    yield
    for role in ("gdp_web", "gdp_worker", "gdp_gate"):
        runtime.database(role).close()
    runtime.database.cache_clear()
    settings.cache_clear()


def test_what_is_tracked_becomes_an_event_of_a_person(database: TestDatabase) -> None:
    workspace_id = database.workspace()
    at = datetime(2026, 11, 1, 9, 30, tzinfo=UTC)
    paid = {"revenue": 39.95, "currency": "USD"}
    track("acme", "order_completed", user_id="user_1", properties=paid, traits={"email": "ada@example.org"}, at=at)
    track("acme", "order_completed", user_id="user_1", properties=paid)
    assert pipeline.work(database.worker, workspace_id, clock.now()) == 2
    with database.worker.transaction(workspace_id) as session:
        found = rows(session, "SELECT name, occurred_at, value_micros, currency FROM event ORDER BY occurred_at")
        people = rows(session, "SELECT email FROM person")
        assert [balance.difference for balance in inbox.balances(session)] == [0, 0]
    assert tuple(found[0]) == ("order_completed", at, 39_950_000, "USD")
    assert len(found) == 2
    assert [person.email for person in people] == ["ada@example.org"]


def test_the_same_message_counts_once(database: TestDatabase) -> None:
    workspace_id = database.workspace()
    for _ in range(3):
        assert track("acme", "signed_up", user_id="user_1", message_id="m1") == "m1"
    pipeline.work(database.worker, workspace_id, clock.now())
    with database.worker.transaction(workspace_id) as session:
        assert len(rows(session, "SELECT 1 FROM event")) == 1
        assert len(rows(session, "SELECT 1 FROM source_instance")) == 1


@pytest.mark.parametrize(
    "refused",
    [
        lambda: track("acme", "signed_up"),
        lambda: track("acme", "", user_id="u"),
        lambda: track("acme", "signed_up", user_id="undefined"),
        lambda: track("acme", "signed_up", user_id="u", properties={"x": object()}),
        lambda: track("acme", "signed_up", user_id="u", properties={"x": "y" * 40_000}),
        lambda: track("acme", "signed_up", user_id="u", at=datetime(2026, 1, 1)),  # noqa: DTZ001
    ],
)
def test_nonsense_is_refused_and_nothing_is_stored(database: TestDatabase, refused: Callable[[], str]) -> None:
    workspace_id = database.workspace()
    with pytest.raises(InvalidInput):
        refused()
    with database.worker.transaction(workspace_id) as session:
        assert rows(session, "SELECT 1 FROM inbox") == []


def test_a_workspace_that_is_not_there_is_named(database: TestDatabase) -> None:
    with pytest.raises(NotFound, match="nope"):
        track("nope", "signed_up", user_id="u")
