"""The early warning: learned from the past, judged on a time it has not seen, honest where there is nothing to learn."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import pytest

from gdp_core import early_warning
from gdp_core.analytics.calendar import micros
from gdp_core.analytics.engagement_churn import EngagementChurn, people_at
from gdp_core.analytics.warning import LEAST_PEOPLE, Model, TooLittle, from_text, read_warned, scores, to_text, train
from gdp_core.analytics.window import Window
from gdp_core.db import one, rows
from gdp_core.features import FEATURES
from gdp_core.features.measuring import measure
from gdp_core.timeline.arrays import Timeline
from gdp_core.timeline.matching import Match

from .timelines_bulk import bulk

NOW = datetime(2026, 11, 1, 9, 30, tzinfo=UTC)
DAY = 86_400_000_000
CORE = Match(("letter_sent",))
ROLES = {"core": CORE, "pricing_view": Match(("pricing_view",))}


def lives(people: int, seed: int, *, learnable: bool = True, days: int = 300) -> dict[str, np.ndarray]:
    """Events of people who come often and rarely, and leave; without `learnable`, at random days of their own."""
    rng = np.random.default_rng(seed)
    end = micros(NOW)
    person, at, name = [], [], []
    for who in range(people):
        if learnable:
            rate = rng.gamma(1.2, 0.25)
            start = end - rng.integers(20, days + 90) * DAY
            last = min(end, start + int(rng.exponential(90 + 400 * rate) * DAY))
        else:
            rate, start, last = 0.035, end - days * DAY, end
        count = rng.poisson(rate * (last - start) / DAY)
        person += [who] * count
        at += (start + rng.random(count) * (last - start)).astype(np.int64).tolist()
        name += rng.choice(["letter_sent", "page_view", "pricing_view"], count).tolist()
    return {"person": np.array(person), "at": np.array(at, np.int64), "name": np.array(name)}


def timeline_of(told: dict[str, np.ndarray], **options) -> Timeline:
    return bulk(told["person"], told["at"], told["name"], watermark=micros(NOW), **options)


@pytest.fixture(scope="module")
def history() -> dict[str, np.ndarray]:
    return lives(2500, 1)


@pytest.fixture(scope="module")
def model(history) -> Model:
    found = train(timeline_of(history), FEATURES, ROLES, NOW)
    assert isinstance(found, Model)
    return found


def test_it_tells_people_apart_on_a_time_it_has_not_seen(model):
    assert model.judged.auc > 0.8
    assert model.judged.error < 0.06
    assert model.judged.brier < 0.8 * model.judged.base_brier
    assert model.is_useful
    assert f"AUC {model.judged.auc:.2f}" in model.sentence
    assert model.at == datetime(2026, 10, 2, tzinfo=UTC)
    assert all(
        later - earlier == timedelta(days=30) for earlier, later in zip(model.dates, model.dates[1:], strict=False)
    )
    assert len(model.judged.bins) == 10


def test_no_reason_is_against_what_its_feature_says_alone(history, model):
    """Who has more of a feature with a positive weight falls silent more often; a feature that only makes up for another
    is left out."""
    timeline = timeline_of(history)
    asked, at = EngagementChurn(CORE), micros(model.at)
    active, churned = (people_at(timeline, asked, at + 30 * DAY, name) for name in ("active", "churned"))
    found = measure(timeline, model.features, {}, at)
    people, left = np.searchsorted(timeline.numbers, active), np.isin(active, churned)
    told = 0
    for place, weight in enumerate(model.logistic.weights):
        values = np.nan_to_num(found.numbers(place)[people], nan=1000)
        apart = values[left].mean() - values[~left].mean()
        if abs(weight) > 0.1:  # on another time than it learned from, small ones may turn
            told += 1
            assert apart * weight > 0, model.features[place].slug
    assert told >= 2


def test_the_same_history_makes_the_same_bytes(history, model):
    order = np.random.default_rng(9).permutation(len(history["at"]))
    shuffled = {name: values[order] for name, values in history.items()}
    again = train(timeline_of(shuffled, shards=3), FEATURES, ROLES, NOW + timedelta(hours=14))
    assert to_text(again) == to_text(model)
    assert from_text(to_text(model)) == model
    assert orjson.loads(to_text(model))["judged"]["auc"] == model.judged.auc


def test_what_comes_after_the_held_out_time_changes_nothing_it_learned(history, model):
    """The outcome of the newest date decides how it is judged, and not what it knows."""
    known = history["at"] < micros(model.at)
    earlier = {name: values[known] for name, values in history.items()}
    blind = train(timeline_of(earlier), FEATURES, ROLES, NOW)
    assert isinstance(blind, TooLittle)  # everybody fell silent: nobody stayed
    half = known | (history["person"] % 2 == 0)
    other = train(timeline_of({name: values[half] for name, values in history.items()}), FEATURES, ROLES, NOW)
    assert isinstance(other, Model)
    assert (other.logistic, other.calibration) == (model.logistic, model.calibration)
    assert other.judged != model.judged


def test_people_are_those_of_the_definition_and_features_those_of_before(history, model):
    timeline = timeline_of(history)
    asked = EngagementChurn(CORE)
    at = micros(model.at) + 30 * DAY
    active, churned = (people_at(timeline, asked, at, name) for name in ("active", "churned"))
    assert (model.judged.people, model.judged.happened) == (len(active), len(churned))
    core = next(feature for feature in FEATURES if feature.slug == "core_actions")
    found = measure(timeline, [core], ROLES, micros(model.at))
    who = int(active[0])
    mine = (history["person"] == who) & (history["name"] == "letter_sent") & (history["at"] < micros(model.at))
    expected = (history["at"][mine] >= micros(model.at) - 90 * DAY).sum()
    assert found.values[np.searchsorted(timeline.numbers, who), 0] == expected
    assert [one.slug for one in model.features if one.slug in ("letters_sent", "churn_risk", "lifetime_value")] == []


def test_scores_are_of_who_uses_the_product_and_say_why(history, model):
    timeline = timeline_of(history)
    told = scores(timeline, model, NOW)
    assert told is not None
    midnight = micros(NOW) // DAY * DAY
    recent = (history["name"] == "letter_sent") & (history["at"] >= midnight - 60 * DAY) & (history["at"] < midnight)
    scored = ~np.isnan(told.values)
    assert timeline.numbers[scored].tolist() == sorted(set(history["person"][recent].tolist()))
    assert ((told.values[scored] >= 0) & (told.values[scored] <= 1)).all()
    odds = told.parts[scored].sum(axis=1)
    highest, lowest = np.argsort(told.values[scored])[[-1, 0]]
    assert odds[highest] > 1 > -1 > odds[lowest]
    assert told.names == tuple(one.slug for one in model.features)
    by_hand = 1 / (1 + np.exp(-(odds + model.calibration.slope * model.logistic.intercept + model.calibration.offset)))
    assert np.abs(by_hand - told.values[scored]).max() < 0.02  # the parts are rounded to be read
    later = scores(timeline, model, NOW + timedelta(hours=12))
    assert later is not None
    assert np.array_equal(later.values, told.values, equal_nan=True)  # told once a day


def test_nothing_to_learn_is_said_and_nobody_is_scored():
    found = train(timeline_of(lives(3000, 2, learnable=False, days=420)), FEATURES, ROLES, NOW)
    assert isinstance(found, Model)
    assert abs(found.judged.auc - 0.5) < 0.06
    assert not found.is_useful
    assert "no better than chance" in found.sentence
    assert scores(timeline_of(lives(50, 3)), found, NOW) is None


def test_too_little_is_said_and_no_number_given(history):
    few = {name: values[history["person"] < 150] for name, values in history.items()}
    recent = {name: values[history["at"] > micros(NOW) - 120 * DAY] for name, values in history.items()}
    nothing = {name: values[:0] for name, values in history.items()}
    for told, said in ((few, f"{LEAST_PEOPLE} are needed"), (recent, "about 180 days"), (nothing, "about 180 days")):
        found = train(timeline_of(told), FEATURES, ROLES, NOW)
        assert isinstance(found, TooLittle)
        assert said in found.sentence
        assert found.sentence.startswith("Not enough data: ")
        assert from_text(to_text(found)) == found
    no_core = train(timeline_of(history), FEATURES, {}, NOW)
    assert isinstance(no_core, TooLittle)
    assert "core" in no_core.sentence
    everybody = np.repeat(np.arange(300), 300)
    steady = {
        "person": everybody,
        "at": micros(NOW) - np.tile(np.arange(300), 300) * DAY - 1,
        "name": np.full(90_000, "letter_sent"),
    }
    nobody_left = train(timeline_of(steady), FEATURES, ROLES, NOW)
    assert isinstance(nobody_left, TooLittle)
    assert "0 fell silent" in nobody_left.sentence


def test_other_windows_are_other_dates(history):
    found = train(timeline_of(history), FEATURES, ROLES, NOW, quiet=Window(14, "d"), baseline=Window(28, "d"))
    assert isinstance(found, Model)
    assert found.dates[-1] == datetime(2026, 10, 18, tzinfo=UTC)
    assert found.dates[-2] == datetime(2026, 10, 4, tzinfo=UTC)


def test_a_model_is_kept_and_gets_a_version_only_when_it_is_another(database, history):
    ws = database.workspace()
    timeline = timeline_of(history)
    assert early_warning.is_due(database.worker, ws, NOW)
    first = early_warning.learn(database.worker, ws, timeline, NOW)
    again = early_warning.learn(database.worker, ws, timeline, NOW + timedelta(hours=1))
    assert (first.version, first.is_new, again.version, again.is_new) == (1, True, 1, False)
    fewer = {name: values[history["person"] < 150] for name, values in history.items()}
    less = early_warning.learn(database.worker, ws, timeline_of(fewer), NOW + timedelta(hours=2))
    assert (less.version, less.is_new) == (2, True)
    with database.web.transaction(ws, read_only=True) as session:
        warned = read_warned(session)
        stored = rows(session, "SELECT version, trained_at, checked_at, model FROM churn_model ORDER BY version")
    assert warned is not None
    assert (warned.version, warned.outcome) == (2, less.outcome)
    assert stored[0].model == to_text(first.outcome)
    assert (stored[0].trained_at, stored[0].checked_at) == (NOW, NOW + timedelta(hours=1))
    at = NOW + timedelta(hours=2)
    assert not early_warning.is_due(database.worker, ws, at + timedelta(hours=23))
    assert early_warning.is_due(database.worker, ws, at + timedelta(days=1))
    early_warning.learn(database.worker, ws, timeline, at)
    assert not early_warning.is_due(database.worker, ws, at + timedelta(days=6))
    assert early_warning.is_due(database.worker, ws, at + timedelta(days=7))


def test_a_model_of_another_workspace_is_not_seen(database, history):
    ws, other = database.workspace(), database.workspace("other")
    early_warning.learn(database.worker, ws, timeline_of(history), NOW)
    with database.web.transaction(other, read_only=True) as session:
        assert read_warned(session) is None
        assert one(session, "SELECT count(*) AS n FROM churn_model").n == 0


def test_a_useless_model_scores_nobody(model, history):
    worthless = replace(model, judged=replace(model.judged, auc=0.52, auc_low=0.49))
    assert scores(timeline_of(history), worthless, NOW) is None
    assert "nobody is given a score" in worthless.sentence
