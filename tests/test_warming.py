"""No page waits for a compiler: what reports run was compiled before, and is kept where it can be written."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import numpy as np
import pytest

from gdp_core.analytics import warming
from gdp_core.segments import warming as segments
from gdp_core.settings import settings

from .conftest import ROOT

_COUNT = "import json, sys; from tests import test_warming; print(json.dumps(test_warming.compiled_by(sys.argv[1])))"


def signatures():
    """How often each kernel was compiled in this process."""
    found = {}
    for name, module in list(sys.modules.items()):
        if name.startswith("gdp_core.timeline.kernels."):
            for kernel in vars(module).values():
                if hasattr(kernel, "signatures") and kernel.__module__ == name:
                    found[f"{name}.{kernel.__name__}"] = len(kernel.signatures)
    return found


def everything_asked(folder):
    """Reports as pages ask them, of a timeline in files: of some people, with conditions, broken down, behind a number."""
    from gdp_core.analytics import activation, engagement_churn, lifecycle, retention, stickiness, trends
    from gdp_core.analytics.activation import SIGNUP
    from gdp_core.analytics.breakdown import Breakdown
    from gdp_core.analytics.calendar import micros
    from gdp_core.analytics.funnel import report
    from gdp_core.analytics.funnel.question import Exclusion, FactorQuestion, FunnelQuestion, Step
    from gdp_core.analytics.scope import Scope
    from gdp_core.features import FEATURES
    from gdp_core.features.base import Tally
    from gdp_core.features.measuring import measure
    from gdp_core.timeline import engine, files
    from gdp_core.timeline.arrays import Shard, Timeline
    from gdp_core.timeline.matching import Condition, Match

    from .timelines import Happened, Somebody, timeline_of

    start = datetime(2026, 1, 1, tzinfo=UTC)
    base = micros(start)
    rng = np.random.default_rng(1)
    people = [
        Somebody(
            [
                Happened(base + int(at), "abc"[int(at) % 3], {"plan": "p", "amount": 2.5, "value_micros": 7})
                for at in rng.integers(0, 40 * 86_400_000_000, 12)
            ],
            {"signup_at": base + number * 86_400_000_000, "plan_name": "pro", "stage": "active"},
        )
        for number in range(20)
    ]
    given = timeline_of(people, watermark=base + 90 * 86_400_000_000)
    arrays = {name: getattr(given.shards[0], name) for name in Shard.__slots__}
    files.write(folder / "shard", arrays, {})
    read, _ = files.read(folder / "shard")
    timeline = Timeline("files", given.watermark, given.names, given.numbers, (Shard(**read),), given.columns)
    engine._WORTH_A_PART = 20
    scope = Scope(UUID(int=1), "Europe/London", "USD", date(2026, 1, 1), date(2026, 2, 1), start + timedelta(days=80))
    a, b, c = (Match((name,)) for name in "abc")
    paid = Match(("b",), (Condition("plan", "is", ("p",)),))
    some = np.arange(timeline.people) % 2 == 0
    by_event, by_person = Breakdown("plan"), Breakdown("person.plan_name")
    for within in (None, some):
        for order in ("ordered", "strict", "any"):
            steps = (Step(a), Step(paid, optional=True), Step(c))
            for asked in (
                FunnelQuestion(steps, order=order, breakdown=by_event, touch="last"),
                FunnelQuestion((Step(a), Step(b)), order=order, breakdown=by_person, factors=FactorQuestion()),
                FunnelQuestion((Step(a), Step(paid)), order=order, everything=True),
            ):
                report.funnel(timeline, scope, asked, within=within)
                report.people(timeline, scope, asked, state="dropped", step=1, within=within)
        for asked in (
            FunnelQuestion((Step(a), Step(c)), exclusions=(Exclusion(b, 1),)),
            FunnelQuestion((Step(a), Step(c)), prefer="shortest"),
        ):
            report.funnel(timeline, scope, asked, within=within)
        for asked in (
            retention.Retention(paid, breakdown=by_event),
            retention.Retention(SIGNUP, cohort="month", unit="day", breakdown=by_person),
            retention.Retention(a, mode="on_or_after", occurrence="recurring"),
            retention.Retention(a, rolling=True, value="amount", occurrence="first_in_period"),
            retention.Retention(a, brackets=((0, 3), (4, None)), mode="bracket"),
        ):
            retention.retention(timeline, scope, asked, within=within)
            retention.retention_people(
                timeline,
                scope,
                asked,
                retention.RetentionCell(date(2026, 1, 1) if asked.cohort == "month" else date(2025, 12, 29)),
                within=within,
            )
        for by in (None, by_event, by_person):
            for asked in (
                trends.Trend((a, paid), breakdown=by, measure="people"),
                trends.Trend((a,), breakdown=by, cumulative=True, measure="people"),
                trends.Trend((a,), "sum", "amount", breakdown=by),
                trends.Trend((a,), "average", "value_micros", breakdown=by),
                trends.Trend((a,), "median", "amount", breakdown=by),
            ):
                trends.trend(timeline, scope, asked, within=within)
                trends.trend_people(timeline, scope, asked, trends.TrendCell(), within=within)
        lifecycle.lifecycle(timeline, scope, lifecycle.Lifecycle(paid), within=within)
        cell = lifecycle.LifecycleCell(date(2026, 1, 5), "new")
        lifecycle.lifecycle_people(timeline, scope, lifecycle.Lifecycle(a), cell, within=within)
        stickiness.stickiness(timeline, scope, stickiness.Stickiness(a), within=within)
        for cell in (stickiness.StickinessCell(2), stickiness.StickinessCell(day=date(2026, 1, 5), span=7)):
            stickiness.stickiness_people(timeline, scope, stickiness.Stickiness(a), cell, within=within)
        for start_ in (SIGNUP, a):
            asked = activation.Activation((activation.Criterion(paid, 2), activation.Criterion(c)), start=start_)
            activation.activation(timeline, scope, asked, within=within)
            activation.activation_people(timeline, scope, asked, activation.ActivationCell("activated"), within=within)
            activation.candidates(timeline, scope, activation.Candidates(start=start_, support=1), within=within)
        churned = engagement_churn.EngagementChurn(a)
        engagement_churn.engagement_churn(timeline, scope, churned, within=within)
    roles = dict.fromkeys(("core", "pricing_view", "activation"), a)
    measure(timeline, [one for one in FEATURES if isinstance(one.made, Tally)], roles, given.watermark)
    rules_asked(timeline)


def rules_asked(timeline):
    """Rules as a cycle evaluates them, and as somebody's explanation does; in a shard that streams are kept of, too."""
    from dataclasses import replace
    from zoneinfo import ZoneInfo

    from gdp_core.segments.facts import Facts, Surroundings
    from gdp_core.segments.rules import read

    paid = {"names": ["b"], "where": [{"field": "plan", "values": ["p"]}]}
    times = [{}, {"last": "30d"}, {"ago": "7d"}, {"since": "2026-01-10"}, {"after": "signup_at", "during": "14d"}]
    parts = [{"kind": "performed", "event": event, "when": when} for event in ({}, paid) for when in times]
    parts += [
        {"kind": "amount", "event": paid, "field": field, "by": by}
        for field in ("amount", "plan")
        for by in ("sum", "average", "min", "max", "distinct")
    ]
    parts += [
        {"kind": kind, "event": {"names": ["a"]}, second: paid, **same}
        for kind, second in (("sequence", "then"), ("not_since", "other"))
        for same in ({}, {"same": "plan"})
    ]
    parts += [
        {"kind": kind, "event": {"names": ["a", "c"]}, **more}
        for kind, more in (("stopped", {}), ("resumed", {}), ("regularly", {"period": "1d"}))
    ]
    parts += [{"kind": "email"}, {"kind": "consent"}, {"kind": "deal", "stages": ["won"], "most": "30d"}]
    rule = read({"match": {"kind": "any", "of": parts}})
    (shard,) = timeline.shards
    for name in ("", "base-1"):
        given = replace(timeline, shards=(replace(shard, name=name),))
        facts = Facts(given, timeline.watermark, Surroundings(ZoneInfo("UTC")))
        assert rule.holds(facts).any()
        rule.holds(facts.of_one(int(timeline.numbers[3])))


def compiled_by(folder):
    """What was compiled for real questions after everything was warm."""
    from pathlib import Path

    warming.warm([segments.ask])
    before = signatures()
    everything_asked(Path(folder))
    after = signatures()
    return {name: [before.get(name, 0), times] for name, times in after.items() if times != before.get(name, 0)} | (
        {} if before else {"none": [0, 0]}
    )


def test_after_warming_nothing_is_compiled(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _COUNT, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=800
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("GDP_DATA_DIR", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


def test_who_asks_while_it_is_compiled_waits_and_can_say_so(own_data, monkeypatch):
    begun, may_end, waited = threading.Event(), threading.Event(), threading.Event()
    monkeypatch.setattr(warming, "warm", lambda _: begun.set() or may_end.wait(60))
    compiler = threading.Thread(target=warming.main)
    assert not warming.is_under_way()
    compiler.start()
    assert begun.wait(60)
    assert warming.is_under_way()
    page = threading.Thread(target=lambda: (warming.wait(), waited.set()))
    page.start()
    time.sleep(0.05)
    assert not waited.is_set()
    may_end.set()
    assert waited.wait(60)
    compiler.join()
    page.join()
    assert not warming.is_under_way()


def test_kernels_are_kept_in_the_data_folder_where_the_package_cannot_be_written(tmp_path):
    """As root everything can be written; so the package says it cannot."""
    package = tmp_path / "package"
    shutil.copytree(ROOT / "gdp_core", package / "gdp_core", ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import os; real = os.access\n"
        "os.access = lambda path, mode, **more: 'kernels' not in str(path) and real(path, mode, **more)\n"
        "import numpy as np\n"
        "from gdp_core.timeline.kernels.search import density\n"
        "print(density(np.arange(5)))"
    )
    environment = os.environ | {"PYTHONPATH": str(package), "GDP_DATA_DIR": str(tmp_path / "data")}
    environment.pop("NUMBA_CACHE_DIR", None)
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == "1.0\n"
        kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "data" / "kernels").rglob("*.nbc")}
        assert len(kept) == 1
    assert not list(package.rglob("*.nbc"))
