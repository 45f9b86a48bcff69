"""The early warning on the churn page: who is likely to fall silent next, and how far that can be believed."""

from typing import Any

import streamlit as st
from sqlmodel import Session

from gdp_core.analytics.warning import Band, Model, Warned, band_people, read_bands, read_warned
from pages.ui import layout, nav
from pages.ui.charts import churn as charts
from pages.ui.charts.style import CONFIG
from pages.ui.escape import safe_text
from pages.ui.reporting import churn, clicking, explaining
from pages.ui.reporting.behind import Behind
from pages.ui.reporting.clicking import Click
from pages.ui.reporting.page import Turn

_MOST_DRAWN = 12


def show(turn: Turn) -> Behind | None:
    """The view, and the people of the number that was clicked."""
    place = turn.place
    (warned, bands), opened = turn.read((__name__,), _read, _behind)
    if warned is None:
        churn.nobody(
            "No early warning was learned yet",
            "The analyst learns one within the hour once events have come in; or run python -m jobs features train.",
        )
        return None
    if not isinstance(warned.outcome, Model):
        churn.nobody(
            "Not enough data", f"{warned.outcome.sentence} Checked {place.write.ago(warned.checked_at, place.now)}."
        )
        return None
    model = warned.outcome
    _headline(turn, model)
    if bands:
        _present(turn, bands)
    left, right = st.columns(2, gap="small")
    with left, layout.card("What it said against what came true", key="churn-held"):
        _held(turn, model)
    with right, layout.card("What it looks at", key="churn-weights"):
        _weights(model)
    layout.note(_card(turn, warned, model))
    return opened


def _read(session: Session) -> tuple[Warned | None, tuple[Band, ...]]:
    """The newest warning, and whom it warns of where it can be believed."""
    warned = read_warned(session)
    useful = warned is not None and isinstance(warned.outcome, Model) and warned.outcome.is_useful
    return warned, read_bands(session) if useful else ()


def _headline(turn: Turn, model: Model) -> None:
    write, judged = turn.place.write, model.judged
    with layout.numbers():
        layout.metric(
            "AUC on held-out time",
            f"{judged.auc:.2f}",
            help="How often it rates one who fell silent above one who stayed; 0.5 is chance.",
        )
        layout.metric(
            "95 % interval of the AUC",
            f"{judged.auc_low:.2f} – {judged.auc_high:.2f}",
        )
        layout.metric(
            "Off by, on average",
            f"{write.number(100 * judged.error, decimals=1)} pp",
            help="How far what it said is from what came true, over tenths of the people.",
        )
        layout.metric("Judged on", f"{write.number(judged.people)} people")
    if not model.is_useful:
        st.warning(safe_text(model.sentence), icon=":material/info:")


def _present(turn: Turn, bands: tuple[Band, ...]) -> None:
    write = turn.place.write
    with layout.card("Who is likely to fall silent in the next 30 days", key="churn-bands"):
        columns: dict[str, list[Any]] = {
            "Likelihood": [f"{write.percent(band.low)} – {write.percent(band.high)}" for band in bands],
            "People": [write.number(band.people) for band in bands],
            "Paying": [write.number(band.paying) for band in bands],
        }
        clicking.table(
            columns, "churn.bands", alt="People by how likely they fall silent", numbers=["People", "Paying"]
        )
        explaining.below(
            turn.place,
            "early warning",
            {
                "from": [band.low for band in bands],
                "to": [band.high for band in bands],
                "people": [band.people for band in bands],
                "paying": [band.paying for band in bands],
            },
            key="churn-bands-csv",
            hint="As of the last midnight UTC, of everybody who used the product in the 60 days before. Click a number.",
        )
        nav.link(
            turn.place,
            "people",
            label="In People: those likelier than not",
            icon=":material/group:",
            has="churn_risk>=50",
        )


def _held(turn: Turn, model: Model) -> None:
    write, bins = turn.place.write, model.judged.bins
    st.plotly_chart(charts.held(bins), config=CONFIG, alt="What was said of tenths of the people, and what came true")
    columns: dict[str, list[Any]] = {
        "People": [write.number(one.people) for one in bins],
        "Said": [write.percent(one.said) for one in bins],
        "Came true": [write.percent(one.happened) for one in bins],
    }
    layout.table(columns, alt="Said against came true", config=churn.right(columns, *columns), height="content")


def _weights(model: Model) -> None:
    added = [weight * model.calibration.slope for weight in model.logistic.weights]
    order = sorted(range(len(added)), key=lambda place: -abs(added[place]))[:_MOST_DRAWN]
    st.plotly_chart(
        charts.weights([model.features[place].title for place in order], [added[place] for place in order]),
        config=CONFIG,
        alt="What each feature adds to the odds of falling silent",
    )
    layout.note(
        "What one standard deviation more of a feature adds to the log odds: to the right, likelier to fall silent. What"
        " tells the same is shared out, so a single bar is no cause."
    )


def _card(turn: Turn, warned: Warned, model: Model) -> str:
    write = turn.place.write
    return (
        f"{model.sentence} Version {warned.version}, learned {write.ago(warned.trained_at, turn.place.now)} from"
        f" {write.number(model.learned_from)} people at {write.number(len(model.dates) - 2)} dates,"
        f" {write.number(model.fell_silent)} of whom fell silent; calibrated on {write.date_of(model.dates[-2])} and judged"
        f" on {write.date_of(model.at)}. Use is {model.core.title}. It counts everybody, whatever is asked above."
    )


def _behind(turn: Turn, session: Session, shown: tuple[Warned | None, tuple[Band, ...]], click: Click) -> Behind | None:
    if click.of != "churn.bands":
        return None
    band, paying = shown[1][click.row], click.column == "Paying"
    people = band_people(session, band, paying=paying)
    write = turn.place.write
    title = f"Likely to fall silent: {write.percent(band.low)} to {write.percent(band.high)}"
    return turn.behind(f"{title}{', paying' if paying else ''}", "early warning", people)
