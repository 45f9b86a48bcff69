"""The dashboard's rules that a reader of one page cannot see broken: markup, state, caches, links."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "pages"
FILES = sorted(path for path in ROOT.rglob("*.py") if "gate" not in path.parts)

# Streamlit function -> the positional arguments that it reads as Markdown
MARKDOWN = {
    **dict.fromkeys(
        "markdown caption title header subheader error warning info success toast badge button link_button"
        " form_submit_button download_button menu_button popover expander text_input text_area number_input selectbox"
        " multiselect checkbox toggle radio slider date_input time_input file_uploader segmented_control pills dialog"
        " spinner status".split(),
        (0,),
    ),
    "metric": (0, 1, 2),
    "page_link": (),
    "progress": (1,),
}
KEYWORDS = {"body", "text", "label", "help", "delta", "delta_description", "caption", "title"}
BANNED = {"html", "iframe", "write", "write_stream", "switch_page", "exception", "latex", "components"}
ONLY_IN = {"switch_page": "nav.py"}
OWN = {"session_state": "state.py", "query_params": "state.py", "cache_data": "data.py", "cache_resource": "data.py"}


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def streamlit_call(node):
    """The name of a Streamlit function that `node` calls, on `st` or on a container."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else None


def is_st(node):
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "st"


def is_safe(node):
    """Whether an expression is text of ours: constants, escaped text, formatted numbers, tables of constants."""
    match node:
        case ast.Constant():
            return True
        case ast.JoinedStr(values=parts):
            return all(is_safe(part.value) if isinstance(part, ast.FormattedValue) else True for part in parts)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return is_safe(left) and is_safe(right)
        case ast.IfExp(body=body, orelse=other):
            return is_safe(body) and is_safe(other)
        case ast.Name(id=name):
            return name.strip("_").isupper()
        case ast.Attribute(attr=name):
            return name.isupper()
        case ast.Subscript(value=value):
            return is_safe(value)
        case ast.Call(func=ast.Name(id="safe_text" | "icon_text" | "guide_text")):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="write") | ast.Name(id="write"))):
            return True  # Format: numbers and dates
        case ast.Call(func=ast.Attribute(attr="value" | "capitalize", value=value)):
            return is_safe(value)
    return False


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_markup_of_other_peoples_text(path):
    problems = []
    for node in ast.walk(parse(path)):
        if not isinstance(node, ast.Call):
            continue
        name = streamlit_call(node)
        on_st = is_st(node.func) if name else False
        for keyword in node.keywords:
            if keyword.arg in {"unsafe_allow_html", "unsafe_allow_javascript"}:
                problems.append((node.lineno, keyword.arg))
        if name in BANNED and on_st and ONLY_IN.get(name) != path.name:
            problems.append((node.lineno, f"st.{name}"))
        if name == "badge" and on_st and not isinstance(node.args[0], ast.Constant):
            problems.append((node.lineno, "st.badge, which escapes brackets once more: use layout.badge"))
        if name not in MARKDOWN or not on_st:
            continue
        for position in MARKDOWN[name]:
            if position < len(node.args) and not is_safe(node.args[position]):
                problems.append((node.lineno, ast.unparse(node.args[position])))
        for keyword in node.keywords:
            if keyword.arg in KEYWORDS and not is_safe(keyword.value):
                problems.append((node.lineno, f"{keyword.arg}={ast.unparse(keyword.value)}"))
    assert not problems, "wrap in safe_text(), or use layout: " + "; ".join(
        f"line {line}: {text}" for line, text in problems
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_state_and_caches_have_one_home(path):
    for node in ast.walk(parse(path)):
        if is_st(node) and node.attr in OWN:
            assert path == ROOT / "ui" / OWN[node.attr], (
                f"line {node.lineno}: st.{node.attr} belongs to {OWN[node.attr]}"
            )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_hold_no_sql(path):
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            assert not any(name.startswith(("sqlalchemy", "psycopg")) for name in names), f"line {node.lineno}"


def test_cached_functions_know_workspace_and_role():
    functions = [node for node in ast.walk(parse(ROOT / "ui" / "data.py")) if isinstance(node, ast.FunctionDef)]
    cached = [
        function
        for function in functions
        if any(
            isinstance(item, ast.Call) and ast.unparse(item.func) == "st.cache_data" for item in function.decorator_list
        )
    ]
    assert cached
    for function in cached:
        names = {argument.arg for argument in function.args.args}
        assert {"workspace_id", "role"} <= names
        options = {keyword.arg for item in function.decorator_list for keyword in item.keywords}
        assert {"ttl", "max_entries"} <= options


def test_every_page_of_the_registry_is_a_file_and_the_other_way_round():
    from pages.ui import nav

    registered = {f"{section.folder}/{entry.name}.py" for section in nav.SECTIONS for entry in section.entries}
    present = {
        f"{section.folder}/{path.name}"
        for section in nav.SECTIONS
        for path in (ROOT / section.folder).glob("*.py")
        if path.name != "__init__.py"
    }
    assert registered == present
