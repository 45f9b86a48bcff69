"""`python -m benchmarks [NAME]`: runs every benchmark, or one, or a part of one (analytics:clickhouse), and writes
benchmarks/results.json.

A row is name, value, unit, peer, peer_value, ratio: what is measured here beside something else measured in the same
run on the same machine. The ratio is what to compare between machines and commits.
"""

import importlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.analytics import PEERS

FOLDER = Path(__file__).parent
NAMES = ("door", "worker", "importing", "reading", "analytics", "segments", "cycle", "qualify", "pages", "growth")
PARTS = {"analytics": tuple(PEERS), "segments": ("clickhouse", "duckdb", "postgres")}


def main(wanted: list[str]) -> int:
    """Run what is wanted. Returns the exit code."""
    there = [*NAMES, *(f"{name}:{part}" for name, parts in PARTS.items() for part in parts)]
    unknown = set(wanted) - set(there)
    if unknown:
        print(f"There is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(there)}.", file=sys.stderr)
        return 1
    results = FOLDER / "results.json"
    kept = json.loads(results.read_text())["rows"] if results.exists() and wanted else []
    rows: list[dict[str, Any]] = kept
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    for name in wanted or NAMES:
        print(f"{name} ...", file=sys.stderr)
        load = round(os.getloadavg()[0], 1)  # of others: before this began
        whole, _, part = name.partition(":")
        made = importlib.import_module(f"benchmarks.{whole}").run(*filter(None, [part]))
        found = [{"benchmark": whole, "commit": _commit(), "load": load, **row} for row in made]
        again = {(row["benchmark"], row["name"], row["peer"]) for row in found}
        rows = [row for row in rows if not _is_old(row, whole, part, again)] + found
        results.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    _show(rows)
    return 0


def _is_old(row: dict[str, Any], whole: str, part: str, again: set[tuple[str, str, str | None]]) -> bool:
    """Whether a kept row is replaced: all of a benchmark's, or of a part what was measured again."""
    return row["benchmark"] == whole and (not part or (whole, row["name"], row["peer"]) in again)


def _commit() -> str:
    git = ["git", "-C", str(FOLDER.parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()


def _show(rows: list[dict[str, Any]]) -> None:
    table = Table("Measured", "Value", "Unit", "Peer", "Peer's value", "Ratio")
    for row in rows:
        peer = f"{row['peer_value']:,.1f}" if row["peer_value"] is not None else ""
        ratio = f"{row['ratio']:.2f}" if row["ratio"] is not None else ""
        table.add_row(row["name"], f"{row['value']:,.1f}", row["unit"], row["peer"] or "", peer, ratio)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
