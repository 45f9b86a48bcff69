"""Charts: a frozen result of core in, a Plotly figure out. No reads and no arithmetic on data here.

At most four series; bars start at 0; an interval that is not over is hatched. Colours and fonts come from the theme.
"""
