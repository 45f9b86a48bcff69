"""One form for every pydantic model: a plug-in or a page declares its inputs as a model and gets labels, help, limits
and errors from it. The model validates again on the server; a widget's limits are only hints.

A field's `title` is its label (else its name), `description` its help, `examples[0]` its placeholder. Text with
`json_schema_extra={"area": True}` gets several lines; SecretStr is never shown. Nested models are not supported.
"""

import re
import types
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import streamlit as st
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pages.ui import layout
from pages.ui.escape import safe_text
from pages.ui.format import UNKNOWN
from pages.ui.format import label as spelt

M = TypeVar("M", bound=BaseModel)
_NAMES = 170  # pixels of a field's name where a form is only read
_PLAIN = re.compile(r"[A-Za-z](?:[A-Za-z0-9 ,()']|-(?!-))*")


def ask(
    model: type[M],
    *,
    key: str,
    submit: str = "Save",
    initial: BaseModel | Mapping[str, Any] | None = None,
    options: Mapping[str, Sequence[Any]] | None = None,
    read_only: bool = False,
    border: bool = True,
    clear: bool = False,
) -> M | None:
    """The model as a form. Returns its value in the run of a valid submit, else None; problems are shown in place.

    `options` gives a field choices that only the running program knows (time zones, sources). `key` is unique on the
    page. `clear` empties the form after a submit. `read_only` shows what there is as text.
    """
    start = initial.model_dump() if isinstance(initial, BaseModel) else dict(initial or {})
    if read_only:
        _read(model, start, border=border)
        return None
    given: dict[str, Any] = {}
    with st.form(key, border=border, clear_on_submit=clear):
        for name, info in model.model_fields.items():
            given[name] = _widget(
                name,
                info,
                start.get(name, _default(info)),
                key=f"{key}.{name}",
                choices=(options or {}).get(name),
            )
        problems = st.container()
        sent = st.form_submit_button(safe_text(submit), type="primary")
    if not sent:
        return None
    try:
        return model.model_validate(given)
    except ValidationError as error:
        with problems:
            for item in error.errors(include_url=False, include_input=False):
                field = str(item["loc"][0]) if item["loc"] else ""
                said = str(item["msg"]).removeprefix("Value error, ").rstrip(".")
                if field in model.model_fields:
                    said = f"{_label(field, model.model_fields[field])}: {said}"
                st.error(f"{safe_text(said)}.", icon=":material/error:")
        return None


def _read(model: type[BaseModel], values: Mapping[str, Any], *, border: bool) -> None:
    shown = {
        _label(name, info): _said(info, values.get(name, _default(info)))
        for name, info in model.model_fields.items()
        if _kind(info.annotation)[0] is not SecretStr
    }
    with st.container(border=border):
        layout.facts(shown, names=_NAMES)


def _said(info: FieldInfo, value: Any) -> str:
    kind, _ = _kind(info.annotation)
    match value:
        case None | "" | []:  # the placeholder of an empty number says what empty means
            return str(info.examples[0]) if info.examples and kind in (int, float, Decimal) else UNKNOWN
        case bool():
            return "Yes" if value else "No"
        case list():
            inside = (get_args(kind) or (str,))[0]
            return ", ".join(_spelt(item) if _choices(inside) else str(item) for item in value)
    return _spelt(value) if _choices(kind) else str(value)


def _widget(name: str, info: FieldInfo, value: Any, *, key: str, choices: Sequence[Any] | None) -> Any:
    kind, optional = _kind(info.annotation)
    common: dict[str, Any] = {
        "label": _spoken(_label(name, info)),
        "help": safe_text(info.description) if info.description else None,
        "key": key,
    }
    picked = choices if choices is not None else _choices(kind)
    if get_origin(kind) in (list, tuple, set, frozenset):
        return _many(kind, list(value or []), common, choices)
    if picked is not None:
        return _one(list(picked), value, common, optional=optional)
    placeholder = str(info.examples[0]) if info.examples else None
    if kind is bool:
        return st.checkbox(value=bool(value), **common)
    if kind in (int, float, Decimal):
        return _number(kind, info, value, common, placeholder)
    if kind is date:
        return st.date_input(value=value, format="YYYY-MM-DD", **common)
    return _text(kind, info, value, common, placeholder, optional=optional)


def _one(choices: list[Any], value: Any, common: dict[str, Any], *, optional: bool) -> Any:
    index = choices.index(value) if value in choices else (None if optional or value is None else 0)
    return st.selectbox(options=choices, index=index, format_func=_spelt, **common)


def _many(kind: Any, value: list[Any], common: dict[str, Any], choices: Sequence[Any] | None) -> Any:
    inside = (get_args(kind) or (str,))[0]
    listed = list(choices) if choices is not None else list(_choices(inside) or [])
    if listed:
        return st.multiselect(
            options=listed, default=[item for item in value if item in listed], format_func=_spelt, **common
        )
    return st.multiselect(options=value, default=value, accept_new_options=True, **common)


def _number(kind: Any, info: FieldInfo, value: Any, common: dict[str, Any], placeholder: str | None) -> Any:
    cast: Any = int if kind is int else float
    least, most = _bounds(info)
    limits: dict[str, Any] = {"min_value": None if least is None else cast(least)}
    limits["max_value"] = None if most is None else cast(most)
    limits["value"] = None if value is None else cast(value)
    found: Any = st.number_input(step=1 if kind is int else None, placeholder=placeholder, **limits, **common)
    return Decimal(str(found)) if kind is Decimal and found is not None else found


def _text(
    kind: Any, info: FieldInfo, value: Any, common: dict[str, Any], placeholder: str | None, *, optional: bool
) -> Any:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    longest = next((item.max_length for item in info.metadata if hasattr(item, "max_length")), None)
    if kind is SecretStr:
        found = st.text_input(value="", type="password", autocomplete="off", placeholder=placeholder, **common)
    elif extra.get("area"):
        found = st.text_area(value=str(value or ""), max_chars=longest, placeholder=placeholder, **common)
    else:
        found = st.text_input(value=str(value or ""), max_chars=longest, placeholder=placeholder, **common)
    text = (found or "").strip()
    return None if optional and not text else text


def _kind(annotation: Any) -> tuple[Any, bool]:
    """The type without None, and whether None is allowed."""
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [item for item in get_args(annotation) if item is not type(None)]
        if len(inner) == 1:
            return inner[0], True
        return str, type(None) in get_args(annotation)
    return annotation, False


def _choices(kind: Any) -> list[Any] | None:
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return list(kind)
    return None


def _bounds(info: FieldInfo) -> tuple[Any, Any]:
    least = next((item.ge for item in info.metadata if getattr(item, "ge", None) is not None), None)
    most = next((item.le for item in info.metadata if getattr(item, "le", None) is not None), None)
    return least, most


def _default(info: FieldInfo) -> Any:
    value = info.get_default(call_default_factory=True)
    return None if value is PydanticUndefined else value


def _spoken(text: str) -> str:
    """A label of ours, escaped only where Markdown would read it: screen readers read the backslashes out."""
    return text if _PLAIN.fullmatch(text) else safe_text(text)


def _label(name: str, info: FieldInfo) -> str:
    return info.title or spelt(name)


def _spelt(item: Any) -> str:
    return spelt(str(item.value if isinstance(item, Enum) else item)) if not isinstance(item, bool) else str(item)
