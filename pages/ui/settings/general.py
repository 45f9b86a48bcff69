"""The tab General: what a workspace is called, and how it writes numbers, dates and money."""

from zoneinfo import available_timezones

import streamlit as st
from babel import Locale
from babel.numbers import list_currencies
from pydantic import BaseModel, Field

from gdp_core import choices
from gdp_core.accounts.workspaces import WorkspaceSettings
from pages.ui import forms, layout, workspaces
from pages.ui.context import Here
from pages.ui.settings.changing import change

_LOCALES = (
    "da_DK de_AT de_CH de_DE en_AU en_CA en_GB en_IE en_IN en_NZ en_US en_ZA es_ES es_MX fi_FI fr_BE fr_CA fr_CH fr_FR"
    " it_IT ja_JP ko_KR nb_NO nl_BE nl_NL pl_PL pt_BR pt_PT sv_SE tr_TR zh_CN"
).split()


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


def tab(place: Here) -> None:
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
        read_only=not place.may("settings.write"),
    )
    if wanted:
        changed = WorkspaceSettings(**(wanted.model_dump() | {"locale": locales[wanted.locale]}))
        change(lambda session, who: choices.change_workspace(session, who, changed, now=place.now), "Settings saved.")
    layout.note(f"Short name, used in addresses and commands: {workspace.slug}")
    if place.may("workspace.create") and st.button("New workspace", icon=":material/add:", key="workspace-new"):
        workspaces.ask_new()


def _locale_name(code: str) -> str:
    return Locale.parse(code).get_display_name("en") or code
