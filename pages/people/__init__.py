"""People: who they are, one by one."""

from pages.ui.entries import Entry, Section

SECTION = Section(
    folder="people",
    title="Audience",
    entries=(
        Entry("people", "People", ":material/group:", "people.read"),
        Entry("reviews", "Merge reviews", ":material/call_merge:", "people.read"),
        Entry("person", "Person", ":material/person:", "people.read", hidden=True),
    ),
)
