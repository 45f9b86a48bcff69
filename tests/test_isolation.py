"""Nobody reaches another workspace: what the catalogue says, and what an attack on every table gets.

Everything is read from pg_catalog, so a table, view or function added later is tried too. What is exempt is listed here
with its reason. The checks are also run against databases that are wrong on purpose, and must fail there.
"""

import contextlib
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from gdp_core.schema import RUNTIME_ROLES

from .conftest import NOW, _database

Connection = psycopg.Connection[Any]

WITHOUT_TENANTS = {
    "public.alembic_version": "the revision of the schema",
    "public.app_user": "people who sign in belong to several workspaces; gdp_web sees its members, see below",
    "public.user_session": "a session belongs to a user; gdp_gate alone",
    "public.sign_in_link": "belongs to a user; gdp_gate alone",
    "public.oauth_account": "belongs to a user; gdp_gate alone",
    "ops.job_run": "what jobs did; no personal data",
    "ops.schedule_tick": "ticks of jobs; no personal data",
    "ops.heartbeat": "processes; no personal data",
    "ops.marker": "what was done once for the installation; no personal data",
    "ops.lake_state": "how far the lake of each workspace is; no personal data",
}
"""Tables without row-level security, and why."""

POLICIES = {
    "door": "the door appends for any workspace, before anybody is signed in; it cannot read",
    "gate": "signing in looks up workspaces and memberships before one is chosen",
}
"""Policies besides `tenant` and `owner`, and why."""

SEES_ALL = {("gdp_gate", table) for table in ("workspace", "membership", "invitation")}
"""Roles that may read a table across workspaces: the policy `gate`."""

APPENDS_TO_ALL = {("gdp_ingest", table) for table in ("inbox", "ledger_entry")}
"""Roles that may insert into a table for any workspace: the policy `door`."""

DEFINERS = {
    "door_hook": "from an unguessable hook key to its workspace and sealed secrets",
    "door_key": "from the hash of a tracking key to its workspace",
    "keys_used": "the door notes that keys were used, by their ids",
    "partition_drop": "DDL; refuses while any workspace wants the rows",
    "partition_ensure": "DDL; one of two tables, by month",
    "partition_list": "names and sizes",
    "pending_workspaces": "ids of workspaces with something due",
    "workspace_ids": "ids of workspaces, for jobs",
}
"""Functions that run as the owner, and what they give away."""

UNIQUE_WITHOUT_WORKSPACE = {
    ("workspace", ("id",)): "is the workspace",
    ("workspace", ("slug",)): "an address; taken or not is shown to whoever makes a workspace",
    ("source_instance", ("hook_key",)): "192 random bits",
    ("api_key", ("key_hash",)): "the hash of 256 random bits",
    ("invitation", ("token_hash",)): "the hash of 256 random bits",
}
"""Unique indexes by which one workspace could feel another's rows, and why they do not matter."""

KEYS_WITHOUT_WORKSPACE = {("membership", ("user_id",)): "a user belongs to several workspaces"}

GOLDEN = Path(__file__).parent / "golden" / "privileges.txt"


@pytest.fixture
def admin(server, databases) -> Iterator[Connection]:
    """An administrator's connection to an empty database; all its work is undone."""
    name = databases.take()
    with psycopg.connect(_database(server, name)) as connection:
        yield connection
        connection.rollback()
    databases.give_back(name)


# ------------------------------------------------------------------------------------------------- the catalogue


def relations(admin: Connection) -> list[Any]:
    """(schema.name, name, schema, kind, enabled, forced) of everything that holds or shows rows."""
    return admin.execute(
        "SELECT n.nspname || '.' || c.relname, c.relname, n.nspname, c.relkind, c.relrowsecurity, c.relforcerowsecurity"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')"
        " AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') ORDER BY 1"
    ).fetchall()


def tenant_tables(admin: Connection) -> list[str]:
    """Every table of tenants by name; partitions are not among them."""
    return [row[1] for row in relations(admin) if row[2] == "public" and row[0] not in WITHOUT_TENANTS]


def tenant_column(table: str) -> str:
    return "id" if table == "workspace" else "workspace_id"


def problems(admin: Connection) -> list[str]:
    """What is wrong with the schema, in words."""
    return [*_problems_of_tables(admin), *_problems_of_keys(admin), *_problems_of_functions(admin)]


def _problems_of_tables(admin: Connection) -> Iterator[str]:
    for full, name, schema, kind, enabled, forced in relations(admin):
        if schema == "part":
            continue  # behind a schema nobody may use, see below
        if kind not in ("r", "p"):
            yield f"{full} is a view or foreign table; none is reviewed"
        elif full in WITHOUT_TENANTS:
            if schema == "public" and _columns(admin, full).keys() & {"workspace_id"}:
                yield f"{full} has a workspace but is exempt"
        elif not (enabled and forced):
            yield f"{full} has no forced row-level security"
        else:
            yield from _problems_of_policies(admin, full, name)
    for role in RUNTIME_ROLES:
        if admin.execute("SELECT has_schema_privilege(%s, 'part', 'USAGE, CREATE')", (role,)).fetchone() != (False,):
            yield f"{role} may look into the schema of partitions"


def _problems_of_policies(admin: Connection, full: str, name: str) -> Iterator[str]:
    found = {
        row[0]: row[1:]
        for row in admin.execute(
            "SELECT policyname, roles::text[], cmd, qual, with_check, permissive FROM pg_policies"
            " WHERE schemaname || '.' || tablename = %s",
            (full,),
        )
    }
    mine = f"({tenant_column(name)} = app_ws())"
    if found.get("tenant") != (["public"], "ALL", mine, mine, "PERMISSIVE"):
        yield f"{full} lacks the policy tenant"
    if found.get("owner") != (["gdp_owner"], "ALL", "true", "true", "PERMISSIVE"):
        yield f"{full} lacks the policy owner"
    for policy in found.keys() - {"tenant", "owner"}:
        roles, command, using, check, _ = found[policy]
        reviewed = {
            "door": (["gdp_ingest"], "INSERT", None, "true") if ("gdp_ingest", name) in APPENDS_TO_ALL else None,
            "gate": (["gdp_gate"], "SELECT", "true", None) if ("gdp_gate", name) in SEES_ALL else None,
        }
        if policy not in POLICIES or reviewed[policy] != (roles, command, using, check):
            yield f"{full} has an unreviewed policy {policy}"


def _problems_of_keys(admin: Connection) -> Iterator[str]:
    unique = admin.execute(
        "SELECT c.relname, array_agg(a.attname ORDER BY a.attname)::text[] FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indrelid JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey)"
        " WHERE i.indisunique AND c.relnamespace = 'public'::regnamespace GROUP BY i.indexrelid, c.relname"
    ).fetchall()
    for table, columns in unique:
        exempt = f"public.{table}" in WITHOUT_TENANTS or (table, tuple(columns)) in UNIQUE_WITHOUT_WORKSPACE
        if "workspace_id" not in columns and not exempt:
            yield f"{table} has a unique index on {columns} without the workspace"
    keys = admin.execute(
        "SELECT c.relname, array_agg(a.attname ORDER BY a.attname)::text[], k.confrelid::regclass::text,"
        " max(p.relkind::text) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class p ON p.oid = k.confrelid"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(k.conkey) WHERE k.contype = 'f'"
        " GROUP BY k.oid, c.relname, k.confrelid"
    ).fetchall()
    for table, columns, to, kind in keys:
        exempt = f"public.{table}" in WITHOUT_TENANTS or (table, tuple(columns)) in KEYS_WITHOUT_WORKSPACE
        if "workspace_id" not in columns and not exempt:
            yield f"{table} refers to {to} by {columns} without the workspace"
        if kind == "p":
            yield f"{table} refers to the partitioned table {to}"


def _problems_of_functions(admin: Connection) -> Iterator[str]:
    for name, definer, configured, public, owner in admin.execute(
        "SELECT p.proname, p.prosecdef, p.proconfig, has_function_privilege('public', p.oid, 'EXECUTE'), r.rolname"
        " FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner"
        " WHERE p.pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"
    ):
        if not definer:
            continue
        if name not in DEFINERS:
            yield f"{name} runs as its owner and is not reviewed"
        if not any(item == "search_path=pg_catalog, public, pg_temp" for item in configured or ()):
            yield f"{name} has no fixed search_path"
        if public:
            yield f"anybody may call {name}"
        if owner != "gdp_owner":
            yield f"{name} runs as {owner}"


def test_the_catalogue_is_as_reviewed(admin):
    assert problems(admin) == []
    known = {row[0] for row in relations(admin)}
    assert set(WITHOUT_TENANTS) <= known, "an exemption of something that is gone"
    functions = {name for (name,) in admin.execute("SELECT proname FROM pg_proc WHERE prosecdef")}
    assert set(DEFINERS) <= functions


MUTATIONS = {
    "a policy is dropped": "DROP POLICY tenant ON person",
    "a policy lets everything through": "ALTER POLICY tenant ON person USING (true)",
    "a policy checks nothing on the way in": "ALTER POLICY tenant ON person WITH CHECK (true)",
    "row-level security is off": "ALTER TABLE event DISABLE ROW LEVEL SECURITY",
    "row-level security is not forced": "ALTER TABLE event NO FORCE ROW LEVEL SECURITY",
    "a table without a policy": "CREATE TABLE note (id uuid, workspace_id uuid, PRIMARY KEY (id, workspace_id))",
    "a policy nobody reviewed": "CREATE POLICY extra ON person FOR SELECT TO gdp_web USING (true)",
    "a reviewed policy on another table": "CREATE POLICY gate ON person FOR SELECT TO gdp_gate USING (true)",
    "a unique index over workspaces": "CREATE UNIQUE INDEX x ON person (email)",
    "a key over workspaces": "CREATE UNIQUE INDEX y ON person (id); ALTER TABLE tag_of ADD FOREIGN KEY (p) REFERENCES person (id)",
    "a view with its owner's rights": "CREATE VIEW everybody AS SELECT * FROM person",
    "a materialised view": "CREATE MATERIALIZED VIEW everybody AS SELECT * FROM person",
    "a function with its owner's rights": "CREATE FUNCTION peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER"
    " SET search_path = pg_catalog, public, pg_temp AS 'SELECT count(*) FROM person'",
    "a definer that finds what it is given": "ALTER FUNCTION door_key RESET search_path",
    "a definer for anybody": "GRANT EXECUTE ON FUNCTION door_key TO PUBLIC",
    "partitions in sight": "GRANT USAGE ON SCHEMA part TO gdp_web",
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_wrong_schema_is_noticed(admin, mutation):
    if "tag_of" in MUTATIONS[mutation]:
        admin.execute("CREATE TABLE tag_of (p uuid, workspace_id uuid)")
        for policy in ("tenant", "owner"):
            rule = "workspace_id = app_ws()" if policy == "tenant" else "true"
            to = "" if policy == "tenant" else "TO gdp_owner"
            admin.execute(f"CREATE POLICY {policy} ON tag_of {to} USING ({rule}) WITH CHECK ({rule})")
        admin.execute("ALTER TABLE tag_of ENABLE ROW LEVEL SECURITY")
        admin.execute("ALTER TABLE tag_of FORCE ROW LEVEL SECURITY")
        assert problems(admin) == []
    admin.execute(MUTATIONS[mutation])
    assert problems(admin)


# ------------------------------------------------------------------------------------------------ who may do what


def test_no_runtime_role_is_more_than_it_needs(database, admin):
    for role in (*RUNTIME_ROLES, "gdp_owner"):
        found = admin.execute(
            "SELECT rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, rolcanlogin FROM pg_roles"
            " WHERE rolname = %s",
            (role,),
        ).fetchone()
        assert found == (False,) * 6, role
    owners = admin.execute("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname IN ('public', 'ops', 'part')")
    assert owners.fetchall() == [("gdp_owner",)]
    login = re.search(r"//(\w+):", database.dsn).group(1)
    for role in RUNTIME_ROLES:
        assert admin.execute("SELECT pg_has_role(%s, 'gdp_owner', 'MEMBER')", (role,)).fetchone() == (False,)
    memberships = (
        "SELECT r.rolname FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid WHERE m.member = %s::regrole"
    )
    assert {name for (name,) in admin.execute(memberships, (login,))} == set(RUNTIME_ROLES)
    flags = admin.execute("SELECT rolsuper, rolbypassrls, rolinherit FROM pg_roles WHERE rolname = %s", (login,))
    assert flags.fetchone() == (False, False, False)
    with psycopg.connect(database.dsn) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("SET ROLE gdp_owner")


def test_the_matrix_of_privileges_is_as_reviewed(admin):
    """GDP_UPDATE_GOLDEN=1 writes it anew; read the difference before committing it."""
    lines = []
    for full, _, schema, *_ in relations(admin):
        if schema != "part":
            lines += [f"{full} {role}: {granted}" for role in RUNTIME_ROLES if (granted := _granted(admin, role, full))]
    matrix = "\n".join(lines) + "\n"
    if os.environ.get("GDP_UPDATE_GOLDEN"):
        GOLDEN.write_text(matrix)
    assert matrix == GOLDEN.read_text()
    assert not re.search("TRUNCATE|REFERENCES|TRIGGER", matrix)


def _granted(admin: Connection, role: str, table: str) -> str:
    words = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
    whole = [
        word
        for word in words
        if admin.execute("SELECT has_table_privilege(%s, %s, %s)", (role, table, word)).fetchone()[0]
    ]
    parts = admin.execute(
        "SELECT string_agg(a.attname, ' ' ORDER BY a.attname) FROM pg_attribute a WHERE a.attrelid = %s::regclass"
        " AND a.attnum > 0 AND has_column_privilege(%s, a.attrelid, a.attnum, 'SELECT')",
        (table, role),
    ).fetchone()[0]
    return ", ".join(whole) or (f"SELECT ({parts})" if parts else "")


# ------------------------------------------------------------------------------------------------------ the attack


def _columns(admin: Connection, table: str) -> dict[str, str]:
    """{column: type} of what an INSERT must give."""
    return dict(
        admin.execute(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %s::regclass"
            " AND attnum > 0 AND NOT attisdropped AND attidentity <> 'a' AND attgenerated = '' ORDER BY attnum",
            (table,),
        ).fetchall()
    )


def _allowed(admin: Connection, table: str) -> dict[str, str]:
    """{column: the first word its CHECK takes}."""
    found = {}
    for (text,) in admin.execute(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'c'", (table,)
    ):
        if match := re.search(r"\(+(\w+) = ANY \(+ARRAY\['(\w+)'", text):
            found[match.group(1)] = match.group(2)
    return found


def _value(kind: str, secret: str) -> Any:
    if kind in ("bigint", "integer", "smallint", "double precision") or kind.startswith("numeric"):
        return 1
    return {
        "uuid": uuid.uuid5(uuid.NAMESPACE_DNS, secret),
        "text": secret,
        "bytea": secret.encode(),
        "jsonb": Jsonb({"secret": secret}),
        "text[]": [secret],
        "boolean": False,
        "date": NOW.date(),
        "xid8": "5",
        "timestamp with time zone": NOW,
    }[kind]


class Seeded:
    """A row of each workspace in every table, made from the types of its columns."""

    def __init__(self, admin: Connection) -> None:
        self.admin = admin
        self.tables = tenant_tables(admin)
        self.a, self.b = (uuid.uuid5(uuid.NAMESPACE_DNS, name) for name in ("alpha", "beta"))
        for parent in ("event", "inbox"):
            admin.execute("SELECT partition_ensure(%s, %s)", (parent, NOW))
        for workspace in (self.a, self.b):
            admin.execute(
                "INSERT INTO app_user (id, email, name, failed_sign_ins, created_at) VALUES (%s, %s, 'x', 0, %s)",
                (self.user(workspace), f"{workspace}@x.example", NOW),
            )
            first = ["workspace", "source_instance"]
            for table in [*first, *(name for name in self.tables if name not in first)]:
                self.insert(table, self.row(table, workspace))

    def user(self, workspace: UUID) -> UUID:
        return uuid.uuid5(workspace, "user")

    def row(self, table: str, workspace: UUID, *, salt: str = "") -> dict[str, Any]:
        """A row of a table; another salt gives other keys."""
        allowed = _allowed(self.admin, table)
        values = {
            name: allowed.get(name) or _value(kind, f"secret of {workspace} {table} {name} {salt}")
            for name, kind in _columns(self.admin, table).items()
        }
        values[tenant_column(table)] = workspace
        if "user_id" in values:
            values["user_id"] = self.user(workspace)
        if "source_id" in values:
            values["source_id"] = uuid.uuid5(workspace, "source")
        if table == "source_instance":
            values["id"] = uuid.uuid5(workspace, "source" + salt)
        return values

    def insert(self, table: str, values: dict[str, Any], more: str = "") -> int:
        names = sql.SQL(", ").join(map(sql.Identifier, values))
        marks = sql.SQL(", ").join(sql.Placeholder() * len(values))
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) " + more).format(sql.Identifier(table), names, marks)
        return self.admin.execute(statement, list(values.values())).rowcount

    @contextlib.contextmanager
    def acting(self, role: str, workspace: UUID | None) -> Iterator[Connection]:
        """Be a role in a workspace; what it did is undone."""
        with self.admin.transaction(force_rollback=True):
            self.admin.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
            self.admin.execute("SELECT set_config('app.ws', %s, true)", (str(workspace or ""),))
            yield self.admin


def attack(seeded: Seeded, role: str, table: str) -> list[str]:
    """Try everything on the other workspace's row of a table. Returns what came of it; nothing should."""
    leaks = []
    column, b = sql.Identifier(tenant_column(table)), seeded.b
    name = sql.Identifier(table)
    other = seeded.row(table, b, salt="new")
    mine = seeded.row(table, seeded.a)
    twin = {**seeded.row(table, b), tenant_column(table): seeded.a}
    any_column = sql.Identifier(next(iter(mine)))
    conflict = sql.SQL("ON CONFLICT DO NOTHING").as_string()
    attempts = {
        "reads": ("SELECT count(*) FROM {t} WHERE {c} IS DISTINCT FROM app_ws()", ()),
        "reads by key": ("SELECT count(*) FROM {t} WHERE {c} = %s", (b,)),
        "reads by a subquery": ("SELECT count(*) FROM (SELECT * FROM {t} OFFSET 0) x WHERE {c} = %s", (b,)),
        "locks": ("SELECT count(*) FROM (SELECT 1 FROM {t} WHERE {c} = %s FOR UPDATE) x", (b,)),
        "changes": ("WITH x AS (UPDATE {t} SET {f} = {f} WHERE {c} = %s RETURNING 1) SELECT count(*) FROM x", (b,)),
        "deletes": ("WITH x AS (DELETE FROM {t} WHERE {c} = %s RETURNING 1) SELECT count(*) FROM x", (b,)),
        "moves its own": ("WITH x AS (UPDATE {t} SET {c} = %s RETURNING 1) SELECT count(*) FROM x", (b,)),
    }
    for word, (text, parameters) in attempts.items():
        if (role, table) in SEES_ALL and word.startswith("reads"):
            continue
        statement = sql.SQL(text).format(t=name, c=column, f=any_column)
        found = _tried(seeded, role, lambda: seeded.admin.execute(statement, parameters).fetchone()[0])  # noqa: B023
        leaks += [f"{role} {word} {found} of {table}"] if found else []
    writes = {
        "inserts": lambda: seeded.insert(table, other),
        "inserts and reads back": lambda: len(_returned(seeded, table, other)),
        "writes over": lambda: seeded.insert(table, seeded.row(table, b), conflict),
        "writes over with its own": lambda: _upserted(seeded, table, twin),
    }
    for word, write in writes.items():
        if (role, table) in APPENDS_TO_ALL and word in ("inserts", "writes over"):
            continue
        found = _tried(seeded, role, write)
        leaks += [f"{role} {word} {found} of {table}"] if found else []
    return leaks


def _returned(seeded: Seeded, table: str, values: dict[str, Any]) -> list[Any]:
    names = sql.SQL(", ").join(map(sql.Identifier, values))
    marks = sql.SQL(", ").join(sql.Placeholder() * len(values))
    statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING *").format(sql.Identifier(table), names, marks)
    return seeded.admin.execute(statement, list(values.values())).fetchall()


def _upserted(seeded: Seeded, table: str, values: dict[str, Any]) -> int:
    """How many rows of the other workspace an upsert of one's own row, with the other's unique values, changed."""
    unique = [columns for (name, columns) in UNIQUE_WITHOUT_WORKSPACE if name == table and columns != ("id",)]
    changed = 0
    for columns in unique:
        target = ", ".join(columns)
        seeded.insert(table, values, f"ON CONFLICT ({target}) DO UPDATE SET {target} = excluded.{target}")
        changed += 1
    return changed


def _tried(seeded: Seeded, role: str, attempt: Any) -> int:
    """What an attempt gave; 0 when it was refused."""
    try:
        with seeded.acting(role, seeded.a):
            return int(attempt())
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.RaiseException, psycopg.errors.UniqueViolation):
        return 0


def test_every_role_attacks_every_table(admin):
    seeded = Seeded(admin)
    assert len(seeded.tables) > 35
    leaks = [leak for role in RUNTIME_ROLES for table in seeded.tables for leak in attack(seeded, role, table)]
    assert leaks == []


def test_the_attack_would_succeed_where_it_may(admin):
    """The same statements reach the attacker's own rows: so it is the workspace that stops them, not a mistake in them."""
    seeded = Seeded(admin)
    for table in seeded.tables:
        with seeded.acting("gdp_worker", seeded.a):
            query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
            assert admin.execute(query).fetchone() == (1,), table
    seeded.b = seeded.a
    for table in ("person", "event", "inbox", "identity_edge"):
        words = " ".join(attack(seeded, "gdp_worker", table))
        assert all(word in words for word in ("reads by key", "locks", "changes", "deletes", "inserts 1")), words


@pytest.mark.parametrize(
    ("mutation", "found"),
    [
        ("ALTER POLICY tenant ON person USING (true)", "gdp_web reads 1 of person"),
        ("ALTER POLICY tenant ON person WITH CHECK (true)", "gdp_worker inserts 1 of person"),
        ("ALTER TABLE identity_edge DISABLE ROW LEVEL SECURITY", "gdp_worker deletes 1 of identity_edge"),
        ("CREATE POLICY extra ON event FOR SELECT USING (true)", "gdp_web reads by key 1 of event"),
    ],
)
def test_a_hole_is_found(admin, mutation, found):
    seeded = Seeded(admin)
    admin.execute(mutation)
    table = found.rpartition(" ")[2]
    assert found in [leak for role in RUNTIME_ROLES for leak in attack(seeded, role, table)]


def test_without_a_workspace_there_is_nothing(admin):
    seeded = Seeded(admin)
    for role in RUNTIME_ROLES:
        for table in seeded.tables:
            if (role, table) in SEES_ALL:
                continue
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege), seeded.acting(role, None):
                query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
                assert admin.execute(query).fetchone() == (0,), (role, table)


def test_copying_a_table_copies_ones_own_rows(admin):
    seeded = Seeded(admin)
    for table in seeded.tables:
        with seeded.acting("gdp_worker", seeded.a):
            # A partitioned table cannot be copied by name, a table with row-level security can.
            query = sql.SQL("COPY (SELECT * FROM {}) TO STDOUT").format(sql.Identifier(table))
            with admin.cursor().copy(query) as copy:
                text = b"".join(bytes(block) for block in copy).decode()
        assert str(seeded.a) in text, table
        assert str(seeded.b) not in text, table
    with (
        pytest.raises(psycopg.errors.FeatureNotSupported),
        seeded.acting("gdp_worker", seeded.a),
        admin.cursor().copy("COPY person FROM STDIN"),
    ):
        pass


def test_partitions_cannot_be_reached(admin):
    seeded = Seeded(admin)
    partitions = [row[0] for row in relations(admin) if row[2] == "part"]
    assert partitions
    for role in RUNTIME_ROLES:
        for partition in partitions:
            with pytest.raises(psycopg.errors.InsufficientPrivilege), seeded.acting(role, seeded.a):
                admin.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(*partition.split("."))))


def test_a_workspace_sees_its_own_members_only(admin):
    seeded = Seeded(admin)
    query = "SELECT id FROM app_user"
    with seeded.acting("gdp_web", seeded.a):
        assert admin.execute(query).fetchall() == [(seeded.user(seeded.a),)]
    with seeded.acting("gdp_web", None):
        assert admin.execute(query).fetchall() == []
    for role in ("gdp_worker", "gdp_ingest"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), seeded.acting(role, seeded.a):
            admin.execute(query)


def test_the_audit_log_only_grows(admin):
    seeded = Seeded(admin)
    for role in RUNTIME_ROLES:
        for statement in ("UPDATE audit_log SET action = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"):
            refused = (psycopg.errors.InsufficientPrivilege, psycopg.errors.RaiseException)
            with pytest.raises(refused), seeded.acting(role, seeded.a):
                admin.execute(statement)
