"""`python -m jobs` runs everything; with a command it administers, whether or not anything runs."""

import sys

from gdp_core.errors import GrowthError


def main() -> int:
    """Run what the arguments say. Returns the exit code."""
    arguments = sys.argv[1:]
    if not arguments or arguments[0].startswith("-"):
        from jobs.up import main as up

        return up(arguments)
    try:
        if arguments[0] == "worker":
            from jobs.worker import main as worker

            return worker(*arguments[1:2])
        if arguments[0] == "analyst":
            from jobs.timetable import main as analyst

            return analyst()
    except GrowthError as error:
        print(error, file=sys.stderr)
        return 1
    from jobs.commands import main as command
    from jobs.logs import log_json

    log_json("warning")  # on standard error: standard output is for results
    return command(arguments)


if __name__ == "__main__":
    sys.exit(main())
