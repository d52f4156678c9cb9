"""The layout of `--help`: within the width of the terminal, with examples that can be copied."""

from __future__ import annotations

import shlex

import pytest

from karsl.cli.formatter import HelpFormatter
from karsl.cli.main import COMMANDS, main


def fitted(text: str, width: int) -> str:
    return HelpFormatter("karsl", width=width)._fill_text(text, width, "")


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_fits_80_columns(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*([command] if command else []), "--help"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if len(line) > 80] == []


def test_lines_of_a_paragraph_are_joined_and_filled():
    assert fitted("one two\nthree four\n\nfive", 13) == "one two three\nfour\n\nfive"


def test_a_table_that_fits_is_kept():
    text = "formats:\n  a    first\n  bcd  second"
    assert fitted(text, 20) == text


def test_a_long_second_column_is_wrapped_in_its_column():
    text = "  a    first one\n       and more\n  bcd  second"
    assert fitted(text, 13) == "  a    first\n       one\n       and\n       more\n  bcd  second"


def test_a_second_column_without_room_stands_below_the_first():
    text = f"  karsl pack SOURCE PACK{' ' * 20}explained\n{' ' * 44}further"
    assert fitted(text, 40) == "  karsl pack SOURCE PACK\n      explained\n      further"


def test_a_long_command_is_continued_with_a_backslash_and_is_the_same_command():
    command = "karsl pack clips packed --layout 'pose:33x4, lh:21x3, rh:21x3' --dtype float32 --jobs 4"
    text = fitted(f"  {command}", 40)
    assert text.splitlines()[0] == "  karsl pack clips packed \\"
    assert shlex.split(text.replace("\\\n", "")) == shlex.split(command)


def test_an_option_and_its_value_stay_on_one_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    main(["pack", "--help"])
    text = capsys.readouterr().out
    assert "  karsl pack clips.pkl packed/clips --trust-pickle clips.pkl \\\n    --source-skeleton coco_17\n" in text
