"""The embedded PostgreSQL: one server for `<data dir>/postgres`, a direct child of whoever starts it.

    postgres/cluster     the cluster, owned by the account the server runs as
    postgres/password    of the superuser `postgres`, 0600
    postgres/port        the port of the last start, kept while it is free
    postgres/lock        held for as long as the server runs, by the process that started it
    postgres/users       shared by commands that use a server another command started
    logs/postgres.log

Owns: starting, finding and stopping the server, whatever was killed before. Refuses unix sockets, any address but
127.0.0.1, and settings kept in the cluster: they are all in SETTINGS. A kill -9 of its starter shuts it down, by the
kernel's parent-death signal.
"""

import fcntl
import os
import signal
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from gdp_core.errors import Unavailable
from jobs import child, cluster, ports

START_PATIENCE = 120.0  # recovery after a crash replays at most max_wal_size
STOP_PATIENCE = 8.0

# For a small machine. No user data reaches the log: statements, parameters, details and plain errors stay out of it.
SETTINGS = {
    "listen_addresses": ports.HOST,
    "unix_socket_directories": "",
    "max_connections": "60",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "shared_buffers": "160MB",
    "effective_cache_size": "1GB",
    "maintenance_work_mem": "128MB",
    "random_page_cost": "1.1",
    "jit": "off",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "recovery_init_sync_method": "syncfs",  # one call instead of one per file: 0.2 s where that took 4
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "io_workers": "2",
    "logging_collector": "off",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_checkpoints": "off",
}

_LAUNCHES = 3


@dataclass(frozen=True)
class ServerUrls:
    """Where the server answers. `admin_url` is the superuser's, for migrations and the making of roles only."""

    port: int
    password: str = field(repr=False)
    host: str = ports.HOST
    database: str = cluster.DATABASE

    @property
    def admin_url(self) -> str:
        return self.url(cluster.SUPERUSER, self.password)

    def url(self, role: str, password: str) -> str:
        """The URL of another role; its password must need no quoting (secrets.token_urlsafe needs none)."""
        return f"postgresql://{role}:{password}@{self.host}:{self.port}/{self.database}"


class EmbeddedPostgres:
    """The server of one data folder, as seen by one process. `process` is None while somebody else runs it."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.resolve()
        self.home = self.data_dir / "postgres"
        self.cluster = self.home / "cluster"
        self.log = self.data_dir / "logs" / "postgres.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._lock: BinaryIO | None = None

    def start(self, patience: float = START_PATIENCE, waiting: Callable[[], None] = lambda: None) -> ServerUrls:
        """Return once the server answers: one started here, or the one another process runs on this folder.

        Must be called from a thread that outlives the server. `waiting` is called all the while, and may raise to give
        up. Raises Unavailable.
        """
        deadline = time.monotonic() + patience
        try:
            for _ in range(_LAUNCHES):  # again: the port may have been taken at the last moment
                if urls := self._wait(deadline, waiting):
                    return urls
            problem = f"could not start ({self.last_words()})"
            if time.monotonic() > deadline:
                problem = f"does not answer after {patience:.0f} s"
            raise Unavailable(f"The embedded Postgres {problem}; look into {self.log}.")
        except BaseException:
            self.stop()
            raise

    def _wait(self, deadline: float, waiting: Callable[[], None]) -> ServerUrls | None:
        """Launch, and wait until it answers, it ended or it is too late."""
        mine = self.launch()
        while not (urls := self.urls()):
            if (mine and self.ended) or time.monotonic() > deadline:
                return None
            waiting()
            time.sleep(0.02)
            mine = mine or self.launch()
        return urls

    def launch(self) -> bool:
        """Start the server unless it runs, without waiting for its answer; False when another process has it.

        Makes the cluster first (0.5 s), and ends what an earlier server left. Raises Unavailable.
        """
        if not self.ended:
            return True
        try:
            child.folder(self.home)
            self._lock = self._lock or child.try_lock(self.home / "lock")
            if not self._lock:
                return False
            if self.process:
                child.sweep(self.process)
                self.process = None
            _evict(self.home, self.cluster)
            account = cluster.prepare(self.cluster)
            child.folder(self.log.parent)
            child.trim(self.log)
            settings = {**SETTINGS, "port": str(self._port()), "cluster_name": _title(self.home)}
            options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
            self.process = child.spawn(
                [cluster.program("postgres"), "-D", self.cluster, *options],
                on_parent_death=signal.SIGINT,
                account=account,
                output=self.log,
                environment=cluster.ENVIRONMENT,
                cwd=Path("/"),
            )
        except OSError as error:
            self.stop()
            raise cluster.unusable(self.data_dir, error.strerror or str(error)) from None
        except BaseException:
            self.stop()
            raise
        return True

    def _port(self) -> int:
        """The port of the last start when it is free, else a free one, kept."""
        file = self.home / "port"
        try:
            last = int(file.read_text())
        except (OSError, ValueError):
            last = 0
        port = ports.choose(last)
        if port != last:
            cluster.keep(file, str(port))
        return port

    @property
    def ended(self) -> bool:
        """Whether the server started here has ended, or none was."""
        return self.process is None or child.ended(self.process)

    def urls(self) -> ServerUrls | None:
        """Where the server answers, or None while it does not. Raises Unavailable for another user's."""
        try:
            lines = (self.cluster / "postmaster.pid").read_text().splitlines()
            pid, port, status = int(lines[0]), int(lines[3]), lines[7].strip()
            password = cluster.password_file(self.cluster).read_text().strip()
        except PermissionError:
            owner = cluster.user_name(self.home.stat().st_uid)
            raise Unavailable(f"{self.home} belongs to another user; run this as {owner}.") from None
        except (OSError, IndexError, ValueError):
            return None  # not there yet, or being written
        mine = self.process.pid == pid if self.process else _is_postgres(pid, self.home)
        return ServerUrls(port, password) if status == "ready" and mine and ports.answers(port) else None

    def stop(self, patience: float = STOP_PATIENCE) -> None:
        """End the server started here, if any: an orderly shutdown, at once after `patience` seconds."""
        if self.process:
            for sign, seconds in ((signal.SIGINT, patience), (signal.SIGQUIT, 1.0)):
                if not child.ended(self.process):
                    self.process.send_signal(sign)
                    child.wait(self.process, seconds)
            child.sweep(self.process)
            self.process = None
        if self._lock:
            self._lock.close()
            self._lock = None

    def last_words(self) -> str:
        """Why it ended: the last failure in its log."""
        lines = child.last_lines(self.log)
        line = next((line for line in reversed(lines) if "FATAL:" in line or "PANIC:" in line), "".join(lines[-1:]))
        return line.split("FATAL:")[-1].split("PANIC:")[-1].strip() or "it said nothing"


@contextmanager
def running(data_dir: Path, say: Callable[[str], None] = lambda _: None) -> Iterator[ServerUrls]:
    """The server of `data_dir` for the duration: the one that runs already, else one of its own, stopped afterwards.

    A server of its own stays until the last command that found it there is done. Raises Unavailable.
    """
    server = EmbeddedPostgres(data_dir)
    try:
        child.folder(server.home)
        users = child.open_lock(server.home / "users")
    except OSError as error:
        raise cluster.unusable(server.data_dir, error.strerror or str(error)) from None
    with users:
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            urls = server.start()
            try:
                yield urls
            finally:
                if server.process:
                    _wait_for_others(users, say)
        finally:
            server.stop()


def _wait_for_others(users: BinaryIO, say: Callable[[str], None]) -> None:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("Waiting for another command that uses the database; ctrl-C stops it now.")
        fcntl.flock(users, fcntl.LOCK_EX)


def _evict(home: Path, where: Path) -> None:
    """End every postgres that still works in `home`. We hold the lock, so none of them has a keeper any more."""
    try:
        postmaster = int((where / "postmaster.pid").read_text().split("\n")[0])
    except (OSError, ValueError):
        postmaster = 0
    # An orderly shutdown is probably under way: the death of its keeper asked for it.
    for sign, patience in (
        (signal.SIGINT, STOP_PATIENCE),
        (signal.SIGQUIT, 1.0),
        (signal.SIGKILL, child.KILL_PATIENCE),
    ):
        left = _postgres_in(home)
        if sign is signal.SIGINT:
            left = [pid for pid in left if pid == postmaster]
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, sign)
        deadline = time.monotonic() + patience
        while any(_is_postgres(pid, home) for pid in left):
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
    if left := _postgres_in(home):
        raise Unavailable(f"Processes {', '.join(map(str, left))} of an earlier Postgres do not end; end them.")


def _title(home: Path) -> str:
    """The cluster_name of the server of this folder, which its processes have in their titles."""
    return f"gdp-{zlib.crc32(bytes(home)):08x}"


def _postgres_in(home: Path) -> list[int]:
    """The numbers of the live postgres processes whose working folder is in `home`."""
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in numbers if _is_postgres(pid, home)]


def _is_postgres(pid: int, home: Path) -> bool:
    process = Path("/proc", str(pid))
    try:
        name, _, rest = (process / "stat").read_text().rpartition(")")
        if not name.endswith("(postgres") or rest.split()[0] == "Z":
            return False
        try:
            return (process / "cwd").readlink().is_relative_to(home)
        except PermissionError:  # containers without CAP_SYS_PTRACE; titles are for everybody
            title = (process / "cmdline").read_text(errors="replace")
            return _title(home) in title or f"{home}/" in title
    except OSError:  # it ended meanwhile
        return False
