"""How the cost of a report grows with the number of events: 1, 5, 20 and 100 million, each in a process of its own.

Memory is what the process has mapped and touched at its peak, its files' pages among it.
"""

import resource
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks import crowd as crowds
from benchmarks.questions import ours

SIZES = (1_000_000, 5_000_000, 20_000_000, 100_000_000)
REPEATS = 5


def run() -> list[dict[str, Any]]:
    """Rows with name, value and unit; there is no peer."""
    found = []
    for events in SIZES:
        size = f"{events // 1_000_000} M events"
        print(f"  {size}", file=sys.stderr, flush=True)
        crowds.crowd(events)
        code = f"from benchmarks.growth import alone; alone({events})"
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        *times, peak = (line.rsplit(" ", 1) for line in said.splitlines())
        found += [_row(f"{name}, {size}", float(taken), "ms") for name, taken in times]
        found.append(_row(f"peak resident memory, {size}", float(peak[1]), "MiB"))
    return found


def _row(name: str, value: float, unit: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "peer": None, "peer_value": None, "ratio": None}


def alone(events: int) -> None:
    """Print the median of each question (ms), warm, and the peak of this process's memory (MiB)."""
    for name, answer in ours(crowds.crowd(events).timeline()).items():
        answer()
        taken = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            answer()
            taken.append((time.perf_counter() - began) * 1000)
        print(name, statistics.median(taken))
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
