"""Array files of any arrangement give the batches of the same clips in KArSL's layout, bit for bit."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from karsl.datasets import KArSLDataset, KeypointDataset, keypoint_collate
from karsl.errors import ConfigError, DataErrors, DatasetNotFoundError, KarslError
from karsl.formats import convert, open_clips
from karsl.formats.arrays import scan_arrays
from karsl.pack.write import pack_clips
from karsl.visualization.clips.open import open_dataset
from tests.formats.array_forms import FORMS, make_clips, write_karsl

PIPELINE = [
    dict(type="LoadKeypoints"),
    dict(type="TSNSampleFrames", clip_len=5, jitter=0.8),
    dict(type="RandomFlip", prob=0.5),
    dict(type="CenterScale"),
    dict(type="PackKeypointInputs", with_score=True),
]
LENGTHS = {True: (4, 4, 4, 4), False: (4, 2, 5, 3)}

every_form = pytest.mark.parametrize("name", FORMS)


def written(name: str, folder: Path) -> tuple[Path, list[np.ndarray]]:
    """Write a form, and return its folder and the clips in order."""
    form = FORMS[name]
    if ".h5" in str(form) or name.startswith("h5"):
        pytest.importorskip("h5py")
    clips = make_clips(LENGTHS[form.one_length], form.skeleton)
    form.write(folder / "clips", clips)
    write_karsl(folder / "karsl", clips)
    return folder / "clips", [clip for own in clips.values() for clip in own]


def batch_of(dataset) -> dict:
    return next(iter(DataLoader(dataset, batch_size=4, collate_fn=keypoint_collate)))


def assert_equal_batches(one: dict, other: dict) -> None:
    assert one["inputs"].dtype == other["inputs"].dtype
    assert one["inputs"].numpy().tobytes() == other["inputs"].numpy().tobytes()
    assert one["label"].tolist() == other["label"].tolist() == [0, 0, 1, 1]


@every_form
def test_batches_and_samples_are_those_of_the_same_clips_in_karsls_layout(name, tmp_path):
    root, _ = written(name, tmp_path)
    options = {"pipeline": PIPELINE, "seed": 3, "index_cache": None}
    dataset = KeypointDataset(data_root=str(root), **FORMS[name].options, **options)
    expected = KArSLDataset(data_root=str(tmp_path / "karsl"), skeleton=FORMS[name].skeleton, **options)
    assert_equal_batches(batch_of(dataset), batch_of(expected))
    for index in range(4):
        assert torch.equal(dataset[index]["inputs"], expected[index]["inputs"])


@every_form
def test_packed_converted_browsed_and_prepared_clips_are_the_clips(name, tmp_path):
    root, clips = written(name, tmp_path)
    source = open_clips(root, **FORMS[name].options)
    assert [len(clip) for clip in clips] == [record["num_frames"] for record in source.records]
    pack_clips(source, tmp_path / "pack", dtype="float32")
    convert(source, tmp_path / "out", "annotation")
    browsed = open_dataset(root, **FORMS[name].options)
    again = pickle.loads(pickle.dumps(source))
    for index, clip in enumerate(clips):
        for other in (source, again, open_clips(tmp_path / "pack"), open_clips(tmp_path / "out")):
            np.testing.assert_array_equal(other.read(other.records[index]), clip)
        shown = browsed.stages(index)[-1][1]
        np.testing.assert_array_equal(shown["keypoint_score"], clip[..., 3])


@every_form
def test_an_annotation_file_with_the_layout_reads_the_clips(name, tmp_path):
    root, clips = written(name, tmp_path)
    scan = scan_arrays(root, **FORMS[name].options)
    keys = ("clip_id", "keypoint_path", "keypoint_key", "keypoint_index", "label")
    records = [{key: record[key] for key in keys if key in record} for record in scan.records]
    (root / "annotations.json").write_text(json.dumps({"metainfo": scan.metainfo, "data_list": records}))
    dataset = KeypointDataset("annotations.json", data_root=str(root), pipeline=PIPELINE[:1])
    for index, clip in enumerate(clips):
        np.testing.assert_array_equal(dataset[index]["keypoint_score"], clip[..., 3])


def test_records_of_a_stack_are_made_when_they_are_accessed(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 2, 126), np.float32))
    np.save(tmp_path / "b.npy", np.zeros((1, 4, 126), np.float32))
    records = scan_arrays(tmp_path, layout="holistic_126").records
    assert (len(records), len(records.arrays)) == (4, 2)
    assert [records[i]["clip_id"] for i in (0, 2, -1)] == ["a/000000", "a/000002", "b/000000"]
    assert records[3] == list(records)[3] == records[2:][1]
    assert records[1]["byte_start"] == 128 + 2 * 126 * 4
    with pytest.raises(IndexError):
        records[4]


def test_whole_numbers_as_keys_are_rows_of_a_stack(tmp_path):
    stack = np.random.default_rng(0).uniform(0.1, 1, (3, 4, 184, 4)).astype(np.float32)
    np.save(tmp_path / "a.npy", stack)
    torch.save(torch.from_numpy(stack), tmp_path / "b.pt")
    np.savez(tmp_path / "c.npz", X=stack)
    records = [{"keypoint_path": name, "keypoint_key": 2} for name in ("a.npy", "b.pt", "c.npz")]
    (tmp_path / "ann.json").write_text(json.dumps({"metainfo": {"skeleton": "karsl_184"}, "data_list": records}))
    dataset = KeypointDataset("ann.json", data_root=str(tmp_path), pipeline=PIPELINE[:1])
    for index in range(3):
        np.testing.assert_array_equal(dataset[index]["keypoint"], stack[2, ..., :3])


def save(root: Path, **shapes: tuple[int, ...]) -> Path:
    """Write arrays of zeros, `a__b` as `a/b.npy`."""
    for name, shape in shapes.items():
        path = root / f"{name.replace('__', '/')}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.zeros(shape, np.float32))
    return root


# ---- what is not one of them ----


def problem_of(root: Path, **options) -> str:
    with pytest.raises(KarslError) as caught:
        open_clips(root, format="arrays", **options)
    return str(caught.value)


def test_every_file_with_a_problem_is_named_once_with_a_remedy(tmp_path):
    root = save(tmp_path, a=(3, 5, 184, 4), b=(3, 5, 183, 4), c=(0, 5, 184, 4), d=(5, 4, 184), e=(7,))
    np.save(root / "f.npy", np.array([object()]), allow_pickle=True)
    np.savez(root / "g.npz", x=np.zeros((5, 184, 4)), y=np.zeros((5, 180, 4)), text=np.array("hello"))
    torch.save(torch.nn.Linear(1, 1), root / "h.pt")
    (root / "i.npy").write_bytes(b"")
    (root / "j.npz").write_bytes(b"PK")
    with pytest.raises(DataErrors) as caught:
        open_clips(root, layout="karsl_184")
    problems = sorted(caught.value.problems)
    expected = [
        "b.npy has 183 keypoints, the skeleton 184, shape (5, 183, 4)",
        "c.npy has no clips, shape (0, 5, 184, 4)",
        "d.npy has 4 keypoints, the skeleton 184, shape (5, 4, 184); is the order of its axes TCV (axes='TCV')?",
        "e.npy has shape (7,); a clip has the axes T, V, C",
        "f.npy: no readable .npy file (an object array, which would run pickle); export it again",
        "g.npz: y has 180 keypoints",
        "h.pt: no readable .pt file of tensors",
        "i.npy: the file is empty",
        "j.npz: no readable npz archive",
    ]
    assert len(problems) == len(expected)
    for problem, beginning in zip(problems, expected, strict=True):
        assert problem.startswith(beginning)


def test_wrong_columns_and_unknown_layouts_are_rejected(tmp_path):
    root = save(tmp_path, a=(5, 258))
    assert "a.npy has 258 columns, the layout 225 (pose:33x3, lh:21x3, rh:21x3)" in problem_of(root, layout="holistic_225")
    assert "did you mean 'holistic_258'" in problem_of(root, layout="holistic_259")
    assert "no keypoint names for 34 points of group 'pose'" in problem_of(root, layout="pose:34x4")
    assert "a point has 2 to 4 values" in problem_of(root, layout="pose:33x5")


def test_clips_without_a_layout_are_read_by_the_only_guess_which_is_noted(tmp_path):
    root = save(tmp_path, hello__a=(5, 258), yes__b=(6, 258))
    source = open_clips(root)
    assert source.skeleton.name == "mp_75"
    command = f"karsl browse {root} --layout holistic_258"
    assert (
        source.notes[0]
        == f"{root}: the layout of hello/a.npy, (5, 258), is read as 'holistic_258'; check it with: {command}"
    )
    with pytest.raises(
        ConfigError, match="may be 'holistic_258'; look at it with 'karsl browse .* --layout holistic_258', then"
    ):
        KeypointDataset(data_root=str(root))


def test_shapes_that_fit_several_layouts_or_none_need_one(tmp_path):
    assert "is one of 'holistic_543', 'kaggle_543'; look at both" in problem_of(save(tmp_path / "several", a=(5, 543, 3)))
    assert "a.npy, (5, 19, 3), is not known; describe it with --layout" in problem_of(save(tmp_path / "none", a=(5, 19, 3)))
    assert problem_of(tmp_path / "absent").startswith("no file or folder")
    (tmp_path / "empty").mkdir()
    assert "no .npz, .npy" in problem_of(tmp_path / "empty")


def test_arrays_that_are_no_clips_and_files_outside_a_glob_are_counted(tmp_path):
    root = save(tmp_path, shard_0=(2, 5, 126), shard_1=(1, 5, 126), other=(4, 4))
    np.savez(root / "shard_2.npz", x=np.zeros((5, 126)), info=np.zeros(3), text=np.array("a"))
    source = open_clips(root, layout="holistic_126", pattern="shard_*", labels="none")
    assert len(source.records) == 4
    assert source.notes == (
        "1 file not read, by pattern 'shard_*'",
        "2 arrays that are no clips are not read, e.g. shard_2.npz: info (3,)",
    )


def test_a_pattern_with_groups_must_match_every_file(tmp_path):
    root = save(tmp_path, **{"01_0003": (5, 126), "02_0007": (5, 126), "readme": (5, 126)})
    pattern = r"(?P<signer>\d+)_(?P<sign>\d+)"
    assert f"1 file of 3 not matched by pattern {pattern!r}, the first 'readme.npy'" in problem_of(
        root, layout="holistic_126", pattern=pattern
    )
    (root / "readme.npy").unlink()
    source = open_clips(root, layout="holistic_126", pattern=pattern)
    assert [(r["signer"], r["sign"], r["label"]) for r in source.records] == [("01", 3, 0), ("02", 7, 1)]
    assert (source.metainfo["signs"], source.metainfo["classes"]) == ((3, 7), ("0003", "0007"))
    assert "is no regular expression" in problem_of(root, layout="holistic_126", pattern=r"(?P<signer>\d+")
    with pytest.raises(DatasetNotFoundError, match="matches pattern='x_\\*'"):
        open_clips(root, layout="holistic_126", pattern="x_*")


def test_arrays_of_a_clip_must_be_complete_and_of_one_length(tmp_path):
    np.savez(tmp_path / "a.npz", lh=np.zeros((5, 21, 3)), rh=np.zeros((4, 21, 3)))
    np.savez(tmp_path / "b.npz", lh=np.zeros((5, 21, 3)))
    np.savez(tmp_path / "c.npz", lh=np.zeros((5, 21, 3)), rh=np.zeros((5, 20, 3)))
    with pytest.raises(DataErrors) as caught:
        open_clips(tmp_path, layout="lh=lh, rh=rh")
    first, second, third = caught.value.problems
    assert first.startswith("a.npz: arrays of different lengths")
    assert second == "b.npz: no array 'rh', it has lh"
    assert third.startswith("c.npz: rh has 20 keypoints, the group 'rh' 21, shape (5, 20, 3)")


def test_lengths_must_fit_their_clips(tmp_path):
    np.savez(tmp_path / "a.npz", data=np.zeros((9, 126)), lengths=[4, 4])
    np.savez(tmp_path / "b.npz", data=np.zeros((2, 9, 126)), lengths=[4, 4, 1])
    np.savez(tmp_path / "c.npz", data=np.zeros((9, 126)), lengths=[9, 0])
    np.savez(tmp_path / "d.npz", data=np.zeros((9, 126)), lengths=[4.5, 4.5])
    with pytest.raises(DataErrors) as caught:
        open_clips(tmp_path, layout="holistic_126")
    texts = [
        "a.npz: lengths with a sum of 8 for 9 frames",
        "b.npz: 3 lengths of up to 4",
        "c.npz: array 'lengths': clips of",
    ]
    texts.append("d.npz: array 'lengths': float64 (2,); expected one whole number per clip")
    for problem, text in zip(caught.value.problems, texts, strict=True):
        assert problem.startswith(text)


def test_a_file_that_was_replaced_by_a_shorter_stack_is_rejected(tmp_path):
    root = save(tmp_path, a=(3, 5, 126))
    dataset = KeypointDataset(data_root=str(root), layout="holistic_126; axes=TD; missing=nan", pipeline=PIPELINE[:1])
    save(tmp_path, a=(2, 5, 126))
    with pytest.raises(KarslError, match="a.npy: no clip 2, it has 2; if the file was replaced, index it again"):
        dataset[2]


def test_a_bad_file_is_skipped_and_listed_if_that_is_requested(tmp_path):
    root = save(tmp_path, a=(3, 5, 126), b=(3, 5, 127))
    dataset = KeypointDataset(data_root=str(root), layout="holistic_126", on_error="skip", index_cache=None)
    assert len(dataset) == 3
    assert dataset.skipped_problems[0].startswith("b.npy has 127 columns")
    with pytest.raises(DataErrors, match="b.npy has 127 columns"):
        KeypointDataset(data_root=str(root), layout="holistic_126")


def test_an_index_is_used_until_a_file_is_added(tmp_path):
    root, cache = save(tmp_path / "clips", a=(3, 5, 126)), str(tmp_path / "cache")
    options = {"data_root": str(root), "layout": "holistic_126", "index_cache": cache}
    assert len(KeypointDataset(**options)) == len(KeypointDataset(**options)) == 3
    save(tmp_path / "clips", b=(2, 5, 126))
    assert len(KeypointDataset(**options)) == 5


def test_the_skeleton_of_a_dataset_is_that_of_its_layout(tmp_path):
    root = save(tmp_path, a=(3, 5, 126))
    assert KeypointDataset(data_root=str(root), layout="holistic_126").skeleton.name == "hand_42"
    assert KeypointDataset(data_root=str(root), skeleton="hand_42").layout.columns[0] == ("lh", 21, 3)
    with pytest.raises(ConfigError, match="layout of skeleton 'hand_42', but skeleton='mp_75'; leave out the skeleton"):
        KeypointDataset(data_root=str(root), layout="holistic_126", skeleton="mp_75")


def test_another_format_has_no_layout(tmp_path):
    (tmp_path / "a.csv").write_text("labels\n")
    with pytest.raises(ConfigError, match="format 'spoter' has a fixed layout; leave out layout, or the format"):
        open_clips(tmp_path / "a.csv", format="spoter", layout="spoter_54")


def test_records_of_array_files_are_made_when_they_are_read_and_filtered_like_others(tmp_path):
    root = save(tmp_path, train__a=(3, 5, 126), test__a=(2, 5, 126))
    options = {"data_root": str(root), "layout": "holistic_126", "labels": "file", "index_cache": None}
    records = KeypointDataset(**options, lazy_init=True).load_data_list()
    assert (len(records), isinstance(records, list)) == (5, False)
    assert records[1:3] == [records[1], records[2]] == list(records)[1:3]
    assert len(KeypointDataset(**options, filter_cfg={"split": "train"})) == 3
    assert len(KeypointDataset(**options, indices=[4, 0])) == 2
    unserialized, serialized = (KeypointDataset(**options, serialize_data=value) for value in (False, True))
    assert [unserialized.get_data_info(i) for i in range(5)] == [serialized.get_data_info(i) for i in range(5)]
