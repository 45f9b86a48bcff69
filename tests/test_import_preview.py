"""The dry run: what is proposed, what is counted, and which problems are said."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gdp_core.errors import InvalidInput
from gdp_core.importer.mapping import Mapping, mapping_of
from gdp_core.importer.preview import Preview, preview

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def previewed(folder: Path, content: str, name: str = "Orders 2024-05.csv", **mapping: str) -> Preview:
    path = folder / name
    path.write_text(content)
    return preview(path, mapping_of(dict(mapping)) if mapping else None, now=NOW)


def test_a_file_of_orders_proposes_a_mapping_and_says_what_it_would_do(tmp_path: Path) -> None:
    found = previewed(
        tmp_path,
        "Order ID,User_ID,E-mail,Created At,Amount,Country,SKU,Gift\n"
        "o1,1.0,ann@x.test,2024-05-01 10:00,10.50,FR,a,\n"
        "o2,2.0,,2024-05-02 10:00,0.75,DE,b,\n"
        "o3,,,2024-05-03 10:00,1,DE,b,\n",
    )
    assert found.mapping == Mapping(
        person="User_ID",
        email="E-mail",
        event="=orders",
        time="Created At",
        value="Amount",
        currency="=USD",
        traits=("Country",),
        properties=("*",),
    )
    assert found.suggested
    assert (found.format, found.total_rows) == ("Delimited text, comma, UTF-8", 3)
    assert [(column.name, column.type, column.nulls) for column in found.columns] == [
        ("Order ID", "text", 0),
        ("User_ID", "number", 1),
        ("E-mail", "text", 2),
        ("Created At", "time", 0),
        ("Amount", "number", 0),
        ("Country", "text", 0),
        ("SKU", "text", 0),
        ("Gift", "empty", 3),
    ]
    assert found.columns[1].examples == ("1", "2")
    counts = found.counts
    assert (counts.rows, counts.facts, counts.rejected, counts.people) == (3, 2, 1, 2)
    assert (counts.events, counts.value) == ((("orders", 2),), (("USD", 11_250_000),))
    assert counts.earliest == datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert [fact.actors[0].value for fact in found.facts] == ["1", "2"]
    assert found.problems == (
        "Empty as far as was looked: Gift.",
        "The file names no currency; USD is assumed, set it with --currency.",
        "1 of 3 rows would be rejected as no_identifier; the first is line 4: "
        "The row names nobody: person and anonymous id are blank.",
    )


def test_a_file_of_people_proposes_traits(tmp_path: Path) -> None:
    found = previewed(tmp_path, "email,First Name,plan\nann@x.test,Ann,pro\n", "people.csv")
    assert found.mapping == Mapping(email="email", traits=("First Name", "plan"))
    assert found.counts.people == 1


def test_a_unique_id_column_is_the_rows_id_and_a_repeating_one_is_not(tmp_path: Path) -> None:
    unique = previewed(tmp_path, "id,user,time\n1,ann,2024-01-01\n2,ann,2024-01-02\n").mapping
    repeating = previewed(tmp_path, "id,user,time\n1,ann,2024-01-01\n1,ann,2024-01-02\n").mapping
    assert unique is not None
    assert repeating is not None
    assert (unique.id, repeating.id) == ("id", None)


def test_what_is_uncertain_is_said(tmp_path: Path) -> None:
    event = {"person": "user", "event": "=seen", "time": "at"}
    ambiguous = previewed(tmp_path, "user,at\nann,03/04/2024\n", **event)
    assert "read day first (3/4 is 3 April)" in ambiguous.problems[0]
    assert ambiguous.counts.earliest == datetime(2024, 4, 3, tzinfo=UTC)
    unix = previewed(tmp_path, "user,at\nann,1714557600\n", **event)
    assert "read as Unix time" in unix.problems[0]
    repeated = previewed(tmp_path, "user,at,n\nann,2024-01-01,1\nbob,2024-01-01,1\n", **event, id="n")
    assert "1 of 2 rows repeat the id" in repeated.problems[0]
    assert repeated.counts.repeated == 1


def test_a_file_without_a_person_or_a_header_says_so(tmp_path: Path) -> None:
    nobody = previewed(tmp_path, "1,2\n3,4\n")
    assert (nobody.mapping, nobody.facts, nobody.counts.rows) == (None, (), 0)
    assert "The first line looks like data" in nobody.problems[0]
    assert "do not tell what the rows mean" in nobody.problems[1]
    single = previewed(tmp_path, "user\nann\n")
    assert "one column only" in single.problems[0]


def test_a_mapping_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="did you mean “user”"):
        previewed(tmp_path, "user,at\nann,2024-01-01\n", person="usr", event="=seen", time="at")


def test_a_preview_looks_at_the_first_rows_only(tmp_path: Path) -> None:
    found = previewed(tmp_path, "user,time\n" + "ann,2024-01-01\n" * 12_000)
    assert (found.total_rows, found.counts.rows) == (12_000, 10_000)
