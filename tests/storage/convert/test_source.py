"""A source by its path: the form is guessed, or named, or refused with the nearest name."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from karsl.errors import ConfigError, DatasetNotFoundError
from karsl.storage.convert import ClipSource, open_source


def test_a_data_root_is_a_source_with_labels_from_its_sheet(corpus):
    source = open_source(corpus)
    assert isinstance(source, ClipSource)
    assert len(source.records) == 4 * 3 * 7
    assert {r["label"] for r in source.records} == {0, 1, 2, 3}
    assert len(source.metainfo["classes_ar"]) == 4
    record = source.records[0]
    assert source.read(record).shape == (record["num_frames"], 184, 4)


def test_a_source_reads_the_same_in_another_process(corpus):
    source = open_source(corpus)
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again.read(again.records[3]), source.read(source.records[3]))


def test_a_mistyped_form_names_the_nearest(corpus):
    with pytest.raises(ConfigError, match="no form 'karls'; did you mean 'karsl'?"):
        open_source(corpus, form="karls")


def test_an_absent_path_and_one_of_no_form_are_told_apart(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="no file or folder"):
        open_source(tmp_path / "none")
    with pytest.raises(ConfigError, match="looks like none of the forms .* say which with --from"):
        open_source(tmp_path)
