"""From a file to the facts of its chunks: identity, money, ids, rejects, and the same bytes on every resume."""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdp_core.importer import chunks
from gdp_core.importer.chunks import Chunk, Import, open_import
from gdp_core.importer.mapping import mapping_of
from gdp_core.sources.facts import Delivery, Fact, Identifier, Link, Reject
from gdp_core.sources.importing import IMPORT, normalise

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVENT = {"person": "user", "event": "=seen", "time": "at"}


def delivery(body: bytes, received_at: datetime = NOW) -> Delivery:
    return Delivery(UUID(int=1), UUID(int=2), UUID(int=3), "import", "chunk", "server", received_at, body)


def imported(folder: Path, content: str | bytes, name: str = "file.csv", **mapping: Any) -> Import:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_import(path, mapping_of(EVENT | mapping))


def outcome(source: Import) -> list[Fact | Reject]:
    return [item for chunk in source.chunks() for item in normalise(delivery(chunk.body))]


def facts_of(source: Import) -> list[Fact]:
    found = outcome(source)
    assert not any(isinstance(item, Reject) for item in found)
    return [item for item in found if isinstance(item, Fact)]


def rejected(source: Import) -> list[tuple[int, str]]:
    return [(row.line, row.code) for chunk in source.chunks() for row in chunk.rejects]


def test_a_row_becomes_an_event_of_a_person(tmp_path: Path) -> None:
    content = "user,at,visitor,mail,tel,qty,price,plan,page\n17850.0,2024-07-01 10:00,v1, Ann@X.test ,0044 20 7123 4567,3,0.10,pro,https://x.test/?utm_source=ads\n"
    [fact] = facts_of(
        imported(
            tmp_path,
            content,
            timezone="Europe/London",
            anonymous="visitor",
            email="mail",
            phone="tel",
            value="qty * price",
            currency="=gbp",
            traits=["plan"],
            properties=["qty", "price:unit_price", "page:url"],
            source="shop",
        )
    )
    user = Identifier("user", "17850")
    others = [
        Identifier("anonymous", "v1"),
        Identifier("email", "ann@x.test"),
        Identifier("phone", "+442071234567"),
    ]
    assert fact.occurred_at == datetime(2024, 7, 1, 9, tzinfo=UTC)
    assert fact.actors == (user, *others)
    assert fact.links == tuple(Link(user, other) for other in others)
    assert {trait.key: trait.value for trait in fact.traits} == {
        "plan": "pro",
        "email": "ann@x.test",
        "phone": "+442071234567",
    }
    assert fact.event is not None
    assert (fact.event.name, fact.event.channel, fact.event.type) == ("seen", "import", "CONVERSION")
    assert (fact.event.value_micros, fact.event.currency) == (300_000, "GBP")
    assert fact.event.properties == {"qty": 3, "unit_price": 0.1}
    assert (fact.event.url, fact.event.utm_source) == ("https://x.test/?utm_source=ads", "ads")
    assert fact.event.metadata == {"source": "shop"}


def test_people_without_events_are_traits_at_the_time_of_the_import(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("id,First Name,plan\n1,Ann,\n2,Bob,pro\n")
    source = open_import(path, mapping_of({"person": "id", "traits": ["First Name", "plan"]}))
    ann, bob = facts_of(source)
    assert (ann.event, ann.occurred_at) == (None, NOW)
    assert [(trait.key, trait.value) for trait in ann.traits] == [("first_name", "Ann")]
    assert [(trait.key, trait.value) for trait in bob.traits] == [("first_name", "Bob"), ("plan", "pro")]


def test_a_phone_without_a_country_is_said_of_the_person_but_is_nobody(tmp_path: Path) -> None:
    content = "user,at,tel\nann,2024-07-01,020 7123 4567\n,2024-07-01,020 7123 4567\n"
    source = imported(tmp_path, content, phone="tel")
    [fact, reject] = outcome(source)
    assert isinstance(fact, Fact)
    assert fact.actors == (Identifier("user", "ann"),)
    assert [trait.key for trait in fact.traits] == ["phone"]
    assert isinstance(reject, Reject)
    assert reject.code == "no_identifier"


def test_rows_of_the_future_happened_when_they_were_imported(tmp_path: Path) -> None:
    source = imported(tmp_path, "user,at\nann,2026-05-01\nbob,2026-01-01 06:00\n")
    late, soon = facts_of(source)
    assert (late.occurred_at, late.original_at) == (NOW, datetime(2026, 5, 1, tzinfo=UTC))
    assert soon.occurred_at == NOW + timedelta(minutes=5)


def test_every_kind_of_bad_row_is_rejected_with_line_code_and_reason(tmp_path: Path) -> None:
    content = (
        "user,at,what,amount,cur\n"
        "ann,2024-01-01,in,1.5,EUR\n"
        ",2024-01-01,in,1,EUR\n"
        "undefined,2024-01-01,in,1,EUR\n"
        "ann,,in,1,EUR\n"
        "ann,soon,in,1,EUR\n"
        "ann,2024-01-01, ,1,EUR\n"
        "ann,2024-01-01,in,one,EUR\n"
        "ann,2024-01-01,in,99999999999999,EUR\n"
        "ann,2024-01-01,in,1,\n"
        "ann,2024-01-01,in,1,Euro\n"
        "ann,2024-01-01,in\n"
        "ann,2024-01-01,in,,\n"
    )
    source = imported(tmp_path, content, event="what", value="amount", currency="cur")
    assert rejected(source) == [
        (3, "no_identifier"),
        (4, "no_identifier"),
        (5, "no_time"),
        (6, "bad_timestamp"),
        (7, "blank_name"),
        (8, "bad_number"),
        (9, "bad_number"),
        (10, "no_currency"),
        (11, "bad_currency"),
        (12, "ragged_row"),
    ]
    [chunk] = source.chunks()
    assert chunk.rejects[3].reason == "“soon” is not a time that can be read."
    assert orjson.loads(chunk.rejects[3].row)["at"] == "soon"
    found = outcome(source)
    assert [item.item for item in found if isinstance(item, Reject)] == [line for line, _ in rejected(source)]
    assert [fact.event and fact.event.value_micros for fact in found if isinstance(fact, Fact)] == [1_500_000, None]
    assert len({item.key for item in found}) == 12


def test_an_id_column_is_the_key(tmp_path: Path) -> None:
    content = "user,at,n\nann,2024-01-01,7.0\nann,2024-01-01,\nann,2024-01-01,0\n"
    source = imported(tmp_path, content, id="n")
    assert [item.key for item in outcome(source) if isinstance(item, Fact)] == ["7", "0"]
    assert rejected(source) == [(3, "no_id")]


def test_equal_rows_are_told_apart_by_their_occurrence(tmp_path: Path) -> None:
    row = "ann,2024-01-01\n"
    keys = [fact.key for fact in facts_of(imported(tmp_path, "user,at\n" + row * 3 + "bob,2024-01-01\n" + row))]
    assert len(set(keys)) == 5
    assert [key.rsplit(":", 1)[1] for key in keys] == ["1", "2", "3", "1", "4"]


def test_a_rows_id_is_of_its_cells_not_of_the_file(tmp_path: Path) -> None:
    rows = "ann,2024-01-01,x\nbob,2024-01-02,\n"
    keys = [fact.key for fact in facts_of(imported(tmp_path, "user,at,note\n" + rows))]
    other_order = "at,user,new,note\n2024-01-02,bob,,\n2024-01-01,ann,,x\n"
    other = [fact.key for fact in facts_of(imported(tmp_path, other_order, properties=["note"]))]
    packed = imported(tmp_path, gzip.compress(b"user;at;note\r\n" + rows.replace(",", ";").encode()), "x.gz")
    assert sorted(other) == sorted(keys) == sorted(fact.key for fact in facts_of(packed))


def test_types_come_from_the_column_and_odd_cells_stay_as_they_are(tmp_path: Path) -> None:
    content = "user,at,zip,n,f,b,mixed\na,2024-01-01,01234,5,1.50,TRUE,1\na,2024-01-02,12345,-6,2,false,x\n"
    first, second = facts_of(imported(tmp_path, content, properties=["*"]))
    assert first.event is not None
    assert second.event is not None
    assert first.event.properties == {"zip": "01234", "n": 5, "f": 1.5, "b": True, "mixed": "1"}
    assert second.event.properties == {"zip": "12345", "n": -6, "f": 2.0, "b": False, "mixed": "x"}


def test_ambiguous_dates_follow_the_first_that_tells_even_past_the_sample(tmp_path: Path) -> None:
    rows = "ann,03/04/2024\n" * 6_000
    [*_, last] = facts_of(imported(tmp_path, "user,at\n" + rows + "ann,04/25/2024\n"))
    assert last.occurred_at == datetime(2024, 4, 25, tzinfo=UTC)
    assert facts_of(imported(tmp_path, "user,at\n" + rows))[0].occurred_at.month == 4
    assert facts_of(imported(tmp_path, "user,at\n" + rows, day_first=False))[0].occurred_at.month == 3


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 3)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_resuming_anywhere_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    who = ["ann", "bob", "ann", "", "ann", "bob", "cleo", "ann", "ann", "", "bob"]
    lines = (
        ["user,at"] + [f"{user},2024-01-01" for user in who]
        if name == "a.csv"
        else [orjson.dumps({"user": user, "at": "2024-01-01"}).decode() for user in who]
    )
    source = imported(tmp_path, "\n".join(lines), name)
    whole = list(source.chunks())
    assert [(chunk.number, chunk.first_row, chunk.rows) for chunk in whole] == [
        (0, 1, 3),
        (1, 4, 3),
        (2, 7, 3),
        (3, 10, 2),
    ]
    assert sum(chunk.rows for chunk in whole) == source.total_rows
    for start in range(5):
        assert list(imported(tmp_path, "\n".join(lines), name).chunks(start)) == whole[start:]


@pytest.mark.usefixtures("small_chunks")
def test_a_chunk_of_rejects_alone_is_a_chunk(tmp_path: Path) -> None:
    source = imported(tmp_path, "user,at\n,1\n,2\n,3\nann,2024-01-01\n", traits=["at:x"])
    assert [type(item).__name__ for item in outcome(source)] == ["Reject", "Reject", "Reject", "Fact"]


def test_the_import_knows_itself_by_content_and_mapping(tmp_path: Path) -> None:
    source = imported(tmp_path, "user,at\nann,2024-01-01\n")
    assert imported(tmp_path, "user,at\nann,2024-01-01\n", "other name.csv").key == source.key
    assert imported(tmp_path, "user,at\nann,2024-01-02\n").key != source.key
    assert imported(tmp_path, "user,at\nann,2024-01-01\n", event="=other").key != source.key


@settings(max_examples=25)
@given(st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=9), max_size=12))
def test_occurrences_are_counted_as_a_dictionary_would(batches: list[list[int]]) -> None:
    import numpy as np

    seen, plain = chunks._Occurrences(), dict[int, int]()

    def expected(batch: list[int]) -> Iterator[int]:
        for each in batch:
            plain[each] = plain.get(each, 0) + 1
            yield plain[each]

    for batch in batches:
        assert seen.count(np.array(batch, np.uint64)) == list(expected(batch))


_CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=2),
    st.sampled_from(["2024-01-01", "a@b.test", "+442071234567", "12.5", "x\0y"]),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"user": _CELLS, "at": _CELLS},
            optional={"mail": _CELLS, "tel": _CELLS, "amount": _CELLS, "url": _CELLS, "x": _CELLS, "email": _CELLS},
        ),
        min_size=1,
        max_size=8,
    )
)
def test_any_json_becomes_a_fact_or_a_reject(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    everything = dict.fromkeys(("user", "at", "mail", "tel", "amount", "url", "x", "email"))
    known = everything | {"user": "ann", "at": "2024-01-01"}
    content = "\n".join(json.dumps(row) for row in [known, *rows])
    source = imported(
        tmp_path_factory.mktemp("any"), content, "a.jsonl",
        email="mail", phone="tel", value="amount", currency="=USD", traits=["email"], properties=["*"],
    )  # fmt: skip
    found = outcome(source)
    assert len(found) == len(rows) + 1
    assert all("\0" not in repr(item) for item in found)
    assert found == outcome(source)


@given(
    st.one_of(st.binary(), st.sampled_from([b"{}", b"[]", b"1", b'{"rejects":[[1]]}', b'{"rejects":[],"rows":"x"}']))
)
def test_a_body_that_is_no_chunk_is_one_reject(body: bytes) -> None:
    [reject] = IMPORT.normalise(delivery(body))
    assert isinstance(reject, Reject)
    assert reject.code == "unreadable"


def test_a_chunk_says_where_it_is(tmp_path: Path) -> None:
    [chunk] = imported(tmp_path, "user,at\nann,2024-01-01\nann,2024-01-02\n", properties=["user:who"]).chunks()
    assert isinstance(chunk, Chunk)
    body = orjson.loads(chunk.body)
    assert (body["chunk"], body["first_row"], body["rows"], body["event"], body["user"]) == (0, 1, 2, "seen", "ann")
    assert body["properties"] == {"who": "ann"}
