"""People: find somebody, filter everybody, take the list away."""

import streamlit as st

from gdp_core.analytics import overview, people_list, person_features
from gdp_core.analytics.people_list import Place
from gdp_core.features.definitions import read_features
from pages.ui import data, layout, nav, people, state
from pages.ui.context import here

place = here()
state.adopt(people.FIELDS)
told = place.read(read_features)
people.keep_columns(told)
wanted = people_list.asked_by(place.principal, people.chosen())

total = (
    place.read(people_list.count, wanted, place.now)
    if wanted.words or wanted.features  # which change without an event: remembered, the count would not be the list's
    else data.remembered(place, people_list.count, wanted, place.now)
)
with layout.head("People", f"{people.total_text(place, total)} {'person' if total.people == 1 else 'people'}"):
    if place.may("people.export") and total.people:
        nav.download(place, "/api/export/people.csv", people.export_query(wanted), key="people-export")

if place.read(overview.is_empty):  # not remembered: the first person is waited for
    state.publish(people.FIELDS)
    people.nobody_yet(place)
    st.stop()

people.filters(place, data.remembered(place, people_list.read_choices).plans, told)
people.remember_columns()
state.publish(people.FIELDS)

start = Place.parse(people.AT.value, wanted.sort) if people.AT.value else None
page = place.read(people_list.read_page, wanted, place.now, place=start, size=people.PAGE_SIZE)

if not page.rows:
    if wanted.is_plain:
        people.nobody_yet(place)
    else:
        people.nobody_matches(wanted)
    st.stop()

having = place.read(
    person_features.read_listed,
    [person.id for person in page.rows],
    people.feature_columns(people.COLUMNS.value),
    place.now,
)
people.people_table(place, page.rows, told, having)
people.pager(place, page, total)

opened = people.OPEN.clicked()
found = next((person for person in page.rows if str(person.id) == opened), None)
if found:
    people.drawer(place, found)
