"""Segments as pages show them: a rule while somebody builds it, what is known of one that is kept, and why a person is in.

`tree.py` changes a rule that need not be finished, `drafting.py` keeps it while it is edited, `editor.py` makes widgets of
a condition's fields, `building.py` is the builder around them; `listed.py`, `one.py` and `why.py` show what is kept;
`starters.py` and `bringing.py` are two quick ways to begin.
"""
