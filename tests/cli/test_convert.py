"""`karsl convert`: forms by name, what is lost said, one line for what is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest

from karsl.cli.main import main
from karsl.datasets import KeypointDataset
from karsl.storage.convert import FORMS, open_source


def test_a_data_root_becomes_what_a_dataset_reads(corpus, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["convert", str(corpus), str(out), "--to", "annotation", "--skeleton", "mp_75"]) == 0
    said = capsys.readouterr().out
    assert "84 clips" in said
    assert f"to use it: KeypointDataset(ann_file='annotations.json', data_root='{out}')" in said
    dataset = KeypointDataset("annotations.json", data_root=out, pipeline=[dict(type="LoadKeypoints")])
    assert (len(dataset), dataset.skeleton.name) == (84, "mp_75")
    assert dataset[0]["keypoint"].shape[1:] == (75, 3)


def test_what_is_lost_and_what_is_missing_are_said_line_by_line(corpus, tmp_path, capsys):
    assert main(["convert", str(corpus), str(tmp_path / "x.csv"), "--to", "spoter"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("lost:", "note:"))]
    assert [line.split(":")[:2] for line in lines] == [
        ["lost", " points"],
        ["lost", " z"],
        ["lost", " score"],
        ["note", " 6 of the 54 points of 'spoter_54' are not in the source"],
    ]


def test_strict_ends_with_status_2_and_writes_nothing(corpus, tmp_path, capsys):
    assert main(["convert", str(corpus), str(tmp_path / "x.csv"), "--to", "spoter", "--strict"]) == 2
    assert capsys.readouterr().err.startswith("karsl convert: spoter cannot hold clip '01-test/0001/")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--to", "spotter"], "no form 'spotter'; did you mean 'spoter'?"),
        (["--to", "pose", "--from", "karls"], "no form 'karls'; did you mean 'karsl'?"),
        (["--to", "annotation", "--skeleton", "mp_57"], "no skeleton 'mp_57'; did you mean 'mp_75'?"),
        (["--to", "msl150"], "form 'msl150' is read, not written"),
    ],
)
def test_mistyped_names_are_answered_with_the_nearest(corpus, tmp_path, words, says, capsys):
    assert main(["convert", str(corpus), str(tmp_path / "x"), *words]) == 2
    assert says in capsys.readouterr().err


def test_a_pickle_is_read_only_when_trusted(corpus, tmp_path, capsys):
    pickle, again = tmp_path / "x.pkl", tmp_path / "again"
    assert main(["convert", str(corpus), str(pickle), "--to", "pyskl", "--dtype", "float16"]) == 0
    assert main(["convert", str(pickle), str(again), "--to", "karsl"]) == 2
    assert f"if you trust where it comes from, add --trust-pickle {pickle} " in capsys.readouterr().err
    other = ["--trust-pickle", str(tmp_path / "y.pkl")]
    assert main(["convert", str(pickle), str(again), "--to", "karsl", *other]) == 2
    assert main(["convert", str(pickle), str(again), "--to", "karsl", "--trust-pickle", str(pickle)]) == 0
    first = np.load(corpus / "01-train" / "0001.npz")
    second = np.load(again / "01-train" / "0001.npz")
    assert sorted(first.files) == sorted(second.files)
    assert (again / "labels.csv").read_text(encoding="utf-8") == (corpus / "labels.csv").read_text(encoding="utf-8")
    key = first.files[0]
    np.testing.assert_allclose(second[key][..., :3], first[key][..., :3], atol=2e-3)


def test_a_label_sheet_names_the_classes(corpus, tmp_path):
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(
        "SignID,Sign-Arabic,Sign-English\n" + "".join(f"{n},ا,word {n}\n" for n in range(1, 5)), encoding="utf-8"
    )
    assert main(["convert", str(corpus), str(tmp_path / "out"), "--to", "annotation", "--label-sheet", str(sheet)]) == 0
    metainfo = json.loads((tmp_path / "out" / "annotations.json").read_text(encoding="utf-8"))["metainfo"]
    assert metainfo["classes"] == [f"word {n}" for n in range(1, 5)]


def test_the_help_names_every_form_and_what_it_loses(capsys):
    assert main(["convert", "--help"]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in FORMS)
    assert all(form.loses in said for form in FORMS.values())


def test_three_corpora_come_to_one_skeleton_through_a_config(shared_data, tmp_path):
    """Each keeps its own points on disk; a step of the pipeline finds the shared ones by name."""
    from mmengine.dataset import ConcatDataset

    from karsl.datasets import KeypointDataset, keypoint_collate
    from karsl.registry import DATASETS

    pipeline = [
        dict(type="LoadKeypoints"),
        dict(type="SelectKeypoints", skeleton="karsl_184", allow_missing=True),
        dict(type="TSNSampleFrames", clip_len=16),
        dict(type="PackKeypointInputs"),
    ]
    parts = []
    for name in ("karsl_layout", "msl150", "asl_signs_app"):
        assert main(["convert", str(shared_data(name)), str(tmp_path / name), "--to", "annotation"]) == 0
        cfg = dict(type=KeypointDataset, ann_file="annotations.json", data_root=str(tmp_path / name), pipeline=pipeline)
        parts.append(DATASETS.build(cfg | {"test_mode": True}))
    assert [len(p) for p in parts] == [60, 86, 100]
    assert [p.skeleton.name for p in parts] == ["karsl_184", "msl_226", "asl_app_108"]
    assert [len(p.metainfo["classes"]) for p in parts] == [3, 5, 100]
    mixed = ConcatDataset(parts, ignore_keys=[*parts[0].metainfo, "classes_ar", "signs"])
    batch = keypoint_collate([mixed[i] for i in (0, 60, 146)])
    assert batch["inputs"].shape == (3, 16, 184, 3)
    wrist = parts[0].output_skeleton.index("right_hand_wrist")
    assert batch["keypoint_mask"][:, :, wrist].any(1).all()


def test_an_annotation_file_may_name_arrays_that_lie_anywhere(tmp_path):
    np.save(tmp_path / "clip.npy", np.full((2, 42, 3), 0.5, np.float32))
    record = {"clip_id": "a", "keypoint_path": "clip.npy", "label": 0, "num_frames": 2}
    content = {"metainfo": {"classes": ["hello"], "skeleton": "hand_42"}, "data_list": [record]}
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    assert main(["convert", str(tmp_path), str(tmp_path / "out.pkl"), "--to", "pyskl"]) == 0
    source = open_source(tmp_path / "out.pkl", trusted=True)
    assert source.read(source.records[0])[0, 0].tolist() == [0.5, 0.5, 0.5, 1]
