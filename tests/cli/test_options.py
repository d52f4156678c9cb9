"""`--cfg-options` follows MMEngine's rules and names a wrong pair."""

from __future__ import annotations

import pytest

from karsl.cli.main import Parser
from karsl.cli.options import add_cfg_options


@pytest.fixture
def parser():
    made = Parser(prog="karsl train")
    add_cfg_options(made)
    return made


def test_values_get_their_types(parser):
    words = ["--cfg-options", "a.b=2", "lr=1e-3", "on=True", "xs=[1,2]", "pair=(1,x)", "none=None"]
    expected = {"a.b": 2, "lr": 1e-3, "on": True, "xs": [1, 2], "pair": (1, "x"), "none": None}
    assert parser.parse_args(words).cfg_options == expected


def test_repeated_option_adds_up(parser):
    args = parser.parse_args(["--cfg-options", "a=1", "--cfg-options", "b=2"])
    assert args.cfg_options == {"a": 1, "b": 2}


def test_absent_option_is_none(parser):
    assert parser.parse_args([]).cfg_options is None


@pytest.mark.parametrize(
    ("pair", "message"),
    [("a", "'a' does not have the form key=value"), ("=1", "'=1' does not have the form"), ("a=[1,2", "brackets")],
)
def test_wrong_pair_is_named(parser, capsys, pair, message):
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(["--cfg-options", pair])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
