"""`python -m jobs`: everything that runs, under one supervisor. Imports little, because it stays in memory."""

import argparse
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from gdp_core.errors import GrowthError
from gdp_core.settings import Settings, settings
from jobs.child import spawn
from jobs.kept import Child
from jobs.login import runtime_url
from jobs.postgres import EmbeddedPostgres, ServerUrls
from jobs.supervisor import supervise

_ROOT = Path(__file__).parent.parent
_HELP = "Run the product: door, workers and analyst, with a Postgres of its own when DATABASE_URL is not set."
_COMMANDS = """commands, which work whether or not the product runs (python -m jobs COMMAND --help):
  workspace    make and list workspaces
  user         accounts: create, sign-in link, password, disable
  source       connect a source, set its signing secret
  key          tracking keys: create, rotate, revoke
  import       a file of events or people
  backfill     what Stripe holds
  inbox        replay deliveries, check the books
  report       funnels, trends, retention and the rest, as a table or JSON
  segment      whom a rule means, why, and how it would have gone; evaluate what is kept
  features     what is told of each person: bring up to date, define; train the early warning
  lake         the columnar copy that reports read: bring up, check, rebuild
  roles        what each role may do
  audit        check the audit log
  encryption   the keys that secrets are sealed with
  prepare      bring the database up to date
  demo         fill the demo workspaces

settings come from the environment or .env: GDP_DATA_DIR, DATABASE_URL, GDP_DOOR_PORT ... (docs/settings.md)"""


def children(chosen: Settings, *, dashboard: bool) -> list[Child]:
    """The processes to keep running, and in which order they stop."""
    python = sys.executable
    wanted = [
        Child("door", [python, "-m", "jobs.web"], port=chosen.door_port, setting="GDP_DOOR_PORT", stop_order=1),
        *(
            Child(f"worker-{number}", [python, "-m", "jobs", "worker", f"worker-{number}"], grace=4.0, stop_order=2)
            for number in range(1, chosen.workers + 1)
        ),
        Child("analyst", [python, "-m", "jobs", "analyst"], stop_order=3),
    ]
    if dashboard:
        argv = [python, "-m", "streamlit", "run", str(_ROOT / "app.py")]
        argv += ["--server.port", str(chosen.dashboard_port), "--server.address", "127.0.0.1"]
        wanted.append(Child("dashboard", argv, port=chosen.dashboard_port, setting="GDP_DASHBOARD_PORT", stop_order=0))
    return wanted


def main(arguments: list[str]) -> int:
    """Run until ctrl-C. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m jobs",
        usage="%(prog)s [--dashboard] [--demo] | COMMAND ...",
        description=_HELP,
        epilog=_COMMANDS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dashboard", action="store_true", help="the dashboard too")
    parser.add_argument("--demo", action="store_true", help="fill the demo workspaces at the first start")
    parser.add_argument("--with-parent", action="store_true", help="end when the process that started this one ends")
    chosen = parser.parse_args(arguments)
    try:
        return _run(settings(), dashboard=chosen.dashboard, demo=chosen.demo, with_parent=chosen.with_parent)
    except GrowthError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


def _run(config: Settings, *, dashboard: bool, demo: bool, with_parent: bool) -> int:
    postgres = EmbeddedPostgres(config.data_dir) if config.database_url is None else None
    found: dict[str, str] = {}

    def environment(urls: ServerUrls) -> Mapping[str, str]:
        found["DATABASE_URL"] = runtime_url(urls)
        return found

    def ready() -> None:
        print(f"\nThe door listens on {config.door_address}", flush=True)
        if dashboard:
            link = [sys.executable, "-m", "jobs", "user", "first-link"]
            spawn(link, on_parent_death=signal.SIGKILL, additions=found).wait()
        print("ctrl-C stops everything.", flush=True)

    prepare = [sys.executable, "-m", "jobs", "prepare", *(["--demo"] if demo else [])]
    if postgres is not None:
        prepare.append("--embedded")
    supervise(
        children(config, dashboard=dashboard),
        data_dir=config.data_dir,
        postgres=postgres,
        environment=environment,
        before=[Child("prepare", prepare)],
        on_ready=ready,
        die_with_parent=with_parent,
    )
    return 0
