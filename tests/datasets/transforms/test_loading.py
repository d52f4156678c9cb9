"""From a record to arrays: what is missing, what is cached, and one sentence for whatever is wrong with a file."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from karsl.datasets.transforms import LoadKeypoints
from karsl.errors import ConfigError, CorruptRecordError
from karsl.skeletons import Skeleton, get_skeleton

PAIR = Skeleton("pair", (("all", ("p0", "p1")),))
RAW = np.array([[[0.5, 0.25, 1, 0.75], [0, 0, 0, 0]], [[0.5, 0, 0, 0], [0, 0, 0, 0.9]]], np.float64)


@pytest.fixture
def record(tmp_path):
    """`record(array)` writes a file of one clip 'a' and gives its record."""

    def write(array: object = RAW, *, key: str = "a", skeleton: Skeleton = PAIR) -> dict:
        path = tmp_path / "0001.npz"
        np.savez_compressed(path, a=array)
        return {"keypoint_path": str(path), "keypoint_key": key, "skeleton": skeleton, "num_frames": 99, "clip_id": key}

    return write


def test_missing_points_are_nan_with_score_0(record):
    out = LoadKeypoints()(record())
    nan = [np.nan] * 3
    np.testing.assert_array_equal(out["keypoint"], [[[0.5, 0.25, 1], nan], [[0.5, 0, 0], nan]])
    assert out["keypoint_score"].tolist() == [[0.75, 0], [1, 0]]  # visibility 0 of a point that is there is unknown
    assert out["keypoint"].dtype == out["keypoint_score"].dtype == np.float32


def test_the_length_is_that_of_the_file(record):
    out = LoadKeypoints()(record())
    assert (out["num_frames"], out["total_frames"]) == (2, 2)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_float_type_becomes_float32(record, dtype):
    assert LoadKeypoints()(record(RAW.astype(dtype)))["keypoint"][0, 0].tolist() == [0.5, 0.25, 1]


def test_a_file_without_visibility_scores_1_where_a_point_is(record):
    assert LoadKeypoints()(record(RAW[..., :3]))["keypoint_score"].tolist() == [[1, 0], [1, 0]]


def test_a_clip_is_decoded_once_while_the_cache_holds_it(record):
    load, one = LoadKeypoints(), record()
    first = load(one)
    record(RAW * 2)
    np.testing.assert_array_equal(load(one)["keypoint"], first["keypoint"])


def test_a_cache_of_0_bytes_reads_every_time(record):
    load, one = LoadKeypoints(cache_bytes=0), record()
    assert load(one)["keypoint"][0, 0].tolist() == [0.5, 0.25, 1]
    record(RAW * 2)
    assert load(one)["keypoint"][0, 0].tolist() == [1, 0.5, 2]


@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_arrays_given_out_cannot_be_edited_by_mistake(record, cache_bytes):
    out = LoadKeypoints(cache_bytes=cache_bytes)(record())
    with pytest.raises(ValueError, match="read-only"):
        out["keypoint"][0] = 1


@pytest.mark.parametrize("send", [copy.deepcopy, lambda load: pickle.loads(pickle.dumps(load))])
def test_a_copy_sent_to_a_worker_starts_with_an_empty_cache(record, send):
    load, one = LoadKeypoints(cache_bytes=12345), record()
    load(one)
    other = send(load)
    assert (other._reader.cache.size, other._reader.cache.max_size, other.cache_bytes) == (0, 12345, 12345)
    np.testing.assert_array_equal(other(one)["keypoint"], load(one)["keypoint"])


def test_a_cached_clip_is_still_checked_against_another_skeleton(record):
    load, one = LoadKeypoints(), record()
    load(one)
    with pytest.raises(CorruptRecordError, match="has 2 keypoints, the skeleton 184"):
        load({**one, "skeleton": get_skeleton("karsl_184")})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nonfinite_values_are_an_error_or_missing_as_asked(record, bad):
    raw = RAW.copy()
    raw[1, 0, 1] = bad
    one = record(raw)
    with pytest.raises(CorruptRecordError, match="0001.npz: clip 'a' has 1 values .* first in frame 1, keypoint 0"):
        LoadKeypoints()(one)
    out = LoadKeypoints(nonfinite="missing")(one)
    assert out["keypoint_score"].tolist() == [[0.75, 0], [0, 0]]
    assert np.isnan(out["keypoint"][1, 0]).all()


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (RAW[0], r"clip 'a' has shape \(2, 4\); a clip is \(frames, 2, 3 or 4\)"),
        (RAW[:0], r"clip 'a' has no frames"),
        (RAW[:, :1], "clip 'a' has 1 keypoints, the skeleton 2"),
        (RAW[..., :2], "clip 'a' has 2 values per keypoint"),
        (RAW.astype(str), "clip 'a' holds <U.*, not numbers"),
        (np.array([{"x": 1}], dtype=object), "array 'a' cannot be read .*object array, which would run pickle"),
    ],
)
def test_an_array_that_is_no_clip_is_rejected_in_one_sentence(record, array, text):
    with pytest.raises(CorruptRecordError, match=f"0001.npz: {text}") as caught:
        LoadKeypoints()(record(array))
    assert "\n" not in str(caught.value)


def test_a_key_that_the_file_lacks_is_named_with_some_it_has(record):
    with pytest.raises(CorruptRecordError, match="no array 'b'; it holds 1, e.g. a; .*'karsl prepare' again"):
        LoadKeypoints()(record(key="b"))


def test_a_missing_file_is_named(record, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.npz: no such file; is data_root right"):
        LoadKeypoints()({**record(), "keypoint_path": str(tmp_path / "gone.npz")})


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda raw: b"", "the file is empty"),
        (lambda raw: raw[: len(raw) // 2], "no readable npz archive"),
        (lambda raw: pickle.dumps({"a": RAW}), "a pickle, which is never read"),
        (lambda raw: b"hello", "no readable npz archive"),
        (lambda raw: raw[:60] + bytes([raw[60] ^ 0xFF]) + raw[61:], "array 'a' cannot be read"),
    ],
    ids=["empty", "truncated", "pickle", "text", "flipped bits"],
)
def test_a_damaged_file_is_rejected_in_one_sentence(record, tmp_path, damage, text):
    one = record()
    path = tmp_path / "0001.npz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CorruptRecordError, match=text) as caught:
        LoadKeypoints()(one)
    assert str(caught.value).startswith(str(path))


def test_nonfinite_is_checked_when_the_transform_is_built():
    with pytest.raises(ConfigError, match="LoadKeypoints: nonfinite='zero'; expected 'raise' or 'missing'"):
        LoadKeypoints(nonfinite="zero")


def test_real_clips_have_their_irises_missing_and_their_arms_present(shared_data):
    path = shared_data("karsl_layout") / "01-train" / "0001.npz"
    key = np.load(path).files[0]
    out = LoadKeypoints()({"keypoint_path": str(path), "keypoint_key": key, "skeleton": get_skeleton("karsl_184")})
    seen = out["keypoint_score"] > 0
    iris = [v for v, name in enumerate(out["skeleton"].names) if "iris" in name]
    assert len(iris) == 8
    assert not seen[:, iris].any()
    assert seen[:, out["skeleton"].indices(["left_shoulder", "right_shoulder"])].all()
