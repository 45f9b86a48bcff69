"""The supervisor with real processes: what it starts stays up, and nothing is left when it goes, however it goes."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from jobs import ports
from tests.processes import eventually, gone, kill, names, tree

ROOT = Path(__file__).parent.parent

# The children write their pid and their end into the folder they are given.
PRELUDE = """
import os, signal, sys, time
from pathlib import Path
from jobs import kept, supervisor
from jobs.kept import Child
from jobs.postgres import EmbeddedPostgres
from jobs.supervisor import supervise
from gdp_core.errors import GrowthError

folder = Path(sys.argv[1])
data = folder / "data"
kept.FIRST_PAUSE = 0.05

POLITE = '''
import os, signal, sys, time
from pathlib import Path
folder, name = Path(sys.argv[1]), sys.argv[2]
def end(*_):
    with (folder / "order").open("a") as file:
        file.write(name + " ")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
(folder / "env").write_text(os.environ.get("DATABASE_URL", ""))
(folder / (name + ".new")).write_text(str(os.getpid()))
(folder / (name + ".new")).rename(folder / (name + ".pid"))
time.sleep(600)
'''

def polite(name, order=0, **more):
    return Child(name, [sys.executable, "-c", POLITE, str(folder), name], stop_order=order,
                 ready=(folder / (name + ".pid")).exists, **more)

def code(name, text, **more):
    return Child(name, [sys.executable, "-c", text, str(folder)], **more)

def go(*children, **more):
    try:
        supervise(children, data_dir=data, on_ready=lambda: print("READY", flush=True), **more)
    except GrowthError as error:
        print(type(error).__name__, error, flush=True)
        sys.exit(3)
"""


class Supervisor:
    """A supervisor in a process of its own, and the lines it says."""

    def __init__(self, folder: Path, text: str, *, through: str = "") -> None:
        self.folder = folder
        program = folder / f"program-{time.monotonic_ns()}.py"
        program.write_text(PRELUDE + textwrap.dedent(text))
        command = [sys.executable, str(program), str(folder)]
        if through:
            command = [sys.executable, "-c", through, *command]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # which tests under nohup would ignore
        )
        self.lines: list[str] = []

    def until(self, words: str) -> str:
        """The next line with these words."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line)
            if words in line:
                return line
        pytest.fail(f"never said {words!r}, but: {''.join(self.lines)}")

    def pid(self, name: str) -> int:
        return int((self.folder / f"{name}.pid").read_text())

    def tree(self) -> list[psutil.Process]:
        return tree(self.process.pid)

    def end(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit code."""
        self.process.send_signal(sign)
        self.lines += self.process.communicate()[0].splitlines(keepends=True)
        return self.process.returncode


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Supervisor]]:
    started: list[Supervisor] = []

    def start(text: str, **more: str) -> Supervisor:
        started.append(Supervisor(tmp_path, text, **more))
        return started[-1]

    yield start
    for supervisor in started:
        with suppress(psutil.NoSuchProcess):
            kill(reversed(supervisor.tree()))
        supervisor.process.wait()
        assert supervisor.process.stdout
        supervisor.process.stdout.close()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_children_stop_in_order_and_leave_nothing(
    start: Callable[..., Supervisor], tmp_path: Path, sign: signal.Signals
) -> None:
    supervisor = start('go(polite("analyst", 3), polite("worker", 2), polite("dashboard", 0), polite("door", 1))')
    supervisor.until("READY")
    before = supervisor.tree()
    assert len(before) == 5
    assert supervisor.end(sign) == 0
    assert (tmp_path / "order").read_text().split() == ["dashboard", "door", "worker", "analyst"]
    assert gone(before)


def test_a_child_that_ignores_sigterm_is_killed_after_its_grace(start: Callable[..., Supervisor]) -> None:
    supervisor = start(
        """
        stubborn = "import signal, time, pathlib, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        stubborn += "pathlib.Path(sys.argv[1], 'deaf').write_text(''); time.sleep(600)"
        go(code("stubborn", stubborn, grace=0.2, ready=(folder / "deaf").exists))
        """
    )
    supervisor.until("READY")
    before = supervisor.tree()
    assert supervisor.end() == 0
    assert gone(before)


def test_what_a_child_started_goes_with_it(start: Callable[..., Supervisor], tmp_path: Path) -> None:
    supervisor = start(
        """
        parent = "import subprocess, sys, time; p = subprocess.Popen(['sleep', '600']); "
        parent += "open(sys.argv[1] + '/grandchild.pid', 'w').write(str(p.pid)); time.sleep(600)"
        pid = folder / "grandchild.pid"
        go(code("parent", parent, ready=lambda: pid.exists() and pid.read_text()))
        """
    )
    supervisor.until("READY")
    grandchild = psutil.Process(supervisor.pid("grandchild"))
    supervisor.end()
    assert gone([grandchild])


def test_a_killed_child_is_started_again(start: Callable[..., Supervisor]) -> None:
    supervisor = start('go(polite("worker"), polite("door"))')
    supervisor.until("READY")
    first, door = supervisor.pid("worker"), supervisor.pid("door")
    os.kill(first, signal.SIGKILL)
    assert "killed by signal 9" in supervisor.until("worker was")
    eventually(lambda: supervisor.pid("worker") != first)
    assert supervisor.pid("door") == door
    assert supervisor.end() == 0


def test_a_child_that_keeps_dying_is_explained(start: Callable[..., Supervisor], tmp_path: Path) -> None:
    supervisor = start("""go(code("worker", "import sys; sys.exit('no such setting: X')"), polite("door"))""")
    line = supervisor.until("5 times in a row")
    assert "no such setting: X" in line
    assert str(tmp_path / "data" / "logs" / "worker.log") in line
    pauses = [float(said.split()[-2]) for said in supervisor.lines if "starting it again" in said]
    assert pauses == sorted(pauses)
    assert pauses[-1] > pauses[0]
    assert supervisor.end() == 0


def test_what_was_written_before_the_last_start_explains_nothing(
    start: Callable[..., Supervisor], tmp_path: Path
) -> None:
    (tmp_path / "data" / "logs").mkdir(parents=True)
    (tmp_path / "data" / "logs" / "worker.log").write_text("an old trouble\n")
    supervisor = start("""go(code("worker", "import os; os._exit(3)"), polite("door"))""")
    assert supervisor.until("5 times in a row").rstrip().endswith("worker.log says: nothing")
    assert supervisor.end() == 0


def test_a_program_that_is_not_there_is_said_not_raised(start: Callable[..., Supervisor]) -> None:
    supervisor = start('go(Child("worker", ["/nowhere/worker"]))')
    assert "No such file" in supervisor.until("worker cannot start")
    assert supervisor.end() == 0


def test_ready_means_the_port_answers(start: Callable[..., Supervisor]) -> None:
    port = ports.choose()
    supervisor = start(
        f"""
        listen = "import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(600)"
        go(code("door", listen, port={port}, setting="GDP_DOOR_PORT"))
        """
    )
    assert f"127.0.0.1:{port}" in supervisor.until("door is ready")
    supervisor.until("READY")
    with socket.create_connection(("127.0.0.1", port)):
        pass
    assert supervisor.end() == 0


def test_a_port_in_use_refuses_before_anything_starts(start: Callable[..., Supervisor], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taker:
        port = taker.getsockname()[1]
        supervisor = start(
            f"""
            go(polite("worker"), polite("door", port={port}, setting="GDP_DOOR_PORT"), postgres=EmbeddedPostgres(data))
            """
        )
        said = supervisor.process.communicate()[0]
    assert supervisor.process.returncode == 3
    assert said.startswith("InvalidInput ")
    assert said.count("\n") == 1
    assert str(port) in said
    assert "GDP_DOOR_PORT" in said
    assert not (tmp_path / "worker.pid").exists()
    assert not (tmp_path / "data" / "postgres").exists()


def test_a_second_supervisor_refuses_and_the_first_goes_on(start: Callable[..., Supervisor]) -> None:
    first = start('go(polite("worker"))')
    first.until("READY")
    pid = first.pid("worker")
    second = start('go(polite("worker"))')
    said = second.process.communicate()[0]
    assert second.process.returncode == 3
    assert said.startswith("InvalidInput ")
    assert "already runs" in said
    assert said.count("\n") == 1
    assert first.pid("worker") == pid
    assert first.end() == 0
    third = start('go(polite("worker"))')
    third.until("READY")
    assert third.end() == 0


def test_a_folder_that_cannot_be_used_is_one_sentence(start: Callable[..., Supervisor], tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    said = start('go(polite("worker"))').process.communicate()[0]
    assert said.startswith("Unavailable ")
    assert "GDP_DATA_DIR" in said
    assert said.count("\n") == 1


def test_steps_come_before_the_children_and_speak_on_the_terminal(start: Callable[..., Supervisor]) -> None:
    supervisor = start(
        """
        go(polite("worker"), before=[code("migrate", "import sys; print('migrated', flush=True)")])
        """
    )
    supervisor.until("migrated")
    assert not any("ready" in line for line in supervisor.lines)
    supervisor.until("READY")
    assert supervisor.end() == 0


def test_a_failing_step_ends_everything(start: Callable[..., Supervisor], tmp_path: Path) -> None:
    supervisor = start('go(polite("worker"), before=[code("migrate", "raise SystemExit(7)")])')
    said = supervisor.process.communicate()[0]
    assert supervisor.process.returncode == 3
    assert "Unavailable migrate ended with code 7" in said
    assert not (tmp_path / "worker.pid").exists()


def test_a_step_can_be_interrupted(start: Callable[..., Supervisor], tmp_path: Path) -> None:
    supervisor = start(
        """go(polite("worker"), before=[code("demo", "import time; print('filling', flush=True); time.sleep(600)")])"""
    )
    supervisor.until("filling")
    before = supervisor.tree()
    assert len(before) == 2
    assert supervisor.end(signal.SIGINT) == 0
    assert gone(before)
    assert not (tmp_path / "worker.pid").exists()


WITH_POSTGRES = 'go(polite("worker"), polite("door"), postgres=EmbeddedPostgres(data), die_with_parent={})'


def test_a_kill_9_of_the_supervisor_leaves_nothing(start: Callable[..., Supervisor]) -> None:
    supervisor = start(WITH_POSTGRES.format(False))
    supervisor.until("READY")
    before = supervisor.tree()
    assert {"postgres"} < names(before)
    assert len(before) > 6
    supervisor.process.kill()
    eventually(lambda: gone(before))


def test_a_kill_9_of_its_parent_ends_the_supervisor(start: Callable[..., Supervisor]) -> None:
    parent = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    supervisor = start(WITH_POSTGRES.format(True), through=parent)
    supervisor.until("READY")
    before = supervisor.tree()
    assert len(before) > 7
    supervisor.process.kill()
    # Nobody reads what it says any more, either.
    assert supervisor.process.stdout
    supervisor.process.stdout.close()
    eventually(lambda: gone(before))
    assert (supervisor.folder / "order").read_text().split(), "an orderly stop"


def test_postgres_is_started_again_on_the_same_address(start: Callable[..., Supervisor], tmp_path: Path) -> None:
    supervisor = start(WITH_POSTGRES.format(False))
    supervisor.until("READY")
    url = (tmp_path / "env").read_text()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    worker = supervisor.pid("worker")
    for _ in range(2):
        postmaster = int((tmp_path / "data" / "postgres" / "cluster" / "postmaster.pid").read_text().split()[0])
        os.kill(postmaster, signal.SIGKILL)
        supervisor.until("postgres ended")
        supervisor.until("postgres is ready")
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchall() == [(42,)]
    assert supervisor.pid("worker") == worker, "the children reconnect by themselves"
    before = supervisor.tree()
    assert supervisor.end() == 0
    assert gone(before)


def test_postgres_stops_last_and_in_order(start: Callable[..., Supervisor], tmp_path: Path) -> None:
    supervisor = start(WITH_POSTGRES.format(False))
    supervisor.until("READY")
    client = psycopg.connect((tmp_path / "env").read_text())
    assert client.execute("SELECT 1").fetchone(), "a transaction of a client stays open"
    assert supervisor.end() == 0
    client.close()
    assert [line for line in supervisor.lines if "stopping" in line][-1] == "stopping postgres\n"
    assert "database system is shut down" in (tmp_path / "data" / "logs" / "postgres.log").read_text()


def test_a_postgres_that_cannot_start_is_one_sentence(start: Callable[..., Supervisor], tmp_path: Path) -> None:
    (tmp_path / "data" / "postgres" / "cluster").mkdir(parents=True)
    (tmp_path / "data" / "postgres" / "cluster" / "PG_VERSION").write_text("14\n")
    supervisor = start(WITH_POSTGRES.format(False))
    said = supervisor.process.communicate()[0]
    assert supervisor.process.returncode == 3
    assert "PostgreSQL 14" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "worker.pid").exists()


def test_the_server_of_a_command_is_taken_over_when_it_ends(start: Callable[..., Supervisor], tmp_path: Path) -> None:
    command = start(
        """
        from jobs.postgres import running
        with running(data):
            print("up", flush=True)
            signal.signal(signal.SIGTERM, lambda *_: None)
            signal.pause()
        """
    )
    command.until("up")
    supervisor = start(WITH_POSTGRES.format(False))
    supervisor.until("READY")
    assert "postgres" not in names(supervisor.tree())
    assert command.end() == 0
    supervisor.until("postgres is ready")
    assert "postgres" in names(supervisor.tree())
    with psycopg.connect((tmp_path / "env").read_text()) as connection:
        assert connection.execute("SELECT 1").fetchone()
    assert supervisor.end() == 0


def test_it_is_light(start: Callable[..., Supervisor]) -> None:
    supervisor = start('go(polite("worker"))')
    supervisor.until("READY")
    assert psutil.Process(supervisor.process.pid).memory_info().rss < 40 * 2**20
    assert supervisor.end() == 0
    heavy = "streamlit pandas sqlalchemy fastapi pydantic psycopg rich"
    listing = "import sys, jobs.supervisor; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", listing], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(heavy.split()) & set(loaded.stdout.split())
