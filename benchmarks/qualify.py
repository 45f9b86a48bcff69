"""How long it takes from the acknowledgement of what makes somebody belong to a segment to the logged entry.

The whole product runs, and its door is sent 500 events a second. Twice a second somebody new does what one segment asks
for; another segment has them ten seconds after that, by time alone. The clock stops when the entry can be read.
"""

import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from benchmarks.analytics import say
from benchmarks.busy import A_SECOND, BATCH, call, views
from gdp_core import clock
from gdp_core.accounts.roles import Principal
from gdp_core.db import Database, rows
from gdp_core.segments import keeping, rules
from tests.browser.product import Product

SECONDS = 180
_WAIT = 10.0


def run() -> list[dict[str, Any]]:
    """Rows with name, value and unit; there is no peer."""
    with tempfile.TemporaryDirectory(prefix="gdp-bench-") as folder:
        Path(folder).chmod(0o755)  # Postgres may run as another user
        product = Product(Path(folder) / "data")
        try:
            product.start(name="qualify")
            return _measured(product)
        finally:
            product.stop()


def _measured(product: Product) -> list[dict[str, Any]]:
    slug = product.workspace("Qualify")
    workspace, key = product.workspace_id(slug), product.tracking_key(slug, "Load")
    by_facts, by_time = _segments(product, workspace)
    done: dict[str, float] = {}
    stopping = threading.Event()
    seen: dict[tuple[UUID, str], float] = {}
    watching = threading.Thread(target=_watch, args=(product.pool("gdp_worker"), workspace, seen, stopping))
    watching.start()
    refused = _send(product.door, key, done)
    product.rest(90)
    stopping.set()
    watching.join()
    found = []
    for name, segment, wait in (("by facts", by_facts, 0.0), ("by time alone", by_time, _WAIT)):
        taken = sorted(seen[segment, user] - at - wait for user, at in done.items() if (segment, user) in seen)
        say(f"  {name}: {len(taken)} of {len(done)} seen, {refused} requests refused")
        if len(taken) != len(done):
            raise ValueError(f"{len(done) - len(taken)} people never entered the segment {name}.")
        whole = f"entry {name} at {A_SECOND} events/s, from the acknowledgement"
        found.append(_row(f"{whole}, median", statistics.median(taken)))
        found.append(_row(f"{whole}, 99 of 100", statistics.quantiles(taken, n=100)[-1]))
    return found


def _segments(product: Product, workspace: UUID) -> tuple[UUID, UUID]:
    bought = {"names": ["order"]}
    asked = {
        "by facts": {"kind": "performed", "event": bought},
        "by time": {"kind": "not_since", "event": bought, "other": {"names": ["refund"]}, "ago": f"{_WAIT:.0f}s"},
    }
    made = []
    with product.pool("gdp_web").transaction(workspace) as session:
        for name, node in asked.items():
            rule = rules.read({"version": 1, "match": {"kind": "all", "of": [node]}})
            made.append(keeping.create(session, Principal.system(workspace), name, rule, now=clock.now()).id)
    return made[0], made[1]


def _send(door: str, key: str, done: dict[str, float]) -> int:
    """Send what there is to send, second by second; when each order was acknowledged. How many requests were refused."""
    refused, began = 0, time.time()
    with httpx.Client(base_url=door, auth=(key, ""), timeout=60) as client:
        for part in range(SECONDS * A_SECOND // BATCH):
            place = part * BATCH
            calls = views(place)
            user = None
            if part % (A_SECOND // BATCH // 2) == 0:
                user = f"buyer{part}"
                calls[0] = call(user, "order", place)
            answer = client.post("/v1/batch", json={"batch": calls})
            refused += answer.status_code != 200
            if user and answer.status_code == 200:
                done[user] = time.time()
            time.sleep(max(0.0, began + (place + BATCH) / A_SECOND - time.time()))
    return refused


def _watch(pool: Database, workspace: UUID, seen: dict[tuple[UUID, str], float], stopping: threading.Event) -> None:
    """Note when each entry can first be read, by segment and user."""
    last = 0
    while not stopping.wait(0.25):
        with pool.transaction(workspace, read_only=True) as session:
            found = rows(
                session,
                "SELECT t.seq, t.segment_id, a.external_id FROM segment_transition t JOIN actor a"
                " ON a.workspace_id = t.workspace_id AND a.id = t.person_id WHERE t.seq > :last AND t.kind = 'entered'"
                " ORDER BY t.seq",
                last=last,
            )
        now = time.time()
        for row in found:
            seen[row.segment_id, row.external_id] = now
            last = row.seq


def _row(name: str, value: float) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": "s", "peer": None, "peer_value": None, "ratio": None}
