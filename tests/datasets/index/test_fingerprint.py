"""Whatever shapes an index changes its fingerprint, anything else does not, and doubt gives None."""

from __future__ import annotations

import enum
import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest

from karsl.datasets import KArSLDataset, KeypointDataset
from karsl.datasets.index.fingerprint import dataset_fingerprint, fingerprint, source_hash, undeclared_method

METHODS = ("load_data_list", "parse_data_info", "filter_data")


class Color(enum.Enum):
    RED = 1


@dataclass(frozen=True)
class Box:
    size: tuple


VALUES = [
    None, True, 1, 1.0, "1", b"1", [1], (1,), {1}, {"a": 1}, {"a": 1, "b": 2}, Path("1"), range(1), range(2), slice(1),
    np.int64(1), np.int32(1), np.array([1]), np.array([[1]]), np.array([1.0]), int, Color.RED, Box((1,)), Box((2,)), "",
    [], (), {}, set(), [[], []], [[[]]], ["a", "b"], ["ab"], 0.0, -0.0, ..., 1j,
]  # fmt: skip


def test_different_values_have_different_fingerprints():
    assert len({fingerprint(value) for value in VALUES}) == len(VALUES)
    assert None not in {fingerprint(value) for value in VALUES}
    assert fingerprint(1, 2) != fingerprint([1, 2])


def test_the_order_of_keys_does_not_matter():
    assert fingerprint({"a": 1, "b": {3, 4}}) == fingerprint({"b": {4, 3}, "a": 1})


def test_a_fingerprint_is_the_same_in_another_process():
    code = "from karsl.datasets.index.fingerprint import fingerprint; print(fingerprint({'b', 'a', 'c'}, ('01', 2.5)))"
    for seed in "12":  # of hashes, which determine the order of a set
        env = {**os.environ, "PYTHONHASHSEED": seed}
        printed = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
        assert printed.strip() == fingerprint({"a", "b", "c"}, ("01", 2.5))
    assert len(fingerprint()) == 32


@pytest.mark.parametrize("make", [object, lambda: lambda: 0, lambda: np.array([object()]), MagicMock, lambda: open])
def test_a_value_that_cannot_be_hashed_gives_none(make):
    value = make()
    assert fingerprint({"deep": [value]}) is None


def test_the_version_enters(monkeypatch):
    before = fingerprint(1)
    monkeypatch.setattr("karsl.datasets.index.fingerprint.FORMAT_VERSION", 99)
    assert fingerprint(1) != before


MODULE = """
class Base:
    def load_data_list(self):
        return [self.parse_data_info({{}})]

    def parse_data_info(self, raw):
        return raw


class Own(Base):
    def parse_data_info(self, raw):
        return {{**raw, "n": {number}}}


def make():
    class Local(Base):
        pass

    return Local
"""


@pytest.fixture
def load(tmp_path):
    """Write a module and import it: `load("a", number=1).Own`."""

    def load(name: str, *, number: int):
        path = tmp_path / f"{name}.py"
        path.write_text(MODULE.format(number=number))
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    before = set(sys.modules)
    yield load
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_editing_the_source_of_a_class_or_of_its_base_changes_the_hash(load):
    one, two = load("source_one", number=1), load("source_two", number=2)
    assert source_hash(one.Own) != source_hash(two.Own)
    assert source_hash(one.Own) != source_hash(one.Base)
    assert source_hash(one.Own) == source_hash(load("source_three", number=1).Own), "the module's name does not matter"


def test_a_subclass_of_another_module_is_hashed_with_its_base(load):
    one, two = load("source_one", number=1), load("source_two", number=2)
    subclasses = [type("Sub", (module.Own,), {"__module__": __name__}) for module in (one, two)]
    assert len({source_hash(cls) for cls in subclasses} - {None}) == 2


def test_methods_from_another_file_are_hashed_too(load, monkeypatch):
    one, two = load("source_one", number=1), load("source_two", number=2)
    before = source_hash(one.Own, ["parse_data_info"])
    monkeypatch.setattr(one.Own, "parse_data_info", two.Own.parse_data_info)
    assert source_hash(one.Own, ["parse_data_info"]) not in (before, None)


def test_classes_of_functions_and_of_shells_and_mocks_have_no_hash(load, monkeypatch):
    module = load("source_one", number=1)
    assert source_hash(module.make()) is None, "it may depend on variables of the function"
    assert source_hash(type("Shell", (), {"__module__": "no_such_module"})) is None
    monkeypatch.setattr(module.Own, "load_data_list", MagicMock(return_value=[]))
    assert source_hash(module.Own, ["load_data_list"]) is None


def test_the_datasets_of_karsl_have_a_hash():
    hashes = {source_hash(cls, METHODS) for cls in (KeypointDataset, KArSLDataset)}
    assert len(hashes) == 2
    assert None not in hashes


def test_a_parsing_method_needs_a_declaration_in_the_same_class_or_below():
    class Silent(KeypointDataset):
        def filter_data(self):
            return []

    class Declared(Silent):
        def index_inputs(self):
            return []

    class Mixin:
        def load_data_list(self):
            return []

    class Mixed(Mixin, KeypointDataset):
        pass

    found = [undeclared_method(cls, METHODS, "index_inputs") for cls in (KArSLDataset, Silent, Declared, Mixed)]
    assert found == [None, "Silent.filter_data", None, "Mixed.load_data_list"]


def test_a_dataset_fingerprint_covers_code_attributes_and_the_files_they_name(tmp_path):
    ann = tmp_path / "ann.json"
    ann.write_text("{}")
    state = {"ann_file": str(ann), "prefix": ""}
    same = dataset_fingerprint("code", state)
    assert dataset_fingerprint("code", dict(state)) == same
    assert dataset_fingerprint("other", state) not in (same, None)
    assert dataset_fingerprint("code", {**state, "prefix": "x"}) not in (same, None)
    assert dataset_fingerprint("code", {**state, "counter": object()}) is None
    assert dataset_fingerprint(None, state) is None
    ann.write_text("[]")
    assert dataset_fingerprint("code", state) not in (same, None)


def test_further_inputs_can_be_named(tmp_path):
    more = tmp_path / "more.txt"
    assert dataset_fingerprint("code", {}, [more]) is None, "the file does not exist"
    more.write_text("1")
    one = dataset_fingerprint("code", {}, [more])
    more.write_text("2")
    assert dataset_fingerprint("code", {}, [more]) not in (one, None)
