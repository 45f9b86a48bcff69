"""Segments as pages show them: a rule while somebody builds it, what is known of one that is kept, and why a person is in.

`tree.py` changes a rule that need not be finished, `drafting.py` keeps it while it is edited, `looks.py` says what each kind
of condition offers and `editor.py` makes widgets of it, `building.py` is the builder around them; `listed.py`, `one.py`,
`versions.py` and `why.py` show what is kept, `meant.py` whom a rule means that is not kept up to date, `acting.py` is what
is done with a whole segment; `starters.py` and `bringing.py` are two quick ways to begin.
"""
