"""Every setting, read once from the environment (or `.env`). Nothing else in the project reads the environment.

A wrong value ends in one BadSetting sentence that names the variable; an empty one counts as not set. The names used by
the documents this product grew from (SUPABASE_DB_URL, APP_BASE_URL, ...) are accepted as aliases.
"""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gdp_core.addresses import Proxies
from gdp_core.errors import BadSetting, InvalidInput

Port = Annotated[int, Field(ge=1, le=65535)]


class Settings(BaseSettings):
    """The process's configuration. Field descriptions are the documentation (docs/settings.md is made from them)."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    data_dir: Path = Field(
        Path("data"),
        validation_alias=AliasChoices("GDP_DATA_DIR", "data_dir"),
        description="Folder of everything the product keeps on disk: the embedded Postgres, keys, logs.",
    )
    database_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("DATABASE_URL", "SUPABASE_DB_URL", "database_url"),
        description="postgresql://user:password@host/database of a Postgres 15 or later. Unset: an embedded Postgres.",
    )
    dashboard_port: Port = Field(
        8501,
        validation_alias=AliasChoices("GDP_DASHBOARD_PORT", "dashboard_port"),
        description="Port of the dashboard on 127.0.0.1.",
    )
    door_port: Port = Field(
        8600,
        validation_alias=AliasChoices("GDP_DOOR_PORT", "door_port"),
        description="Port of the door (webhooks and tracking APIs) on 127.0.0.1.",
    )
    lake_url: str = Field(
        "",
        validation_alias=AliasChoices("GDP_LAKE_URL", "lake_url"),
        description="Where the lake's Parquet files are: a folder, or s3://bucket/path. Empty: <data dir>/lake.",
    )
    lake_key_id: str = Field(
        "",
        validation_alias=AliasChoices("GDP_LAKE_KEY_ID", "AWS_ACCESS_KEY_ID", "lake_key_id"),
        description="Access key of the bucket in GDP_LAKE_URL.",
    )
    lake_secret: SecretStr = Field(
        SecretStr(""),
        validation_alias=AliasChoices("GDP_LAKE_SECRET", "AWS_SECRET_ACCESS_KEY", "lake_secret"),
        description="Secret of that access key.",
    )
    lake_region: str = Field(
        "us-east-1",
        validation_alias=AliasChoices("GDP_LAKE_REGION", "AWS_REGION", "lake_region"),
        description="Region of the bucket.",
    )
    lake_endpoint: str = Field(
        "",
        validation_alias=AliasChoices("GDP_LAKE_ENDPOINT", "AWS_ENDPOINT_URL", "lake_endpoint"),
        description="Where the bucket is served when not by AWS, like https://minio.example.com:9000. Empty: AWS.",
    )
    dask_scheduler: str = Field(
        "",
        validation_alias=AliasChoices("GDP_DASK_SCHEDULER", "dask_scheduler"),
        description="Address of a Dask scheduler, tcp://host:8786, whose workers run the kernels. Empty: threads here.",
    )
    workers: Annotated[int, Field(ge=1, le=32)] = Field(
        1,
        validation_alias=AliasChoices("GDP_WORKERS", "workers"),
        description="How many worker processes apply what the door stored.",
    )
    base_url: str | None = Field(
        None,
        validation_alias=AliasChoices("GDP_BASE_URL", "APP_BASE_URL", "base_url"),
        description="Public https address of the dashboard behind your proxy. Unset: http://127.0.0.1:<port>.",
    )
    door_url: str | None = Field(
        None,
        validation_alias=AliasChoices("GDP_DOOR_URL", "TRACKING_DOMAIN", "door_url"),
        description="Public https address of the door behind your proxy. Unset: http://127.0.0.1:<port>.",
    )
    trusted_proxies: str = Field(
        "",
        validation_alias=AliasChoices("GDP_TRUSTED_PROXIES", "trusted_proxies"),
        description="Comma-separated addresses or networks whose X-Forwarded-For is believed. Empty: nobody's.",
    )
    encryption_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("GDP_ENCRYPTION_KEYS", "DATA_ENCRYPTION_KEY", "encryption_key"),
        description="Comma-separated id:base64 keys of 32 bytes, newest first. Unset: made once in <data dir>/keys.",
    )
    oidc_issuer: str | None = Field(
        None,
        validation_alias=AliasChoices("GDP_OIDC_ISSUER", "oidc_issuer"),
        description="Issuer URL of an OpenID Connect provider. Set with client id and secret to sign in through it.",
    )
    oidc_client_id: str | None = Field(
        None,
        validation_alias=AliasChoices("GDP_OIDC_CLIENT_ID", "oidc_client_id"),
        description="Client id at the OpenID Connect provider.",
    )
    oidc_client_secret: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("GDP_OIDC_CLIENT_SECRET", "oidc_client_secret"),
        description="Client secret at the OpenID Connect provider.",
    )
    stripe_api_key: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("STRIPE_API_KEY", "stripe_api_key"),
        description="Secret or restricted key that `backfill stripe` reads with.",
    )
    stripe_api_base: str = Field(
        "https://api.stripe.com",
        validation_alias=AliasChoices("STRIPE_API_BASE", "stripe_api_base"),
        description="Base address of Stripe's API; point it at a double in tests.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info",
        validation_alias=AliasChoices("GDP_LOG_LEVEL", "log_level"),
        description="How much is logged. DEBUG_EVENTS=true or DEBUG_SEGMENTS=true mean debug.",
    )
    debug_events: bool = Field(
        False, validation_alias=AliasChoices("DEBUG_EVENTS"), description="Same as debug logging."
    )
    debug_segments: bool = Field(
        False, validation_alias=AliasChoices("DEBUG_SEGMENTS"), description="Same as debug logging."
    )
    failpoint: str | None = Field(
        None,
        validation_alias=AliasChoices("GDP_FAILPOINT", "failpoint"),
        description="For crash tests: name:kill, name:raise or name:sleep at a named step. Never in production.",
    )

    @field_validator("base_url", "door_url")
    @classmethod
    def _no_trailing_slash(cls, value: str | None) -> str | None:
        if not value:
            return None
        parts = urlsplit(value if "://" in value else f"https://{value}")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise ValueError("must be an address like https://growth.example.com")
        return parts.geturl().rstrip("/")

    @field_validator("base_url")
    @classmethod
    def _is_whole_host(cls, value: str | None) -> str | None:
        if value and urlsplit(value).path:
            raise ValueError("must be an address without a path: the dashboard needs a host of its own")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        try:
            Proxies(value)
        except InvalidInput:
            raise ValueError("must be addresses or networks separated by commas") from None
        return value

    @model_validator(mode="after")
    def _is_whole_provider(self) -> Self:
        if self.oidc_issuer and not self.oidc_client_id:
            raise ValueError("GDP_OIDC_CLIENT_ID is missing, which sign-in at GDP_OIDC_ISSUER needs")
        if self.oidc_client_id and not self.oidc_issuer:
            raise ValueError("GDP_OIDC_ISSUER is missing, which GDP_OIDC_CLIENT_ID is for")
        return self

    @field_validator("database_url")
    @classmethod
    def _is_postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value().strip():
            return None
        if not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must start with postgresql://")
        return value

    @property
    def lake_folder(self) -> str:
        """Where the lake's files are: a folder or an address."""
        return self.lake_url or str(self.data_dir / "lake")

    @property
    def timeline_folder(self) -> Path:
        """Where timelines are kept; they are made again when lost."""
        return self.data_dir / "timeline"

    @property
    def dashboard_address(self) -> str:
        """Where a browser finds the dashboard, without a trailing slash."""
        return self.base_url or f"http://127.0.0.1:{self.dashboard_port}"

    @property
    def door_address(self) -> str:
        """Where a source finds the door, without a trailing slash."""
        return self.door_url or f"http://127.0.0.1:{self.door_port}"

    @property
    def verbosity(self) -> str:
        """The log level after the debug aliases."""
        return "debug" if self.debug_events or self.debug_segments else self.log_level


_found: dict[str, str] = {}


def use_database(url: str) -> None:
    """From now on this process uses the database at `url`: a command found the embedded one by itself."""
    _found["database_url"] = url
    settings.cache_clear()


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process. Raises BadSetting naming the variable."""
    try:
        return Settings(**_found)  # type: ignore[arg-type]
    except ValidationError as error:
        problems = "; ".join(_problem(item["loc"], item["msg"]) for item in error.errors())
        raise BadSetting(f"Correct the environment or .env: {problems}.") from None


def _problem(place: tuple[int | str, ...], message: str) -> str:
    said = message.removeprefix("Value error, ")
    if not place:  # it is about several, and names them
        return said
    field = Settings.model_fields.get(str(place[0]))
    alias = field.validation_alias if field else None
    return f"{alias.choices[0] if isinstance(alias, AliasChoices) else place[0]}: {said}"
