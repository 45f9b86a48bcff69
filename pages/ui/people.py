"""The people list's parts: its fields in the URL, its columns, and the drawer that shows one person briefly."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import streamlit as st

from gdp_core.analytics.people_list import ACTIVITY, SORTS, Count, Filter, Page, PersonRow, Place
from gdp_core.analytics.person_features import FeatureFilter, FeatureValue
from gdp_core.features.base import Feature
from gdp_core.tables.people import FIRST_TOUCH, STAGES
from pages.ui import boundary, features, layout, nav, state
from pages.ui.context import Here
from pages.ui.escape import button_text, clean, safe_text, storable
from pages.ui.format import UNKNOWN, Format, label
from pages.ui.rows import Buttons

PAGE_SIZE = 50
WORDS = state.Field("people", "q")
STAGE = state.Field("people", "stage", kind="list", default=[], choices=STAGES)
SOURCE = state.Field("people", "source", kind="list", default=[], choices=FIRST_TOUCH)
PLAN = state.Field("people", "plan", kind="list", default=[])
ACTIVE = state.Field("people", "activity", default=None, choices=tuple(ACTIVITY))
KNOWN = state.Field("people", "known", default=None, choices=("known", "anonymous"))
INTERNAL = state.Field("people", "internal", default=None, choices=("with", "only"))
SORT = state.Field("people", "sort", default="last_seen", choices=tuple(SORTS))
ASCENDING = state.Field("people", "asc", kind="flag", default=False)
AT = state.Field("people", "at")
FIRST = state.Field("people", "n", kind="number", default=1)
SORT_NAMES = {"last_seen": "Last seen", "first_seen": "First seen", "spent": "Spent", "mrr": "MRR"}
ACTIVITY_NAMES = {
    name: f"Active in {days} days" if days > 0 else f"Silent for {-days} days" for name, days in ACTIVITY.items()
}

_COLUMNS: dict[str, str] = {
    "email": "E-mail",
    "stage": "Stage",
    "source": "Source",
    "plan": "Plan",
    "mrr": "MRR",
    "spent": "Spent",
    "last_seen": "Last seen",
    "first_seen": "First seen",
    "company": "Company",
    "phone": "Phone",
    "industry": "Industry",
    "status": "Status",
    "medium": "Medium",
    "campaign": "Campaign",
    "cohort": "Cohort",
    "tags": "Tags",
    "lifetime_value": "Lifetime value",
    "events": "Events",
    "active_days": "Active days",
    "core_actions": "Core actions",
    "identifiers": "Identifiers",
    "signup": "Signed up",
    "trial": "Trial started",
    "subscribed": "Subscribed",
    "churned": "Churned",
    "id": "Id",
}
_USUAL = ["email", "stage", "source", "plan", "mrr", "spent", "last_seen"]
COLUMNS = state.Field("people", "cols", kind="list", default=_USUAL)
HAS = state.Field("people", "has", kind="list", default=[])
FIELDS = (WORDS, STAGE, SOURCE, PLAN, ACTIVE, KNOWN, INTERNAL, HAS, SORT, ASCENDING, COLUMNS, AT, FIRST)
FILTERS = (WORDS, STAGE, SOURCE, PLAN, ACTIVE, KNOWN, INTERNAL, HAS)

STAGE_TONES: dict[str, layout.Tone] = {
    "lead": "gray",
    "marketing": "blue",
    "trial": "violet",
    "active": "green",
    "churned": "red",
    "dormant": "orange",
}
OPEN: Buttons[str] = Buttons("people.open")
_CHOSEN_COLUMNS: state.Slot[list[str] | None] = state.Slot("people.columns", None)


def chosen() -> Filter:
    """The filter that the page's fields make."""
    return _filter({field.name: field.value for field in FIELDS})


def filter_of(query: Mapping[str, str]) -> Filter:
    """The filter that a URL's parameters make: what `export_query` wrote."""
    said = {name: storable(text) for name, text in query.items()}
    return _filter({field.name: field.parse(said.get(field.name)) for field in FIELDS})


def export_query(wanted: Filter) -> dict[str, str]:
    """The URL parameters that say this filter, and which features are shown."""
    values: list[tuple[state.Field, Any]] = [
        (WORDS, wanted.words),
        (STAGE, list(wanted.stages)),
        (SOURCE, list(wanted.sources)),
        (PLAN, list(wanted.plans)),
        (ACTIVE, wanted.activity or None),
        (KNOWN, wanted.known or None),
        (INTERNAL, wanted.internal or None),
        (HAS, [features.filter_text(one) for one in wanted.features]),
        (SORT, wanted.sort),
        (ASCENDING, not wanted.descending),
        (COLUMNS, [f"{_FEATURE}{slug}" for slug in feature_columns(COLUMNS.value)] or None),
    ]
    said = {field.name: field.text(value) for field, value in values}
    return {name: text for name, text in said.items() if text is not None}


def features_of(query: Mapping[str, str]) -> list[str]:
    """The slugs of the features that a URL's parameters show: what `export_query` wrote."""
    return feature_columns(COLUMNS.parse(storable(query.get(COLUMNS.name, ""))))


def _filter(values: Mapping[str, Any]) -> Filter:
    return Filter(
        words=values[WORDS.name] or "",
        stages=tuple(values[STAGE.name]),
        sources=tuple(values[SOURCE.name]),
        plans=tuple(values[PLAN.name]),
        activity=values[ACTIVE.name] or "",
        known=values[KNOWN.name] or "",
        internal=values[INTERNAL.name] or "",
        features=features.filters_of(values[HAS.name]),
        sort=values[SORT.name],
        descending=not values[ASCENDING.name],
    )


def first_page() -> None:
    """A callback: the filter or the order changed, so the list begins again."""
    AT.set("")
    FIRST.set(1)


def clear() -> None:
    """A callback: no filter."""
    for field in FILTERS:
        field.set(field.default)
    first_page()


def turn(place: Place, first: int) -> None:
    """A callback: go to the page that begins at `place`, its first row being the `first`th."""
    AT.set(place.text)
    FIRST.set(max(1, first))


def filters(place: Here, plans: Sequence[str], told: Sequence[Feature]) -> None:
    """The row of filters; `told` are the features there are."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.text_input(
            "Search",
            key=WORDS.key,
            type="search",
            live="400ms",
            placeholder="Name, e-mail or any identifier",
            icon=":material/search:",
            on_change=first_page,
            label_visibility="collapsed",
            width=240,
        )
        _many("Stage", STAGE, STAGES)
        _many("Source", SOURCE, FIRST_TOUCH)
        _many("Plan", PLAN, [*dict.fromkeys([*plans, *PLAN.value])], spelt=False)
        st.selectbox(
            "Activity",
            [*ACTIVITY_NAMES],
            key=ACTIVE.key,
            index=None,
            format_func=ACTIVITY_NAMES.__getitem__,
            placeholder="Activity",
            on_change=first_page,
            label_visibility="collapsed",
            width=135,
        )
        _having(place, told)
        with st.popover("More", icon=":material/tune:", key="people-more"):
            _more(told)


def _many(name: str, field: state.Field, options: Sequence[str], *, spelt: bool = True) -> None:
    st.multiselect(
        safe_text(name),
        list(options),
        key=field.key,
        format_func=label if spelt else clean,
        placeholder=name,
        on_change=first_page,
        label_visibility="collapsed",
        width=135,
    )


def _having(place: Here, told: Sequence[Feature]) -> None:
    """The filters by features: a button that says them and opens them."""
    found = features.filters_of(HAS.value)
    said = features.filter_words(place, told, found[0]) if found else "Features"
    with st.popover(
        safe_text(f"{said} and {len(found) - 1} more" if len(found) > 1 else said, longest=60),
        icon=":material/query_stats:",
        key="people-having",
    ):
        for number, one in enumerate(found):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.markdown(safe_text(features.filter_words(place, told, one)), width="stretch")
                st.button(
                    "",
                    help="Remove this filter",
                    icon=":material/close:",
                    type="tertiary",
                    key=f"people-having-{number}",
                    on_click=_has_not,
                    args=(number,),
                )
        features.ask(told, _has)


def _has(wanted: FeatureFilter) -> None:
    """A callback: another filter."""
    HAS.set([*HAS.value, features.filter_text(wanted)])
    first_page()


def _has_not(number: int) -> None:
    """A callback: without this one."""
    HAS.set([text for place, text in enumerate(HAS.value) if place != number])
    first_page()


def _more(told: Sequence[Feature]) -> None:
    st.segmented_control(
        "Identity", ["known", "anonymous"], key=KNOWN.key, format_func=label, on_change=first_page, width="stretch"
    )
    st.segmented_control(
        "Internal people",
        ["with", "only"],
        key=INTERNAL.key,
        format_func={"with": "Show too", "only": "Only them"}.__getitem__,
        on_change=first_page,
        width="stretch",
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Sort by", [*SORT_NAMES], key=SORT.key, format_func=SORT_NAMES.__getitem__, on_change=first_page, width=160
        )
        st.checkbox("Lowest first", key=ASCENDING.key, on_change=first_page)
    named = columns_of(told)
    st.multiselect("Columns", [*named], key=COLUMNS.key, format_func=named.__getitem__, width=360)


def columns_of(told: Sequence[Feature]) -> dict[str, str]:
    """Every column by its name in the address: those of people, then the features that are not among them."""
    found = dict(_COLUMNS)
    for feature in told:
        title = clean(feature.title, longest=60)
        if title not in _COLUMNS.values():
            found[f"{_FEATURE}{feature.slug}"] = title if title not in found.values() else f"{title} ({feature.slug})"
    return found


_FEATURE = "feature."


def feature_columns(columns: Sequence[str]) -> list[str]:
    """The slugs of the features among columns, each once."""
    return [*dict.fromkeys(name.removeprefix(_FEATURE) for name in columns if name.startswith(_FEATURE))]


def keep_columns(told: Sequence[Feature]) -> None:
    """Before the widgets: the columns this tab chose last, where the URL does not say; of either, those there are."""
    kept = _CHOSEN_COLUMNS.get()
    if state.query(COLUMNS.name) is None and kept and COLUMNS.value == _USUAL:
        COLUMNS.set(kept)
    COLUMNS.set([name for name in COLUMNS.value if name in columns_of(told)])


def remember_columns() -> None:
    """After the widgets: keep the choice for the next visit."""
    _CHOSEN_COLUMNS.set(list(COLUMNS.value))


def nobody_yet(place: Here) -> None:
    """Instead of a list, where nobody is known."""
    with layout.empty(
        ":material/group:", "Nobody yet", "People appear here as soon as a connected source sends their first event."
    ):
        if nav.may_open(place, "sources"):
            nav.link(place, "sources", label="Connect a source")


def nobody_matches(wanted: Filter) -> None:
    """Instead of a list, where the filters leave nobody."""
    hint = (
        "Your role finds whole words only: write all of the name, address or identifier."
        if wanted.whole and wanted.words
        else "Change the search or remove a filter."
    )
    with layout.empty(":material/search_off:", "Nobody matches", hint):
        st.button("Clear filters", on_click=clear, key="people-clear")


def people_table(
    place: Here,
    people: Sequence[PersonRow],
    told: Sequence[Feature],
    having: Mapping[UUID, Mapping[str, FeatureValue]],
) -> None:
    """The page's rows; the name and the icon before it open a person. `having` are the features that are shown."""
    write = place.write
    columns: dict[str, list[Any]] = {
        "open": OPEN.cells([str(person.id) for person in people]),
        "Name": [button_text(name_of(place, person)) for person in people],
    }
    named = columns_of(told)
    wanted = [name for name in COLUMNS.value if name in named] or _USUAL
    for name in wanted:
        if name in _COLUMNS:
            columns[_COLUMNS[name]] = [_cell(place, write, name, person) for person in people]
        else:
            theirs = [having.get(person.id, {}).get(name.removeprefix(_FEATURE)) for person in people]
            columns[named[name]] = [features.value_text(place, one) if one else UNKNOWN for one in theirs]
    config: dict[str, Any] = {
        "open": OPEN.column(),
        "Name": OPEN.text_column(width=180),
        "E-mail": st.column_config.TextColumn(width=240),
        "Source": st.column_config.TextColumn(width=115),
        "Plan": st.column_config.TextColumn(width=70),
        "Stage": st.column_config.MultiselectColumn(
            options=[label(name) for name in STAGES], color=[STAGE_TONES[name] for name in STAGES], width=100
        ),
        "Tags": st.column_config.ListColumn(),
    }
    for name in ("mrr", "spent", "lifetime_value", "events", "active_days", "core_actions", "identifiers"):
        config[_COLUMNS[name]] = st.column_config.TextColumn(alignment="right", width=80 if name == "mrr" else 95)
    for name in wanted:
        if name not in _COLUMNS:
            config[named[name]] = st.column_config.TextColumn(alignment="right")
    layout.table(columns, alt="People who match the filters", config=config, height="content")


def total_text(place: Here, total: Count) -> str:
    """4,990, or 10,000+ when there are more than were counted."""
    return f"{place.write.number(total.people)}{'' if total.exact else '+'}"


def pager(place: Here, page: Page, total: Count) -> None:
    """Which rows these are, the way to one of them without a mouse, and to the next and the previous ones."""
    write, first = place.write, FIRST.value if page.previous else 1
    last = first + len(page.rows) - 1
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        OPEN.chooser("Open somebody by name", {str(person.id): name_of(place, person) for person in page.rows})
        st.space("stretch")
        st.caption(
            f"{safe_text(write.number(first))}–{safe_text(write.number(last))} of {safe_text(total_text(place, total))}",
            width="content",
        )
        for name, icon, where, row in (
            ("Previous", ":material/chevron_left:", page.previous, first - PAGE_SIZE),
            ("Next", ":material/chevron_right:", page.next, last + 1),
        ):
            st.button(
                safe_text(name),
                icon=icon,
                key=f"people-{name.lower()}",
                disabled=where is None,
                on_click=turn,
                args=(where, row),
            )


def name_of(place: Here, person: PersonRow) -> str:
    """What a person is called in a list; who has no name is told by e-mail, else as a visitor."""
    named = place.sees(person.name) or place.sees(person.email) or place.sees(person.phone)
    return clean(named, longest=120) if named else f"Visitor {str(person.id)[:8]}"


def _cell(place: Here, write: Format, name: str, person: PersonRow) -> Any:
    match name:
        case "email" | "phone":
            found = place.sees(getattr(person, name))
            return clean(found) if found else UNKNOWN
        case "stage":
            return [label(person.stage)] if person.stage else []
        case "source" | "status":
            return label(getattr(person, name))
        case "plan":
            return clean(person.plan_name) if person.plan_name else UNKNOWN
        case "mrr" | "spent" | "lifetime_value":
            return _amount(write, person, name)
        case "last_seen" | "first_seen" | "signup" | "trial" | "subscribed" | "churned":
            return write.instant(getattr(person, _INSTANTS[name]))
        case "events" | "active_days" | "core_actions" | "identifiers":
            return write.number(getattr(person, _COUNTS.get(name, name)))
        case "tags":
            return [clean(tag) for tag in person.tags]
        case "id":
            return str(person.id)
    found = getattr(person, name)
    return clean(str(found)) if found else UNKNOWN


_INSTANTS = {
    "last_seen": "last_seen_at",
    "first_seen": "first_seen_at",
    "signup": "signup_at",
    "trial": "trial_started_at",
    "subscribed": "subscribed_at",
    "churned": "churned_at",
}
_COUNTS = {"events": "total_events"}


def _amount(write: Format, person: PersonRow, name: str) -> str:
    micros = {
        "mrr": person.mrr_micros,
        "spent": person.total_spent_micros,
        "lifetime_value": person.lifetime_value_micros,
    }[name]
    return write.money(micros, person.currency) if person.currency else UNKNOWN


def drawer(place: Here, person: PersonRow) -> None:
    """One person in brief, at the right of the list, with the link to everything."""

    @boundary.dialog(name_of(place, person), drawer=True, icon=":material/person:")
    def show() -> None:
        write = place.write
        with st.container(horizontal=True):
            if person.stage:
                layout.badge(label(person.stage), STAGE_TONES[person.stage])
            if person.plan_name:
                layout.badge(person.plan_name, "blue")
            if person.is_internal:
                layout.badge("Internal", "gray", ":material/visibility_off:")
        seen = {"E-mail": place.sees(person.email), "Phone": place.sees(person.phone), "Company": person.company}
        pairs = {name: text for name, text in seen.items() if text}
        pairs |= {
            "Came by": label(person.source),
            "First seen": write.instant(person.first_seen_at),
            "Last seen": f"{write.instant(person.last_seen_at)} ({write.ago(person.last_seen_at, place.now)})",
            "Events": write.number(person.total_events),
            "Spent": _amount(write, person, "spent"),
            "MRR": _amount(write, person, "mrr"),
        }
        layout.facts(pairs)
        nav.link(place, "person", label="Open full profile", icon=":material/open_in_new:", id=str(person.id))

    show()
