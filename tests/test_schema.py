"""Values from outside are converted to declared types, or one sentence names file and field."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from karsl.errors import PackError
from karsl.schema import Count, convert, convert_numbers, parse_json, read_json, whole_number


@dataclass(frozen=True)
class Shard:
    """A dataclass with bounds."""

    size: Count
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shards:
    """A dataclass of dataclasses."""

    shards: list[Shard]


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda x: st.lists(x), max_leaves=8)
)
def test_json_is_parsed_as_python_does(value):
    text = json.dumps(value)
    assert repr(parse_json(text)) == repr(json.loads(text))


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "9" * 5000, b"\xff", '{"a": 1,}', ""], ids=range(6))
def test_any_text_that_is_no_json_is_a_value_error(text):
    with pytest.raises(ValueError, match="."):
        parse_json(text)


def test_a_file_that_cannot_be_read_is_the_requested_error(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "a.json", error=PackError, remedy="") == [1], "Windows writes a byte-order mark"
    (tmp_path / "a.json").write_bytes(b"{")
    with pytest.raises(PackError, match=r"a.json: not readable \(.*\); copy it again"):
        read_json(tmp_path / "a.json", error=PackError, remedy="copy it again")
    with pytest.raises(PackError, match="b.json: not readable"):
        read_json(tmp_path / "b.json", error=PackError, remedy="")


def test_content_becomes_the_declared_types():
    stored = {"shards": [{"size": 3, "names": ["a"]}, {"size": 0, "later": 1}]}
    assert convert(stored, Shards, where="x", error=PackError, remedy="") == Shards([Shard(3, ("a",)), Shard(0)])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"\ud800": 1}, "x: .*surrogates not allowed"),
        (5, "x: expected object, got int; do it again"),
        ({}, "x: object missing required field shards"),
        ({"shards": [{"size": "3"}]}, r"x: shards\[0\].size: expected int, got str"),
        ({"shards": [{"size": True}]}, r"x: shards\[0\].size: expected int, got bool"),
        ({"shards": [{"size": -1}]}, r"x: shards\[0\].size: expected int >= 0"),
        ({"shards": [{"size": 1 << 63}]}, r"x: shards\[0\].size: expected int <= 9223372036854775807"),
        ({"shards": [{"size": 1.5}]}, r"x: shards\[0\].size: expected int, got float"),
        ({"shards": [{"size": 1, "names": [None]}]}, r"x: shards\[0\].names\[0\]: expected str, got null"),
    ],
)
def test_a_wrong_value_is_one_sentence_with_its_field(content, words):
    with pytest.raises(PackError, match=f"^{words}"):
        convert(content, Shards, where="x", error=PackError, remedy="do it again")


@given(st.integers(-(10**15), 10**15))
def test_a_whole_number_is_read_from_every_spelling_of_it(number):
    for spelling in (number, float(number), str(number), f" {number}.0 ", f"{number}.", str(number).encode()):
        assert whole_number(spelling) == number


@given(
    st.floats().filter(lambda x: not x.is_integer()) | st.text("ax:- ") | st.booleans() | st.none() | st.lists(st.integers())
)
def test_anything_else_is_no_whole_number(value):
    assert whole_number(value) is None


def test_half_a_character_is_no_json_and_both_halves_are():
    with pytest.raises(ValueError, match="surrogates not allowed"):
        parse_json('{"a": "\\ud800"}')
    assert parse_json('[NaN, "\\ud83d\\ude00"]')[1] == "\N{GRINNING FACE}"


def test_numbers_become_float32_and_anything_else_is_one_sentence():
    options = {"where": "a.json", "error": PackError, "remedy": "export it again"}
    assert convert_numbers([[1, 2.5]], **options).tolist() == [[1, 2.5]]
    for value in ([[1], [1, 2]], "text", {"a": 1}, [10**400]):
        with pytest.raises(PackError, match="a.json: points are not numbers"):
            convert_numbers(value, **options)
