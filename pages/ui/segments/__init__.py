"""Segments as pages show them: a rule while somebody builds it, what is known of one that is kept, and why a person is in.

`tree.py` changes a rule that need not be finished, `drafting.py` keeps it while it is edited, `looks.py` says what each kind
of condition offers and `editor.py` makes widgets of it, `building.py` is the builder around them; `listed.py`, `one.py` and `why.py` show what is kept;
`starters.py` and `bringing.py` are two quick ways to begin.
"""
