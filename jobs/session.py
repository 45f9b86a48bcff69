"""A database for a command: the one at DATABASE_URL, else the embedded one, running already or for the duration."""

from collections.abc import Iterator
from contextlib import contextmanager

from gdp_core.schema import prepare
from gdp_core.settings import settings, use_database
from jobs.login import login_of, runtime_url
from jobs.postgres import running


@contextmanager
def connected(*, migrate: bool = False) -> Iterator[None]:
    """Inside, `gdp_core.runtime.database(role)` works.

    `migrate`: bring the schema up to date first (always done for an embedded server that this command started).
    """
    given = settings().database_url
    if given is not None:
        if migrate:
            prepare(given.get_secret_value())
        yield
        return
    with running(settings().data_dir) as urls:
        prepare(urls.admin_url, login=login_of(urls))
        use_database(runtime_url(urls))
        yield
