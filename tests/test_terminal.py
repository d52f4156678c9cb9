"""Text for a terminal: control characters are escaped, everything else stays."""

from __future__ import annotations

import io
import json
import sys
import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from termcolor import colored

from karsl.terminal import EscapedStream, escape_controls, escaped_output, unescaped

BIDI = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}


def is_control(character: str) -> bool:
    return (unicodedata.category(character) == "Cc" and character not in "\t\n") or ord(character) in BIDI


@given(st.text() | st.text(st.sampled_from("\x1b[3mINFO0;\x07\u202e\n")))
def test_no_control_character_remains_and_other_texts_are_not_changed(text):
    shown = escape_controls(text)
    plain = shown.replace("\x1b[3m", "").replace("\x1b[0m", "")  # around the level of a log
    assert not any(map(is_control, plain))
    assert (shown == text) or any(map(is_control, text))
    assert escape_controls(shown) == shown


def test_text_of_both_directions_stays_as_it_is():
    text = "0071 شكرا\t(thanks)\u200f, עברית\n"
    assert escape_controls(text) == text


def test_json_means_the_same_after_it():
    record = {"sign": "a\x00\x1b\x7f\x85\u202e\u2068b"}
    assert json.loads(escape_controls(json.dumps(record, ensure_ascii=False))) == record


def test_the_level_of_a_log_keeps_its_color_and_a_name_gets_none():
    level = colored("WARNING", "yellow", attrs=["underline", "blink"], force_color=True)  # as in MMEngine's MMFormatter
    assert escape_controls(f"{level} - \x1b[33mname\x1b[0m") == f"{level} - \\x1b[33mname\\x1b[0m"


def test_the_streams_are_those_of_before_afterwards_and_a_missing_one_stays_missing(monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", None)
    with escaped_output(), escaped_output():
        print("\x07")
        assert sys.stderr is None
        assert unescaped(sys.stdout) is out
        assert isinstance(sys.stdout, EscapedStream)
    assert sys.stdout is out
    assert out.getvalue() == "\\x07\n"
