"""Sections of karsl's docstrings in the form that griffe, the parser of the API reference, knows."""

from __future__ import annotations

import re

_KEYS = re.compile(r"^(Required|Modified|Added) Keys:[ \t]*(.*\n(?:[ \t]+\S.*\n?|\n(?=[ \t]+\S))*)", re.MULTILINE)
_TERM = re.compile(r"^(What|Format|Classes|Splits|Citation|License|Source):[ \t]+(.*(?:\n[ \t]+\S.*)*)", re.MULTILINE)
_WRAP = re.compile(r"\n[ \t]+")
_EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)
_SEVERAL = re.compile(r"^( +)(\*{0,2}\w+(?:, \*{0,2}\w+)+): (.*(?:\n\1 +.*)*)", re.MULTILINE)
_BLANK = re.compile(r"\n{3,}")
_SECTION = re.compile(r"(?<!\n)\n(?=(?:Args|Attributes|Raises|Returns|Yields|Examples):\n)")


def normalized(text: str) -> str:
    """Return a docstring with sections that griffe parses and texts in place of those that it does not know."""
    text = _KEYS.sub(lambda m: f"\n**{m[1]} keys**\n\n{_key_list(m[2])}\n", text + "\n").rstrip()
    text = _TERM.sub(lambda m: f"\n**{m[1]}:** {_WRAP.sub(' ', m[2])}\n", text)
    text = _EXAMPLE.sub("Examples:", text)
    text = _SEVERAL.sub(lambda m: "\n".join(f"{m[1]}{name}: {m[3]}" for name in m[2].split(", ")), text)
    return _BLANK.sub("\n\n", _SECTION.sub("\n\n", text)).strip()


def _key_list(text: str) -> str:
    """Return a list of keys: entries `key: meaning`, or names separated by commas."""
    joined = re.sub(r"\n[ \t]{5,}", " ", text.strip())
    lines = [line.strip() for line in joined.splitlines() if line.strip()]
    if not any(": " in line for line in lines):
        return ", ".join(f"`{name.strip()}`" for line in lines for name in line.split(","))
    return "\n".join(re.sub(r"^([\w, ]+): ", r"- `\1`: ", line) for line in lines)
