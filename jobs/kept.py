"""One process that is to be kept running: what it is, when it is ready, and how long to wait before the next try."""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jobs import child, ports

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
LONGEST_PAUSE_IF_HEALTHY = 2.0  # killed from outside, or it had answered
SETTLED = 60.0  # a process that lived this long had a good start
MANY = 5


@dataclass(frozen=True)
class Child:
    """A process to keep running.

    `port` and `setting`: where it will listen on 127.0.0.1 and the variable that says so; it is ready once that
    answers. `ready` replaces that question. `grace`: seconds between SIGTERM and SIGKILL. Children of the lowest
    `stop_order` are stopped first, equal ones together.
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int | None = None
    setting: str = ""
    ready: Callable[[], bool] | None = None
    grace: float = 3.0
    stop_order: int = 0


class Backoff:
    """When to start something again. `deaths` in a row, each after less than SETTLED seconds of life."""

    def __init__(self) -> None:
        self.deaths = 0
        self.due = 0.0
        self._started = 0.0

    def started(self) -> None:
        self._started = time.monotonic()

    def died(self, *, healthy: bool) -> float:
        """Note a death, of a `healthy` process or one that is probably broken; the seconds until the next start."""
        now = time.monotonic()
        self.deaths = 1 if now - self._started > SETTLED else self.deaths + 1
        longest = LONGEST_PAUSE_IF_HEALTHY if healthy else LONGEST_PAUSE
        pause = min(longest, FIRST_PAUSE * 2.0 ** min(self.deaths - 1, 10))
        self.due = now + pause
        return pause

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.due


class Kept:
    """A child with its process, its log and its readiness. `say` takes status lines."""

    def __init__(self, spec: Child, logs: Path, say: Callable[[str], None]) -> None:
        self.spec = spec
        self.log = logs / f"{spec.name}.log"
        self.say = say
        self.ready = False
        self._process: subprocess.Popen[bytes] | None = None
        self._backoff = Backoff()
        self._begins = 0  # where in the log its newest start is

    def tend(self, additions: Mapping[str, str]) -> None:
        """Start it when it does not run and its pause is over; say what changed."""
        if self._process and child.ended(self._process):
            code = child.sweep(self._process)
            self._process = None
            self._died(ending(code), killed=code == -signal.SIGKILL)
        if not self._process and self._backoff.over:
            child.trim(self.log)
            self._begins = child.size(self.log)
            try:
                self.start(additions, self.log)
            except OSError as error:
                self._died(f"cannot start ({error.strerror})")
        if self._process and not self.ready and self._answers():
            self.ready = True
            self.say(f"{self.spec.name} is ready" + (f" on {ports.HOST}:{self.spec.port}" if self.spec.port else ""))

    def start(self, additions: Mapping[str, str], output: Path | None) -> None:
        """Start it now, its streams in `output` or, for None, where ours are. Raises OSError and Unavailable."""
        self._backoff.started()
        self._process = child.spawn(
            self.spec.argv,
            on_parent_death=signal.SIGKILL,
            output=output,
            additions={**additions, **self.spec.environment},
        )

    @property
    def running(self) -> bool:
        return self._process is not None and not child.ended(self._process)

    def ask_to_end(self) -> None:
        """SIGTERM, if it runs."""
        if self._process and self.running:
            self.say(f"stopping {self.spec.name}")
            self._process.terminate()

    def end(self, patience: float) -> int | None:
        """Wait for its end at most `patience` seconds and its grace, then SIGKILL; its exit code."""
        if not self._process:
            return None
        child.wait(self._process, min(patience, self.spec.grace))
        code = child.sweep(self._process)
        self._process, self.ready = None, False
        return code

    @property
    def _can_answer(self) -> bool:
        return self.spec.ready is not None or self.spec.port is not None

    def _answers(self) -> bool:
        if self.spec.ready:
            return self.spec.ready()
        return self.spec.port is None or ports.answers(self.spec.port)

    def _died(self, how: str, *, killed: bool = False) -> None:
        pause = self._backoff.died(healthy=killed or (self.ready and self._can_answer))
        self.ready = False
        self.say(f"{self.spec.name} {how}; starting it again in {pause:.1f} s")
        if self._backoff.deaths >= MANY:
            last = "".join(child.last_lines(self.log, self._begins)[-1:]) or "nothing"
            self.say(f"{self.spec.name} has ended {self._backoff.deaths} times in a row; {self.log} says: {last}")


def ending(code: int | None) -> str:
    """How a process ended, in words."""
    return f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
