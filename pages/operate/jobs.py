"""Jobs: which processes are alive, what ran and failed, and how far applying is behind."""

import streamlit as st

from gdp_core.analytics import jobs_view
from pages.ui import data, jobs, layout, state
from pages.ui.context import here
from pages.ui.settings import recomputing

place = here()
state.adopt(jobs.FIELDS)
layout.title("Jobs", "The processes behind this product, what they ran, and how far they are behind")
recomputing.progress(place)

processes = place.read(jobs_view.read_processes, place.now)
table = place.read(jobs_view.read_jobs, place.now)
if not processes and not table:
    layout.empty(
        ":material/bolt:",
        "Nothing runs",
        "Start everything with make run, or python -m jobs: what arrives is then applied and appears here.",
    )
    st.stop()

jobs.backlog(place, data.remembered(place, jobs_view.read_backlog), processes)
layout.section("Processes")
jobs.processes(place, processes)
layout.section("Timetable")
jobs.timetable(place, table)

layout.section("Runs")
jobs.filters([item.name for item in table])
state.publish(jobs.FIELDS)
runs = place.read(jobs_view.read_runs, jobs.JOB.value, jobs.STATE.value)
if runs:
    jobs.runs(place, runs)
else:
    layout.empty(
        ":material/search_off:",
        "No run matches",
        "Runs are kept for 14 days; some jobs record only those that did something.",
    )
