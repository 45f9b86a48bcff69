"""Understand: what happens in the workspace."""

from pages.ui.entries import Entry, Section

SECTION = Section(
    folder="understand",
    title="",
    entries=(
        Entry("overview", "Overview", ":material/dashboard:", "overview.read"),
        Entry("funnels", "Funnels", ":material/filter_alt:", "reports.read"),
        Entry("trends", "Trends", ":material/show_chart:", "reports.read"),
        Entry("retention", "Retention", ":material/grid_on:", "reports.read"),
        Entry("lifecycle", "Lifecycle", ":material/sync_alt:", "reports.read"),
        Entry("activation", "Activation", ":material/bolt:", "reports.read"),
        Entry("churn", "Churn", ":material/trending_down:", "reports.read"),
        Entry("revenue", "Revenue", ":material/payments:", "reports.read"),
        Entry("overlap", "Overlap", ":material/join_inner:", "reports.read"),
    ),
)
