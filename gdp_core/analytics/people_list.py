"""The list of people: search by the start of any word, filters, four orders, pages of any depth in both directions.

Search goes through `person_token`, the rarest word first. A page is found by the sort value and id it begins after, so
the ten-thousandth costs what the first does. Holds personal data: not to be cached.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Literal
from uuid import UUID

from sqlmodel import Session

from gdp_core.accounts.roles import Principal
from gdp_core.analytics.person_features import FeatureFilter, conditions
from gdp_core.db import Database, one, rows
from gdp_core.errors import InvalidInput
from gdp_core.words import fold

Sort = Literal["last_seen", "first_seen", "spent", "mrr"]
Known = Literal["", "known", "anonymous"]
Internal = Literal["", "with", "only"]

SORTS: dict[Sort, str] = {
    "last_seen": "last_seen_at",
    "first_seen": "first_seen_at",
    "spent": "total_spent_micros",
    "mrr": "mrr_micros",
}
ACTIVITY = {"active_7": 7, "active_30": 30, "active_90": 90, "silent_30": -30, "silent_60": -60, "silent_90": -90}
"""Days: positive, did something within them; negative, has not."""

MOST_COUNTED = 10_000
_FEW = 10_000  # tokens: collect who has them, then sort
_SAMPLED = 30_000  # tokens
_COUNTED = 5_000  # tokens of a word
_MANY = 300_000  # tokens: intersect with those of another word; beyond, ask people one by one
_MOST_ASKED = 2_000  # people, for a count
_MOST_WORDS = 6
_EXPORT_PAGE = 2_000
_LAST_CHARACTER = "\U0010ffff"  # after it, nothing begins with the word any more
_NEXT_CHARACTER = "\x01"  # before it there is only the word itself
_SEPARATORS = re.compile(r"[\s@.,;:/|()\[\]\"'+_-]+")
_PHONE = re.compile(r"\+?\d[\d\s()/.-]{5,}")
PERSON_COLUMNS = (
    "id name email phone company industry stage status source medium campaign cohort tags plan_name currency"
    " mrr_micros total_spent_micros lifetime_value_micros total_events active_days core_actions identifiers is_known"
    " is_internal first_seen_at last_seen_at signup_at trial_started_at subscribed_at churned_at"
).split()


@dataclass(frozen=True, slots=True)
class PersonRow:
    """A person in a list. Amounts in micros of `currency`; it is None for who never paid."""

    id: UUID
    name: str | None
    email: str | None
    phone: str | None
    company: str | None
    industry: str | None
    stage: str | None
    status: str
    source: str | None
    medium: str | None
    campaign: str | None
    cohort: str | None
    tags: list[str]
    plan_name: str | None
    currency: str | None
    mrr_micros: int
    total_spent_micros: int
    lifetime_value_micros: int
    total_events: int
    active_days: int
    core_actions: int
    identifiers: int
    is_known: bool
    is_internal: bool
    first_seen_at: datetime | None
    last_seen_at: datetime | None
    signup_at: datetime | None
    trial_started_at: datetime | None
    subscribed_at: datetime | None
    churned_at: datetime | None


@dataclass(frozen=True, slots=True)
class Filter:
    """Which people, in which order. Empty parts do not filter; internal people are left out unless asked for."""

    words: str = ""
    whole: bool = False  # words as they are, not how one begins
    stages: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()
    activity: str = ""  # a key of ACTIVITY
    features: tuple[FeatureFilter, ...] = ()  # all of them hold
    known: Known = ""
    internal: Internal = ""
    sort: Sort = "last_seen"
    descending: bool = True

    @property
    def is_plain(self) -> bool:
        """Whether it asks for everybody."""
        return replace(self, sort="last_seen", descending=True, whole=False) == Filter()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: after this person (or before, when `backward`)."""

    value: str | None  # of the sort column; None is NULL
    id: UUID
    backward: bool = False

    @property
    def text(self) -> str:
        """For a URL."""
        return f"{'-' if self.backward else '+'}{self.id.hex}{'' if self.value is None else self.value}"

    @classmethod
    def parse(cls, text: str, sort: Sort) -> "Place | None":
        """What `text` said; None for what cannot be one, so that a mistyped address shows the first page."""
        try:
            found = cls(text[33:] or None, UUID(text[1:33]), text[0] == "-")
            if found.value is not None:
                _sort_value(found.value, sort)
        except (ValueError, IndexError, OverflowError):
            return None
        return found


@dataclass(frozen=True, slots=True)
class Page:
    """One page, and where the next and the previous begin; None: there is none."""

    rows: tuple[PersonRow, ...]
    next: Place | None
    previous: Place | None


@dataclass(frozen=True, slots=True)
class Count:
    """How many match; when not `exact`, at least so many."""

    people: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Choices:
    """What there is to filter by."""

    plans: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Match:
    """How to find who has every word. `ids` selects the candidates (None: so many that walking the order finds a page
    soon); `asked` are the conditions left to ask of each. `sample` selects some candidates, for a count."""

    ids: str | None
    sample: str
    asked: tuple[str, ...]
    values: dict[str, Any]


def asked_by(principal: Principal, wanted: Filter) -> Filter:
    """The filter as this person may ask it. Who sees people masked finds them by whole words: by the beginnings of words
    an address could be told letter by letter.
    """
    return replace(wanted, whole=not principal.may("pii.read"))


def read_page(session: Session, wanted: Filter, now: datetime, *, place: Place | None = None, size: int = 50) -> Page:
    """The page of people that begins at `place`, the first one by default."""
    where, values = _conditions(session, wanted, now)
    match: _Match | None = None
    if wanted.words.strip():
        match = _match(session, wanted.words, whole=wanted.whole)
        if match is None:
            return Page((), None, None)
        values |= match.values
    backward = place is not None and place.backward
    if place is not None:
        condition, bound = _beyond(wanted, place)
        where.append(condition)
        values |= bound
    found = _fetch(session, where, match, values, _order(wanted, backward=backward), size + 1)
    more = len(found) > size
    shown = found[:size][::-1] if backward else found[:size]
    if not shown:
        return Page((), None, None)
    has_next, has_previous = (True, more) if backward else (more, place is not None)
    return Page(
        tuple(shown),
        _place(shown[-1], wanted.sort) if has_next else None,
        _place(shown[0], wanted.sort, backward=True) if has_previous else None,
    )


def count(session: Session, wanted: Filter, now: datetime) -> Count:
    """How many people match, counted up to MOST_COUNTED."""
    where, values = _conditions(session, wanted, now)
    match: _Match | None = None
    if wanted.words.strip():
        match = _match(session, wanted.words, whole=wanted.whole)
        if match is None:
            return Count(0, exact=True)
        where.append(f"p.id = ANY(ARRAY({match.sample}))")
        values |= match.values
    asked = match.asked if match and match.ids else ()
    row = one(
        session,
        f"SELECT count(*) AS seen, count(*) FILTER (WHERE {_all(asked)}) AS n"
        f" FROM (SELECT p.id FROM person p WHERE {_all(where)} LIMIT :most) p",
        **values,
        most=_MOST_ASKED if asked else MOST_COUNTED + 1,
    )
    cut = row.seen >= (_MOST_ASKED if asked else MOST_COUNTED + 1)
    exact = not cut and (match is None or match.ids is not None)
    return Count(min(row.n, MOST_COUNTED), exact=exact)


def read_choices(session: Session) -> Choices:
    """The plans people are on, by name."""
    found = rows(
        session, "SELECT DISTINCT plan_name FROM subscription WHERE plan_name <> '' ORDER BY plan_name LIMIT 200"
    )
    return Choices(tuple(row.plan_name for row in found))


def read_listed(session: Session, ids: Sequence[UUID]) -> tuple[PersonRow, ...]:
    """These persons, internal ones too, in the order of their ids; who was merged away is not among them."""
    columns = ", ".join(PERSON_COLUMNS)
    found = rows(session, f"SELECT {columns} FROM person p WHERE p.id = ANY(:ids) ORDER BY p.id", ids=list(ids))
    return tuple(PersonRow(*row) for row in found)


def stream_listed(database: Database, workspace_id: UUID, ids: Iterable[UUID]) -> Iterator[PersonRow]:
    """The same of any number of persons, each part in a short transaction of its own. `database` runs as gdp_web."""
    rest = iter(ids)
    while part := list(islice(rest, _EXPORT_PAGE)):
        with database.transaction(workspace_id, read_only=True) as session:
            yield from read_listed(session, part)


def stream(database: Database, workspace_id: UUID, wanted: Filter, now: datetime) -> Iterator[PersonRow]:
    """Everybody who matches, page by page, each in a short transaction of its own. `database` runs as gdp_web.

    Somebody who moves in the order meanwhile may come twice or not at all; sort by first seen for an exact list.
    """
    place: Place | None = None
    while True:
        with database.transaction(workspace_id, read_only=True) as session:
            page = read_page(session, wanted, now, place=place, size=_EXPORT_PAGE)
        yield from page.rows
        place = page.next
        if place is None:
            return


def _fetch(
    session: Session, where: Sequence[str], match: _Match | None, values: dict[str, Any], order: str, limit: int
) -> list[PersonRow]:
    columns = ", ".join(PERSON_COLUMNS)
    conditions = list(where)
    if match and match.ids:
        conditions.append(f"p.id = ANY(ARRAY({match.ids}))")
        # OFFSET 0 keeps the order inside, so that the candidates are asked in order and only until the page is full.
        source = f"(SELECT {columns} FROM person p WHERE {_all(conditions)} ORDER BY {order} OFFSET 0) p"
        sql = f"SELECT {columns} FROM {source} WHERE {_all(match.asked)} LIMIT :limit"
    else:
        conditions += match.asked if match else ()
        sql = f"SELECT {columns} FROM person p WHERE {_all(conditions)} ORDER BY {order} LIMIT :limit"
    return [PersonRow(*row) for row in rows(session, sql, **values, limit=limit)]


def _all(where: Sequence[str]) -> str:
    return " AND ".join(where) or "true"


def _conditions(session: Session, wanted: Filter, now: datetime) -> tuple[list[str], dict[str, Any]]:
    where, values = conditions(session, wanted.features, now)
    if wanted.internal != "with":
        where.append("p.is_internal" if wanted.internal == "only" else "NOT p.is_internal")
    if wanted.known:
        where.append("p.is_known" if wanted.known == "known" else "NOT p.is_known")
    for column, chosen in (("stage", wanted.stages), ("source", wanted.sources), ("plan_name", wanted.plans)):
        if chosen:
            where.append(f"p.{column} = ANY(:{column})")
            values[column] = list(chosen)
    if wanted.activity:
        days = ACTIVITY.get(wanted.activity)
        if days is None:
            raise InvalidInput("Choose one of the offered times of activity.")
        where.append(f"p.last_seen_at {'>=' if days > 0 else '<'} :acted")
        values["acted"] = now - timedelta(days=abs(days))
    return where, values


# A range is what `token ^@ word` means in a bytewise order, and keeps its index in a plan made before the word is known.
_STARTS = "t.token >= :{0} AND t.token < :{0}_end"


def _match(session: Session, text: str, *, whole: bool) -> _Match | None:
    """Everybody of whom every word of the text starts a token, or is one when `whole`; None: nobody."""
    end = _NEXT_CHARACTER if whole else _LAST_CHARACTER
    counts = _counted_words(session, text, end)
    words = sorted(counts, key=counts.__getitem__)
    if not words or not counts[words[0]]:
        return None
    values: dict[str, Any] = {}
    for index, word in enumerate(words):
        values |= {f"word{index}": word, f"word{index}_end": word + end, "more": int(whole)}
    every = range(len(words))
    met = [index for index in every if counts[words[index]] <= _MANY]
    sample = f"SELECT DISTINCT x.person_id FROM ({_range(0)} LIMIT {_SAMPLED}) x"
    ids, asked = None, tuple(_has(index) for index in every)
    if len(met) > 1:
        ids, asked = " INTERSECT ".join(_range(index) for index in met), asked[len(met) :]
    elif counts[words[0]] <= _FEW:
        ids, asked = _range(0), asked[1:]
    return _Match(ids, ids or sample, asked, values)


def _range(index: int) -> str:
    return f"SELECT t.person_id FROM person_token t WHERE {_STARTS.format(f'word{index}')}"


def _has(index: int) -> str:
    # A scalar subquery with LIMIT stays one, where an EXISTS may become a join over every token of the workspace; and
    # `left` is no index condition, which leaves the index by person, a handful of rows, as the only way.
    return (
        "(SELECT true FROM person_token t WHERE t.person_id = p.id"
        f" AND left(t.token, length(:word{index}) + :more) = :word{index} LIMIT 1)"
    )


def _counted_words(session: Session, text: str, end: str) -> dict[str, int]:
    """The words to look for and how often tokens start with each; an unknown compound is looked for by its parts."""
    folded = fold(text.replace("\x00", ""))[:200]
    number = re.sub(r"[^\d+]", "", folded)
    if _PHONE.fullmatch(folded) and (found := _occurrences(session, number, end)):
        return {number: found}
    counts: dict[str, int] = {}
    for word in sorted(set(folded.split()), key=lambda word: (-len(word), word))[:_MOST_WORDS]:
        found = _occurrences(session, word, end)
        parts = [] if found or "@" in word else [part for part in _SEPARATORS.split(word) if part]
        if len(parts) > 1:
            counts |= {part: _occurrences(session, part, end) for part in parts[:_MOST_WORDS]}
        else:
            counts[word] = found
    return counts


def _occurrences(session: Session, word: str, end: str) -> int:
    """How many tokens lie between the word and the word with `end`: exact up to 5,000, beyond that what the planner expects."""
    values = {"word": word, "word_end": word + end}
    tokens = f"SELECT FROM person_token t WHERE {_STARTS.format('word')}"
    found = int(one(session, f"SELECT count(*) AS n FROM ({tokens} LIMIT {_COUNTED}) x", **values).n)
    if found < _COUNTED:
        return found
    plan = one(session, f"EXPLAIN (FORMAT JSON) {tokens}", **values)[0]
    return max(found, int(plan[0]["Plan"]["Plan Rows"]))


def _order(wanted: Filter, *, backward: bool) -> str:
    column = SORTS[wanted.sort]
    direction = "DESC" if wanted.descending != backward else "ASC"
    return f"p.{column} {direction}, p.id {direction}"


def _beyond(wanted: Filter, place: Place) -> tuple[str, dict[str, Any]]:
    """After a place in reading direction. NULL sorts as the largest value, as the index has it."""
    column = f"p.{SORTS[wanted.sort]}"
    falling = wanted.descending != place.backward
    sign = "<" if falling else ">"
    if place.value is None:
        rest = f" OR {column} IS NOT NULL" if falling else ""
        return f"(({column} IS NULL AND p.id {sign} :at_id){rest})", {"at_id": place.id}
    value = _sort_value(place.value, wanted.sort)
    beyond = f"({column}, p.id) {sign} (:at_value, :at_id)"
    return (beyond if falling else f"({beyond} OR {column} IS NULL)"), {"at_value": value, "at_id": place.id}


def _place(row: PersonRow, sort: Sort, *, backward: bool = False) -> Place:
    value = getattr(row, SORTS[sort])
    text = None if value is None else value.isoformat() if isinstance(value, datetime) else str(value)
    return Place(text, row.id, backward)


def _sort_value(text: str, sort: Sort) -> datetime | int:
    if sort in ("spent", "mrr"):
        number = int(text)
        if abs(number) >= 2**63:
            raise ValueError(text)
        return number
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(text)
    return at
