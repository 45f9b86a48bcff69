"""`python -m jobs` runs everything; with a command it administers, whether or not anything runs."""

import sys
from collections.abc import Sequence


def main() -> int:
    """Run what the arguments say. Returns the exit code."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0].startswith("-"):
        from jobs.up import main as up  # imports little, because it stays in memory

        return up(arguments)
    if arguments[0] in ("worker", "analyst"):
        return _work(arguments)
    from jobs.calling import ALONE, alone, call
    from jobs.logs import log_json

    log_json("warning")  # on standard error: standard output is for results
    if arguments[0] in ALONE:
        return call(alone(arguments[0]), arguments)
    from jobs.commands import main as command

    return command(arguments)


def _work(arguments: Sequence[str]) -> int:
    """Be one of the processes that work until they are told to stop."""
    from jobs.sentences import EXPECTED, sentence

    try:
        if arguments[0] == "worker":
            from jobs.worker import main as worker

            return worker(*arguments[1:2])
        from jobs.timetable import main as analyst

        return analyst()
    except EXPECTED as error:
        said = sentence(error)
        if said is None:
            raise
        print(said, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
