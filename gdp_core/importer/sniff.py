"""What a file is, from its first bytes, its name and its text: format, compression, encoding, separator, header.

One pass over the whole file settles what a sample cannot: whether its text is UTF-8 throughout, how long it is, and a
checksum by which an interrupted import knows its file again.
"""

import csv
import gzip
import hashlib
import io
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

import orjson

from gdp_core.errors import InvalidInput

Format = Literal["csv", "jsonl", "parquet"]

LONGEST_LINE = 8 << 20
_BLOCK = 1 << 20
_SAMPLE = 256 << 10
_SEPARATORS = (",\t;|^~\x01\x1f", " :")  # in order of preference; blanks and colons are also parts of texts
_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
_REFUSED = {
    b"PK\x03\x04": "is a ZIP or Excel file; unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "is an old Excel file; save the sheet as CSV",
    b"BZh": "is compressed with bzip2; unpack it or use gzip",
    b"\xfd7zXZ": "is compressed with xz; unpack it or use gzip",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd; unpack it or use gzip",
    b"\xff\xfe": "is UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "is UTF-16 text; save it as UTF-8",
}


@dataclass(frozen=True, slots=True)
class Survey:
    """What one pass over a text file found. `lines` counts lines; `sha256` is of the bytes as stored."""

    sha256: str
    lines: int
    encoding: str


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns whatever goes wrong while `path` is read into one InvalidInput sentence."""
    try:
        yield
    except FileNotFoundError:
        raise InvalidInput(f"There is no file {path}; check the path.") from None
    except IsADirectoryError:
        raise InvalidInput(f"{path} is a folder; name one file.") from None
    except PermissionError:
        raise InvalidInput(f"{path} may not be read; change its permissions.") from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InvalidInput(f"{path.name} is a damaged gzip file; make or download it again.") from None
    except OSError as error:
        raise InvalidInput(f"{path.name} cannot be read: {error.strerror or error}.") from None


def opened(path: Path, gzipped: bool) -> BinaryIO:
    """The file's bytes, unpacked."""
    return cast(BinaryIO, gzip.open(path, "rb")) if gzipped else path.open("rb")


def format_of(path: Path) -> tuple[Format, bool]:
    """The format and whether it is gzipped: content decides, the name only where content does not tell."""
    with path.open("rb") as file:
        start = file.read(8)
    if not start:
        raise InvalidInput(f"{path.name} is empty.")
    gzipped = start.startswith(_GZIP)
    with opened(path, gzipped) as stream:
        start = stream.read(_SAMPLE)
    if not start.strip():
        raise InvalidInput(f"{path.name} is empty.")
    if start.startswith(_PARQUET):
        if gzipped:
            raise InvalidInput(f"{path.name} is a gzipped Parquet file; unpack it first.")
        return "parquet", False
    for magic, what in _REFUSED.items():
        if start.startswith(magic):
            raise InvalidInput(f"{path.name} {what}.")
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    if suffix == ".parquet":
        raise InvalidInput(f"{path.name} is not a Parquet file, whatever its name says.")
    return ("jsonl" if _is_jsonl(path, start, suffix) else "csv"), gzipped


def _is_jsonl(path: Path, start: bytes, suffix: str) -> bool:
    first = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if suffix == ".json" and not first.startswith(b"{"):
        raise InvalidInput(f"{path.name} is one JSON document; write one object per line (JSONL).")
    if suffix in (".jsonl", ".ndjson"):
        return True
    try:
        return isinstance(orjson.loads(first.split(b"\n", 1)[0]), dict)
    except orjson.JSONDecodeError:
        if suffix == ".json":
            raise InvalidInput(f"{path.name} is one JSON document; write one object per line (JSONL).") from None
        return False


def survey(path: Path, gzipped: bool) -> Survey:
    """Reads the whole file once. Raises InvalidInput for lines of more than 8 MiB."""
    ends = 0
    votes: Counter[str] = Counter()
    last = b""
    with opened(path, gzipped) as stream:
        while block := stream.read(_BLOCK):
            block += stream.readline(LONGEST_LINE)
            if b"\n" not in block and b"\r" not in block and len(block) >= LONGEST_LINE:
                raise InvalidInput(f"{path.name} has a line of more than 8 MiB; it is no table of rows.")
            ends += block.count(b"\n") + block.count(b"\r") - block.count(b"\r\n")
            if not block.isascii():
                votes.update(_votes(block))
            last = block
    return Survey(checksum(path), ends + (not last.endswith((b"\n", b"\r"))), _encoding(votes))


def checksum(path: Path) -> str:
    """SHA-256 of the file as it is stored, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _votes(block: bytes) -> Iterator[str]:
    try:
        block.decode()
        yield "utf-8"
    except UnicodeDecodeError:
        for line in block.splitlines():
            if not line.isascii():
                yield _line_encoding(line)


def _line_encoding(line: bytes) -> str:
    for encoding in ("utf-8", "cp1252"):
        try:
            line.decode(encoding)
            return encoding
        except UnicodeDecodeError:
            continue
    return "latin-1"


def _encoding(votes: Counter[str]) -> str:
    """UTF-8 unless more lines speak against it: a few bad lines in a UTF-8 file are rejects, not another encoding."""
    if votes["cp1252"] + votes["latin-1"] <= votes["utf-8"]:
        return "utf-8-sig"
    return "latin-1" if votes["latin-1"] else "cp1252"


def separator_of(path: Path, gzipped: bool, encoding: str) -> str:
    """The character that cuts the first hundred lines into the most even columns; a comma when none does."""
    with opened(path, gzipped) as stream:
        sample = stream.read(_SAMPLE).decode(encoding, "replace")
    lines = io.StringIO(sample, newline="").readlines()
    lines = lines[: 100 if len(sample) < _SAMPLE else max(1, min(100, len(lines) - 1))]
    preferred = "\t" if path.name.lower().removesuffix(".gz").endswith((".tsv", ".tab")) else ","
    for narrowest, separators in enumerate(_SEPARATORS, start=2):
        ranked = [(_evenness(lines, each, narrowest), each == preferred, each) for each in separators]
        evenness, _, best = max(ranked, key=lambda rank: rank[:2])
        if evenness > 0:
            return best
    return ","


def _evenness(lines: Sequence[str], separator: str, narrowest: int) -> float:
    """How much like a table: the share of records as wide as the header, 0 when that has too few columns."""
    try:
        records = [record for record in csv.reader(lines, delimiter=separator) if record]
    except csv.Error:
        return 0.0
    names = records[0] if records else []
    if len(names) < narrowest or sum(not name.strip() for name in names) * 2 > len(names):
        return 0.0
    return sum(len(record) == len(names) for record in records) / len(records)


def header(names: Sequence[str]) -> tuple[str, ...]:
    """Column names made usable: trimmed, blank ones numbered, repeated ones told apart by their position."""
    columns: list[str] = []
    for position, name in enumerate(names, start=1):
        usable = name.replace("\x00", "").strip() or f"column {position}"
        columns.append(f"{usable} ({position})" if usable in columns else usable)
    return tuple(columns)
