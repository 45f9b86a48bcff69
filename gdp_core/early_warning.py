"""Keeps the early-warning model of each workspace, and brings features and scores up to date together.

A model is trained once a week from the history that has matured, or a day after there was too little of it. One that the
history makes again as it was gets no new version.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from gdp_core.analytics.warning import Model, TooLittle, read_warned, scores, to_text, train
from gdp_core.db import Database, run
from gdp_core.features.definitions import read_features
from gdp_core.features.keeping import Recomputed, recompute
from gdp_core.features.roles import read_matches
from gdp_core.timeline.arrays import Timeline

_EVERY, _AGAIN = timedelta(days=7), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Trained:
    """What training came to. `is_new`: it is another model than before."""

    version: int
    is_new: bool
    outcome: Model | TooLittle


def refresh(pool: Database, workspace_id: UUID, timeline: Timeline, folder: Path, now: datetime) -> Recomputed:
    """Bring features and scores up to `now`. `pool` runs as gdp_worker, `folder` is that of timelines."""
    with pool.transaction(workspace_id, read_only=True) as session:
        warned = read_warned(session)
    found = scores(timeline, warned.outcome, now) if warned and isinstance(warned.outcome, Model) else None
    return recompute(pool, workspace_id, timeline, folder, now, scores=[found] if found else [])


def is_due(pool: Database, workspace_id: UUID, now: datetime) -> bool:
    """Whether it is time to learn again."""
    with pool.transaction(workspace_id, read_only=True) as session:
        warned = read_warned(session)
    if warned is None:
        return True
    return now - warned.checked_at >= (_EVERY if isinstance(warned.outcome, Model) else _AGAIN)


def learn(pool: Database, workspace_id: UUID, timeline: Timeline, now: datetime) -> Trained:
    """Train a model from the history that is mature at `now` and keep it, or why there is none."""
    with pool.transaction(workspace_id, read_only=True) as session:
        features, roles = read_features(session), read_matches(session)
    outcome = train(timeline, features, roles, now)
    text = to_text(outcome)
    with pool.transaction(workspace_id) as session:
        before = read_warned(session)
        if before and to_text(before.outcome) == text:
            run(session, "UPDATE churn_model SET checked_at = :now WHERE version = :v", now=now, v=before.version)
            return Trained(before.version, False, outcome)
        version = before.version + 1 if before else 1
        run(
            session,
            "INSERT INTO churn_model (version, workspace_id, model, trained_at, checked_at)"
            " VALUES (:version, app_ws(), :model, :now, :now) ON CONFLICT DO NOTHING",  # who was quicker learned as much
            version=version,
            model=text,
            now=now,
        )
    return Trained(version, True, outcome)
