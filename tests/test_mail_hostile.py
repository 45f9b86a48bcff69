"""Signed nonsense about e-mails and contacts: every delivery ends applied or set aside, none is stuck or dead."""

import random
from datetime import timedelta

import pytest

from gdp_core.db import one, rows

from . import history
from .conftest import NOW
from .door import encryption_keys  # noqa: F401
from .test_pipeline import delivery

_ODD = [
    None,
    True,
    0,
    -1,
    2**64 - 1,
    1e300,
    "",
    " ",
    "x" * 5000,
    "\0",
    "é\u0301",
    [],
    {},
    [[]],
    [None],
    {"id": 1},
    ["a", 1],
]
_EMAILS = "sent delivered opened clicked bounced complained failed suppressed received scheduled unheard_of".split()
_KINDS = [*(f"email.{kind}" for kind in _EMAILS), "contact.created", "contact.updated", "contact.topics.updated"]
_KINDS += ["contact.deleted", "suppression.added", "suppression.removed", "domain.created", "inbox.x"]


def odd_body(dice: random.Random) -> dict[str, object]:
    """A delivery of which some fields hold what they never should."""
    data: dict[str, object] = {
        "id": f"c{dice.randrange(3)}",
        "email_id": f"em_{dice.randrange(3)}",
        "created_at": NOW.isoformat(),
        "from": "Acme <hi@acme.example>",
        "to": ["ada@acme.example"],
        "email": "ada@acme.example",
        "subject": "Hello",
        "tags": {"user_id": "u1", "campaign": "c", "segment_id": "s", "funnel": "f"},
        "topics": [{"id": "news", "subscription": "opt_in"}],
        "unsubscribed": dice.random() < 0.5,
        "origin": "bounce",
        "audience_id": "aud",
        "click": {"link": "https://acme.example/", "userAgent": "Mozilla", "ipAddress": "203.0.113.7"},
        "bounce": {"type": "Permanent", "subType": "General", "message": "gone"},
    }
    for _ in range(dice.randrange(4)):
        target = dice.choice([data, *(value for value in data.values() if isinstance(value, dict) and value)])
        target[dice.choice(sorted(target))] = dice.choice(_ODD)
    at = NOW - timedelta(minutes=dice.randrange(9000))
    return {"type": dice.choice(_KINDS), "created_at": at.isoformat(), "data": data}


@pytest.mark.parametrize("seed", range(4))
def test_no_delivery_of_a_mailer_is_ever_stuck(database, seed):
    dice = random.Random(seed)
    ws = database.workspace()
    source_id = database.source(ws, "resend")
    told = [
        delivery(
            ws,
            source_id,
            odd_body(dice),
            source="resend",
            route="webhook",
            trust="signed",
            headers={"svix-id": f"m{n}"},
        )
        for n in range(120)
    ]
    history.put(database, told)
    history.drain(database, [ws])
    with database.web.transaction(ws) as session:
        states = dict(rows(session, "SELECT state, count(*) FROM inbox GROUP BY 1"))
        errors = {row.error for row in rows(session, "SELECT error FROM inbox WHERE error IS NOT NULL")}
        assert states.keys() <= {"applied", "quarantined", "duplicate"}, (states, errors)
        assert one(session, "SELECT count(*) AS n FROM email_event").n > 20
