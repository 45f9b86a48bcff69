"""The pages seen before sign-in: one small template, no script, nothing loaded from elsewhere."""

import re
from dataclasses import dataclass
from html import escape

from starlette.responses import HTMLResponse


@dataclass(frozen=True, slots=True)
class Input:
    """One field of a form."""

    name: str
    label: str
    kind: str = "text"
    autocomplete: str = "off"
    value: str = ""
    hint: str = ""
    required: bool = True
    minlength: int | None = None


@dataclass(frozen=True, slots=True)
class Form:
    """One of several forms of a page."""

    inputs: tuple[Input, ...]
    hidden: tuple[tuple[str, str], ...]
    button: str


def page(
    title: str,
    *,
    status: int = 200,
    lead: str = "",
    error: str = "",
    action: str | None = None,
    inputs: tuple[Input, ...] = (),
    hidden: tuple[tuple[str, str], ...] = (),
    button: str = "",
    forms: tuple[Form, ...] = (),
    items: tuple[str, ...] = (),
    link: tuple[str, str] | None = None,
    foot: str = "",
) -> HTMLResponse:
    """A card with a heading, a form when `action` is given (or several `forms`, the last after a list of `items`), and a
    `link` (address, label). All text is escaped; in sentences, what stands between `backticks` is set as code.
    """
    parts = [f"<h1>{escape(title)}</h1>"]
    if lead:
        parts.append(f'<p class="lead">{_sentence(lead)}</p>')
    if error:
        parts.append(f'<p class="error" role="alert" id="error">{_sentence(error)}</p>')
    if action is not None:
        shown = [
            _form(action, form, focus=index == 0) for index, form in enumerate(forms or [Form(inputs, hidden, button)])
        ]
        if items:
            shown.insert(-1, f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>")
        parts += shown
    if link:
        parts.append(
            f'<a class="{"plain" if action is not None else "button"}" href="{escape(link[0])}">{escape(link[1])}</a>'
        )
    if foot:
        parts.append(f'<p class="foot">{_sentence(foot)}</p>')
    return HTMLResponse(_TEMPLATE.format(title=escape(title), style=_STYLE, body="".join(parts)), status_code=status)


def _sentence(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _form(action: str, form: Form, *, focus: bool) -> str:
    fields = "".join(_field(item, focus=focus and index == 0) for index, item in enumerate(form.inputs))
    kept = "".join(f'<input type="hidden" name="{escape(n)}" value="{escape(v)}">' for n, v in form.hidden)
    button = f'<button type="submit">{escape(form.button)}</button>'
    return f'<form method="post" action="{escape(action)}">{kept}{fields}{button}</form>'


def _field(item: Input, *, focus: bool) -> str:
    attributes = [f'id="{item.name}" name="{item.name}" type="{item.kind}" autocomplete="{item.autocomplete}"']
    if item.value:
        attributes.append(f'value="{escape(item.value)}"')
    if item.required:
        attributes.append("required")
    if item.minlength:
        attributes.append(f'minlength="{item.minlength}"')
    if item.hint:
        attributes.append(f'aria-describedby="{item.name}-hint"')
    if focus:
        attributes.append("autofocus")
    hint = f'<span class="hint" id="{item.name}-hint">{escape(item.hint)}</span>' if item.hint else ""
    return f'<label for="{item.name}">{escape(item.label)}</label><input {" ".join(attributes)}>{hint}'


_TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta name="color-scheme" content="light dark">
<title>{title} · Growth Data Plane</title>
<link rel="icon" href="/app/static/favicon.svg" type="image/svg+xml">
<style>{style}</style>
</head>
<body>
<main>
<div class="brand"><svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true"><rect width="32" height="32" rx="8"/><path d="M8 22l6-7 4 4 6-9"/><circle cx="24" cy="10" r="2"/></svg><span>Growth Data Plane</span></div>
<section class="card">{body}</section>
</main>
</body>
</html>
"""

_STYLE = """
@font-face{font-family:Inter;src:url(/app/static/inter-latin-wght-normal.woff2) format("woff2");font-weight:100 900;font-display:swap}
:root{--ground:#f4f6f9;--card:#fff;--text:#111827;--soft:#4b5563;--line:#d1d5db;--accent:#4f46e5;--press:#4338ca;--on:#fff;--ring:#4f46e5;
--bad:#991b1b;--bad-ground:#fef2f2;--bad-line:#fecaca;--shadow:0 1px 2px rgba(16,24,40,.06),0 12px 32px rgba(16,24,40,.08)}
@media (prefers-color-scheme:dark){:root{--ground:#0b0f17;--card:#131926;--text:#f3f4f6;--soft:#a3acba;--line:#384152;--accent:#4f46e5;
--press:#4338ca;--on:#fff;--ring:#818cf8;--bad:#fecaca;--bad-ground:#3b1219;--bad-line:#7f1d1d;--shadow:0 12px 32px rgba(0,0,0,.4)}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;background:var(--ground);color:var(--text);
font:14px/1.5 Inter,system-ui,sans-serif;-webkit-font-smoothing:antialiased}
main{width:min(400px,100vw);padding:24px}
.brand{display:flex;align-items:center;justify-content:center;gap:10px;margin-bottom:20px;font-weight:600;font-size:15px}
.brand rect{fill:var(--accent)}.brand path{fill:none;stroke:#fff;stroke-width:2.5;stroke-linecap:round;stroke-linejoin:round}
.brand circle{fill:#fff}
.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:28px;box-shadow:var(--shadow)}
h1{margin:0 0 4px;font-size:20px;line-height:1.3;font-weight:650;letter-spacing:-.01em}
.lead{margin:0 0 20px;color:var(--soft)}
form{display:grid}
label{font-weight:550;font-size:13px;margin:14px 0 6px}
input:not([type=hidden]){font:inherit;color:inherit;background:transparent;border:1px solid var(--line);border-radius:8px;padding:9px 12px;width:100%}
input:focus-visible{outline:2px solid var(--ring);outline-offset:0;border-color:var(--accent)}
.hint{color:var(--soft);font-size:12px;margin-top:5px}
button,.button{display:block;width:100%;margin-top:22px;font:inherit;font-weight:600;text-align:center;text-decoration:none;color:var(--on);
background:var(--accent);border:0;border-radius:8px;padding:10px 14px;cursor:pointer}
button:hover,.button:hover{background:var(--press)}
button:focus-visible,a:focus-visible{outline:2px solid var(--ring);outline-offset:2px}
.plain{display:block;margin-top:16px;text-align:center;color:var(--soft)}
.error{margin:12px 0 4px;padding:10px 12px;border-radius:8px;border:1px solid var(--bad-line);background:var(--bad-ground);color:var(--bad)}
.foot{margin:18px 0 0;padding-top:14px;border-top:1px solid var(--line);color:var(--soft);font-size:12px}
code{font-size:.92em;white-space:nowrap}
form+form,ul{border-top:1px solid var(--line);margin:22px 0 0;padding-top:6px}
ul{padding:16px 0 0 18px;color:var(--soft);font-size:12px}
"""
