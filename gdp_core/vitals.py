"""How the installation is, over all workspaces: what waits, what was given up, whether the books balance, what room is left.

Numbers only, nobody's ids: they end up in metrics. Runs as gdp_worker.
"""

import shutil
from pathlib import Path

from gdp_core import inbox
from gdp_core.db import Database, one, rows

_OLDEST = "SELECT coalesce(extract(epoch FROM clock_timestamp() - min(oldest)), 0) AS seconds FROM pending_workspaces()"
# A replication slot whose reader is gone keeps the journal until the disk is full.
_HELD = "SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)), 0) AS bytes FROM pg_replication_slots"


def read(pool: Database, data_dir: Path) -> dict[str, float]:
    """`pending_oldest_seconds` since the oldest due delivery is due, `deliveries_dead` and not replayed,
    `books_difference` of both ledgers (0), `wal_held_bytes` by replication slots, `disk_used_ratio` (0 to 1) of the data
    folder's disk. Raises Unavailable.
    """
    with pool.transaction(None, read_only=True) as session:
        oldest = float(one(session, _OLDEST).seconds)
        held = float(one(session, _HELD).bytes)
        workspaces = [row.workspace_id for row in rows(session, "SELECT workspace_id FROM workspace_ids()")]
    dead = difference = 0
    for workspace_id in workspaces:
        with pool.transaction(workspace_id, read_only=True) as session:
            balances = inbox.balances(session)
        dead += sum(balance.dead for balance in balances if balance.ledger == "delivery")
        difference += sum(abs(balance.difference) for balance in balances)
    return {
        "pending_oldest_seconds": round(max(0.0, oldest), 3),
        "deliveries_dead": dead,
        "books_difference": difference,
        "wal_held_bytes": held,
        "disk_used_ratio": round(_used(data_dir), 3),
    }


def _used(folder: Path) -> float:
    disk = shutil.disk_usage(next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists()))
    return disk.used / ((disk.used + disk.free) or 1)  # what root keeps for itself is nobody's
