"""Files as tables: what is recognised, what is read, and what becomes a reject instead of being skipped."""

import gzip
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gdp_core.errors import InvalidInput
from gdp_core.importer.reader import Table, open_table
from gdp_core.sources.payload import Unusable


def table_of(folder: Path, content: str | bytes, name: str = "file.csv") -> Table:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_table(path)


def rows_of(table: Table) -> list[tuple[int, Any]]:
    """(line, cells), or (line, code of the problem)."""
    return [(line, row.code if isinstance(row, Unusable) else list(row)) for line, row in table.records()]


@pytest.mark.parametrize("separator", [",", "\t", ";", "|", "^", " ", ":"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_separators_and_line_ends(tmp_path: Path, separator: str, ending: str) -> None:
    lines = [separator.join(row) for row in (("who", "what", "when"), ("ann", "in", "1"), ("bob", '"o""u"', "2"))]
    table = table_of(tmp_path, ending.join(lines))
    assert (table.columns, table.total_rows) == (("who", "what", "when"), 2)
    assert rows_of(table) == [(2, ["ann", "in", "1"]), (3, ["bob", 'o"u', "2"])]


def test_quotes_hold_separators_and_line_breaks_and_lines_are_counted_in_the_file(tmp_path: Path) -> None:
    table = table_of(tmp_path, 'a,b\n"x, y","one\ntwo"\n\nlast,1\n')
    assert rows_of(table) == [(2, ["x, y", "one\ntwo"]), (5, ["last", "1"])]
    assert table.total_rows >= 2


def test_a_column_of_texts_is_not_cut_at_blanks_or_colons(tmp_path: Path) -> None:
    assert table_of(tmp_path, "full name\nAnn Lee\nBob Ray\n").columns == ("full name",)
    assert table_of(tmp_path, "at time\n10:30\n11:45\n").columns == ("at time",)
    assert table_of(tmp_path, "a b,c d\nx y,1\nz,2\n").columns == ("a b", "c d")


def test_column_names_are_made_usable(tmp_path: Path) -> None:
    assert table_of(tmp_path, ", a ,a,,b\n0,1,2,3,4\n").columns == ("column 1", "a", "a (3)", "column 4", "b")


def test_ragged_rows_are_rejected_with_their_line(tmp_path: Path) -> None:
    table = table_of(tmp_path, "a,b,c\n1,2,3\n1,2\n1,2,3,4\n1,2,3,,\n4,5,6\n")
    assert rows_of(table) == [
        (2, ["1", "2", "3"]),
        (3, "ragged_row"),
        (4, "ragged_row"),
        (5, ["1", "2", "3", "", ""]),
        (6, ["4", "5", "6"]),
    ]
    reasons = {line: str(row) for line, row in table.records() if isinstance(row, Unusable)}
    assert reasons[3] == "The row has 2 fields where the header has 3."


def test_an_open_quotation_mark_is_suspected_and_the_file_goes_on(tmp_path: Path) -> None:
    swallowed = "".join(f"x{n},y\n" for n in range(30_000))
    table = table_of(tmp_path, f'a,b\n1,2\n"oops,2\n{swallowed}last,row\n')
    found = list(table.records())
    problem = next(row for _, row in found if isinstance(row, Unusable))
    assert "quotation mark" in str(problem)
    assert found[0] == (2, ["1", "2"])
    assert found[-1] == (30_004, ["last", "row"])


def test_encodings(tmp_path: Path) -> None:
    text = "name,city\nZoë,Köln\nRenée,Zürich €\n"
    for encoding, shown in (("utf-8", "UTF-8"), ("utf-8-sig", "UTF-8"), ("cp1252", "Windows-1252")):
        table = table_of(tmp_path, text.encode(encoding))
        assert shown in table.describe()
        assert table.columns == ("name", "city")
        assert rows_of(table)[1] == (3, ["Renée", "Zürich €"])
    latin = table_of(tmp_path, b"name,n\nZo\xeb,1\nx\x81y,2\n")
    assert "Latin-1" in latin.describe()


def test_bad_bytes_in_utf8_cost_their_row_alone(tmp_path: Path) -> None:
    content = "name,n\nZoë,1\nBéa,2\n".encode() + b"bad\xff,3\nnul\x00,4\n" + "Åse,5\n".encode()
    assert rows_of(table_of(tmp_path, content)) == [
        (2, ["Zoë", "1"]),
        (3, ["Béa", "2"]),
        (4, "bad_bytes"),
        (5, "bad_bytes"),
        (6, ["Åse", "5"]),
    ]


def test_json_lines(tmp_path: Path) -> None:
    deep = "[" * 70 + "]" * 70
    content = (
        '{"id": 17850.0, "who": "ann", "more": {"a": [1, null]}}\n\n{"who": "a\\u0000b"}\nnot json\n[1]\n'
        f'{{"who": {deep}}}\n{{"late": true, "who": null}}'
    )
    table = table_of(tmp_path, content, "events.jsonl")
    assert (table.columns, table.total_rows) == (("id", "who", "more", "late"), 6)
    assert rows_of(table) == [
        (1, [17850.0, "ann", {"a": [1, None]}, None]),
        (3, [None, "a\ufffdb", None, None]),
        (4, "bad_json"),
        (5, "bad_json"),
        (6, "too_deep"),
        (7, [None, None, None, True]),
    ]


def test_gzip_is_recognised_by_content(tmp_path: Path) -> None:
    plain = table_of(tmp_path, "a,b\n1,2\n")
    packed = table_of(tmp_path, gzip.compress(b"a,b\n1,2\n", mtime=0), "file.csv.gz")
    unnamed = table_of(tmp_path, gzip.compress(b'{"a": 1}\n', mtime=0), "export")
    assert rows_of(packed) == rows_of(plain)
    assert packed.describe() == "Delimited text, gzipped, comma, UTF-8"
    assert (unnamed.format, rows_of(unnamed)) == ("jsonl", [(1, [1])])


def test_parquet_types_become_values_json_knows(tmp_path: Path) -> None:
    columns = {
        "float": pa.array([1.5, float("nan"), None]),
        "money": pa.array([Decimal("1.10"), None, Decimal("0.30")]),
        "ns": pa.array([1_291_191_960_123_456_789, None, 0], pa.timestamp("ns", "Europe/London")),
        "dict": pa.array(["a", "b\0", None]).dictionary_encode(),
        "bytes": pa.array([b"ok", b"\xff\x00", None]),
        "list": pa.array([[{"d": Decimal("1.5")}], None, []]),
    }
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    table = open_table(tmp_path / "x.parquet")
    rows = [row for _, row in rows_of(table)]
    assert [row[0] for row in rows] == [1.5, None, None]
    assert [row[1] for row in rows] == ["1.10", None, "0.30"]
    assert rows[0][2].isoformat() == "2010-12-01T08:26:00.123456+00:00"
    assert [row[3] for row in rows] == ["a", "b\ufffd", None]
    assert [row[4] for row in rows] == ["ok", "ff00", None]
    assert [row[5] for row in rows] == [[{"d": "1.5"}], None, []]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b" \n\n", "is empty"),
        ("a.csv.gz", gzip.compress(b"", mtime=0), "is empty"),
        ("a.csv", b"a,b\n", "no rows"),
        ("a.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-9], "damaged gzip"),
        ("a.parquet", b"PAR1 and then nothing", "damaged Parquet"),
        ("a.parquet", b"a,b\n1,2\n", "is not a Parquet file"),
        ("a.parquet.gz", gzip.compress(b"PAR1", mtime=0), "unpack it first"),
        ("a.xlsx", b"PK\x03\x04rest", "save the sheet as CSV"),
        ("a.csv", "a,b\n1,2\n".encode("utf-16"), "save it as UTF-8"),
        ("a.json", b'[{"a": 1}]', "one object per line"),
        ("a.json", b'{\n  "a": 1\n}', "one object per line"),
        ("a.jsonl", b"1\n2\n", "no line that is a JSON object"),
        ("a.csv", b"x" * (10 << 20), "more than 8 MiB"),
        ("a.csv", ",".join(f"c{n}" for n in range(3_000)).encode() + b"\n1\n", "2,000 columns"),
    ],
)
def test_a_file_that_is_no_table_is_one_sentence(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        table_of(tmp_path, content, name)
    assert said in str(caught.value)
    assert name.removesuffix(".gz")[:1] in str(caught.value)


def test_a_path_that_is_no_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="There is no file"):
        open_table(tmp_path / "missing.csv")
    with pytest.raises(InvalidInput, match="is a folder"):
        open_table(tmp_path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(st.sampled_from([b"a", b",", b";", b'"', b"\n", b"\r", b"\x00", b"\xff", b"{", b"}", b'{"a":1}', b"\t"]))
        .map(b"".join),
    ),
    st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet", "a"]),
    st.booleans(),
)  # fmt: skip
def test_hostile_bytes_give_rows_rejects_or_one_sentence(
    tmp_path: Path, content: bytes, name: str, packed: bool
) -> None:
    try:
        table = table_of(tmp_path, gzip.compress(content) if packed else content, name)
        first, second = rows_of(table), rows_of(table)
    except InvalidInput:
        return
    assert first == second
    assert [line for line, _ in first] == sorted({line for line, _ in first})
    assert len(first) <= table.total_rows


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.binary(min_size=1, max_size=8), st.integers(4, 700))
def test_a_damaged_parquet_file_is_one_sentence(tmp_path: Path, noise: bytes, at: int) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": ["x", "y"], "b": [1.5, 2.5]}), sink)
    good = sink.getvalue().to_pybytes()
    at = min(at, len(good) - len(noise))
    try:
        rows_of(table_of(tmp_path, good[:at] + noise + good[at + len(noise) :], "a.parquet"))
    except InvalidInput as error:
        assert str(error).startswith("a.parquet ")  # noqa: PT017 (most damage is harmless or found)
