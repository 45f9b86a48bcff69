"""What people keep of reports: questions under a name, and lists of people somebody found with one."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import SQLModel

from gdp_core.tables.base import instant, jsonb, key, whole, word


class SavedReport(SQLModel, table=True):
    """A question under a name. Its numbers are not kept: they are asked for anew."""

    __tablename__ = "saved_report"
    __table_args__ = (
        Index(
            "saved_report_by_name", "workspace_id", "name", unique=True, postgresql_where=text("archived_at IS NULL")
        ),
    )

    id: UUID = key()
    workspace_id: UUID = key()
    name: str = word()
    kind: str = word()  # funnel, retention, ...: which report reads the question
    version: int  # of the form in which that report writes its questions
    question: dict[str, Any] = jsonb()
    period: str = word()  # as an address says it: 30d, 2026-01-01..2026-03-31
    compare: str = word()  # previous, year, none
    created_at: datetime = instant()
    created_by: UUID | None = None
    updated_at: datetime = instant()
    updated_by: UUID | None = None
    archived_at: datetime | None = instant(default=None)


class StaticList(SQLModel, table=True):
    """People somebody chose, and what they were chosen from. Who is in it does not change by itself."""

    __tablename__ = "static_list"
    __table_args__ = (Index("static_list_by_name", "workspace_id", "name", unique=True),)

    id: UUID = key()
    workspace_id: UUID = key()
    name: str = word()
    description: str | None = word(default=None)
    report: str | None = word(default=None)  # the number it was saved from, in words
    snapshot: str | None = word(default=None)  # the lake's, of that number
    people: int = whole()  # when it was saved
    created_at: datetime = instant()
    created_by: UUID | None = None
    updated_at: datetime = instant()
    updated_by: UUID | None = None


class StaticListMember(SQLModel, table=True):
    """Somebody in a list, by the id they had when it was saved: every id ever issued leads to who they are now."""

    __tablename__ = "static_list_member"
    __table_args__ = (Index("static_list_member_by_person", "workspace_id", "person_id"),)

    list_id: UUID = key()
    workspace_id: UUID = key()
    person_id: UUID = key()
