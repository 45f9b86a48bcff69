"""What a lake cannot do ends in one sentence that says what to do; how a bucket is reached."""

import subprocess
import sys
from importlib.util import find_spec
from unittest.mock import Mock

import psycopg
import pytest

from gdp_core.errors import BadSetting, TooMuch, Unavailable
from gdp_core.lake import upkeep
from gdp_core.lake.connection import Bucket, Lake
from gdp_core.lake.tables import schema_of
from gdp_core.lake.writing import ensure
from gdp_core.settings import settings
from jobs.commands import main

from .segment_life import HOUR, Life, performed

SOMEBODY = "00000000-0000-0000-0000-000000000001"


@pytest.fixture
def told(database, ws, tmp_path, monkeypatch, capsys):
    """A command's exit code and what it said, in a workspace without a lake."""
    from gdp_core import runtime
    from gdp_core.lake import process

    monkeypatch.setenv("DATABASE_URL", database.dsn)
    monkeypatch.setenv("GDP_DATA_DIR", str(tmp_path))
    monkeypatch.setattr("jobs.lake.database", lambda role: getattr(database, role.removeprefix("gdp_")))
    settings.cache_clear()
    process.reopen()

    def run(*arguments):
        code = main(["lake", *arguments])
        out, err = capsys.readouterr()
        return code, (out + err).strip()

    yield run
    process.lake().close()
    process.reopen()
    settings.cache_clear()
    runtime.database.cache_clear()


def test_bad_input_ends_in_one_sentence(told):
    for command in ("flush", "maintain", "rebuild", "check"):
        code, said = told(command, "--workspace", "nobody")
        assert code == 1
        assert said.startswith("There is no workspace 'nobody': make it with")
    assert told("erase", "-w", "acme", "--person", "ada")[1].startswith("'ada' is not a person's id")
    assert told("erase", "-w", "acme", "--person", SOMEBODY) == (1, "There is no such person in this workspace.")
    assert told("check", "-w", "acme") == (1, "acme has no lake yet: run python -m jobs lake flush -w acme first.")
    assert told("maintain", "-w", "acme")[0] == 0
    assert told("flush", "-w", "acme") == (0, "Nothing was new.")
    assert told("check", "-w", "acme")[0] == 0


def test_who_is_erased_is_out_of_segments_at_once_and_the_command_goes_on_where_the_lake_failed(
    told, database, ws, tmp_path, monkeypatch
):
    life = Life(database, ws, tmp_path / "life")
    a, b = life.born(2)
    for who in (a, b):
        life.does(who, "order", life.now - HOUR)
    buyers = life.segment("Buyers", performed("order"))
    life.cycle()
    with monkeypatch.context() as patched:
        patched.setattr(upkeep, "erase", Mock(side_effect=Unavailable("The lake is away.")))
        assert told("erase", "-w", "acme", "--person", str(a.id))[0] == 1
    life.now += HOUR
    life.cycle()  # its timeline still knows them
    assert life.who(buyers) == {b.id}
    code, said = told("erase", "-w", "acme", "--person", str(a.id))
    assert (code, said.splitlines()[0]) == (0, "Erased: 0 events.")
    assert {row[1] for row in life.transitions()} == {b.id}


@pytest.mark.parametrize(("version", "read_only"), [("99.0", False), ("99.0", True), ("0.1", True)])
def test_a_catalogue_of_another_release(database, ws, tmp_path, version, read_only):
    with Lake(database.dsn, str(tmp_path / "lake")) as lake:
        ensure(lake, ws)
    with psycopg.connect(database.admin, autocommit=True) as connection:
        connection.execute("UPDATE lake.ducklake_metadata SET value = %s WHERE key = 'version'", (version,))
    with pytest.raises(BadSetting, match="another release"):
        Lake(database.dsn, str(tmp_path / "lake"), read_only=read_only)


def test_a_version_that_is_gone(database, ws, tmp_path):
    with Lake(database.dsn, str(tmp_path / "lake")) as lake:
        ensure(lake, ws)
        with pytest.raises(Unavailable, match="kept no longer"), lake.reading() as cursor:
            cursor.execute(f"SELECT * FROM {schema_of(ws)}.event AT (VERSION => 9999)")


def test_how_a_bucket_is_reached():
    assert Bucket("AK", "it's", "eu-west-1").statement == (
        "CREATE SECRET bucket (TYPE s3, KEY_ID 'AK', SECRET 'it''s', REGION 'eu-west-1')"
    )
    assert Bucket("AK", "s", endpoint="http://127.0.0.1:9000").statement.endswith(
        "ENDPOINT '127.0.0.1:9000', URL_STYLE 'path', USE_SSL false)"
    )
    assert "USE_SSL true" in Bucket("AK", "s", endpoint="https://minio.example.com").statement
    assert "hidden" not in repr(Bucket("AK", "hidden"))
    with pytest.raises(BadSetting, match="GDP_LAKE_KEY_ID"):
        _ = Bucket("", "").statement
    with pytest.raises(BadSetting, match="GDP_LAKE_ENDPOINT"):
        _ = Bucket("AK", "s", endpoint="minio:9000").statement


@pytest.mark.skipif(not find_spec("duckdb_extension_httpfs"), reason="DuckDB's httpfs is an extra")
def test_duckdb_takes_the_secret(database):
    with pytest.raises(Unavailable, match="cannot be"):  # nobody listens there
        Lake(database.dsn, "s3://bucket/lake", bucket=Bucket("AK", "s", endpoint="http://127.0.0.1:9"))._connection.sql(
            "SELECT * FROM read_parquet('s3://bucket/x.parquet')"
        )


def test_without_its_extension_a_bucket_says_what_to_install():
    """In a process of its own, without a network or a folder of extensions."""
    code = (
        "import duckdb; real = duckdb.connect\n"
        "duckdb.connect = lambda config: real(config=config | {'custom_extension_repository': 'http://127.0.0.1:9',"
        " 'extension_directory': '/proc/nowhere'})\n"
        "from gdp_core.lake import connection\n"
        "found = connection.find_spec\n"
        "connection.find_spec = lambda name: None if 'httpfs' in name else found(name)\n"
        "connection.Lake('', 's3://bucket/x', bucket=connection.Bucket('AK', 's'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert "pip install duckdb-extension-httpfs==" in done.stderr.splitlines()[-1]


def test_a_group_alone_is_the_same_commands():
    """Called by name it is loaded without the others."""
    from jobs import commands
    from jobs.calling import ALONE, alone

    whole = {group.name: group.typer_instance for group in commands.app.registered_groups}
    for name in ALONE:
        assert [group.typer_instance for group in alone(name).registered_groups] == [whole[name]]


def test_a_query_too_large_for_the_memory_says_so_and_the_lake_stays_open(database, tmp_path):
    with Lake(database.dsn, str(tmp_path / "lake"), memory="50MB", threads=1) as lake:
        with pytest.raises(TooMuch, match="more memory than a query may take"), lake.reading() as cursor:
            cursor.execute("SELECT list(range) FROM range(20_000_000)")
        with lake.reading() as cursor:
            assert cursor.execute("SELECT 1").fetchone() == (1,)
