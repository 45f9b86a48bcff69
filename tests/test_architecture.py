"""What the reviews would otherwise have to say again and again: who may import, call and write what."""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from .conftest import ROOT

LAYERS = (
    (
        "errors",
        "clock",
        "ids",
        "settings",
        "money",
        "failpoint",
        "limits",
        "lost",
        "ahead",
        "words",
        "acquisition",
        "addresses",
    ),
    ("db", "schema", "vault", "runtime"),
    ("tables",),
    ("sources", "event_roles"),
    ("line", "appender", "senders", "accept"),
    ("event_types",),
    ("inbox", "identity", "events", "stages", "people"),
    ("billing", "mail"),
    ("pipeline",),
    ("lake",),
    ("timeline",),
    ("retention", "recompute", "vitals"),
    ("accounts",),
    ("in_use",),
    ("choices", "identity_admin", "track", "backfill", "importer", "reports"),
    ("features", "analytics"),
    ("early_warning", "segments"),
    ("replay", "demo"),
)
"""gdp_core from the ground up: a module imports from its own layer and from those before it. A new one is placed here."""

HOMES = {
    "alembic": {"gdp_core/schema.py"},
    "argon2": {"gdp_core/accounts/passwords.py"},
    "authlib": {"pages/gate/"},
    "cryptography": {"gdp_core/vault.py"},
    "distributed": {"gdp_core/timeline/engine.py"},
    "duckdb": {"gdp_core/lake/"},
    "numba": {"gdp_core/timeline/kernels/"},
    "fastapi": {"jobs/api/", "jobs/door/"},
    "httpx": {"jobs/door/api.py", "pages/gate/"},
    "phonenumbers": {"gdp_core/sources/people.py"},
    "plotly": {"pages/ui/"},
    "prometheus_client": {"jobs/door/"},
    "pyarrow": {"gdp_core/importer/", "gdp_core/lake/", "gdp_core/timeline/matching.py", "gdp_core/timeline/values.py"},
    "rich": {"jobs/"},
    "schedule": {"jobs/"},
    "starlette": {"app.py", "pages/gate/", "pages/api.py", "jobs/api/", "jobs/door/"},
    "streamlit": {"app.py", "pages/"},
    "stripe": {"gdp_core/sources/stripe.py"},
    "typer": {"jobs/"},
    "uvicorn": {"app.py", "jobs/api/", "jobs/door/"},
}
"""Where a library may be imported: files, or folders with a slash."""

SINGLE_SITES = {
    r"os\.environ|os\.getenv|\bgetenv\(": {"gdp_core/settings.py"},
    r"datetime\.(now|utcnow|today)|date\.today": {"gdp_core/clock.py"},
    r"\.commit\(": {"gdp_core/db.py", "gdp_core/schema.py"},
    r"set_config": {"gdp_core/db.py"},
    r"SET (LOCAL |SESSION )?app\.": set(),
    r"SET ROLE": {"gdp_core/db.py", "gdp_core/schema.py", "gdp_core/line.py"},
    r"session_state": {"pages/ui/state.py", "pages/ui/__init__.py"},
    r"cache_data|cache_resource": {"pages/ui/data.py", "pages/ui/__init__.py"},
    r"unsafe_allow_html|st\.html\(|components\.html|\beval\(|\bexec\(|pickle": set(),
    r"hmac\.new\(|hmac\.digest\(": {
        "gdp_core/sources/signatures.py",
        "gdp_core/vault.py",
        "jobs/login.py",
    },
}
"""Text that only some files may hold; what a docstring or a guide shows does not count."""

WRITERS = {
    "actor": {"identity", "events", "people"},
    "actor_day": {"events"},
    "actor_role_day": {"events", "recompute"},
    "actor_value_day": {"events"},
    "consent": {"mail"},
    "derived_event": {"pipeline"},
    "email_event": {"mail"},
    "email_message": {"mail"},
    "event": {"events"},
    "event_key": {"pipeline"},
    "event_type": {"event_types", "choices"},
    "event_type_day": {"event_types"},
    "fact_conflict": {"pipeline"},
    "fact_reject": {"inbox"},
    "feature_definition": {"features"},
    "identity_edge": {"identity", "identity_admin"},
    "inbox": {"appender", "inbox"},
    "invoice": {"billing"},
    "ledger_entry": {"appender", "inbox"},
    "merge_review": {"identity", "identity_admin"},
    "mrr_change": {"billing"},
    "object_state": {"pipeline"},
    "person": {"people"},
    "person_feature": {"features"},
    "person_token": {"people"},
    "refund": {"billing"},
    "saved_report": {"reports"},
    "segment": {"segments"},
    "segment_cycle": {"segments"},
    "segment_draft": {"segments"},
    "segment_forgotten": {"segments"},
    "segment_member": {"segments"},
    "segment_size": {"segments"},
    "segment_state": {"segments"},
    "segment_transition": {"segments"},
    "segment_version": {"segments"},
    "stage_change": {"people"},
    "static_list": {"reports"},
    "static_list_member": {"reports"},
    "subscription": {"billing"},
    "subscription_item": {"billing"},
    "webhook_subscription": {"segments"},
    "suppression": {"mail"},
    "trait_assertion": {"pipeline"},
    "audit_log": {"accounts"},
}
"""Which module of gdp_core writes a table that follows from what was delivered; anyone may read it."""

BROAD = {
    "gdp_core/appender.py": "a batch that fails must answer each of its senders",
    "gdp_core/db.py": "libpq and SQLAlchemy raise half a dozen types for a bad address; a broken connection is replaced",
    "gdp_core/importer/run.py": "notes why an import stopped and raises again",
    "gdp_core/segments/evaluate.py": "a segment that fails is reported on itself and holds no other up",
    "gdp_core/pipeline.py": "finds the poison in a batch, or raises again",
    "jobs/timetable.py": "a workspace's turn that raises keeps no other from its own, and is raised after them",
    "jobs/runner.py": "a job that raises is recorded and tried again",
    "jobs/door/edge.py": "an error in a request is a 500 without details",
    "pages/ui/boundary.py": "an error in a page is shown as a sentence",
}
"""Files that catch Exception, and why."""


@cache
def sources() -> dict[str, ast.Module]:
    """{path from the root: what it says} of everything that runs in production."""
    paths = [ROOT / "app.py", *(path for part in ("gdp_core", "jobs", "pages") for path in (ROOT / part).rglob("*.py"))]
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in sorted(paths)}


def imports(tree: ast.Module) -> Iterator[str]:
    """Full names of what is imported: `a.b` and, for `from a import b`, `a.b` too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_in(path: str, homes: set[str]) -> bool:
    return any(path == home or (home.endswith("/") and path.startswith(home)) for home in homes)


def test_the_direction_of_imports():
    """app.py -> pages -> gdp_core <- jobs."""
    may = {
        "app.py": {"app", "pages", "gdp_core"},
        "pages": {"pages", "gdp_core"},
        "jobs": {"jobs", "gdp_core"},
        "gdp_core": {"gdp_core"},
    }
    wrong = [
        f"{path} imports {name}"
        for path, tree in sources().items()
        for name in imports(tree)
        if name.split(".")[0]
        in {"app", "pages", "jobs", "gdp_core", "tests", "migrations", "benchmarks"} - may[path.split("/")[0]]
    ]
    assert wrong == []


def core_part(name: str) -> str:
    """gdp_core.billing.mrr -> billing."""
    return name.split(".")[1]


def test_every_module_of_core_is_in_its_layer():
    placed = [part for layer in LAYERS for part in layer]
    assert len(placed) == len(set(placed))
    present = {path.split("/")[1].removesuffix(".py") for path in sources() if path.startswith("gdp_core/")} - {
        "__init__"
    }
    assert present == set(placed)


def test_earlier_stages_do_not_know_later_ones():
    level = {part: number for number, layer in enumerate(LAYERS) for part in layer}
    wrong = []
    for path, tree in sources().items():
        if not path.startswith("gdp_core/") or path == "gdp_core/__init__.py":
            continue
        mine = path.split("/")[1].removesuffix(".py")
        for name in imports(tree):
            if name.startswith("gdp_core.") and core_part(name) in level and level[core_part(name)] > level[mine]:
                wrong.append(f"{path} imports {name}")
    assert wrong == []


def test_libraries_stay_at_home():
    wrong = [
        f"{path} imports {name}"
        for path, tree in sources().items()
        for name in {name.split(".")[0] for name in imports(tree)}
        if name in HOMES and not is_in(path, HOMES[name])
    ]
    assert wrong == []
    for homes in HOMES.values():
        assert all((ROOT / home).exists() for home in homes)


@cache
def code_of(path: str) -> frozenset[str]:
    """What the code does, piece by piece: what it calls and looks up, and the statements it sends."""
    found = set()
    for node in ast.walk(sources()[path]):
        if isinstance(node, ast.Call):
            found.add(f"{ast.unparse(node.func)}(")
        elif isinstance(node, ast.Attribute):
            found.add(ast.unparse(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_sql(node.value):
            found.add(node.value)
    return frozenset(found)


def _is_sql(text: str) -> bool:
    return bool(re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|SET|WITH|CREATE|ALTER|GRANT|, set_config)\b", text))


@pytest.mark.parametrize("pattern", SINGLE_SITES)
def test_some_things_are_done_in_one_place(pattern):
    found = {path for path in sources() if any(re.search(pattern, text) for text in code_of(path))}
    assert found - SINGLE_SITES[pattern] == set()


def test_each_table_is_written_by_its_stage():
    tables = dict(_tables())
    assert set(WRITERS) <= set(tables.values())
    wrong = []
    for path, tree in sources().items():
        writer = path.split("/")[1].removesuffix(".py") if path.startswith("gdp_core/") else path
        for table in _written(tree, tables):
            if table in WRITERS and writer not in WRITERS[table]:
                wrong.append(f"{path} writes {table}")
    assert wrong == []


def _tables() -> Iterator[tuple[str, str]]:
    for path, tree in sources().items():
        if path.startswith("gdp_core/tables/"):
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    for item in node.body:
                        if isinstance(item, ast.Assign) and ast.unparse(item.targets[0]) == "__tablename__":
                            yield node.name, ast.literal_eval(item.value)


def _written(tree: ast.Module, tables: dict[str, str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"(?:INSERT INTO|(?<!FOR )(?<!DO )UPDATE|DELETE FROM|TRUNCATE)\s+(\w+)", node.value)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("insert"):
            yield from (tables[item.id] for item in node.args if isinstance(item, ast.Name) and item.id in tables)


def test_secrets_are_compared_in_constant_time():
    """No == or `in` on what only its owner may know."""
    secret = re.compile(r"(signature|secret|token_hash|key_hash|password_hash|hmac|expected_sig)", re.IGNORECASE)
    wrong = []
    for path, tree in sources().items():
        if path.startswith("pages/ui/"):
            continue  # shows what it got from core, and decides nothing
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                named = [
                    ast.unparse(side) for side in (node.left, *node.comparators) if not isinstance(side, ast.Constant)
                ]
                wrong += [f"{path}: {ast.unparse(node)}" for side in named if secret.search(side.split("(")[0])]
    assert wrong == []
    assert "hmac.compare_digest" in code_of("gdp_core/sources/signatures.py")


def test_exceptions_are_caught_broadly_only_where_they_are_dealt_with():
    found = {}
    for path, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "everything"
                is_broad = caught in ("Exception", "BaseException", "everything")
                assert not (is_broad and _does_nothing(node)), f"{path} swallows {caught}"
                raises_again = any(isinstance(item, ast.Raise) and item.exc is None for item in ast.walk(node))
                if is_broad and not (caught == "BaseException" and raises_again):
                    found[path] = caught
    assert set(found) - set(BROAD) == set()


def _does_nothing(node: ast.ExceptHandler) -> bool:
    return all(isinstance(item, ast.Pass | ast.Continue) or ast.unparse(item) == "..." for item in node.body)


def test_every_module_says_what_it_is():
    silent = [path for path, tree in sources().items() if tree.body and not ast.get_docstring(tree)]
    assert silent == []
    grab_bags = {"utils", "helpers", "common", "misc", "manager", "base_utils"}
    assert not [path for path in sources() if Path(path).stem in grab_bags]


def test_core_prints_nothing_and_leaves_nothing_for_later():
    for path in sources():
        text = (ROOT / path).read_text()
        assert not re.search(r"#.*\b(TODO|FIXME|HACK)\b", text), path
        if path.startswith("gdp_core/"):
            assert not re.search(r"^\s*print\(", text, re.MULTILINE), path


def test_the_standard_library_is_not_shadowed():
    assert not [path for path in sources() if path.count("/") == 0 and Path(path).stem in sys.stdlib_module_names]
