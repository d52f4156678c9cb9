"""SPOTER's CSV, Kaggle's folders, the ASL-App's json and parquet of others: names, zeros, NaN and null, bad input."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from karsl.errors import AnnotationError, CorruptRecordError, DataErrors
from karsl.skeletons import get_skeleton
from karsl.storage.convert import convert_clips, open_source
from karsl.storage.convert.asl_app import clip_of as app_clip
from tests.storage.convert.drawn_clips import make_source

SPOTER = get_skeleton("spoter_54")


def write_csv(path, **changes):
    """Two frames of SPOTER's form under the names that its published files have; (row, column) to a cell changes one."""
    body = ["nose", "neck", "rightEye", "leftEye", "rightEar", "leftEar", "rightShoulder", "leftShoulder"]
    body += ["rightElbow", "leftElbow", "rightWrist", "leftWrist"]
    fingers = [f"{f}{j}" for f in ("index", "middle", "ring", "little") for j in ("Tip", "DIP", "PIP", "MCP")]
    hand = ["wrist", *fingers, "thumbTip", "thumbIP", "thumbMP", "thumbCMC"]
    points = body + [f"{p}_{side}" for side in ("left", "right") for p in hand]
    row = {f"{p}_{axis}": f"[{i}.5, {i if axis == 'X' else 0}]" for i, p in enumerate(points, start=1) for axis in "XY"}
    row |= {"labels": "4", "video_fps": "25"} | changes
    row = {k: v for k, v in row.items() if v is not None}
    with path.open("w", newline="") as stream:
        rows = csv.DictWriter(stream, sorted(row))  # columns in any order
        rows.writeheader()
        rows.writerow(row)
    return path


def test_published_spoter_columns_are_found_by_name_in_any_order(tmp_path):
    source = open_source(write_csv(tmp_path / "x.csv"))
    clip = source.read(source.records[0])
    assert [clip[0, SPOTER.index(n), 0] for n in ("nose", "left_wrist", "left_hand_wrist", "right_hand_thumb_mcp")] == [
        1.5,
        12.5,
        13.5,
        53.5,
    ]
    assert source.records[0] | {"label": 4, "num_frames": 2} == source.records[0]
    assert len(source.metainfo["classes"]) == 5


def test_a_spoter_file_without_neck_has_it_missing_and_one_without_a_hand_is_refused(tmp_path):
    source = open_source(write_csv(tmp_path / "x.csv", neck_X=None, neck_Y=None))
    assert not source.read(source.records[0])[:, SPOTER.index("neck")].any()
    with pytest.raises(AnnotationError, match="no column 'wrist_0_X' .and 0 more.; is it SPOTER's form"):
        open_source(write_csv(tmp_path / "y.csv", wrist_left_X=None))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"nose_X": "[1, 2, 3]"}, r"landmarks have \[2, 3\] frames"),
        ({"nose_X": "[1, None]"}, "column nose_X: .* is not a list of numbers"),
        ({"nose_X": "__import__('os')"}, "column nose_X: .* is not a list of numbers"),
        ({"nose_X": "[1, NaN]"}, "a coordinate is not finite"),
    ],
)
def test_bad_cells_are_refused_with_row_and_column(change, says, tmp_path):
    source = open_source(write_csv(tmp_path / "x.csv", **change))
    with pytest.raises(CorruptRecordError, match=says):
        source.read(source.records[0])


def test_rows_without_a_label_are_refused_together(tmp_path):
    path = write_csv(tmp_path / "x.csv")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[1].replace(",4,", ",hello,", 1), "1,2"]))
    with pytest.raises(DataErrors) as caught:
        open_source(path)
    assert [p.split(" has")[0] for p in caught.value.problems] == ["row 2", "row 3"]


def test_spoters_own_way_of_reading_finds_our_numbers(tmp_path):
    """As its loader does: columns by identifier, cells by literal_eval, labels from 0."""
    from ast import literal_eval

    source = make_source("spoter_54", [(3, "none", 5)])
    path = convert_clips(source, tmp_path / "out.csv", "spoter").path
    with path.open(newline="", encoding="utf-8") as stream:
        row = next(csv.DictReader(stream))
    clip = source.read(source.records[0])
    for column, name, axis in (("littleTip_1_Y", "right_hand_pinky_tip", 1), ("leftEar_X", "left_ear", 0)):
        assert np.float32(literal_eval(row[column])).tolist() == clip[:, SPOTER.index(name), axis].tolist()
    assert row["labels"] == "0"


@pytest.fixture
def kaggle(tmp_path):
    """One clip of two frames as Kaggle has them: NaN where missing, rows by type, frame numbers of the video."""
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: Kaggle's form is not tested")
    import pyarrow.parquet

    kinds = {"face": 468, "left_hand": 21, "pose": 33, "right_hand": 21}
    rows = [(f, k, n) for f in (29, 28) for k, count in kinds.items() for n in range(count)]
    x = [float("nan") if k == "left_hand" or (f == 28 and k == "face") else n + f / 1000 for f, k, n in rows]
    columns = {"frame": [f for f, _, _ in rows], "row_id": [f"{f}-{k}-{n}" for f, k, n in rows]}
    columns |= {"type": [k for _, k, _ in rows], "landmark_index": [n for _, _, n in rows], "x": x, "y": x, "z": x}
    path = tmp_path / "asl" / "train_landmark_files" / "26734" / "1000035562.parquet"
    path.parent.mkdir(parents=True)
    pyarrow.parquet.write_table(arrow.table(columns), path)
    (tmp_path / "asl" / "train.csv").write_text(
        "path,participant_id,sequence_id,sign\ntrain_landmark_files/26734/1000035562.parquet,26734,1000035562,blow\n"
    )
    (tmp_path / "asl" / "sign_to_prediction_index_map.json").write_text(json.dumps({"TV": 0, "after": 1, "blow": 2}))
    return tmp_path / "asl"


def test_kaggles_landmarks_are_found_by_type_and_index_with_frames_in_order(kaggle):
    source = open_source(kaggle)
    assert source.metainfo["classes"] == ("TV", "after", "blow")
    record = source.records[0]
    assert (record["label"], record["signer"], record["clip_id"], record["num_frames"]) == (2, "26734", "1000035562", 2)
    clip = source.read(record)
    at = {
        n: clip[:, source.skeleton.index(n)] for n in ("left_shoulder", "right_hand_pinky_tip", "left_hand_wrist", "face_1")
    }
    assert at["left_shoulder"][:, 0].tolist() == [np.float32(11.028), np.float32(11.029)]
    assert at["right_hand_pinky_tip"][0].tolist() == [*[np.float32(20.028)] * 3, 1]
    assert not at["left_hand_wrist"].any()
    assert at["face_1"][:, 3].tolist() == [0, 1]


def test_kaggle_files_that_are_gone_or_of_other_rows_are_refused_together(kaggle):
    import pyarrow.parquet as parquet

    (kaggle / "train.csv").open("a").write("gone.parquet,1,2,TV\n")
    file = next(kaggle.rglob("1000035562.parquet"))
    parquet.write_table(parquet.read_table(file).slice(0, 1000), file)
    with pytest.raises(DataErrors) as caught:
        open_source(kaggle)
    assert ["1000 rows; a frame has 543" in p for p in caught.value.problems] == [True, False]
    assert "gone.parquet: no readable parquet file" in caught.value.problems[1]


def test_a_kaggle_sign_without_a_label_is_refused(kaggle):
    (kaggle / "sign_to_prediction_index_map.json").write_text("{}")
    with pytest.raises(AnnotationError, match="no label for sign 'blow'"):
        open_source(kaggle)


def test_null_points_of_the_asl_app_are_missing():
    frame = {"pose": [[1, 2, 3]] * 33, "face": [None] * 33, "left_hand": None, "right_hand": [None] + [[4, 5, 6]] * 20}
    clip, skeleton = app_clip([frame], where="x.json"), get_skeleton("asl_app_108")
    assert clip[0, skeleton.index("nose")].tolist() == [1, 2, 3, 1]
    assert clip[0, skeleton.index("right_hand_thumb_cmc")].tolist() == [4, 5, 6, 1]
    assert [int((clip[0, part, 3] > 0).sum()) for part in skeleton.groups.values()] == [33, 0, 0, 20]


def test_asl_app_files_of_another_form_are_refused(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"sign": "a", "frames": [{"pose": [[1, 2]] * 33}]}))
    (tmp_path / "b.json").write_text(json.dumps({"sign": "b", "frames": []}))
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(DataErrors) as caught:
        open_source(tmp_path, form="asl-app")
    assert len(caught.value.problems) == 2
    (tmp_path / "b.json").unlink()
    (tmp_path / "c.json").unlink()
    source = open_source(tmp_path)
    with pytest.raises(CorruptRecordError, match="frame 0: points are not three finite numbers each"):
        source.read(source.records[0])


def test_real_asl_app_signs_have_real_lengths(shared_data):
    source = open_source(shared_data("asl_signs_app"))
    lengths = [r["num_frames"] for r in source.records]
    assert (len(lengths), min(lengths), max(lengths)) == (100, 28, 84)
    record = next(r for r in source.records if r["clip_id"] == "hello")
    clip = source.read(record)
    assert clip.shape == (record["num_frames"], 108, 4)
    assert (clip[:, source.skeleton.groups["rh"], 3] > 0).mean() > 0.9
    assert source.metainfo["classes"][record["label"]] == "hello"


def test_parquet_of_others_with_nested_lists_is_read_on_a_named_skeleton(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: parquet is not tested")
    import pyarrow.parquet

    clip = np.full((2, 42, 3), 0.5)
    clip[1] = 0
    pyarrow.parquet.write_table(
        arrow.table({"clip_id": ["a"], "label": [1], "keypoint": [clip.tolist()]}), tmp_path / "x.parquet"
    )
    with pytest.raises(AnnotationError, match="nothing says what the points are; give --source-skeleton"):
        open_source(tmp_path)
    source = open_source(tmp_path, skeleton="hand_42")
    assert source.records[0]["num_frames"] == 2
    assert source.read(source.records[0])[:, 0].tolist() == [[0.5, 0.5, 0.5, 1], [0, 0, 0, 0]]
    with pytest.raises(CorruptRecordError, match="has 42 keypoints, the skeleton 75"):
        open_source(tmp_path, skeleton="mp_75").read(source.records[0])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda rows: {"landmark_index": [33 if k == "pose" else n for k, n in zip(*rows, strict=True)]},
            "no number of its type",
        ),
        (lambda rows: {"landmark_index": [0] * len(rows[1])}, "there twice in a frame"),
        (lambda rows: {"type": ["tail"] * len(rows[0])}, r"landmarks of types \['tail'\]; expected \['face', 'left_hand'"),
        (lambda rows: {"x": [float("inf")] * len(rows[0])}, "a coordinate is infinite"),
    ],
)
def test_rows_that_are_no_landmarks_are_refused(kaggle, change, says):
    import pyarrow.parquet as parquet

    file = next(kaggle.rglob("1000035562.parquet"))
    table = parquet.read_table(file)
    for name, values in change((table["type"].to_pylist(), table["landmark_index"].to_pylist())).items():
        table = table.set_column(table.column_names.index(name), name, [values])
    parquet.write_table(table, file)
    source = open_source(kaggle)
    with pytest.raises(CorruptRecordError, match=says):
        source.read(source.records[0])
