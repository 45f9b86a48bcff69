"""People: who they are, one by one."""

from pages.ui.entries import Section

SECTION = Section(
    folder="people",
    title="Audience",
    entries=(),
)
