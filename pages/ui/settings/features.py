"""The tab Features: what is told of people here, and the features this workspace defines for itself."""

from typing import Any, get_args

import streamlit as st

from gdp_core.analytics.measures import MONEY
from gdp_core.analytics.window import Unit, Window
from gdp_core.errors import InvalidInput
from gdp_core.features import definitions
from gdp_core.features.base import Aggregate, Feature, Tally
from gdp_core.features.definitions import Wanted
from gdp_core.timeline.matching import Condition, Match, read_values, write_values
from pages.ui import layout, state
from pages.ui.context import Here, here
from pages.ui.escape import clean, safe_text
from pages.ui.reporting.picking import COMPARISONS, UNITS
from pages.ui.settings.changing import change

_BY: dict[Aggregate, str] = {
    "count": "How often it happened",
    "days": "On how many days it happened",
    "since": "Days since the last time",
    "first": "The first time, or what a field said then",
    "last": "The last time, or what a field said then",
    "sum": "A field, added up",
    "distinct": "Different values of a field",
}
_NEW = ""
_ALWAYS = "all time"
_CHOSEN: state.Slot[str] = state.Slot("settings.feature", _NEW)
_ALONE = ("set", "not_set")


def tab(place: Here, names: list[str]) -> None:
    """The features there are, and the form for one of the workspace's own; `names` are the events there are."""
    layout.note(
        "What is told of each person: on their profile, and as filters and columns in People. A new one is there within"
        " a minute."
    )
    told = place.read(definitions.read_features)
    own = {feature.slug: feature for feature in told if feature.is_defined}
    if place.may("features.write"):
        with layout.card("Define a feature", key="feature-define", height="content"):
            _form(place, own, names)
    _listed(told)


def _listed(told: tuple[Feature, ...]) -> None:
    shown = sorted(told, key=lambda feature: not feature.is_defined)
    layout.table(
        {
            "Feature": [clean(feature.title, longest=80) for feature in shown],
            "What it is": [clean(feature.definition, longest=400) for feature in shown],
            "Defined here": [feature.is_defined for feature in shown],
            "Short name": [feature.slug for feature in shown],
        },
        alt="Features of people",
        config={
            "Feature": st.column_config.TextColumn(width=200, pinned=True),
            "What it is": st.column_config.TextColumn(width=520),
        },
        height="content",
    )


def _form(place: Here, own: dict[str, Feature], names: list[str]) -> None:
    if _CHOSEN.get() not in own:
        _CHOSEN.set(_NEW)
    if own:
        st.selectbox(
            "Change one that is there, or make another",
            [_NEW, *own],
            key=_CHOSEN.key,
            format_func=lambda slug: clean(own[slug].title, longest=80) if slug else "A new feature",
            width=360,
        )
    slug = _CHOSEN.get()
    begins = own.get(slug)
    made = begins.made if begins and isinstance(begins.made, Tally) else Tally(Match(()), "count")
    match = made.of if isinstance(made.of, Match) else Match(())
    with st.form(f"feature-form-{slug or 'new'}", border=False):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            title = st.text_input(
                "Title",
                value=begins.title if begins else "",
                max_chars=60,
                placeholder="Invoices sent, 30 d",
                key=f"feature.{slug}.title",
            )
            by = st.selectbox(
                "What is told",
                [*_BY],
                index=[*_BY].index(made.by),
                format_func=_BY.__getitem__,
                key=f"feature.{slug}.by",
            )
        events = st.multiselect(
            "Of these events",
            [*dict.fromkeys([*match.names, *names])],
            default=list(match.names),
            format_func=clean,
            accept_new_options=True,
            placeholder="Whatever people do",
            key=f"feature.{slug}.events",
        )
        st.caption("Only those for which all of this holds; several values with | between them")
        edited = _conditions(match.conditions, slug)
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            window = made.window
            amount = st.number_input(
                "In the last",
                min_value=1,
                max_value=10_000,
                value=window.amount if window else None,
                placeholder=_ALWAYS,
                step=1,
                key=f"feature.{slug}.amount",
                width=140,
            )
            unit: Unit = st.selectbox(
                "Unit",
                get_args(Unit),
                index=get_args(Unit).index(window.unit if window else "d"),
                format_func=UNITS.__getitem__,
                key=f"feature.{slug}.unit",
                width=170,
            )
            field = st.text_input(
                "Field",
                value=made.field or "",
                max_chars=200,
                placeholder=f"a property, or {MONEY}",
                help="What is added up, told apart or quoted; value_micros is money, of one currency.",
                key=f"feature.{slug}.field",
                width=220,
            )
            word = st.text_input(
                "Unit of the number",
                value=begins.unit if begins else "",
                max_chars=20,
                key=f"feature.{slug}.word",
                width=150,
            )
        with st.container(horizontal=True):
            save = st.form_submit_button("Save" if begins else "Define", type="primary", key=f"feature.{slug}.save")
            remove = begins is not None and st.form_submit_button(
                "Remove…", type="tertiary", key=f"feature.{slug}.remove"
            )
        problems = st.container()
    if save:
        try:
            wanted = Wanted(
                title=title,
                by=by,
                events=tuple(events),
                conditions=_parsed(edited),
                window=Window(int(amount), unit) if amount else None,
                field=field.strip() or None,
                unit=word,
            )
            _save(place, begins, wanted)
        except InvalidInput as error:
            problems.error(safe_text(error), icon=":material/error:")
    if remove and begins:
        layout.confirm(
            f"Remove “{begins.title}”?",
            body="Everybody's value of it goes, and filters by it hold for nobody.",
            button="Remove",
            act=lambda: _remove(begins),
            key="feature.confirm",
        )


def _save(place: Here, begins: Feature | None, wanted: Wanted) -> None:
    if begins:
        change(
            lambda session, who: definitions.redefine(session, who, begins.slug, wanted, now=place.now),
            f"{wanted.title} is told so from now on.",
        )
    else:
        change(
            lambda session, who: definitions.define(session, who, wanted, now=place.now),
            f"{wanted.title} is defined: it is there within a minute.",
        )


def _remove(feature: Feature) -> str:
    place = here()
    with place.change() as session:
        definitions.remove(session, place.principal, feature.slug, now=place.now)
    _CHOSEN.clear()
    return f"{feature.title} is removed."


def _conditions(found: tuple[Condition, ...], slug: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {
            "Field": one.field,
            "Condition": COMPARISONS[one.comparison],
            "Value": write_values(one.values),
        }
        for one in found
    ]
    edited: list[dict[str, Any]] = st.data_editor(
        rows or [{"Field": None, "Condition": None, "Value": None}],
        num_rows="dynamic",
        hide_index=True,
        key=f"feature.{slug}.conditions",
        column_config={
            "Field": st.column_config.TextColumn(max_chars=200),
            "Condition": st.column_config.SelectboxColumn(options=list(COMPARISONS.values())),
            "Value": st.column_config.TextColumn(max_chars=200),
        },
    )
    return edited


def _parsed(edited: list[dict[str, Any]]) -> tuple[Condition, ...]:
    """The conditions of the editor; rows without a field are none. Raises InvalidInput."""
    comparisons = {said: name for name, said in COMPARISONS.items()}
    found = []
    for row in edited:
        field, value = str(row.get("Field") or "").strip(), str(row.get("Value") or "").strip()
        if not field:
            continue
        comparison = comparisons[str(row.get("Condition") or "is")]
        if comparison not in _ALONE and not value:
            raise InvalidInput(f"The condition on {field} needs a value.")
        found.append(Condition(field, comparison, () if comparison in _ALONE else read_values(value)))
    return tuple(found)
