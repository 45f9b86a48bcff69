"""Operate: where data comes from, what became of it, and who may do what."""

from pages.ui.entries import Section

SECTION = Section(folder="operate", title="Operate", entries=())
