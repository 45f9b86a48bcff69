"""The pools of this process, one for each role, opened when first asked for."""

from functools import cache

from gdp_core.db import Database, Role
from gdp_core.errors import Unavailable
from gdp_core.settings import settings

_SIZES: dict[Role, int] = {"gdp_web": 6, "gdp_worker": 3, "gdp_gate": 3, "gdp_ingest": 2}


def runtime_dsn() -> str:
    """The address every runtime process connects to. Raises Unavailable when nobody has started a database."""
    given = settings().database_url
    if given is None:
        raise Unavailable("There is no database yet: start everything with `make run`, or set DATABASE_URL.")
    return given.get_secret_value()


@cache
def database(role: Role) -> Database:
    """This process's pool for a role."""
    return Database(runtime_dsn(), role, size=_SIZES[role])
