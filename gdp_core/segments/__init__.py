"""Who belongs to a segment: rules, what they mean, how they are evaluated, and how membership is kept.

`rules.py` is the tree, `conditions` one file for each kind of condition, `facts.py` what a condition may ask, `evaluate.py`
turns rules into masks over people; `explaining.py` says why, `cycle.py` keeps membership and its history.
"""
