"""The embedded Postgres: whatever was killed, left lying about or taken away, the next start works or says why not."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from gdp_core.errors import GrowthError, Unavailable
from jobs import child, cluster
from jobs.child import Account
from jobs.postgres import EmbeddedPostgres, ServerUrls, running
from tests.processes import eventually, gone, kill, tree, users

ROOT = Path(__file__).parent.parent
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another user")


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """The server of a folder that is not there yet."""
    server = EmbeddedPostgres(tmp_path / "data")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("made"))
    ask(server.start(), "CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()
    (server.home / "port").unlink()
    return server.data_dir


@pytest.fixture
def server(made: Path, fresh: EmbeddedPostgres) -> EmbeddedPostgres:
    """A server that was started before, has the table kept, and is stopped."""
    subprocess.run(["cp", "-a", made, fresh.data_dir], check=True)
    return fresh


def ask(urls: ServerUrls, sql: str) -> list[tuple]:
    with psycopg.connect(urls.admin_url, autocommit=True) as connection:
        cursor = connection.execute(sql)
        return cursor.fetchall() if cursor.description else []


SCRIPTS: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def finished() -> Iterator[None]:
    """What a test that failed has left running ends with it, and makes no other fail."""
    yield
    while SCRIPTS:
        finish(SCRIPTS.pop())


def script(text: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process of ours that can be talked to by lines."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    SCRIPTS.append(process)
    return process


def finish(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


STARTER = """
    import sys, time
    from pathlib import Path
    from jobs.postgres import EmbeddedPostgres
    server = EmbeddedPostgres(Path(sys.argv[1]))
    server.start()
    print(server.process.pid, flush=True)
    time.sleep(600)
"""

COMMAND = """
    import sys
    from pathlib import Path
    from jobs.postgres import running
    with running(Path(sys.argv[1]), say=lambda line: print(line, flush=True)) as urls:
        print(urls.admin_url, flush=True)
        sys.stdin.readline()
"""


def test_a_fresh_folder_gives_a_careful_server(fresh: EmbeddedPostgres) -> None:
    urls = fresh.start()
    rows = dict(ask(urls, "SELECT name, setting FROM pg_settings"))
    assert rows["fsync"] == rows["full_page_writes"] == rows["synchronous_commit"] == "on"
    assert rows["data_checksums"] == "on"
    assert (rows["listen_addresses"], rows["unix_socket_directories"]) == ("127.0.0.1", "")
    assert rows["server_version"].startswith("18.")
    assert rows["TimeZone"] == "UTC"
    assert ask(
        urls, "SELECT current_database(), pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'gdp'"
    ) == [("gdp", "UTF8")]
    assert ask(urls, "SELECT lower('ÄÖ')") == [("äö",)]


def test_nobody_enters_without_the_password(server: EmbeddedPostgres) -> None:
    urls = server.start()
    assert (server.home / "password").stat().st_mode & 0o777 == 0o600
    assert server.cluster.stat().st_mode & 0o777 == 0o700
    assert urls.password not in repr(urls)
    for url in (urls.url("postgres", "wrong"), f"postgresql://postgres@127.0.0.1:{urls.port}/gdp"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(url)


def test_a_second_start_keeps_data_port_and_password(server: EmbeddedPostgres) -> None:
    first = server.start()
    server.stop()
    assert server.urls() is None
    again = server.start()
    assert again == first
    assert ask(again, "SELECT answer FROM kept") == [(42,)]
    assert server.start() == again, "starting a started server changes nothing"


def test_no_user_data_reaches_the_log(server: EmbeddedPostgres) -> None:
    urls = server.start()
    ask(urls, "CREATE TABLE person (email text PRIMARY KEY, age int)")
    with psycopg.connect(urls.admin_url, autocommit=True) as connection:
        for _ in range(2):
            with suppress(psycopg.errors.UniqueViolation):
                connection.execute("INSERT INTO person VALUES (%s)", ["ann@secret.example"])
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            connection.execute("SELECT 'ann@secret.example'::int")
        with pytest.raises(psycopg.errors.SyntaxError):
            connection.execute("SELECT ann@secret.example FROM FROM")
    server.stop()
    log = server.log.read_text()
    assert "ready to accept connections" in log
    assert "secret.example" not in log
    assert server.log.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("victims", ["postmaster", "everything"])
def test_a_kill_9_loses_nothing_committed(server: EmbeddedPostgres, victims: str) -> None:
    urls = server.start()
    busy = psycopg.connect(urls.admin_url)
    # A statement that does not notice the death of the postmaster by itself for a while.
    loop = "DO $$ BEGIN FOR i IN 1..2000000000 LOOP END LOOP; END $$"
    talker = script(
        "import sys, psycopg\nwith psycopg.connect(sys.argv[1]) as c:\n print('on', flush=True); c.execute(sys.argv[2])",
        urls.admin_url,
        loop,
    )
    assert talker.stdout
    assert talker.stdout.readline() == "on\n"
    assert server.process
    before = tree(server.process.pid)
    kill(before if victims == "everything" else before[:1])
    eventually(lambda: server.ended)
    again = server.start()
    assert ask(again, "SELECT answer FROM kept") == [(42,)]
    assert gone(before)
    busy.close()
    finish(talker)


def test_a_kill_9_of_the_starter_ends_the_server(tmp_path: Path, server: EmbeddedPostgres) -> None:
    starter = script(STARTER, server.data_dir)
    assert starter.stdout
    before = tree(int(starter.stdout.readline()))
    assert len(before) > 3
    finish(starter)
    urls = server.start()  # at once, while the old one may still be shutting down
    assert gone(before)
    assert ask(urls, "SELECT 1") == [(1,)]


def test_the_server_of_a_killed_starter_goes_by_itself(server: EmbeddedPostgres) -> None:
    starter = script(STARTER, server.data_dir)
    assert starter.stdout
    before = tree(int(starter.stdout.readline()))
    finish(starter)
    eventually(lambda: gone(before))


def test_a_server_that_outlived_its_starter_is_ended_first(server: EmbeddedPostgres) -> None:
    port = server.start().port
    server.stop()
    account = cluster.prepare(server.cluster)
    command = [cluster.program("postgres"), "-D", server.cluster, "-p", str(port), "-c", "unix_socket_directories="]
    orphan = child.spawn(command, on_parent_death=signal.SIGCONT, account=account, output=server.home / "orphan.log")
    pid_file = server.cluster / "postmaster.pid"
    eventually(lambda: pid_file.exists() and "ready" in pid_file.read_text())
    urls = server.start()
    assert child.ended(orphan)
    assert child.sweep(orphan) == 0, "an orderly shutdown"
    assert ask(urls, "SELECT 1") == [(1,)]


def test_a_stale_pid_file_of_a_live_stranger_is_no_obstacle(server: EmbeddedPostgres) -> None:
    account = cluster.prepare(server.cluster)
    stranger = child.spawn(["/bin/sleep", "600"], on_parent_death=signal.SIGKILL, account=account)
    lines = [stranger.pid, server.cluster, 1700000000, 5432, "", "127.0.0.1", "1 1", "ready"]
    (server.cluster / "postmaster.pid").write_text("".join(f"{line}\n" for line in lines))
    assert server.urls() is None
    urls = server.start()
    assert ask(urls, "SELECT 1") == [(1,)]
    assert not child.ended(stranger), "a stranger's process is left alone"
    child.sweep(stranger)


def test_a_folder_left_half_made_is_made_again(fresh: EmbeddedPostgres) -> None:
    for _ in range(3):
        starter = script(STARTER, fresh.data_dir)
        eventually(lambda: list(fresh.home.glob("making-*/cluster/global/*")))
        finish(starter)
        assert not fresh.cluster.exists()
    assert ask(fresh.start(), "SELECT 1") == [(1,)]


@pytest.fixture
def initdb(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Puts a script in the place of initdb; `$real` is the right one, and each call leaves a file in the folder."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)  # the server's account is another when we are root
    real = cluster.program

    def fake(body: str) -> Path:
        program = folder / "initdb"
        program.write_text(f"#!/bin/sh\nreal={real('initdb')}\nmktemp {folder}/call-XXXXXX >/dev/null\n{body}\n")
        program.chmod(0o755)
        monkeypatch.setattr(cluster, "program", lambda name: program if name == "initdb" else real(name))
        return folder

    yield fake
    shutil.rmtree(folder)


_PANICS = """
mkdir -p "$2" && touch "$2/PG_VERSION"
echo '2026-01-01 00:00:00.000 UTC [7] PANIC:  could not fsync file "pg_wal/x": Cannot allocate memory' >&2
echo 'child process was terminated by signal 6: Aborted' >&2
exit 1
"""


def test_an_initdb_that_was_killed_is_tried_once_more(fresh: EmbeddedPostgres, initdb: Callable[[str], Path]) -> None:
    folder = initdb(
        f'if [ $(ls -d {{0}}/call-* | wc -l) = 1 ]; then {_PANICS}fi; exec "$real" "$@"'.replace("{0}", "$(dirname $0)")
    )
    assert ask(fresh.start(), "SELECT 1") == [(1,)]
    assert len(list(folder.glob("call-*"))) == 2


@pytest.mark.parametrize(
    ("dies", "reason", "calls"),
    [
        (_PANICS, 'PANIC:  could not fsync file "pg_wal/x": Cannot allocate memory', 2),
        ("kill -9 $$", "initdb was killed by signal 9", 2),
        ("echo 'initdb: error: no locale for you' >&2; exit 1", "initdb: error: no locale for you", 1),
        ("exit 3", "initdb ended with code 3", 1),
    ],
)
def test_an_initdb_that_fails_says_why(
    fresh: EmbeddedPostgres, initdb: Callable[[str], Path], dies: str, reason: str, calls: int
) -> None:
    folder = initdb(dies)
    with pytest.raises(Unavailable) as caught:
        fresh.start()
    assert reason in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert len(list(folder.glob("call-*"))) == calls
    assert not fresh.cluster.exists()


@pytest.mark.parametrize("data", ["fresh", "made"])
def test_starters_at_the_same_moment_share_one_server(tmp_path: Path, data: str, made: Path) -> None:
    if data == "made":
        subprocess.run(["cp", "-a", made, tmp_path / "data"], check=True)
    commands = [script(COMMAND, tmp_path / "data") for _ in range(4)]
    urls = {command.stdout.readline() for command in commands if command.stdout}
    assert len(urls) == 1
    assert urls.pop().startswith("postgresql://postgres:")
    for command in commands:
        assert command.stdin
        command.stdin.write("\n")
        command.stdin.flush()
    for command in commands:
        command.communicate()
        assert command.returncode == 0
    assert EmbeddedPostgres(tmp_path / "data").urls() is None


def test_a_command_finds_the_running_server_and_leaves_it(server: EmbeddedPostgres) -> None:
    urls = server.start()
    with running(server.data_dir) as found:
        assert found == urls
    assert server.urls() == urls


def test_a_command_alone_leaves_nothing_running(server: EmbeddedPostgres) -> None:
    for _ in range(2):
        with running(server.data_dir) as urls:
            ask(urls, "INSERT INTO kept VALUES (1)")
            count = ask(urls, "SELECT count(*) FROM kept")
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(urls.admin_url)
    assert count == [(3,)]


def test_a_command_failing_inside_leaves_nothing_running(server: EmbeddedPostgres) -> None:
    with pytest.raises(ZeroDivisionError), running(server.data_dir):
        raise ZeroDivisionError
    assert server.urls() is None


def test_the_command_that_brought_the_server_waits_for_its_guests(server: EmbeddedPostgres) -> None:
    host = script(COMMAND, server.data_dir)
    assert host.stdout
    assert host.stdin
    host.stdout.readline()
    with running(server.data_dir) as urls:
        host.stdin.write("\n")
        host.stdin.flush()
        assert "Waiting for another command" in host.stdout.readline()
        assert ask(urls, "SELECT 1") == [(1,)]
    host.communicate()
    assert host.returncode == 0
    assert server.urls() is None


def test_a_taken_port_is_left_to_its_taker(server: EmbeddedPostgres) -> None:
    first = server.start()
    server.stop()
    with socket.socket() as taker:
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taker.bind(("127.0.0.1", first.port))
        taker.listen()
        second = server.start()
        assert second.port != first.port
        assert ask(second, "SELECT 1") == [(1,)]
        server.stop()
    assert server.start().port == second.port


def test_a_lost_password_is_replaced(server: EmbeddedPostgres) -> None:
    first = server.start()
    server.stop()
    (server.home / "password").unlink()
    second = server.start()
    assert second.password != first.password
    assert ask(second, "SELECT answer FROM kept") == [(42,)]


def sentence(error: pytest.ExceptionInfo[GrowthError]) -> str:
    text = str(error.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


def test_a_cluster_of_another_version_is_not_touched(fresh: EmbeddedPostgres) -> None:
    fresh.cluster.mkdir(parents=True)
    (fresh.cluster / "PG_VERSION").write_text("17\n")
    with pytest.raises(Unavailable) as error:
        fresh.start()
    assert "PostgreSQL 17" in sentence(error)
    assert "18" in sentence(error)
    assert [path.name for path in fresh.cluster.iterdir()] == ["PG_VERSION"]


def test_a_folder_that_is_no_cluster_is_not_touched(fresh: EmbeddedPostgres) -> None:
    fresh.cluster.mkdir(parents=True)
    (fresh.cluster / "diary.txt").write_text("mine")
    with pytest.raises(Unavailable) as error:
        fresh.start()
    assert "not a Postgres cluster" in sentence(error)
    assert [path.name for path in fresh.cluster.iterdir()] == ["diary.txt"]


def test_a_broken_cluster_says_why_and_where_to_look(server: EmbeddedPostgres) -> None:
    (server.cluster / "global" / "pg_control").unlink()
    with pytest.raises(Unavailable) as error:
        server.start()
    assert "postgres.log" in sentence(error)
    assert "could not start" in sentence(error)


@pytest.mark.parametrize("use", [lambda data: EmbeddedPostgres(data).start(), lambda data: running(data).__enter__()])
def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path, use: Callable[[Path], object]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable) as error:
        use(tmp_path / "file" / "data")
    assert "GDP_DATA_DIR" in sentence(error)


@pytest.mark.parametrize("size", ["64k", "8m", "44m"])
def test_a_full_disk_is_one_sentence_and_leaves_a_good_next_start(tmp_path: Path, size: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    text = """
        import sys
        from pathlib import Path
        from gdp_core.errors import GrowthError
        from jobs.postgres import EmbeddedPostgres
        server = EmbeddedPostgres(Path(sys.argv[1]))
        try:
            Path(sys.argv[1], "ballast").write_bytes(b"x" * 8192)
            server.start()
        except GrowthError as error:
            print(type(error).__name__, error)
        else:
            server.stop()
            print("started")
    """
    mount = f'mount -t tmpfs -o size={size} none "$1" || exit 77; shift; exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", mount, "sh", data, sys.executable, "-c", textwrap.dedent(text), data]
    if not shutil.which("unshare"):
        pytest.skip("needs unshare")
    done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode in (1, 77):
        pytest.skip(f"may not mount a small disk: {done.stderr.strip()}")
    assert done.stdout.startswith("Unavailable "), done
    assert "o space left" in done.stdout
    assert done.stdout.count("\n") == 1
    assert "GDP_DATA_DIR" in done.stdout


@as_root
def test_root_works_below_a_closed_folder_without_opening_it(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    data = closed / "project" / "data"
    data.parent.mkdir(mode=0o755)
    server = EmbeddedPostgres(data)
    request.addfinalizer(server.stop)
    for _ in range(2):
        urls = server.start()
        assert server.process
        assert users(tree(server.process.pid)) == {server.cluster.stat().st_uid}
        assert server.cluster.stat().st_uid != 0
        assert ask(urls, "SELECT to_tsvector('english', 'funnels') @@ to_tsquery('english', 'funnel')") == [(True,)]
        server.stop()
    assert closed.stat().st_mode & 0o777 == 0o700
    assert closed.stat().st_uid == 0


@as_root
def test_a_kill_9_of_a_root_starter_below_a_closed_folder_ends_the_server(server: EmbeddedPostgres) -> None:
    server.data_dir.chmod(0o700)
    starter = script(STARTER, server.data_dir)
    assert starter.stdout
    before = tree(int(starter.stdout.readline()))
    finish(starter)
    eventually(lambda: gone(before))


def capabilities(server: EmbeddedPostgres) -> int:
    server.start()
    assert server.process
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    server.stop()
    return int(status.split("CapEff:")[1].split()[0], 16)


@as_root
def test_below_a_closed_folder_the_server_keeps_one_power(server: EmbeddedPostgres) -> None:
    server.data_dir.chmod(0o700)
    assert capabilities(server) in (1 << 2, 1 << 1), "CAP_DAC_READ_SEARCH, or CAP_DAC_OVERRIDE if root has but that"


@as_root
def test_in_an_open_folder_the_server_keeps_no_power(made: Path) -> None:
    if not cluster._passable(cluster.program("postgres").parent, 65534, 65534):
        pytest.skip("the binaries lie in a closed folder")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        subprocess.run(["cp", "-a", made, f"{name}/data"], check=True)
        Path(name, "data").chmod(0o711)
        assert capabilities(EmbeddedPostgres(Path(name, "data"))) == 0


@as_root
def test_binaries_installed_for_root_alone_are_usable(
    tmp_path: Path, fresh: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    installed = cluster.program("postgres").parent.parent
    install = closed / installed.parent.name / installed.name
    shutil.copytree(installed, install)
    libraries = f"{installed.parent.name}.libs"
    shutil.copytree(installed.parent.with_name(libraries), closed / libraries)
    for path in closed.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)
    monkeypatch.setattr(cluster, "program", lambda name: install / "bin" / name)
    assert ask(fresh.start(), "SELECT 1") == [(1,)]
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
@pytest.mark.parametrize("owner", ["nobody", "root"])
def test_a_cluster_that_changed_hands_still_starts(server: EmbeddedPostgres, owner: str) -> None:
    for path in (server.cluster, *server.cluster.rglob("*")):
        shutil.chown(path, owner)
    server.cluster.chmod(0o755)
    assert ask(server.start(), "SELECT answer FROM kept") == [(42,)]
    assert server.process
    user = psutil.Process(server.process.pid).username()
    assert user == owner if owner == "nobody" else user != "root"


@as_root
def test_a_normal_user_needs_no_change_of_user(tmp_path: Path) -> None:
    if not child.held_capabilities() & 1 << 2:
        pytest.skip("the interpreter may be out of reach of another user here")
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    shutil.chown(home, 65534, 65534)
    text = """
        import os, sys
        from pathlib import Path
        from jobs.postgres import EmbeddedPostgres
        server = EmbeddedPostgres(Path(sys.argv[1]))
        urls = server.start()
        print(os.getuid(), Path(f"/proc/{server.process.pid}").stat().st_uid, flush=True)
        server.stop()
    """
    command = [sys.executable, "-c", textwrap.dedent(text), home / "data"]
    # The interpreter itself may lie in a closed folder, so the user may pass; that is all it may.
    user = child.spawn(
        command,
        on_parent_death=signal.SIGKILL,
        account=Account(65534, 65534, 2),
        output=subprocess.PIPE,
        cwd=ROOT,
    )
    output = user.communicate()[0].decode()
    assert output == "65534 65534\n"


def test_a_log_is_moved_aside_when_it_is_long(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    writer = child.spawn(
        ["/bin/sh", "-c", "echo one; read line; echo two"],
        on_parent_death=signal.SIGKILL,
        output=log,
        stdin=subprocess.PIPE,
    )
    eventually(lambda: log.exists() and log.stat().st_size)
    child.trim(log, limit=100)
    assert log.read_text() == "one\n"
    child.trim(log, limit=3)
    writer.communicate(b"\n")
    assert (log.read_text(), log.with_name("x.log.1").read_text()) == ("two\n", "one\n")
