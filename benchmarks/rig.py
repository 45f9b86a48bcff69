"""A Postgres of its own for a benchmark, with one workspace and one source."""

import base64
import os
import secrets
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gdp_core import clock
from gdp_core.accounts.workspaces import insert_workspace
from gdp_core.db import Database, run
from gdp_core.schema import prepare
from jobs.postgres import running


@dataclass(frozen=True)
class Rig:
    """Pools and ids."""

    admin: str
    worker: Database
    web: Database
    workspace_id: uuid.UUID
    source_id: uuid.UUID


@contextmanager
def rig(source: str) -> Iterator[Rig]:
    """A migrated, empty installation in a temporary folder; gone afterwards."""
    os.environ.setdefault("GDP_ENCRYPTION_KEYS", "bench:" + base64.b64encode(secrets.token_bytes(32)).decode())
    with tempfile.TemporaryDirectory(prefix="gdp-bench-") as folder:
        Path(folder).chmod(0o755)  # Postgres may run as another user
        with running(Path(folder)) as urls:
            password = secrets.token_hex(16)
            prepare(urls.admin_url, login=("gdp_bench", password))
            dsn = urls.url("gdp_bench", password)
            pools = {name: Database(dsn, f"gdp_{name}") for name in ("worker", "web", "gate")}  # type: ignore[arg-type]
            workspace_id, source_id = uuid.uuid4(), uuid.uuid4()
            with pools["gate"].transaction(workspace_id) as session:
                insert_workspace(session, workspace_id, slug="bench", name="Bench", now=clock.now())
            with pools["web"].transaction(workspace_id) as session:
                run(
                    session,
                    "INSERT INTO source_instance (id, workspace_id, source, name, hook_key, config, has_invoices,"
                    " created_at) VALUES (:id, :ws, :source, :source, :hook, '{}', false, :now)",
                    id=source_id,
                    ws=workspace_id,
                    source=source,
                    hook=secrets.token_hex(8),
                    now=clock.now(),
                )
            yield Rig(urls.admin_url, pools["worker"], pools["web"], workspace_id, source_id)
            for pool in pools.values():
                pool.close()


def row(name: str, value: float, unit: str, peer: str, peer_value: float) -> dict[str, Any]:
    """A result beside its peer."""
    ratio = value / peer_value if peer_value else None
    return {"name": name, "value": value, "unit": unit, "peer": peer, "peer_value": peer_value, "ratio": ratio}
