"""Processes that cannot outlive the one that started them, and the few file tricks around them.

Owns: the moment between fork and exec (session, user, parent-death signal), locks that vanish with their holder, and
log files. Refuses to know what the processes are for. Linux only.

The parent of a process is a *thread* to the kernel: start children from one that lives as long as they should.
"""

import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from gdp_core.errors import Unavailable

LOG_LIMIT = 10 * 1024 * 1024
KILL_PATIENCE = 5.0

_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


class Account(NamedTuple):
    """The user a process runs as. `capability`: the one power of root it keeps (its Linux number), or None."""

    uid: int
    gid: int
    capability: int | None = None


class _CapabilityHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _CapabilityWord(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]


def spawn(
    argv: Sequence[str | Path],
    *,
    on_parent_death: signal.Signals,
    account: Account | None = None,
    output: Path | int | None = None,
    additions: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own that receives `on_parent_death` when the calling thread ends.

    `output`: the file both its streams are appended to, subprocess.PIPE, or None for the caller's own. `environment`
    replaces the caller's, `additions` go on top. Raises OSError, and Unavailable when it cannot become `account`.
    """
    log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if isinstance(output, Path) else output
    try:
        return subprocess.Popen(  # noqa: S603 - the argv is the caller's own, and no shell reads it
            argv,
            stdin=stdin,
            stdout=log,
            stderr=subprocess.STDOUT if log is not None else None,
            env=environment,
            cwd=cwd,
            start_new_session=True,
            # Nothing else can set the parent-death signal after the change of user and before exec. Not safe where
            # another thread holds a lock at the fork: call it from a process with one thread.
            preexec_fn=_before_exec(os.getpid(), on_parent_death, account, dict(additions or {})),  # noqa: PLW1509
        )
    except subprocess.SubprocessError:
        raise Unavailable(
            f"Cannot start {Path(argv[0]).name} as user id {account.uid if account else os.getuid()}; "
            "run this as a normal user instead of root, or set DATABASE_URL."
        ) from None
    finally:
        if isinstance(output, Path) and log is not None:
            os.close(log)


def _before_exec(
    parent: int, death: signal.Signals, account: Account | None, additions: Mapping[str, str]
) -> Callable[[], None]:
    def prepare() -> None:
        if account:
            _become(account)
        # After the change of user, which clears it.
        _call(_libc.prctl, _PR_SET_PDEATHSIG, int(death))
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
        for name, value in additions.items():
            os.putenv(name, value)

    return prepare


def _become(account: Account) -> None:
    if account.capability is not None:
        # The change of user would drop every capability, and access(2), which initdb calls, would ignore the one kept.
        _call(_libc.prctl, _PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)
    os.setgroups([account.gid])
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)
    words = (_CapabilityWord * 2)()
    if account.capability is not None:
        bit = 1 << (account.capability % 32)
        words[account.capability // 32] = _CapabilityWord(bit, bit, bit)
    # Permitted and ambient must be the same set, or exec counts as privileged and clears the parent-death signal.
    _call(_libc.capset, ctypes.byref(_CapabilityHeader(_CAPABILITY_VERSION_3, 0)), words)
    if account.capability is not None:
        _call(_libc.prctl, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, account.capability, 0, 0)


def _call(function: Callable[..., int], *arguments: object) -> None:
    # prctl is variadic and reads unsigned longs; a plain Python int would be passed as a 32-bit one.
    words = [ctypes.c_ulong(item) if isinstance(item, int) else item for item in arguments]
    if function(*words) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def die_with_parent(death: signal.Signals) -> None:
    """Send ourselves `death` when the process that started this one ends, or if it has ended already."""
    _call(_libc.prctl, _PR_SET_PDEATHSIG, int(death))
    # Orphans go to process 1, which is of another session unless it really started us (in a container).
    if os.getppid() == 1 and os.getsid(1) != os.getsid(0):
        os.kill(os.getpid(), death)


def held_capabilities() -> int:
    """The bit mask of this process's effective Linux capabilities."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended. It is not reaped, so its number still means it and its group."""
    if process.returncode is not None:
        return True
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def wait(process: subprocess.Popen[bytes], patience: float) -> bool:
    """Give it `patience` seconds to end by itself; whether it did. Not reaped, like `ended`."""
    deadline = time.monotonic() + patience
    while not ended(process):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def sweep(process: subprocess.Popen[bytes]) -> int | None:
    """Kill it if it still runs, and whatever is left of its group; returns its exit code (-n: signal n)."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):  # stuck in the kernel: init will reap it
            process.wait(KILL_PATIENCE)
    return process.returncode


def try_lock(path: Path, *, shared: bool = False) -> BinaryIO | None:
    """Lock `path` until the returned file is closed or this process ends; None when another holds it."""
    file = open_lock(path)
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def open_lock(path: Path) -> BinaryIO:
    """`path` opened for locking, made if missing; only its owner can open it."""
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")


def folder(path: Path) -> None:
    """Make a folder, and those above it, that nobody else can list; the mode of one that exists stays."""
    if path.is_dir():
        return
    folder(path.parent)
    path.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, exist_ok=True)


def trim(log: Path, limit: int = LOG_LIMIT) -> None:
    """Move a log beyond `limit` bytes to <name>.1, also while its process goes on appending to it."""
    try:
        if log.stat().st_size <= limit:
            return
        shutil.copyfile(log, log.with_name(log.name + ".1"))
        os.truncate(log, 0)
    except FileNotFoundError:
        return


def size(log: Path) -> int:
    """How many bytes are in a log; 0 where there is none yet."""
    try:
        return log.stat().st_size
    except OSError:
        return 0


def last_lines(log: Path, since: int = 0) -> list[str]:
    """The last lines with something in them that a process wrote after so many bytes, each at most 300 characters."""
    written = size(log)
    try:
        with log.open("rb") as file:
            file.seek(max(since if since <= written else 0, written - 8192))  # it may have been trimmed
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return [line.strip()[:300] for line in lines if line.strip()]
