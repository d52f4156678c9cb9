"""Layout of `--help`: paragraphs, tables and examples that fit the terminal."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator
from itertools import groupby

__all__ = ["HelpFormatter"]

_ROW = re.compile(r"(?P<left> *(?:\S+ )*\S+)(?P<gap>  +)(?P<right>\S.*)")
_WORD = re.compile(r"(?:--[\w-]+ (?![-]))?(?:'[^']*'|\"[^\"]*\"|\S)+")  # an option keeps its first value
_NARROW = 30  # widest first column that leaves enough of 80 for the second
_UNDER = " " * 6


class HelpFormatter(argparse.HelpFormatter):
    """Formatter that fills paragraphs and keeps tables.

    Lines that are not indented are a paragraph. Indented lines are the rows of a table of one or two columns, separated by
    two blanks or more; a row of the second column alone continues it. A second column that does not fit is wrapped, or
    stands under the first one; a long command is continued with a backslash, so that it can be copied.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines: list[str] = []
        for kind, group in groupby(text.strip("\n").splitlines(), _kind):
            block = list(group)
            if kind == "paragraph":
                lines += textwrap.wrap(" ".join(block), width)
            elif kind == "table":
                lines += _fit_table(block, width)
            else:
                lines += block
        return "\n".join(f"{indent}{line}" for line in lines)


def _kind(line: str) -> str:
    return "blank" if not line.strip() else "table" if line.startswith(" ") else "paragraph"


def _fit_table(lines: list[str], width: int) -> Iterator[str]:
    """Yield the rows of a table in lines of at most `width` characters, unless a word is longer."""
    if max(map(len, lines)) <= width:
        yield from lines
        return
    rows = [_ROW.fullmatch(line) for line in lines]
    starts = [row.start("right") for row in rows if row] or [width]
    is_wide = max(starts) > _NARROW
    for line, row in zip(lines, rows, strict=True):
        left, right = (row["left"], row["right"]) if row else (line, "")
        blanks = left[: len(left) - len(left.lstrip())]
        if len(blanks) >= min(starts):  # a row of the second column alone
            blanks = _UNDER if is_wide else blanks
            yield from textwrap.wrap(left.strip(), width, initial_indent=blanks, subsequent_indent=blanks)
        elif is_wide or not row:
            yield from _wrap_command(left, width)
            yield from textwrap.wrap(right, width, initial_indent=_UNDER, subsequent_indent=_UNDER)
        else:
            yield from textwrap.wrap(line, width, subsequent_indent=" " * row.start("right"), break_on_hyphens=False)


def _wrap_command(line: str, width: int) -> Iterator[str]:
    """Yield a command in lines that a shell joins; words in quotes stay whole."""
    indent, current = line[: len(line) - len(line.lstrip())], ""
    for word in _WORD.findall(line):
        if current and len(f"{current} {word} \\") > width:
            yield f"{current} \\"
            current = f"{indent}  {word}"
        else:
            current = f"{current} {word}" if current else f"{indent}{word}"
    yield current
