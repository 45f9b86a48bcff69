"""User-supplied text where Streamlit would read Markdown. `safe_text` shows it literally: no link, image or directive.

`st.text`, table cells and select options are literal already and need none of this.
"""

import re

_ALWAYS = r"[\\`*~\[\]<>$!|&{}^]"
_SOMETIMES = (
    r"(?<![^\W_])_|_(?![^\W_])"  # emphasis, but not within a word
    r"|(?<!\d):(?=\S)|:(?=[^\s\d])"  # a directive, an icon, an emoji; not a time
    r"|^[#+=-]"  # a heading, a list, a line
)
_MARKUP = re.compile(f"({_ALWAYS}|{_SOMETIMES})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_DIRECTION = re.compile(r"[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_JOINER = "\u2060"  # invisible; breaks what would become a link, an e-mail link or an icon code after unescaping
_LINKING = re.compile(r"(?i)(@|(?<!\d):|:(?!\d)|www)(?=\S)")
_NUMBERED = re.compile(r"^\d{1,9}(?=[.)])")
_ICON = re.compile(r":material/[a-z0-9_]+:")
_ARROWS = re.compile(r"(?<=[<>=~-])(?=[<>=~-])")


def safe_text(value: object, *, longest: int = 300) -> str:
    """`value` for a Markdown argument (a label, a caption, a title), on one line, cut to `longest` characters.

    Only what Markdown would read is escaped: a screen reader reads the backslashes of a widget's label out.
    """
    text = clean(str(value), longest=longest)
    text = _LINKING.sub(rf"\1{_JOINER}", text)
    text = _ARROWS.sub(_JOINER, text)
    text = _NUMBERED.sub(lambda found: found.group() + _JOINER, text)
    return _MARKUP.sub(r"\\\1", text)


def icon_text(icon: str) -> str:
    """An icon's code for a Markdown argument: `:material/name:`, nothing for anything else."""
    return icon if _ICON.fullmatch(icon) else ""


def button_text(text: str) -> str:
    """Text for a button in a table's cell, where an icon's code or a list would be read at its beginning."""
    return f"{_JOINER}{text}" if text[:1] in (":", "[") else text


def storable(text: str) -> str:
    """Text of an address as the database would hold it, which has no NUL: else it would refuse to look for it."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def clean(text: str, *, longest: int = 300) -> str:
    """Text on one line without control and direction characters, for places that show it literally."""
    line = " ".join(_DIRECTION.sub("", _CONTROL.sub(" ", text)).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
