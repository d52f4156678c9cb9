"""Pickles of mmaction2 and pyskl by other writers: pixels, persons, splits, no scores; all invalid clips reported."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from karsl.errors import AnnotationError, DataErrors
from karsl.formats import convert, open_clips
from karsl.formats.persons import NOTE


def annotation(**changes) -> dict:
    """Return a clip of one frame with both hands, in an image of 200 x 100."""
    keypoint = np.zeros((1, 1, 42, 2), np.float16)
    keypoint[0, 0, 0] = (50, 25)
    score = np.zeros((1, 1, 42), np.float16)
    score[0, 0, 0] = 0.5
    metadata = {"frame_dir": "S001", "label": 3, "img_shape": (100, 200), "total_frames": 1}
    return {**metadata, "keypoint": keypoint, "keypoint_score": score, **changes}


@pytest.fixture
def open_pickle(tmp_path):
    def write_and_open(*annotations, split=None, **options):
        path = tmp_path / "x.pkl"
        path.write_bytes(pickle.dumps({"annotations": list(annotations), "split": split or {}}))
        return open_clips(path, trusted=True, **{"skeleton": "hand_42", **options})

    return write_and_open


def test_pixels_become_fractions_of_the_image_and_score_0_is_missing(open_pickle):
    source = open_pickle(annotation(), split={"xsub_train": ["S001"]})
    clip = source.read(source.records[0])
    assert clip[0, 0].tolist() == [0.25, 0.25, 0, 0.5]
    assert not clip[0, 1:].any()
    assert source.records[0] == {"clip_id": "S001", "label": 3, "num_frames": 1, "split": "xsub_train", "index": 0}
    assert source.metainfo["classes"] == ("0000", "0001", "0002", "0003")


def test_without_scores_zeros_are_missing(open_pickle):
    keypoint = np.zeros((1, 1, 42, 3))
    keypoint[0, 0, 1] = (0, 0, 0.5)
    source = open_pickle(annotation(keypoint=keypoint, keypoint_score=None, img_shape=None))
    assert source.read(source.records[0])[0, :3].tolist() == [[0, 0, 0, 0], [0, 0, 0.5, 1], [0, 0, 0, 0]]


def test_the_most_visible_of_several_persons_is_read_with_a_note(open_pickle):
    keypoint = np.stack([np.full((1, 42, 2), 10.0), np.full((1, 42, 2), 50.0)])
    score = np.stack([np.full((1, 42), 0.25), np.full((1, 42), 0.5)])
    source = open_pickle(annotation(keypoint=keypoint, keypoint_score=score))
    assert source.read(source.records[0])[0, 0].tolist() == [0.25, 0.5, 0, 0.5]
    assert source.notes == (f"several persons in 1 clip; {NOTE}",)


def test_every_split_of_a_clip_is_kept_through_every_format(open_pickle, tmp_path):
    splits = {"xsub_train": ["S001"], "xview_val": ["S001"], "other": ["S002"]}
    source = open_pickle(annotation(), split=splits)
    assert source.records[0]["split"] == ["xsub_train", "xview_val"]
    for number, format in enumerate(("pyskl", "annotation", "parquet", "tar")):
        out = tmp_path / f"{number}.pkl" if format == "pyskl" else tmp_path / str(number)
        convert(source, out, format)
        (record,) = open_clips(out, trusted=True).records
        assert record["split"] == ["xsub_train", "xview_val"], format


def test_all_invalid_annotations_are_reported(open_pickle):
    with pytest.raises(DataErrors) as caught:
        open_pickle(
            {"frame_dir": "a"},
            annotation(keypoint=np.zeros((1, 1, 17, 2))),
            annotation(keypoint_score=np.zeros((1, 2, 42))),
            annotation(label=[1, 2]),
            annotation(img_shape=(0, 100)),
            annotation(keypoint=np.zeros((0, 1, 42, 2))),
        )
    texts = [
        "is not a dict with",
        "the skeleton has 42 points",
        "keypoint_score has shape (1, 2, 42)",
        "label [1, 2] is not an integer",
        "img_shape is (0, 100)",
        "keypoint is not an array",
    ]
    assert [text in p for text, p in zip(texts, caught.value.problems, strict=True)] == [True] * 6


def test_a_file_that_does_not_name_its_skeleton_requires_one(open_pickle):
    with pytest.raises(AnnotationError, match="the file does not name its skeleton; pass --source-skeleton"):
        open_pickle(annotation(), skeleton=None)


def test_a_list_of_annotations_alone_is_read_without_splits(tmp_path):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps([annotation(), annotation(frame_dir="S002", label=0)]))
    source = open_clips(tmp_path / "x.pkl", trusted=True, skeleton="hand_42")
    assert [(r["clip_id"], "split" in r) for r in source.records] == [("S001", False), ("S002", False)]
    (tmp_path / "y.pkl").write_bytes(pickle.dumps("text"))
    with pytest.raises(AnnotationError, match="neither a list of annotations nor a dict"):
        open_clips(tmp_path / "y.pkl", trusted=True, skeleton="hand_42")


@pytest.mark.parametrize("shape", [np.array([100, 200]), (100, 200, 3), [100.0, 200], np.array([100, 200, 3], np.float32)])
def test_the_image_size_may_be_an_array_and_have_channels(open_pickle, shape):
    source = open_pickle(annotation(img_shape=shape))
    assert source.read(source.records[0])[0, 0].tolist() == [0.25, 0.25, 0, 0.5]


@pytest.mark.parametrize("shape", [(100,), np.array([1, 2, 3, 4]), (0, 100), ("a", "b"), 7, (float("inf"), 1), {"h": 1}])
def test_another_image_size_is_a_problem_of_its_clip(open_pickle, shape):
    with pytest.raises(DataErrors, match=r"annotation 0 \('S001'\): img_shape is .*; expected height and width"):
        open_pickle(annotation(img_shape=shape))


def test_a_score_without_coordinates_is_missing(open_pickle):
    keypoint = np.full((1, 1, 42, 2), np.nan)
    keypoint[0, 0, 0] = (50, 25)
    source = open_pickle(annotation(keypoint=keypoint, keypoint_score=np.ones((1, 1, 42))))
    clip = source.read(source.records[0])
    assert clip[0, 0].tolist() == [0.25, 0.25, 0, 1]
    assert not clip[0, 1:].any()


@pytest.mark.parametrize("content", [{"split": [1]}, {"split": {"train": "S001"}}, {"metainfo": [1]}])
def test_splits_and_metainfo_of_another_type_are_rejected(tmp_path, content):
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"annotations": [annotation()], **content}))
    with pytest.raises(AnnotationError, match="'split' is not a dict of lists of clips, or 'metainfo' not a dict"):
        open_clips(tmp_path / "x.pkl", trusted=True, skeleton="hand_42")


def test_a_label_that_would_fill_the_memory_is_rejected(open_pickle):
    with pytest.raises(AnnotationError, match="label 1000000000000"):
        open_pickle(annotation(label=10**12))
