"""Runs the processes of the product: starts them, starts them again when they die, stops them in order.

Owns: one supervisor per data folder, the order of start and stop, the embedded Postgres of the product. Refuses to do
any work itself: it imports nothing heavy, and what must happen before the children (migrations) is a child too.

`kill -9` of the supervisor leaves nothing behind: the kernel kills its children and shuts its Postgres down.
"""

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from types import FrameType

from gdp_core.errors import GrowthError, InvalidInput, Unavailable
from jobs import child, ports
from jobs.cluster import unusable
from jobs.kept import Backoff, Child, Kept, ending
from jobs.postgres import EmbeddedPostgres, ServerUrls

STOP_BUDGET = 9.5  # seconds for everything: ctrl-C promises ten
POSTGRES_SHARE = 3.0  # of them at least
FIRST_PATIENCE = 3600.0  # a recovery is worth waiting for; ctrl-C ends it
TICK = 0.1
TRIM_EVERY = 60.0

_PRINT = partial(print, flush=True)


def admin_environment(urls: ServerUrls) -> Mapping[str, str]:
    """DATABASE_URL of the embedded server's superuser."""
    return {"DATABASE_URL": urls.admin_url}


def supervise(
    children: Sequence[Child],
    *,
    data_dir: Path,
    postgres: EmbeddedPostgres | None = None,
    environment: Callable[[ServerUrls], Mapping[str, str]] = admin_environment,
    before: Sequence[Child] = (),
    on_ready: Callable[[], None] = lambda: None,
    die_with_parent: bool = False,
    say: Callable[[str], None] = _PRINT,
) -> None:
    """Run `children` until ctrl-C, SIGTERM or SIGHUP; everything has ended within ten seconds of it.

    Order: Postgres, then each of `before` to its end with its output on the terminal, then the children, then
    `on_ready` once they all are. `environment` makes what every process gets on top of ours from the address of the
    embedded Postgres, again if that has moved. Runs in the main thread. Raises InvalidInput when a port is in use or
    another supervisor runs on `data_dir` (before anything is started), Unavailable when Postgres or one of `before`
    fails.
    """
    if die_with_parent:
        child.die_with_parent(signal.SIGTERM)
    with _only_one(data_dir.resolve(), children), _stop_signals() as stopping:
        supervision = _Supervision(children, data_dir.resolve() / "logs", postgres, environment, stopping, say)
        supervision.run(before, on_ready)


class _Stop(Exception):
    """Asked to stop."""


class _Supervision:
    def __init__(
        self,
        children: Sequence[Child],
        logs: Path,
        postgres: EmbeddedPostgres | None,
        environment: Callable[[ServerUrls], Mapping[str, str]],
        stopping: Callable[[], bool],
        say: Callable[[str], None],
    ) -> None:
        self._say = say
        self.logs = logs
        self.kept = [Kept(spec, logs, self.say) for spec in children]
        self.postgres = postgres
        self.environment = environment
        self.stopping = stopping
        self.urls: ServerUrls | None = None
        self.postgres_answers = False
        self.postgres_buried = False
        self.postgres_backoff = Backoff()
        self.postgres_backoff.started()
        self.trimmed = time.monotonic()

    def run(self, before: Sequence[Child], on_ready: Callable[[], None]) -> None:
        announced = False
        try:
            child.folder(self.logs)
            if self.postgres:
                self._moved_to(self.postgres.start(patience=FIRST_PATIENCE, waiting=self._waiting_for_postgres()))
            for spec in before:
                self._once(Kept(spec, self.logs, self.say))
            while True:
                self._tend_postgres()
                for kept in self.kept:
                    kept.tend(self._additions())
                if not announced and all(kept.ready for kept in self.kept):
                    announced = True
                    on_ready()
                self._trim()
                self._pause()
        except _Stop:
            pass
        finally:
            self._stop()

    def say(self, line: str) -> None:
        with suppress(OSError):  # the terminal may be gone while the product goes on
            self._say(line)

    def _pause(self) -> None:
        if self.stopping():
            raise _Stop
        time.sleep(TICK)

    def _waiting_for_postgres(self) -> Callable[[], None]:
        due = time.monotonic() + 5.0

        def waiting() -> None:
            nonlocal due
            if self.stopping():
                raise _Stop
            if time.monotonic() > due:
                due += 15.0
                self.say("postgres is still starting: after a crash it reads its journal first")

        return waiting

    def _once(self, step: Kept) -> None:
        """Run a child to its end, on the terminal."""
        step.start(self._additions(), output=None)
        try:
            while step.running:
                self._pause()
        finally:
            code = self._end([step], time.monotonic() + STOP_BUDGET - POSTGRES_SHARE)
        if code:
            raise Unavailable(f"{step.spec.name} {ending(code)}; correct what it says above and start again.")

    def _tend_postgres(self) -> None:
        if not self.postgres:
            return
        if self.postgres.process and self.postgres.ended and not self.postgres_buried:
            pause = self.postgres_backoff.died(healthy=self.postgres_answers)
            self.postgres_answers, self.postgres_buried = False, True
            self.say(f"postgres ended ({self.postgres.last_words()}); starting it again in {pause:.1f} s")
        if self.postgres.ended and self.postgres_backoff.over:
            # Also while another process runs it: it is ours as soon as that one lets go of it.
            try:
                if self.postgres.launch():
                    self.postgres_answers = self.postgres_buried = False
                    self.postgres_backoff.started()
            except GrowthError as error:
                self.say(f"{error} Trying again in {self.postgres_backoff.died(healthy=False):.1f} s.")
        if not self.postgres_answers and (urls := self.postgres.urls()):
            self._moved_to(urls)

    def _moved_to(self, urls: ServerUrls) -> None:
        self.postgres_answers = True
        self.say(f"postgres is ready on {urls.host}:{urls.port}")
        if self.urls and urls != self.urls:
            self._end(self.kept, time.monotonic() + STOP_BUDGET)
        self.urls = urls

    def _additions(self) -> Mapping[str, str]:
        return self.environment(self.urls) if self.urls else {}

    def _trim(self) -> None:
        if time.monotonic() - self.trimmed < TRIM_EVERY:
            return
        self.trimmed = time.monotonic()
        for log in (*(kept.log for kept in self.kept), *([self.postgres.log] if self.postgres else [])):
            try:
                child.trim(log)
            except OSError as error:
                self.say(f"{log} cannot be trimmed ({error.strerror})")

    def _stop(self) -> None:
        deadline = time.monotonic() + STOP_BUDGET
        in_order = sorted(self.kept, key=lambda kept: kept.spec.stop_order)
        for _, group in groupby(in_order, key=lambda kept: kept.spec.stop_order):
            self._end(list(group), deadline - POSTGRES_SHARE)
        if self.postgres:
            if self.postgres.process:
                self.say("stopping postgres")
            # SIGQUIT, should it come to that, takes up to a second more.
            self.postgres.stop(max(1.0, deadline - time.monotonic() - 1.0))

    def _end(self, group: Sequence[Kept], deadline: float) -> int | None:
        """Ask all of them to end, then kill each after its grace, and all at the deadline; the code of the last."""
        began = time.monotonic()
        code = None
        for kept in group:
            kept.ask_to_end()
        for kept in group:
            code = kept.end(min(began + kept.spec.grace, deadline) - time.monotonic())
        return code


@contextmanager
def _only_one(data_dir: Path, children: Sequence[Child]) -> Iterator[None]:
    try:
        child.folder(data_dir)
        lock = child.try_lock(data_dir / "supervisor.lock")
    except OSError as error:
        raise unusable(data_dir, error.strerror or str(error)) from None
    if not lock:
        raise InvalidInput(
            f"The jobs process already runs on {data_dir}; stop it first, or set GDP_DATA_DIR to another folder."
        )
    with lock:
        for spec in children:
            if spec.port and not ports.is_free(spec.port):
                raise InvalidInput(
                    f"Port {spec.port} for the {spec.name} is in use; stop what listens there, "
                    f"or set {spec.setting or 'another port'}{' to a free port' if spec.setting else ''}."
                )
        yield


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """A question that becomes true with ctrl-C, SIGTERM or SIGHUP (unless nohup ignores that)."""
    asked: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        asked.append(number)

    signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signals.append(signal.SIGHUP)
    old = [(number, signal.signal(number, note)) for number in signals]
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in old:
            signal.signal(number, handler)
