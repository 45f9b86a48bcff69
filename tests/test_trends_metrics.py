"""Every headline number is declared once, and the overview says of its own what is declared."""

import ast
import inspect

import pytest

from gdp_core.analytics import overview
from gdp_core.analytics.metrics import METRICS, Declared, _by_slug, metric
from gdp_core.errors import NotFound


def test_the_overview_tells_what_is_declared():
    """Each of its metrics begins with name, title, definition, unit."""
    calls = [
        node
        for node in ast.walk(ast.parse(inspect.getsource(overview)))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Metric"
    ]
    told = [tuple(ast.literal_eval(argument) for argument in call.args[:4]) for call in calls]
    assert {name for name, *_ in told} == {"new_people", "active_people", "mrr", "trial_to_paid", "events"}
    for name, title, definition, unit in told:
        declared = metric(name)
        assert (declared.title, declared.definition, declared.unit) == (title, definition, unit)


def test_metrics_are_found_by_slug_and_declared_once():
    assert all(metric(slug).slug == slug for slug in METRICS)
    assert len({declared.title for declared in METRICS.values()}) == len(METRICS)
    assert all(declared.definition.endswith(".") for declared in METRICS.values())
    assert {slug for slug, declared in METRICS.items() if declared.good == "down"} >= {
        "customer_churn",
        "dormant_people",
    }
    with pytest.raises(NotFound, match="no metric 'typo'"):
        metric("typo")
    with pytest.raises(ValueError, match="declared once"):
        _by_slug(*[Declared("one", "One", "count", "One.")] * 2)
