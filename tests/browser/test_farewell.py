"""The demo goes with one click, and what was real stays over a restart."""

from uuid import UUID

import pytest

from .axe import grave_problems
from .conftest import Arrive, House
from .product import DEMO, SECOND_BRAND, Product
from .visitor import Visitor

MOST_MEMORY = 1 << 30  # bytes of the whole stack at rest


def remove(visitor: Visitor, demo: str) -> None:
    visitor.open("settings", ws=demo, tab="danger")
    visitor.key("danger-demo-remove").get_by_role("button").click()
    dialog = visitor.page.get_by_role("dialog")
    dialog.get_by_role("button", name="Remove the demo").click()
    dialog.wait_for(state="hidden")
    visitor.settle()
    assert f"ws={demo}" not in visitor.path()


def test_the_demo_is_removed_with_one_click(product: Product, owner: UUID, arrive: Arrive) -> None:
    visitor = arrive(owner)
    remove(visitor, DEMO)
    visitor.page.get_by_test_id("stSidebar").get_by_role("combobox", name="Workspace").wait_for()
    visitor.open(ws=DEMO)
    assert "You are not a member of this workspace" in visitor.text
    visitor.open(ws=SECOND_BRAND)
    assert visitor.page.get_by_test_id("stMetric").count() == 5


def test_who_removed_the_last_demo_makes_a_workspace(product: Product, owner: UUID, arrive: Arrive) -> None:
    visitor = arrive(product.first_owner())
    remove(visitor, SECOND_BRAND)
    assert "You belong to no workspace" in visitor.text
    assert grave_problems(visitor.page) == []
    visitor.write("Name", "A house of our own")
    visitor.write("Short name", "own-house")
    visitor.press("Make a workspace")
    visitor.page.wait_for_url("**ws=own-house**")
    visitor.settle()
    assert "What A house of our own chose" in visitor.text
    visitor.open(ws="own-house")
    assert "No data yet" in visitor.text
    assert visitor.page.get_by_role("link", name="Connect a source").is_visible()

    other = arrive(owner)  # who is not the first to have come here asks for an invitation
    other.open()
    assert "Ask the person who invited you" in other.text
    assert not other.page.get_by_role("button", name="Make a workspace").count()


def test_a_second_start_is_the_same_place(product: Product, house: House, arrive: Arrive) -> None:
    if product.process is None:
        pytest.skip("the product was started by somebody else")
    visitor = arrive(house.owner)
    key, body = product.tracking_key(house.slug, "Before"), {"userId": "user_stays", "event": "stayed_over_a_restart"}
    visitor.until(
        lambda: product.deliver(f"{product.door}/v1/track", json=body, auth=(key, "")).status_code == 200,
        "believing the new key, two seconds later at most",
    )
    visitor.until(
        lambda: "stayed_over_a_restart" in visitor.text,
        "what was sent, in the catalogue",
        again=lambda: visitor.open("catalogue", ws=house.slug),
    )
    before = visitor.text
    visitor.page.close()
    assert product.stop() == []
    product.start("--demo", name="second start")
    assert product.memory() < MOST_MEMORY
    assert product.sign_in_address == f"{product.dashboard}/"  # a password was chosen, so there is no link any more

    again = arrive(house.owner)
    again.open("catalogue", ws=house.slug)
    assert again.text.splitlines()[:3] == before.splitlines()[:3]
    assert "stayed_over_a_restart" in again.text
    again.open(ws=DEMO)
    assert "You are not a member of this workspace" in again.text  # what was removed is not made again
