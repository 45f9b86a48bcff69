"""Funnels: how many people take these steps within a time, where they stop, how long it takes and what those have in
common who stop. The definition is the loops of `gdp_core.timeline.kernels.funnel`.
"""
