"""Operate: where data comes from, what became of it, and who may do what."""

from pages.ui.entries import Entry, Section

SECTION = Section(
    folder="operate",
    title="Operate",
    entries=(
        Entry("sources", "Sources", ":material/power:", "sources.read"),
        Entry("inbox", "Inbox", ":material/inbox:", "sources.read"),
        Entry("catalogue", "Event catalogue", ":material/category:", "events.read"),
        Entry("quality", "Data quality", ":material/fact_check:", "quality.read"),
        Entry("jobs", "Jobs", ":material/schedule:", "jobs.read"),
        Entry("settings", "Settings", ":material/settings:", "settings.read"),
        Entry("members", "Members", ":material/group_add:", "members.read"),
        Entry("keys", "API keys", ":material/key:", "keys.read"),
        Entry("audit", "Audit log", ":material/history:", "audit.read"),
    ),
)
