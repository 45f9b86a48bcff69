"""A growth person asks where people stop, sees who they are, and keeps both: the people and the question."""

from collections.abc import Iterator
from uuid import UUID

import pytest

from gdp_core import clock, reports
from gdp_core.accounts.roles import Principal

from .conftest import Arrive
from .product import DEMO, Product
from .visitor import Visitor

STEPS = "Steps with their people"
LIST, REPORT = "Made a letter", "From signup to a letter"


def people(visitor: Visitor) -> list[str]:
    """How many took each step, by the table."""
    return [row["People"] for row in visitor.rows(STEPS)]


def click_bar(visitor: Visitor, step: int) -> None:
    """The bar of those who took a step. What Plotly lays over its bars takes the click."""
    bars = visitor.key("funnel-steps").locator(".js-plotly-plot .bars").first.locator(".point")
    bars.nth(step).scroll_into_view_if_needed()
    box = bars.nth(step).bounding_box()
    assert box is not None
    visitor.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    visitor.page.get_by_role("dialog").wait_for()
    visitor.settle()


def test_from_a_funnel_to_its_people_a_list_and_a_saved_report(owner: UUID, arrive: Arrive, product: Product) -> None:
    visitor = arrive(owner)
    visitor.open("funnels", ws=DEMO)
    entered, second, *_ = people(visitor)
    assert int(entered) > int(second) > 0

    click_bar(visitor, 1)
    assert visitor.page.get_by_role("dialog", name=f"{second} people").is_visible()
    visitor.press("Save as list")
    visitor.write("Name of the list", LIST)
    visitor.press("Save")
    visitor.page.get_by_text(f"Saved: {second} people.").wait_for()

    visitor.open("funnels", ws=DEMO)
    visitor.press("Everybody")
    visitor.choose("And who are in the segment or list", LIST)
    assert people(visitor)[:2] == [second, second]
    visitor.page.keyboard.press("Escape")

    visitor.press("Saved")
    visitor.write("Save this report as", REPORT)
    visitor.press("Save")
    assert visitor.page.get_by_role("heading", name=REPORT).is_visible()

    colleague = arrive(product.member("MEMBER", DEMO))
    colleague.open(visitor.path().removeprefix("/"))
    assert colleague.page.get_by_role("heading", name=REPORT).is_visible()
    assert people(colleague) == people(visitor)
    assert colleague.failures() == []


@pytest.fixture(autouse=True)
def _as_it_was(product: Product) -> Iterator[None]:
    """Nothing stays saved in the demo."""
    yield
    workspace, now = product.workspace_id(DEMO), clock.now()
    who = Principal.system(workspace)
    with product.pool("gdp_web").transaction(workspace) as session:
        for report in reports.list_reports(session, "funnel"):
            reports.delete_report(session, who, report.id, now=now)
        for saved in reports.list_lists(session):
            reports.delete_list(session, who, saved.id, now=now)
