"""Every headline number is declared once, and the overview tells what is declared."""

import ast
import inspect

import pytest

from gdp_core.analytics import overview
from gdp_core.analytics.metrics import METRICS, Declared, _by_slug, metric
from gdp_core.errors import NotFound


def test_the_overview_tells_what_is_declared():
    """Each of its metrics names one, and says nothing of it itself."""
    calls = [
        node
        for node in ast.walk(ast.parse(inspect.getsource(overview)))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Metric"
    ]
    names = [ast.literal_eval(call.args[0]) for call in calls]
    assert sorted(names) == ["active_people", "events", "mrr", "new_people", "trial_to_paid"]
    for name in names:
        assert overview.Metric(name, 1, 1, 1, (), {}).declared is METRICS[name]


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
