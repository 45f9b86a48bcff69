"""`python -m jobs` as a process of its own, without the seconds in which it imports: forked from one that has imported.

It reads one line of JSON per command on stdin: arguments, environment, the files that take what is said. It answers with
how the command ended: its exit code, or minus the signal that killed it.
"""

import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import orjson

ROOT = Path(__file__).parent.parent


class Forks:
    """The process that forks, started with the first command."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, arguments: tuple[str, ...], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """What `python -m jobs` with these ends with."""
        if self._process is None:
            command = [sys.executable, "-m", "tests.forks"]
            self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdin
        assert self._process.stdout
        with tempfile.TemporaryDirectory() as folder:
            files = [Path(folder) / name for name in ("out", "err")]
            task = [arguments, environment, [str(file) for file in files]]
            self._process.stdin.write(orjson.dumps(task) + b"\n")
            self._process.stdin.flush()
            code = int(self._process.stdout.readline())
            return subprocess.CompletedProcess(arguments, code, *(file.read_text() for file in files))

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.communicate()


def main() -> None:
    """Fork for every line until stdin ends."""
    import jobs.calling
    import jobs.commands  # noqa: F401

    for line in sys.stdin.buffer:
        arguments, environment, files = orjson.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(become(arguments, environment, files))  # what was imported has threads that only the parent has
        _, status = os.waitpid(child, 0)
        os.write(1, b"%d\n" % os.waitstatus_to_exitcode(status))


def become(arguments: list[str], environment: dict[str, str], files: list[str]) -> int:
    """Be the command; its exit code."""
    from jobs.__main__ import main as jobs

    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    sys.argv = ["jobs", *arguments]
    try:
        return jobs()
    except BaseException:  # noqa: BLE001 - the process ends here, whatever it was
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    main()
