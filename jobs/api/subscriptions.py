"""Addresses that are to be told of entries and exits."""

from uuid import UUID

from fastapi import APIRouter, Request

from gdp_core.segments import subscribing
from jobs.api import shapes
from jobs.api.asking import Asking

router = APIRouter(prefix="/api/v1/webhook-subscriptions", tags=["Webhook subscriptions"])


@router.get("", summary="The subscriptions", responses=shapes.errors())
def list_subscriptions(caller: Asking) -> shapes.Subscriptions:
    """Who is told of entries and exits, without the secrets."""
    with caller.reading() as (session, principal):
        found = subscribing.list_subscriptions(session, principal)
    return shapes.Subscriptions(subscriptions=[shapes.Subscription(**_told(one)) for one in found])


@router.post("", status_code=201, summary="Have an address told", responses=shapes.errors(400, 404, 409, 413))
def subscribe(request: Request, caller: Asking, asked: shapes.NewSubscription) -> shapes.MadeSubscription:
    """Of what happens from now on. The secret is in this answer and nowhere else: asked again for the same, it is a
    conflict that names the subscription there is."""
    with caller.changing() as (session, principal):
        made = subscribing.subscribe(
            session,
            principal,
            url=asked.url,
            segment_id=asked.segment,
            kinds=asked.kinds,
            loopback=request.app.state.loopback,
            now=caller.now,
        )
    return shapes.MadeSubscription(**_told(made.subscription), secret=made.secret)


@router.delete("/{subscription_id}", status_code=204, summary="Tell it nothing more", responses=shapes.errors(404))
def unsubscribe(caller: Asking, subscription_id: UUID) -> None:
    """What was not told yet is not told any more."""
    with caller.changing() as (session, principal):
        subscribing.unsubscribe(session, principal, subscription_id, now=caller.now)


def _told(one: subscribing.Subscription) -> dict[str, object]:
    return {
        "id": one.id,
        "url": one.url,
        "segment": one.segment_id,
        "kinds": list(one.kinds),
        "enabled": one.enabled,
        "position": one.position,
        "created_at": one.created_at,
    }
