"""Score files: written, read, matched, joined, and refused with one sentence."""

from __future__ import annotations

import re
from dataclasses import fields

import numpy as np
import pytest

from karsl.errors import ConfigError, DatasetNotFoundError
from karsl.evaluation import Scores, join_folds, match_clips, read_scores, write_scores
from tests.evaluation.score_files import make_scores, save

TWO = [[0.75, 0.25], [0.5, 0.5], [0.125, 0.875]]


def test_a_score_file_is_read_as_it_was_written_without_pickle(tmp_path):
    written = make_scores(TWO, [0, 1, -1], path=str(tmp_path / "new" / "a.npz"))
    write_scores(tmp_path / "new" / "a.npz", written)
    read = read_scores(tmp_path / "new" / "a.npz")
    for field in fields(Scores):
        np.testing.assert_array_equal(getattr(read, field.name), getattr(written, field.name))
    assert read.scores.dtype == np.float32
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.npz"]


def test_clips_are_matched_by_name():
    first, other = make_scores(TWO, [0, 1, 1]), make_scores(TWO, [0, 1, 1]).take(np.array([2, 0, 1]))
    assert other.clip_id.tolist() == ["c2", "c0", "c1"]
    matched = match_clips([first, other])
    assert matched[1].clip_id.tolist() == ["c0", "c1", "c2"]
    np.testing.assert_array_equal(matched[1].scores, first.scores)


def test_folds_are_joined_and_a_clip_of_two_folds_is_refused():
    folds = [make_scores(TWO[:2], [0, 1]), make_scores(TWO[2:], [1], clip_id=np.array(["d0"]))]
    joined = join_folds(folds)
    assert joined.clip_id.tolist() == ["c0", "c1", "d0"]
    assert joined.label.tolist() == [0, 1, 1]
    with pytest.raises(ConfigError, match="has clip 'c0' 2 times"):
        join_folds([folds[0], folds[0]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip_id": np.array(["c0", "c1", "x"])}, "are of other clips: 2 clips in one only, such as 'c2' in 'scores.npz'"),
        ({"classes": np.array(["a", "z"])}, r"are of other classes \(class 1 is 'b' and 'z'\)"),
        ({"label": np.array([0, 1, 0])}, "have other labels for 1 clip, the first is 'c2'"),
        ({"clip_id": np.array(["c0", "c0", "c1"])}, "'other.npz' has clip 'c0' 2 times"),
    ],
)
def test_files_over_other_clips_or_classes_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        match_clips([make_scores(TWO, [0, 1, 1]), make_scores(TWO, [0, 1, 1], **{"path": "other.npz"} | changes)])


def test_another_number_of_classes_is_refused():
    with pytest.raises(ConfigError, match=r"are of other classes \(2 and 3\)"):
        match_clips([make_scores([[1, 0]], [0]), make_scores([[1, 0, 0]], [0], path="other.npz")])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": np.array([0, 1, 2])}, "label 2 of clip 'c2' is outside the 2 classes"),
        ({"scores": np.array([[1, 0], [np.nan, 0], [0, np.inf]], np.float32)}, "scores of 2 clips are not finite.*'c1'"),
        ({"signer": np.array(["01"])}, r"signer \(1,\) do not fit"),
        ({"scores": np.zeros(3, np.float32)}, "do not fit"),
        ({"scores": np.zeros((3, 2), np.int64)}, "scores int64 do not fit"),
        ({"classes": np.array([1, 2])}, "classes int64 do not fit"),
        ({"checkpoint": np.array("epoch_1.pth")}, r"checkpoint \(\) do not fit"),
    ],
)
def test_a_score_file_that_does_not_fit_together_is_refused(tmp_path, changes, message):
    path = save(tmp_path / "a.npz", TWO, [0, 1, 1], **changes)
    with pytest.raises(ConfigError, match=message) as caught:
        read_scores(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path):
    cut = save(tmp_path / "cut.npz", TWO, [0, 1, 1])
    cut.write_bytes(cut.read_bytes()[:-60])
    np.savez(tmp_path / "clip.npz", a=np.zeros(3))
    np.savez(tmp_path / "old.npz", format=np.array("karsl-scores-0"))
    np.savez(tmp_path / "part.npz", format=np.array("karsl-scores-1"), scores=np.zeros((1, 2), np.float32))
    np.savez(tmp_path / "objects.npz", format=np.array("karsl-scores-1"), scores=np.array([{}], dtype=object))
    with open(tmp_path / "array.npz", "wb") as file:
        np.save(file, np.zeros(3))
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "empty.npz").touch()
    expected = {
        "cut.npz": "cannot be read",
        "clip.npz": r"is no score file of this version, it contains \['a'\]",
        "old.npz": "its format is 'karsl-scores-0'",
        "part.npz": "has no clip_id, label",
        "objects.npz": "cannot be read",
        "array.npz": "is one array and no score file",
        "a.json": "reading by eye",
        "empty.npz": "cannot be read",
    }
    for name, message in expected.items():
        with pytest.raises(ConfigError, match=message) as caught:
            read_scores(tmp_path / name)
        assert re.search(name, str(caught.value)), name
    with pytest.raises(DatasetNotFoundError, match="does not exist"):
        read_scores(tmp_path / "nothing.npz")


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"is an \.npz file"):
        write_scores(tmp_path / "a.pkl", make_scores(TWO, [0, 1, 1]))


def test_an_archive_that_unpacks_to_more_than_the_bound_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, scores=np.zeros((1000, 1000), np.float32))
    monkeypatch.setenv("KARSL_MAX_UNPACKED_BYTES", "100000")
    with pytest.raises(ConfigError, match="it unpacks to 4000128 bytes, more than 100000; set KARSL_MAX_UNPACKED_BYTES"):
        read_scores(path)


def test_damaged_compression_is_one_sentence(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, scores=np.arange(1000))
    content = bytearray(path.read_bytes())
    content[100:300] = b"\xff" * 200
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_scores(path)
