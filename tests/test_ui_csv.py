"""CSV: what is parsed back is what was written, and a spreadsheet finds no formula in it."""

import csv as standard
import io
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pages.ui import csv

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def parsed(*rows):
    text = b"".join(csv.stream(["a", "b"], rows)).decode()
    assert text.startswith("\ufeff")
    return list(standard.reader(io.StringIO(text[1:], newline=""), strict=True))


@given(st.lists(st.tuples(st.text(), st.text()), max_size=30))
def test_text_comes_back_but_for_the_apostrophe(rows):
    found = parsed(*rows)[1:]
    assert len(found) == len(rows)
    for written, read in zip(rows, found, strict=True):
        for before, after in zip(written, read, strict=True):
            plain = before.replace("\x00", "")
            guarded = plain.startswith(FORMULA) or plain.lstrip().startswith(FORMULA)
            assert after == (f"'{plain}" if guarded else plain)


@given(st.text(min_size=1))
def test_no_cell_begins_as_a_formula(text):
    (cell, _) = parsed((text, ""))[1]
    assert not cell.lstrip(" ").startswith(FORMULA)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, ""),
        (-5, "-5"),
        (2.5, "2.5"),
        (Decimal("-1.20"), "-1.20"),
        (True, "true"),
        (False, "false"),
        (date(2026, 11, 19), "2026-11-19"),
        (datetime(2026, 11, 19, 9, 0, 1, 5, tzinfo=UTC), "2026-11-19T09:00:01Z"),
        ("", ""),
        ("=1+1", "'=1+1"),
        ("  =1+1", "'  =1+1"),
        ('say "hi", you', '"say ""hi"", you"'),
        ("+49 170", "'+49 170"),
    ],
)
def test_each_kind_of_value(value, written):
    assert csv.cell(value) == written


def test_a_long_file_is_streamed_in_pieces():
    pieces = list(csv.stream(["a"], ((n,) for n in range(1201)), chunk=500))
    assert len(pieces) == 3
    assert b"".join(pieces).count(b"\r\n") == 1202
