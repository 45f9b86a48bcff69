"""The dashboard: a page per file, a folder per navigation section, and the gate before them."""
