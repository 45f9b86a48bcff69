"""Golden pairs found on disk: tests/golden/<source>/<name>.json is a request, <name>.facts.json what it states.

GDP_UPDATE_GOLDEN=1 rewrites the second from the first; read the diff before committing it.
"""

import base64
import dataclasses
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest

from gdp_core.errors import NotFound
from gdp_core.sources import SOURCES, source
from gdp_core.sources.facts import Delivery, Fact, Reject
from gdp_core.sources.people import NAMESPACES

GOLDEN = Path(__file__).parent / "golden"
PURE = ("segment", "posthog", "resend", "generic")
RECEIVED = datetime(2026, 11, 20, 8, 0, 2, tzinfo=UTC)

pairs = sorted(path for key in PURE for path in (GOLDEN / key).glob("*.json") if not path.name.endswith(".facts.json"))


def delivery(key: str, request: dict[str, Any]) -> Delivery:
    body = base64.b64decode(request["body_base64"]) if "body_base64" in request else orjson.dumps(request["body"])
    return Delivery(
        id=UUID(int=1),
        workspace_id=UUID(int=2),
        source_id=UUID(int=3),
        source=key,
        route=request["route"],
        trust=request["trust"],
        received_at=RECEIVED,
        body=body,
        headers=request.get("headers", {}),
        query=request.get("query", {}),
    )


def plain(fact: Fact | Reject) -> dict[str, Any]:
    """A fact without what is empty, so that a golden file shows what was said."""
    if isinstance(fact, Reject):
        return {"reject": dataclasses.asdict(fact)}
    shown = {
        "key": fact.key,
        "occurred_at": fact.occurred_at.isoformat(),
        "original_at": fact.original_at and fact.original_at.isoformat(),
        "actors": [":".join(actor) for actor in fact.actors],
        "links": [f"{':'.join(a)} = {':'.join(b)}{' (said)' if said else ''}" for a, b, said in fact.links],
        "traits": [{"of": ":".join(t.of), t.op: {t.key: t.value}} for t in fact.traits],
        "states": [state._asdict() for state in fact.states],
        "event": fact.event and {k: v for k, v in dataclasses.asdict(fact.event).items() if v not in (None, False, {})},
    }
    return {name: value for name, value in shown.items() if value}


@pytest.mark.parametrize("path", pairs, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_request_states_its_facts(path: Path) -> None:
    request = delivery(path.parent.name, orjson.loads(path.read_bytes()))
    stated = [plain(fact) for fact in source(path.parent.name).normalise(request)]
    expected = path.with_suffix(".facts.json")
    if os.environ.get("GDP_UPDATE_GOLDEN"):
        expected.write_bytes(orjson.dumps(stated, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    assert stated == orjson.loads(expected.read_bytes())


@pytest.mark.parametrize("key", PURE)
def test_every_source_has_golden_pairs(key: str) -> None:
    assert sum(path.parent.name == key for path in pairs) >= 3


def test_the_same_delivery_states_the_same_facts_again() -> None:
    for path in pairs:
        request = delivery(path.parent.name, orjson.loads(path.read_bytes()))
        normalise = source(path.parent.name).normalise
        assert normalise(request) == normalise(request), path


def test_a_source_is_found_by_its_key() -> None:
    assert all(source(one.key) is one for one in SOURCES)
    with pytest.raises(NotFound, match="segment"):
        source("sgement")


def test_every_kind_of_identifier_is_registered() -> None:
    named = set()
    for path in GOLDEN.rglob("*.facts.json"):
        named |= {
            actor.partition(":")[0] for fact in orjson.loads(path.read_bytes()) for actor in fact.get("actors", ())
        }
    assert {"user", "resend"} <= named <= {*NAMESPACES, "person"}
