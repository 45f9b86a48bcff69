"""People: who they are, one by one."""

from pages.ui.entries import Entry, Section

SECTION = Section(
    folder="people",
    title="Audience",
    entries=(
        Entry("people", "People", ":material/group:", "people.read"),
        Entry("segments", "Segments", ":material/group_work:", "segments.read"),
        Entry("reviews", "Merge reviews", ":material/call_merge:", "people.read"),
        Entry("person", "Person", ":material/person:", "people.read", hidden=True),
        Entry("segment", "Segment", ":material/group_work:", "segments.read", hidden=True),
        Entry("builder", "Segment builder", ":material/construction:", "segments.write", hidden=True),
    ),
)
