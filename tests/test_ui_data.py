"""What is remembered, for how long, and what makes it forgotten."""

from dataclasses import replace
from datetime import timedelta

import pytest

from gdp_core import clock
from gdp_core.accounts.roles import Role
from gdp_core.analytics import scope
from pages.ui import data
from pages.ui.context import here

from .browsing import browsing
from .test_pipeline import batch, delivery, drain, put, track


@pytest.fixture
def place(database, monkeypatch):
    with browsing(database, monkeypatch) as browser:
        browser.sign_in(database.workspace())
        yield here()


@pytest.fixture
def read():
    """A reader that counts how often the database was asked."""
    asked = []

    def reader(session, *args):
        asked.append(args)
        return len(asked)

    return reader


NOON = clock.now().replace(hour=12, minute=0, second=0, microsecond=0)


def test_instants_of_one_minute_are_one_question(place, read):
    for seconds in (0, 0.25, 59):
        assert data.remembered(place, read, NOON + timedelta(seconds=seconds)) == 1
    assert data.remembered(place, read, NOON + timedelta(minutes=1)) == 2


def test_scopes_of_one_minute_are_one_question(place, read):
    of = scope.scope(place.workspace.id, timezone="UTC", currency="USD", now=NOON)
    assert data.remembered(place, read, of) == 1
    assert data.remembered(place, read, replace(of, now=NOON + timedelta(seconds=30))) == 1
    assert data.remembered(place, read, replace(of, now=NOON + timedelta(seconds=90))) == 2
    assert data.remembered(place, read, replace(of, compare="none")) == 3


def test_roles_and_workspaces_do_not_share(place, read, database):
    assert data.remembered(place, read) == 1
    viewer = replace(place, principal=replace(place.principal, role=Role.VIEWER))
    assert data.remembered(viewer, read) == 2
    elsewhere = replace(place.workspace, id=database.workspace("elsewhere"))
    assert data.remembered(replace(place, workspace=elsewhere), read) == 3
    assert data.remembered(place, read) == 1


def test_what_arrives_makes_it_be_read_again(place, read, database):
    assert data.remembered(place, read) == 1
    source = database.source(place.workspace.id, "segment")
    put(database, delivery(place.workspace.id, source, batch(track())))
    data._freshness.clear()  # known for five seconds
    assert data.remembered(place, read) == 2
    drain(database, place.workspace.id)
    data._freshness.clear()
    assert data.remembered(place, read) == 3


def test_a_change_makes_it_be_forgotten_in_its_workspace(place, read, database):
    elsewhere = replace(place, workspace=replace(place.workspace, id=database.workspace("elsewhere")))
    assert data.remembered(place, read) == 1
    assert data.remembered(elsewhere, read) == 2
    data.forget(place)
    assert data.remembered(place, read) == 3
    assert data.remembered(elsewhere, read) == 2
