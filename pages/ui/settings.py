"""The Settings page's parts, one function for each tab. Who may not change a setting sees it read-only."""

from collections.abc import Callable
from typing import Any
from zoneinfo import available_timezones

import streamlit as st
from babel import Locale
from babel.numbers import list_currencies
from pydantic import BaseModel, Field
from sqlmodel import Session

from gdp_core import choices
from gdp_core.accounts import workspaces
from gdp_core.accounts.roles import Principal, Role
from gdp_core.accounts.workspaces import WorkspaceSettings
from gdp_core.choices import PLAN_MATCHES, PlanChoice, PlanMatch, Retention, RoleChoice, RuleKind
from gdp_core.errors import InvalidInput
from gdp_core.event_roles import RoleFilter
from gdp_core.identity import Limits
from gdp_core.recompute import read_limits, read_recomputing
from gdp_core.runtime import database
from pages.ui import boundary, data, forms, layout, nav, state
from pages.ui.context import Here, here
from pages.ui.escape import clean, safe_text
from pages.ui.format import label

TABS = {
    "general": "General",
    "roles": "Event roles",
    "internal": "Internal",
    "plans": "Plans",
    "rates": "Rates",
    "identity": "Identity",
    "retention": "Retention",
    "danger": "Danger",
}
TAB = state.Field("settings", "tab", default="general", choices=tuple(TABS))
FIELDS = (TAB,)
WIDTHS = {"general": 640, "internal": 640, "identity": 640, "retention": 640}
"""Of the tabs that are one form: wide enough to read, not wider."""
_STEPS = {
    "roles": "reading events again",
    "identity": "putting identifiers together again",
    "billing": "deriving subscriptions and payments again",
    "people": "refreshing people",
}
_LOCALES = (
    "da_DK de_AT de_CH de_DE en_AU en_CA en_GB en_IE en_IN en_NZ en_US en_ZA es_ES es_MX fi_FI fr_BE fr_CA fr_CH fr_FR"
    " it_IT ja_JP ko_KR nb_NO nl_BE nl_NL pl_PL pt_BR pt_PT sv_SE tr_TR zh_CN"
).split()


def recomputing(place: Here) -> None:
    """Says, for as long as it is so, that numbers are being derived again."""
    if place.read(read_recomputing) is not None:
        _progress()


@boundary.fragment(every=3)
def _progress() -> None:
    place = here()
    found = place.read(read_recomputing)
    if found is None:
        data.forget()
        st.success("Everything was derived again: all numbers follow the settings.", icon=":material/check_circle:")
        return
    st.progress(
        found.share,
        text=f"Numbers are being derived again since {safe_text(place.write.ago(found.since, place.now))}:"
        f" {_STEPS[found.step]} (step {safe_text(found.steps_done + 1)} of {safe_text(found.steps)}). You can go on working.",
    )


def _change(change: Callable[[Session, Principal], object], said: str) -> None:
    """Make a change under the role of now, say so, and run the page again."""
    place = here()
    with place.change() as session:
        change(session, place.principal)
    data.forget()
    layout.done(said)
    st.rerun()


def _change_in_callback(change: Callable[[Session, Principal], object], said: str) -> None:
    with boundary.guarded("settings"):
        place = here()
        with place.change() as session:
            change(session, place.principal)
        data.forget()
        layout.done(said)


# ---------------------------------------------------------------------------------------------------------- general


class General(BaseModel):
    """What a workspace is called and how it writes things."""

    name: str = Field(min_length=1, max_length=80)
    timezone: str = Field(title="Time zone", description="In which days, weeks and months are cut.")
    locale: str = Field(description="How numbers and dates are written.")
    base_currency: str = Field(
        title="Currency", description="What money is added up in; other currencies need exchange rates."
    )
    trial_days: int = Field(
        ge=0, le=365, title="Trial window (days)", description="Who signed up and never paid is in trial for so long."
    )
    dormant_days: int = Field(
        ge=1, le=3650, title="Dormant after (days)", description="Without any activity, and not paying."
    )


def general(place: Here) -> None:
    """Name, time zone, locale, currency and thresholds."""
    workspace = place.workspace
    locales = {_locale_name(code): code for code in dict.fromkeys([*_LOCALES, workspace.locale])}
    initial = {name: getattr(workspace, name) for name in General.model_fields}
    wanted = forms.ask(
        General,
        key="general",
        initial=initial | {"locale": _locale_name(workspace.locale)},
        options={
            "timezone": sorted(available_timezones()),
            "locale": sorted(locales),
            "base_currency": sorted(list_currencies()),
        },
        disabled=not place.may("settings.write"),
    )
    if wanted:
        changed = WorkspaceSettings(**(wanted.model_dump() | {"locale": locales[wanted.locale]}))
        _change(lambda session, who: choices.change_workspace(session, who, changed, now=place.now), "Settings saved.")
    layout.note(f"Short name, used in addresses and commands: {workspace.slug}")
    if place.may("workspace.create") and st.button("New workspace", icon=":material/add:", key="workspace-new"):
        _ask_workspace()


def _locale_name(code: str) -> str:
    return Locale.parse(code).get_display_name("en") or code


class NewWorkspace(BaseModel):
    """A workspace to make."""

    name: str = Field(min_length=1, max_length=80, examples=["Acme Europe"])
    slug: str = Field(
        title="Short name", max_length=40, examples=["acme-eu"], description="Letters, digits and hyphens; it stays."
    )


def _ask_workspace() -> None:
    @boundary.dialog("New workspace", icon=":material/add:")
    def show() -> None:
        layout.note("A brand or company of its own: nothing is shared between workspaces. You become its owner.")
        wanted = forms.ask(NewWorkspace, key="new-workspace", submit="Make it", border=False)
        if wanted is None:
            return
        place = here()
        workspaces.create(database("gdp_gate"), place.principal, slug=wanted.slug, name=wanted.name, now=place.now)
        _go_to(workspaces.valid_slug(wanted.slug), f"{wanted.name} is ready: connect a source.")

    show()


def _go_to(slug: str | None, said: str) -> None:
    state.forget_all()
    state.replace_query({"ws": slug} if slug else {})
    layout.done(said)
    st.rerun()


# ------------------------------------------------------------------------------------------------------ event roles

_OPS = {
    "is": "is",
    "is_not": "is not",
    "contains": "contains",
    "at_least": "is at least",
    "at_most": "is at most",
    "is_set": "is there",
}


def roles(place: Here, names: list[str]) -> None:
    """Which events mean what; `names` are the events there are."""
    layout.note(
        "Reports ask for meanings, not names. Say which of your events mean each; of those, filters keep only some."
    )
    for choice in place.read(choices.read_event_roles):
        with layout.card(key=f"role-{choice.role}", height="content"):
            _role(place, choice, names)


def _role(place: Here, choice: RoleChoice, names: list[str]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        layout.heading(label(choice.role))
        st.caption(safe_text(choice.meaning), width="content")
        if choice.is_default:
            layout.badge("Usual names")
    disabled = not place.may("settings.write")
    with st.form(f"role-form-{choice.role}", border=False):
        chosen = st.multiselect(
            "Events",
            [*dict.fromkeys([*choice.event_names, *names])],
            default=list(choice.event_names),
            format_func=clean,
            accept_new_options=True,
            key=f"role-names-{choice.role}",
            disabled=disabled,
        )
        with st.expander("Only when", expanded=bool(choice.filters), key=f"role-only-{choice.role}"):
            edited = _filters(choice, disabled=disabled)
        with st.container(horizontal=True):
            save = st.form_submit_button("Save", disabled=disabled, key=f"role-save-{choice.role}")
            reset = not choice.is_default and st.form_submit_button(
                "Back to the usual names", type="tertiary", disabled=disabled, key=f"role-reset-{choice.role}"
            )
    if save and not disabled:
        _change(
            lambda session, who: choices.set_event_role(
                session, who, choice.role, event_names=chosen, filters=_parsed(edited), now=place.now
            ),
            f"{label(choice.role)} saved; what hangs on it is derived again.",
        )
    if reset and not disabled:
        _change(
            lambda session, who: choices.reset_event_role(session, who, choice.role, now=place.now),
            f"{label(choice.role)} has the usual names again.",
        )


def _filters(choice: RoleChoice, *, disabled: bool) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"Property": item.property, "Condition": _OPS[item.op], "Value": "" if item.value is None else str(item.value)}
        for item in choice.filters
    ]
    edited: list[dict[str, Any]] = st.data_editor(
        rows or [{"Property": None, "Condition": None, "Value": None}],
        num_rows="fixed" if disabled else "dynamic",
        disabled=disabled,
        hide_index=True,
        key=f"role-filters-{choice.role}",
        column_config={
            "Property": st.column_config.TextColumn(max_chars=200),
            "Condition": st.column_config.SelectboxColumn(options=list(_OPS.values())),
            "Value": st.column_config.TextColumn(max_chars=200),
        },
    )
    return edited


def _parsed(edited: list[dict[str, Any]]) -> list[RoleFilter]:
    """The filters of the editor; rows without a property are none. Raises InvalidInput."""
    ops = {name: op for op, name in _OPS.items()}
    found = []
    for row in edited:
        name, value = str(row.get("Property") or "").strip(), str(row.get("Value") or "").strip()
        if not name:
            continue
        op: Any = ops.get(str(row.get("Condition") or "is"), "is")
        if op in ("at_least", "at_most"):
            try:
                found.append(RoleFilter(property=name, op=op, value=float(value)))
            except ValueError:
                raise InvalidInput(f"The filter on {name} compares with a number: write one.") from None
        else:
            found.append(RoleFilter(property=name, op=op, value=None if op == "is_set" else value))
    return found


# -------------------------------------------------------------------------------------------------- internal people


class Internal(BaseModel):
    """Whom to leave out."""

    kind: RuleKind = Field("domain", title="By")
    value: str = Field(title="E-mail domain or identifier", max_length=200, examples=["example.com"])


def internal(place: Here) -> None:
    """Whose activity counts in no number."""
    layout.note("Your own people: their visits, sign-ups and tests are kept, but left out of every number.")
    if place.may("settings.write"):
        wanted = forms.ask(Internal, key="internal", submit="Leave out", clear=True)
        if wanted:
            _change(
                lambda session, who: choices.add_internal_rule(session, who, wanted.kind, wanted.value, now=place.now),
                "Left out; people are refreshed.",
            )
    found = place.read(choices.read_internal_rules)
    if not found:
        layout.note("Nobody is left out.")
    for item in found:
        shown = item.value if item.kind == "domain" else place.sees(item.value)
        with (
            st.container(border=True, key=f"internal-{item.kind}-{item.value}"),
            st.container(horizontal=True, vertical_alignment="center", gap="small"),
        ):
            layout.badge(label(item.kind))
            st.text(clean(shown or ""), width="stretch")
            if place.may("settings.write"):
                st.button(
                    "Count again",
                    key=f"internal-remove-{item.kind}-{item.value}",
                    type="tertiary",
                    on_click=_remove_internal,
                    args=(item.kind, item.value),
                )


def _remove_internal(kind: RuleKind, value: str) -> None:
    _change_in_callback(
        lambda session, who: choices.remove_internal_rule(session, who, kind, value, now=here().now), "Counted again."
    )


# ------------------------------------------------------------------------------------------------------------ plans


class Plan(BaseModel):
    """What to call a price."""

    match: PlanMatch = Field(
        "price", title="Of Stripe's", description="A price wins over a lookup key, that over a product."
    )
    value: str = Field(title="Id", max_length=200, examples=["price_1Abc..."])
    plan_name: str = Field(title="Is the plan", max_length=200, examples=["Pro"])


def plans(place: Here) -> None:
    """What Stripe's prices are called here."""
    layout.note("Reports group revenue by plan. A price that no plan names goes by Stripe's own name.")
    unmapped = data.remembered(place, choices.read_unmapped)
    if unmapped:
        layout.heading("Prices without a plan")
        columns: dict[str, list[Any]] = {
            "Stripe calls it": [clean(item.stripe_name) for item in unmapped],
            "Price": [clean(item.price_id or "") for item in unmapped],
            "Product": [clean(item.product_id or "") for item in unmapped],
            "Live subscriptions": [place.write.number(item.subscriptions) for item in unmapped],
            "MRR": [", ".join(place.write.money(micros, code) for code, micros in item.mrr) for item in unmapped],
        }
        right = st.column_config.TextColumn(alignment="right")
        layout.table(
            columns,
            alt="Prices of live subscriptions that no plan names",
            config={"Live subscriptions": right, "MRR": right},
            height="content",
        )
    if place.may("settings.write"):
        first = next((item for item in unmapped if item.price_id), None)
        with st.container(width=640):
            wanted = forms.ask(
                Plan,
                key="plan",
                submit="Name the plan",
                initial={"match": "price", "value": first.price_id, "plan_name": first.stripe_name} if first else None,
                options={"match": PLAN_MATCHES},
            )
        if wanted:
            choice = PlanChoice(wanted.match, wanted.value, "", wanted.plan_name)
            _change(
                lambda session, who: choices.set_plan(session, who, choice, now=place.now),
                f"{wanted.plan_name} saved; billing is derived again.",
            )
    _mapped(place)


def _mapped(place: Here) -> None:
    found = place.read(choices.read_plans)
    if not found:
        layout.note("No price has a plan yet.")
        return
    layout.heading(f"{place.write.number(len(found))} prices with a plan")
    columns: dict[str, list[Any]] = {
        "Plan": [clean(item.plan_name) for item in found],
        "By": [label(item.match) for item in found],
        "Id": [clean(item.value) for item in found],
    }
    config: dict[str, Any] = {"Plan": st.column_config.TextColumn(pinned=True)}
    if place.may("settings.write"):
        columns["remove"] = [":material/delete:"] * len(found)
        config["remove"] = st.column_config.ButtonColumn(
            "", width=44, type="tertiary", key=_DROP, on_click=_remove_plan, help="Let Stripe's own name hold again"
        )
        _DROPPABLE.set(tuple((item.match, item.value) for item in found))
    layout.table(columns, alt="Prices and their plans", config=config, height="content")


_DROP = "settings.plan-drop"
_DROPPABLE: state.Slot[tuple[tuple[PlanMatch, str], ...]] = state.Slot("settings.plans", ())


def _remove_plan() -> None:
    hit, shown = state.clicked(_DROP), _DROPPABLE.get()
    if hit and 0 <= hit[0] < len(shown):
        match, value = shown[hit[0]]
        _change_in_callback(
            lambda session, who: choices.remove_plan(session, who, match, value, now=here().now),
            "Removed; billing is derived again.",
        )


# --------------------------------------------------------------------------------------------------- exchange rates


def rates(place: Here) -> None:
    """What other currencies are worth in the workspace's own."""
    base = place.workspace.base_currency
    layout.note(
        f"Money in other currencies is added up in {base} by the newest rate not after its day. Without a rate it is"
        " shown on its own."
    )
    found = place.read(choices.read_rates)
    if found:
        columns: dict[str, list[Any]] = {
            "Currency": [item.currency for item in found],
            "Days": [place.write.number(item.days) for item in found],
            "From": [place.write.day(item.first) for item in found],
            "To": [place.write.day(item.last) for item in found],
            f"Newest, in {base}": [place.write.number(float(item.newest), decimals=6) for item in found],
        }
        right = st.column_config.TextColumn(alignment="right")
        layout.table(
            columns,
            alt="Currencies with rates",
            config={"Days": right, f"Newest, in {base}": right},
            height="content",
        )
    else:
        layout.note("There are no rates yet.")
    if not place.may("settings.write"):
        return
    with st.form("rates", clear_on_submit=True):
        given = st.file_uploader("CSV of rates", type=["csv", "txt"], key="rates-file", max_upload_size=20)
        st.caption(
            f"Columns date,currency,rate: what one unit was worth in {safe_text(base)}, such as 2026\\-01\\-31,EUR,1\\.08."
            " Rates of the same day are replaced."
        )
        sent = st.form_submit_button("Take over", type="primary")
    if sent and given is not None:
        try:
            text = given.getvalue().decode("utf-8-sig")
        except UnicodeDecodeError:
            raise InvalidInput("The file is no UTF-8 text; save it as CSV in UTF-8.") from None
        _change(
            lambda session, who: choices.load_rates(session, who, text, now=place.now),
            "Rates taken over; people are refreshed.",
        )
    with st.container(horizontal=True):
        for item in found:
            st.button(
                f"Forget {safe_text(item.currency)}",
                key=f"rates-{item.currency}",
                type="tertiary",
                icon=":material/delete:",
                on_click=_remove_rates,
                args=(item.currency,),
            )


def _remove_rates(currency: str) -> None:
    _change_in_callback(
        lambda session, who: choices.remove_rates(session, who, currency, now=here().now), f"{currency} has no rates."
    )


# ----------------------------------------------------------------------------------------------- identity, retention


class IdentityLimits(BaseModel):
    """How many identifiers one person may have."""

    total: int | None = Field(None, ge=1, le=1_000_000, title="In all", description="Empty: no limit.")
    user: int = Field(5, ge=1, le=1_000_000, title="User ids")
    email: int = Field(5, ge=1, le=1_000_000, title="E-mail addresses")
    phone: int = Field(5, ge=1, le=1_000_000, title="Phone numbers")
    stripe: int = Field(20, ge=1, le=1_000_000, title="Stripe customers")


def identity(place: Here) -> None:
    """How large a person may grow."""
    layout.note(
        "Joining two people is refused when they would have more identifiers than this, unless somebody said explicitly"
        " that they are one; refused joins go to the merge reviews. It keeps shared devices and test ids from making one"
        " giant person."
    )
    limits = place.read(read_limits)
    wanted = forms.ask(
        IdentityLimits,
        key="limits",
        initial={"total": limits.total, **limits.of},
        disabled=not place.may("settings.write"),
    )
    if wanted:
        values = wanted.model_dump()
        chosen = Limits(total=values.pop("total"), of={**limits.of, **values})
        _change(
            lambda session, who: choices.set_limits(session, who, chosen, now=place.now),
            "Limits saved; people are put together again.",
        )
    nav.link(place, "reviews", label="Merge reviews", icon=":material/call_merge:")


class Kept(BaseModel):
    """How long things are kept."""

    inbox_days: int = Field(
        90,
        ge=1,
        le=3650,
        title="Raw deliveries (days)",
        description="What arrived, byte for byte: needed to replay it.",
    )
    event_months: int | None = Field(
        None,
        ge=1,
        le=600,
        title="Events (months)",
        description="Empty: for ever. Daily counts and money stay either way.",
    )


def retention(place: Here) -> None:
    """What is deleted when."""
    layout.note("Older data is deleted for good within hours of saving. A common choice is 24 months of events.")
    found = place.read(choices.read_retention)
    wanted = forms.ask(
        Kept,
        key="retention",
        initial={"inbox_days": found.inbox_days, "event_months": found.event_months},
        disabled=not place.may("settings.write"),
    )
    if not wanted:
        return
    chosen = Retention(wanted.inbox_days, wanted.event_months)
    shorter = chosen.inbox_days < found.inbox_days or (
        chosen.event_months is not None and (found.event_months is None or chosen.event_months < found.event_months)
    )
    if shorter:
        _ask_shorter(place, chosen)
    else:
        _change(lambda session, who: choices.set_retention(session, who, chosen, now=place.now), "Retention saved.")


def _ask_shorter(place: Here, chosen: Retention) -> None:
    def act() -> str:
        again = here()
        with again.change() as session:
            choices.set_retention(session, again.principal, chosen, now=again.now)
        return "Retention saved."

    events = f"events older than {chosen.event_months} months" if chosen.event_months else "no events"
    layout.confirm(
        "Keep less?",
        body=f"Deliveries older than {place.write.number(chosen.inbox_days)} days and {events} are deleted for good.",
        button="Delete what is older",
        act=act,
        key="retention-shorter",
    )


# ------------------------------------------------------------------------------------------------------- danger zone


def danger(place: Here) -> None:
    """Removing the demo, archiving, deleting, and taking archived workspaces back."""
    workspace = place.workspace
    if workspace.kind == "demo":
        _danger(
            place,
            "demo.remove",
            "Remove the demo",
            "Deletes this demo workspace with its made-up people and events. It is not made again.",
            _ask_demo,
        )
    _danger(
        place,
        "workspace.archive",
        "Archive the workspace",
        "Puts it away: nobody sees it, its keys and addresses stop working, nothing is deleted. An owner can take it back.",
        _ask_archive,
    )
    _danger(
        place,
        "workspace.delete",
        "Delete the workspace",
        "Deletes everything in it for ever: people, events, billing, settings and its audit log.",
        _ask_delete,
    )
    _archived(place)


def _danger(place: Here, action: str, name: str, meaning: str, ask: Callable[[Here], None]) -> None:
    with (
        layout.card(key=action.replace(".", "-"), height="content"),
        st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"),
    ):
        with st.container(gap=None, width="stretch"):
            layout.heading(name)
            layout.note(meaning if place.may(action) else f"{meaning} Your role may not do this.")
        if place.may(action) and st.button(safe_text(name), icon=":material/warning:", key=f"danger-{action}"):
            ask(place)


def _ask_demo(place: Here) -> None:
    def act() -> None:
        again = here()
        workspaces.remove_demo(database("gdp_web"), database("gdp_worker"), again.principal, now=again.now)
        _go_to(None, f"{again.workspace.name} is removed.")

    layout.confirm(
        f"Remove {place.workspace.name}?",
        body="All of its made-up people, events and billing are deleted. This takes a few seconds.",
        button="Remove the demo",
        act=act,
        key="demo-remove",
    )


def _ask_archive(place: Here) -> None:
    def act() -> None:
        again = here()
        with again.change() as session:
            workspaces.archive(session, again.principal, confirm=again.workspace.slug, now=again.now)
        _go_to(None, f"{again.workspace.name} is archived.")

    layout.confirm(
        f"Archive {place.workspace.name}?",
        body="Nobody sees it any more and what its sources send is refused, until an owner takes it back.",
        button="Archive",
        act=act,
        expected=place.workspace.slug,
        key="workspace-archive",
    )


def _ask_delete(place: Here) -> None:
    def act() -> None:
        again = here()
        workspaces.delete(
            database("gdp_web"),
            database("gdp_worker"),
            again.principal,
            confirm=again.workspace.slug,
            now=again.now,
        )
        _go_to(None, f"{again.workspace.name} is deleted.")

    layout.confirm(
        f"Delete {place.workspace.name} for ever?",
        body="Everything in it is deleted, for every member. This cannot be undone.",
        button="Delete for ever",
        act=act,
        expected=place.workspace.slug,
        key="workspace-delete",
    )


def _archived(place: Here) -> None:
    found = workspaces.list_archived(database("gdp_gate"), place.signed_in.user.id)
    if not found:
        return
    layout.heading("Archived workspaces of yours")
    for workspace_id, slug, name in found:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"archived-{slug}"):
            st.text(clean(f"{name} ({slug})"), width="stretch")
            st.button(
                "Take back",
                key=f"restore-{slug}",
                icon=":material/unarchive:",
                on_click=_restore,
                args=(workspace_id, name),
            )


def _restore(workspace_id: Any, name: str) -> None:
    """A callback."""
    with boundary.guarded("workspace.restore"):
        place = here()
        owner = Principal(place.signed_in.user.id, place.signed_in.user.email, workspace_id, Role.OWNER)
        with database("gdp_web").transaction(workspace_id) as session:
            workspaces.restore(session, owner, now=place.now)
        layout.done(f"{name} is back.")
