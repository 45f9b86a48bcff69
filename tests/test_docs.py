"""The words are true: what exists is described, what is described exists, links lead somewhere, pages are up to date."""

import ast
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from gdp_core.accounts.roles import GRANTS
from gdp_core.importer.mapping import Mapping
from gdp_core.settings import Settings
from gdp_core.sources import SOURCES
from jobs import commands, up
from scripts.docs import DOCS, PAGES
from tests.conftest import ROOT

TEXTS = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
PACKAGES = sorted(
    {path.parent.relative_to(ROOT) for path in ROOT.glob("*/**/__init__.py") if ".venv" not in path.parts}
)


@cache
def everything() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in TEXTS)


def prose(path: Path) -> str:
    """A text without its blocks of code."""
    return re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_pages_made_from_the_code_are_up_to_date(page: str) -> None:
    written = (DOCS / page).read_text(encoding="utf-8")
    assert written == PAGES[page](), f"docs/{page} is not what the code says: run `python -m scripts.docs`"


def test_every_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        for alias in field.validation_alias.choices:  # type: ignore[union-attr]
            if alias.isupper():
                assert f"`{alias}`" in everything(), alias


def test_every_variable_that_is_named_exists() -> None:
    known = {alias for field in Settings.model_fields.values() for alias in field.validation_alias.choices}  # type: ignore[union-attr]
    for name in set(re.findall(r"\b(?:GDP|STRIPE|DEBUG)_[A-Z_]+\b", everything())):
        assert name in known | {"GDP_TEST_SERVER", "GDP_TEST_PRODUCT"}, name  # the tests' own


def test_every_source_has_its_guide() -> None:
    connect = (DOCS / "connect.md").read_text(encoding="utf-8")
    for source in SOURCES:
        assert f"## {source.title}" in connect
        assert source.guide.strip()


def test_every_action_of_a_role_is_described() -> None:
    for action in GRANTS:
        assert f"`{action}`" in everything(), action


def test_every_field_of_a_mapping_is_described() -> None:
    told = (DOCS / "import.md").read_text(encoding="utf-8")
    options = {"properties": "property", "traits": "trait", "day_first": "day-first"}
    for field in Mapping.model_fields:
        assert f"`--{options.get(field, field)}`" in told, field


def command_names() -> list[str]:
    groups = [group.name or "" for group in commands.app.registered_groups]
    single = [
        command.name or command.callback.__name__ for command in commands.app.registered_commands if command.callback
    ]
    return groups + single


@pytest.mark.parametrize("name", command_names())
def test_every_command_is_in_the_help_and_described(name: str) -> None:
    assert f"\n  {name} " in up._COMMANDS
    assert re.search(rf"^## `{name}\b", everything(), re.MULTILINE)


def test_every_command_that_is_named_exists() -> None:
    known = set(command_names()) | {"worker", "analyst"}
    for path in TEXTS:
        for line in re.findall(r"python -m jobs (?!-)([a-z][a-z-]*)", path.read_text(encoding="utf-8")):
            assert line in known, f"{path.name}: python -m jobs {line}"


@pytest.mark.parametrize("path", [ROOT / "README.md", DOCS / "import.md", DOCS / "connect.md"], ids=lambda p: p.name)
def test_every_option_of_an_example_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    calls = re.findall(r"python -m jobs (import [^\n#)]*|key [^\n#)]*|source [^\n#)]*)", re.sub(r"`(?!`)", "\n", text))
    assert calls
    for call in calls:
        words = shlex.split(call)
        name = words[0] if words[0] == "import" else " ".join(words[:2])
        help_of = re.search(rf"^## `{name}`\n(.*?)(?=^## |\Z)", PAGES["commands.md"](), re.DOTALL | re.MULTILINE)
        assert help_of, name
        for word in words:
            if word.startswith("-"):
                assert re.search(rf"(?<![\w-]){word}(?![\w-])", help_of[1]), f"{call}: {word}"


def test_every_make_target_is_described() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE)
    assert "run" in targets
    for target in targets:
        assert f"`make {target}`" in readme or f"make {target} " in readme, target
    for target in set(re.findall(r"`make ([a-z][a-z-]*)", everything())):
        assert target in targets, target


def anchor(heading: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading.strip().lower()))
    return kept.replace(" ", "-")


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if target.startswith(("http://", "https://", "mailto:")) or target.endswith(".png"):
            continue
        file, _, section = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), f"{path.name}: {target}"
        if section:
            headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert section in map(anchor, headings), f"{path.name}: {target}"


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_is_left_to_do(path: Path) -> None:
    assert not re.search(r"\b(TODO|FIXME|TBD|XXX|coming soon|lorem)\b", path.read_text(encoding="utf-8"), re.IGNORECASE)


def test_the_architecture_is_short_and_names_what_exists() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert "### gdp_core" in text
    for package in PACKAGES:
        if package.parts[0] in {"gdp_core", "jobs", "pages", "migrations"} and package != Path("gdp_core"):
            assert f"`{package}`" in text, package
    stems = {path.name for path in ROOT.rglob("*.py") if ".venv" not in path.parts}
    for name in re.findall(r"`([\w/]+\.py)`", text):
        assert (ROOT / name).exists() if "/" in name else name in stems, name
    for folder in re.findall(r"`((?:gdp_core|jobs|pages|tests|migrations)(?:/\w+)*)`", text):
        assert (ROOT / folder).is_dir(), folder


def test_the_architecture_names_every_module_of_core() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for path in (ROOT / "gdp_core").glob("*.py"):
        assert path.name == "__init__.py" or f"`{path.name}`" in text, path.name


def test_decisions_are_short_and_numbered() -> None:
    pages = sorted((DOCS / "decisions").glob("*.md"))
    assert len(pages) >= 15
    assert len({page.name[:4] for page in pages}) == len(pages)
    for page in pages:
        lines = page.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 50, page.name
        assert lines[0].startswith(f"# {page.name[:4]}: "), page.name


@cache
def functions_of(file: Path) -> frozenset[str]:
    found = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
    return frozenset(node.name for node in found if isinstance(node, ast.FunctionDef | ast.ClassDef))


def test_every_proof_that_is_named_exists() -> None:
    """In a row, a bare name belongs to the file named last before it."""
    for name in ("reliability.md", "security.md", "import.md"):
        for row in (DOCS / name).read_text(encoding="utf-8").splitlines():
            file = None
            for word in re.findall(r"`(tests/[\w/.]+(?:::\w+)?|test_\w+)`", row):
                path, _, function = word.partition("::")
                if path.startswith("tests/"):
                    file = ROOT / path
                    assert file.exists(), f"{name}: {path}"
                else:
                    function = path
                if function:
                    assert file, f"{name}: {word} has no file"
                    assert function in functions_of(file), f"{name}: {word} is not in {file.name}"
