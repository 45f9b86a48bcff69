"""Person: everything known of one person. `?id=` takes any id ever issued."""

from uuid import UUID

from gdp_core.analytics import person_features, profile, warning
from gdp_core.analytics import timeline as reads
from gdp_core.errors import NotFound
from pages.ui import data, layout, nav, person, state
from pages.ui.context import here
from pages.ui.person import billing, features, head, identity, mail, segments, timeline, traits

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

head.show(place, found)
tab = person.tabs()

match tab:
    case "identity":
        identity.tab(place, person_id, identifiers, place.read(profile.read_evidence, actors))
    case "traits":
        traits.tab(place, place.read(profile.read_assertions, actors))
    case "features":
        features.tab(
            place, place.read(person_features.read_person, person_id, place.now), place.read(warning.read_warned)
        )
    case "segments":
        segments.tab(place, person_id)
    case "billing":
        billing.tab(place, place.read(profile.read_billing, actors))
    case "mail":
        addresses = [item.value for item in identifiers if item.namespace == "email"]
        addresses += [found.person.email] if found.person.email else []
        mailbox = place.read(profile.read_mailbox, place.workspace.id, actors, list(dict.fromkeys(addresses)))
        mail.tab(place, mailbox)
    case _:
        timeline.filters(data.remembered(place, reads.read_names))
        after = reads.After.parse(person.AFTER.value) if person.AFTER.value else None
        items, more = place.read(
            reads.read_page, person_id, actors, timeline.cut(place), after=after, size=timeline.PAGE_SIZE
        )
        if items:
            timeline.table(place, items, more)
        else:
            layout.note(
                "Nothing matches these filters." if timeline.cut(place) != reads.Cut() else "Nothing happened yet."
            )
        timeline.opened(place)
state.publish(person.FIELDS)
