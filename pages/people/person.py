"""Person: everything known of one person. `?id=` takes any id ever issued."""

from uuid import UUID

from gdp_core.analytics import profile, timeline
from gdp_core.errors import NotFound
from pages.ui import data, layout, nav, person, state
from pages.ui.context import here

place = here()
state.adopt(person.FIELDS)
nav.link(place, "people", label="People", icon=":material/arrow_back:")
try:
    asked = UUID(state.query("id") or "")
except ValueError:
    raise NotFound("This address names no person: open one from the list of people.") from None

person_id = place.read(profile.person_of, asked)
found = place.read(profile.read_profile, person_id)
identifiers = place.read(profile.read_identifiers, person_id)
actors = [item.actor_id for item in identifiers]

person.head(place, found)
tab = person.tabs()

match tab:
    case "identity":
        person.identity_tab(place, person_id, identifiers, place.read(profile.read_evidence, actors))
    case "traits":
        person.traits_tab(place, place.read(profile.read_assertions, actors))
    case "billing":
        person.billing_tab(place, place.read(profile.read_billing, actors))
    case "mail":
        addresses = [item.value for item in identifiers if item.namespace == "email"]
        addresses += [found.person.email] if found.person.email else []
        mailbox = place.read(profile.read_mailbox, place.workspace.id, actors, list(dict.fromkeys(addresses)))
        person.mail_tab(place, mailbox)
    case _:
        person.timeline_filters(data.remembered(place, timeline.read_names))
        after = timeline.After.parse(person.AFTER.value) if person.AFTER.value else None
        items, more = place.read(
            timeline.read_page, person_id, actors, person.cut(place), after=after, size=person.PAGE_SIZE
        )
        if items:
            person.timeline_table(place, items, more)
        else:
            layout.note(
                "Nothing matches these filters." if person.cut(place) != timeline.Cut() else "Nothing happened yet."
            )
        person.opened(place)
state.publish(person.FIELDS)
