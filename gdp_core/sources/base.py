"""What a source is: one value that holds everything the door, the worker, the Sources page and the docs need of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, SecretStr

from gdp_core.sources.facts import Delivery, Fact, Reject

Verify = Callable[[Mapping[str, str], bytes, Sequence[str], datetime], bool]
"""verify(headers in lower case, raw body, active secrets, now): True only for a valid signature; never raises."""


class NoConfig(BaseModel):
    """A source that is recognised by its key alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SigningSecret(BaseModel):
    """A source whose deliveries are signed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    signing_secret: SecretStr


@dataclass(frozen=True, slots=True)
class Source:
    """A kind of sender. `rank` breaks ties between traits stated at the same instant: the higher one wins."""

    key: str
    title: str
    summary: str
    kind: Literal["webhook", "tracking", "file"]
    config: type[BaseModel]
    rank: int
    normalise: Callable[[Delivery], list[Fact | Reject]]
    guide: str  # Markdown; {door}, {key} and {secret} are filled in by the Sources page
    verify: Verify | None = None
    has_invoices: bool = False  # its money is counted from invoices, not from valued events
