"""The Settings page: its tabs, a module for each. Who may not change a setting sees it read-only."""

from pages.ui import state

TABS = {
    "general": "General",
    "roles": "Event roles",
    "features": "Features",
    "internal": "Internal",
    "plans": "Plans",
    "rates": "Rates",
    "identity": "Identity",
    "retention": "Retention",
    "danger": "Danger zone",
}
TAB = state.Field("settings", "tab", default="general", choices=tuple(TABS))
FIELDS = (TAB,)
WIDTHS = {"general": 640, "internal": 640, "identity": 640, "retention": 640}
"""Of the tabs that are one form: wide enough to read, not wider."""
