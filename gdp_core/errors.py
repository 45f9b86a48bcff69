"""Every error a caller may want to tell apart. The text of an error is one sentence that says what to do.

GrowthError
├── InvalidInput        what was given cannot be used
│   ├── Conflict        it goes against what is there: a name that is taken, a newer version
│   ├── TooMuch         it needs more memory than a query may take
│   └── BadSetting      an environment variable is wrong; names the key
├── NotFound            no such thing, or not in this workspace
├── Unauthorised        not signed in, a wrong key, a bad signature
├── Forbidden           signed in, but the role does not allow it
├── NoTenant            a query ran without a workspace: a bug, fails closed
├── Unavailable         a store cannot be used now; `retry_after` seconds
└── Upstream            a vendor refused or failed; `retry_after` seconds or None
"""


class GrowthError(Exception):
    """Something the growth data plane refuses or cannot do."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class InvalidInput(GrowthError):
    """What was given cannot be used."""


class Conflict(InvalidInput):
    """What was given goes against what is there now."""


class TooMuch(InvalidInput):
    """This needs more memory than a query may take: choose a shorter period or fewer filters."""


class BadSetting(InvalidInput):
    """A setting is wrong."""


class NotFound(GrowthError):
    """There is no such thing here."""


class Unauthorised(GrowthError):
    """Sign in, or send a valid key."""


class Forbidden(GrowthError):
    """Your role does not allow this."""


class NoTenant(GrowthError):
    """A query needs a workspace and none was given."""


class Unavailable(GrowthError):
    """A store cannot be used at the moment; try again."""

    def __init__(self, message: str = "", retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Upstream(GrowthError):
    """A vendor's service refused or failed."""

    def __init__(self, message: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
