"""What the navigation knows of a page and of a section."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One page: the file `<name>.py` in its section's folder, at `/<name>`."""

    name: str
    title: str
    icon: str  # :material/...:
    action: str  # what a role must be allowed to do (accounts.roles) to open it
    hidden: bool = False  # reached by links only


@dataclass(frozen=True, slots=True)
class Section:
    """A folder of pages; the title heads them in the navigation, "" for none."""

    folder: str
    title: str
    entries: tuple[Entry, ...]
