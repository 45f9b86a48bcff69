"""This process's lake, opened when first asked for."""

from functools import cache

from gdp_core.lake.connection import Bucket, Lake
from gdp_core.runtime import runtime_dsn
from gdp_core.settings import settings


@cache
def lake(*, read_only: bool = False) -> Lake:
    """The lake of the settings. Raises Unavailable, BadSetting."""
    folder = settings().data_dir / "tmp"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    chosen = settings()
    bucket = Bucket(chosen.lake_key_id, chosen.lake_secret.get_secret_value(), chosen.lake_region, chosen.lake_endpoint)
    return Lake(runtime_dsn(), chosen.lake_folder, read_only=read_only, spill=folder, bucket=bucket)


def reopen() -> None:
    """Open it anew when next asked for: Postgres was away."""
    lake.cache_clear()
