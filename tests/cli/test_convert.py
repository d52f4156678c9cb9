"""`karsl convert`: formats by name, losses reported, one line per error."""

from __future__ import annotations

import json

import numpy as np
import pytest

from karsl.cli.main import main
from karsl.datasets import KeypointDataset
from karsl.formats import FORMATS, open_clips


def test_a_converted_data_root_is_read_by_a_dataset(corpus, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["convert", str(corpus), str(out), "--to", "annotation", "--skeleton", "mp_75"]) == 0
    output = capsys.readouterr().out
    assert "84 clips" in output
    assert f"to use it: KeypointDataset(ann_file='annotations.json', data_root='{out}')" in output
    dataset = KeypointDataset("annotations.json", data_root=out, pipeline=[dict(type="LoadKeypoints")])
    assert (len(dataset), dataset.skeleton.name) == (84, "mp_75")
    assert dataset[0]["keypoint"].shape[1:] == (75, 3)


def test_losses_and_missing_points_are_reported_in_one_line_each(corpus, tmp_path, capsys):
    assert main(["convert", str(corpus), str(tmp_path / "x.csv"), "--to", "spoter"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("lost:", "note:"))]
    assert [line.split(":")[:2] for line in lines] == [
        ["lost", " points"],
        ["lost", " z"],
        ["lost", " score"],
        ["note", " 6 of the 54 points of 'spoter_54' are not in the source and are missing"],
    ]


def test_strict_ends_with_status_2_and_writes_nothing(corpus, tmp_path, capsys):
    assert main(["convert", str(corpus), str(tmp_path / "x.csv"), "--to", "spoter", "--strict"]) == 2
    assert capsys.readouterr().err.startswith("karsl convert: spoter cannot store clip '01-test/0001/")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "spotter"], "no format 'spotter'; did you mean 'spoter'?"),
        (["--to", "pose", "--from", "karls"], "no format 'karls'; did you mean 'karsl'?"),
        (["--to", "annotation", "--skeleton", "mp_57"], "no skeleton 'mp_57'; did you mean 'mp_75'?"),
        (["--to", "msl150"], "format 'msl150' is read-only"),
    ],
)
def test_errors_of_mistyped_names_suggest_the_nearest(corpus, tmp_path, words, message, capsys):
    assert main(["convert", str(corpus), str(tmp_path / "x"), *words]) == 2
    assert message in capsys.readouterr().err


def test_a_pickle_is_read_only_when_trusted(corpus, tmp_path, capsys):
    pickle, again = tmp_path / "x.pkl", tmp_path / "again"
    assert main(["convert", str(corpus), str(pickle), "--to", "pyskl", "--dtype", "float16"]) == 0
    assert main(["convert", str(pickle), str(again), "--to", "karsl"]) == 2
    assert f"if you trust its origin, add --trust-pickle {pickle} " in capsys.readouterr().err
    other = ["--trust-pickle", str(tmp_path / "y.pkl")]
    assert main(["convert", str(pickle), str(again), "--to", "karsl", *other]) == 2
    assert main(["convert", str(pickle), str(again), "--to", "karsl", "--trust-pickle", str(pickle)]) == 0
    first = np.load(corpus / "01-train" / "0001.npz")
    second = np.load(again / "01-train" / "0001.npz")
    assert sorted(first.files) == sorted(second.files)
    assert (again / "labels.csv").read_text(encoding="utf-8") == (corpus / "labels.csv").read_text(encoding="utf-8")
    key = first.files[0]
    np.testing.assert_allclose(second[key][..., :3], first[key][..., :3], atol=2e-3)


def test_a_label_table_names_the_classes(corpus, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text(
        "SignID,Sign-Arabic,Sign-English\n" + "".join(f"{n},ا,word {n}\n" for n in range(1, 5)), encoding="utf-8"
    )
    assert main(["convert", str(corpus), str(tmp_path / "out"), "--to", "annotation", "--label-sheet", str(table)]) == 0
    metainfo = json.loads((tmp_path / "out" / "annotations.json").read_text(encoding="utf-8"))["metainfo"]
    assert metainfo["classes"] == [f"word {n}" for n in range(1, 5)]


def test_help_lists_every_format_and_its_losses(capsys):
    assert main(["convert", "--help"]) == 0
    output = capsys.readouterr().out
    assert all(f"  {name} " in output for name in FORMATS)
    joined = " ".join(output.split())
    assert all(entry.cannot_store in joined for entry in FORMATS.values())


def test_three_corpora_share_one_skeleton_by_a_config(shared_data, tmp_path):
    """Files keep all keypoints; a transform of the pipeline selects the shared ones by name."""
    from mmengine.dataset import ConcatDataset

    from karsl.datasets import KeypointDataset, keypoint_collate
    from karsl.registry import DATASETS

    pipeline = [
        dict(type="LoadKeypoints"),
        dict(type="SelectKeypoints", skeleton="karsl_184", allow_missing=True),
        dict(type="TSNSampleFrames", clip_len=16),
        dict(type="PackKeypointInputs"),
    ]
    datasets = []
    for name in ("karsl_layout", "msl150", "asl_signs_app"):
        assert main(["convert", str(shared_data(name)), str(tmp_path / name), "--to", "annotation"]) == 0
        cfg = dict(type=KeypointDataset, ann_file="annotations.json", data_root=str(tmp_path / name), pipeline=pipeline)
        datasets.append(DATASETS.build(cfg | {"test_mode": True}))
    assert [len(p) for p in datasets] == [60, 86, 100]
    assert [p.skeleton.name for p in datasets] == ["karsl_184", "msl_226", "asl_app_108"]
    assert [len(p.metainfo["classes"]) for p in datasets] == [3, 5, 100]
    mixed = ConcatDataset(datasets, ignore_keys=[*datasets[0].metainfo, "classes_ar", "signs"])
    batch = keypoint_collate([mixed[i] for i in (0, 60, 146)])
    assert batch["inputs"].shape == (3, 16, 184, 3)
    wrist = datasets[0].output_skeleton.index("right_hand_wrist")
    assert batch["keypoint_mask"][:, :, wrist].any(1).all()


def test_an_annotation_file_may_refer_to_single_arrays(tmp_path):
    np.save(tmp_path / "clip.npy", np.full((2, 42, 3), 0.5, np.float32))
    record = {"clip_id": "a", "keypoint_path": "clip.npy", "label": 0, "num_frames": 2}
    content = {"metainfo": {"classes": ["hello"], "skeleton": "hand_42"}, "data_list": [record]}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    assert main(["convert", str(tmp_path), str(tmp_path / "out.pkl"), "--to", "pyskl"]) == 0
    source = open_clips(tmp_path / "out.pkl", trusted=True)
    assert source.read(source.records[0])[0, 0].tolist() == [0.5, 0.5, 0.5, 1]
