"""CSV of SPOTER, Kaggle's folders, json of the ASL-App, parquet of other writers: names, missing points, invalid input."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from karsl.errors import AnnotationError, CorruptRecordError, DataErrors
from karsl.formats import convert, open_clips
from karsl.formats.asl_app import to_clip as app_clip
from karsl.skeletons import get_skeleton
from tests.formats.random_clips import make_source

SPOTER = get_skeleton("spoter_54")


def write_csv(path, **changes):
    """Write two frames with SPOTER's published column names. `changes` replaces cells, None removes a column."""
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
    source = open_clips(write_csv(tmp_path / "x.csv"))
    clip = source.read(source.records[0])
    assert [clip[0, SPOTER.index(n), 0] for n in ("nose", "left_wrist", "left_hand_wrist", "right_hand_thumb_mcp")] == [
        1.5,
        12.5,
        13.5,
        53.5,
    ]
    assert source.records[0] | {"label": 4, "num_frames": 2} == source.records[0]
    assert len(source.metainfo["classes"]) == 5


def test_neck_is_optional_in_a_spoter_file_and_hands_are_required(tmp_path):
    source = open_clips(write_csv(tmp_path / "x.csv", neck_X=None, neck_Y=None))
    assert not source.read(source.records[0])[:, SPOTER.index("neck")].any()
    with pytest.raises(AnnotationError, match="no column 'wrist_0_X' .and 0 more.; is it a file of SPOTER"):
        open_clips(write_csv(tmp_path / "y.csv", wrist_left_X=None))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nose_X": "[1, 2, 3]"}, r"landmarks have \[2, 3\] frames"),
        ({"nose_X": "[1, None]"}, "column nose_X: .* is not a list of numbers"),
        ({"nose_X": "__import__('os')"}, "column nose_X: .* is not a list of numbers"),
        ({"nose_X": "[1, NaN]"}, "a coordinate is not finite"),
    ],
)
def test_invalid_cells_are_rejected_with_row_and_column(change, message, tmp_path):
    source = open_clips(write_csv(tmp_path / "x.csv", **change))
    with pytest.raises(CorruptRecordError, match=message):
        source.read(source.records[0])


def test_rows_without_a_label_are_reported_together(tmp_path):
    path = write_csv(tmp_path / "x.csv")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[1].replace(",4,", ",hello,", 1), "1,2"]))
    with pytest.raises(DataErrors) as caught:
        open_clips(path)
    assert [p.split(" has")[0] for p in caught.value.problems] == ["row 2", "row 3"]


def test_spoters_loader_finds_the_same_values(tmp_path):
    """The loader finds columns by identifier, parses cells with literal_eval, and counts labels from 0."""
    from ast import literal_eval

    source = make_source("spoter_54", [(3, "none", 5)])
    path = convert(source, tmp_path / "out.csv", "spoter").path
    with path.open(newline="", encoding="utf-8") as stream:
        row = next(csv.DictReader(stream))
    clip = source.read(source.records[0])
    for column, name, axis in (("littleTip_1_Y", "right_hand_pinky_tip", 1), ("leftEar_X", "left_ear", 0)):
        assert np.float32(literal_eval(row[column])).tolist() == clip[:, SPOTER.index(name), axis].tolist()
    assert row["labels"] == "0"


@pytest.fixture
def kaggle(tmp_path):
    """Write a clip of two frames like Kaggle: NaN for missing points, rows by type, frame numbers of the video."""
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: Kaggle's format is not tested")
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
    source = open_clips(kaggle)
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


def test_removed_and_truncated_kaggle_files_are_reported_together(kaggle):
    import pyarrow.parquet as parquet

    (kaggle / "train.csv").open("a").write("gone.parquet,1,2,TV\n")
    file = next(kaggle.rglob("1000035562.parquet"))
    parquet.write_table(parquet.read_table(file).slice(0, 1000), file)
    with pytest.raises(DataErrors) as caught:
        open_clips(kaggle)
    assert ["1000 rows; a frame has 543" in p for p in caught.value.problems] == [True, False]
    assert "gone.parquet: not a readable parquet file" in caught.value.problems[1]


def test_a_kaggle_sign_without_a_label_is_rejected(kaggle):
    (kaggle / "sign_to_prediction_index_map.json").write_text("{}")
    with pytest.raises(AnnotationError, match="no label for sign 'blow'"):
        open_clips(kaggle)


def test_null_points_of_the_asl_app_are_missing():
    frame = {"pose": [[1, 2, 3]] * 33, "face": [None] * 33, "left_hand": None, "right_hand": [None] + [[4, 5, 6]] * 20}
    clip, skeleton = app_clip([frame], where="x.json"), get_skeleton("asl_app_108")
    assert clip[0, skeleton.index("nose")].tolist() == [1, 2, 3, 1]
    assert clip[0, skeleton.index("right_hand_thumb_cmc")].tolist() == [4, 5, 6, 1]
    assert [int((clip[0, part, 3] > 0).sum()) for part in skeleton.groups.values()] == [33, 0, 0, 20]


@pytest.mark.parametrize("frame", [7, {"pose": 7}, {"pose": {"x": 1}}], ids=str)
def test_frames_of_the_asl_app_are_dicts_of_lists(frame):
    with pytest.raises(CorruptRecordError, match="x.json: frame 0 is not a dict of lists of points"):
        app_clip([frame], where="x.json")


def test_invalid_asl_app_files_are_reported_together(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"sign": "a", "frames": [{"pose": [[1, 2]] * 33}]}))
    (tmp_path / "b.json").write_text(json.dumps({"sign": "b", "frames": []}))
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(DataErrors) as caught:
        open_clips(tmp_path, format="asl-app")
    assert len(caught.value.problems) == 2
    (tmp_path / "b.json").unlink()
    (tmp_path / "c.json").unlink()
    source = open_clips(tmp_path)
    with pytest.raises(CorruptRecordError, match="frame 0: points are not three finite numbers each"):
        source.read(source.records[0])


def test_real_asl_app_signs_have_real_lengths(shared_data):
    source = open_clips(shared_data("asl_signs_app"))
    lengths = [r["num_frames"] for r in source.records]
    assert (len(lengths), min(lengths), max(lengths)) == (100, 28, 84)
    record = next(r for r in source.records if r["clip_id"] == "hello")
    clip = source.read(record)
    assert clip.shape == (record["num_frames"], 108, 4)
    assert (clip[:, source.skeleton.groups["rh"], 3] > 0).mean() > 0.9
    assert source.metainfo["classes"][record["label"]] == "hello"


def test_parquet_with_nested_lists_is_read_with_a_given_skeleton(tmp_path):
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: parquet is not tested")
    import pyarrow.parquet

    clip = np.full((2, 42, 3), 0.5)
    clip[1] = 0
    pyarrow.parquet.write_table(
        arrow.table({"clip_id": ["a"], "label": [1], "keypoint": [clip.tolist()]}), tmp_path / "x.parquet"
    )
    with pytest.raises(AnnotationError, match="the file does not name its skeleton; pass --source-skeleton"):
        open_clips(tmp_path)
    source = open_clips(tmp_path, skeleton="hand_42")
    assert source.records[0]["num_frames"] == 2
    assert source.read(source.records[0])[:, 0].tolist() == [[0.5, 0.5, 0.5, 1], [0, 0, 0, 0]]
    with pytest.raises(CorruptRecordError, match="has 42 keypoints, the skeleton 75"):
        open_clips(tmp_path, skeleton="mp_75").read(source.records[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda rows: {"landmark_index": [33 if k == "pose" else n for k, n in zip(*rows, strict=True)]},
            "is not valid for its type",
        ),
        (lambda rows: {"landmark_index": [0] * len(rows[1])}, "repeated in a frame"),
        (lambda rows: {"type": ["tail"] * len(rows[0])}, r"landmarks of types \['tail'\]; expected \['face', 'left_hand'"),
        (lambda rows: {"x": [float("inf")] * len(rows[0])}, "a coordinate is infinite"),
    ],
)
def test_invalid_landmark_rows_are_rejected(kaggle, change, message):
    import pyarrow.parquet as parquet

    file = next(kaggle.rglob("1000035562.parquet"))
    table = parquet.read_table(file)
    for name, values in change((table["type"].to_pylist(), table["landmark_index"].to_pylist())).items():
        table = table.set_column(table.column_names.index(name), name, [values])
    parquet.write_table(table, file)
    source = open_clips(kaggle)
    with pytest.raises(CorruptRecordError, match=message):
        source.read(source.records[0])


def test_a_line_break_in_a_quoted_cell_belongs_to_its_row(tmp_path):
    source = make_source("spoter_54", [(3, "none", 1), (2, "none", 2)])
    source.metainfo["classes"] = ("see\nyou", 'say "hi"\r\nthere')
    convert(source, tmp_path / "x.csv", "spoter")
    again = open_clips(tmp_path / "x.csv")
    assert again.metainfo["classes"] == source.metainfo["classes"]
    for record, record_again in zip(source.records, again.records, strict=True):
        expected = source.read(record)
        np.testing.assert_allclose(again.read(record_again)[..., :2], expected[..., :2], atol=1e-6)


@pytest.mark.parametrize("content", [b"labels,\xff\xfe\n", b'labels,x\n"1,' + b"a" * 10])
def test_a_csv_in_another_encoding_or_without_its_columns_is_one_sentence(tmp_path, content):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(AnnotationError, match="not a CSV file in UTF-8|no column"):
        open_clips(tmp_path / "x.csv")


def test_a_sign_that_is_no_number_is_a_problem_of_its_row(tmp_path):
    with pytest.raises(DataErrors, match="row 1 has sign 'hello'; expected a SignID or nothing"):
        open_clips(write_csv(tmp_path / "x.csv", sign="hello"))


def write_parquet(path, metadata=None, **columns):
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: parquet is not tested")
    import pyarrow.parquet

    clips = np.random.default_rng(0).random((3, 2, 42, 3)).tolist()
    table = arrow.table({"clip_id": list("abc"), "label": [1, 0, 1], "keypoint": clips, **columns})
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), path)
    return path


def test_labels_of_a_parquet_file_may_be_texts(tmp_path):
    source = open_clips(write_parquet(tmp_path / "a.parquet", label=["thanks", "hello", "thanks"]), skeleton="hand_42")
    assert source.metainfo["classes"] == ("hello", "thanks")
    assert [r["label"] for r in source.records] == [1, 0, 1]


def test_names_of_a_class_label_of_hugging_face_are_the_classes(tmp_path):
    features = {"label": {"names": ["hello", "thanks", "unused"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    source = open_clips(write_parquet(tmp_path / "a.parquet", metadata), skeleton="hand_42")
    assert source.metainfo["classes"] == ("hello", "thanks", "unused")


@pytest.mark.parametrize(
    ("label", "problem"),
    [([1.0, 0.5, 1.0], "label 0.5"), ([1, None, 1], "has no label"), ([1, -1, 1], "label -1"), ([True] * 3, "label True")],
)
def test_invalid_labels_of_rows_are_reported_and_can_be_left_out(tmp_path, label, problem):
    path = write_parquet(tmp_path / "a.parquet", label=label)
    with pytest.raises(DataErrors, match=problem):
        open_clips(path, skeleton="hand_42")
    if label != [True] * 3:
        source = open_clips(path, skeleton="hand_42", skip_bad=True)
        assert [(r["clip_id"], r["label"]) for r in source.records] == [("a", 1), ("c", 1)]


def test_texts_and_numbers_as_labels_of_one_corpus_are_rejected(tmp_path):
    write_parquet(tmp_path / "a.parquet")
    write_parquet(tmp_path / "b.parquet", label=["x", "y", "z"])
    with pytest.raises(AnnotationError, match="some files have labels as texts and others as numbers"):
        open_clips(tmp_path, skeleton="hand_42")


@pytest.mark.parametrize("column", ["keypoint", "clip_id"])
def test_a_few_bytes_that_unpack_to_more_than_the_bound_are_refused(tmp_path, monkeypatch, column):
    arrow = pytest.importorskip("pyarrow")
    count, large = 40, {"keypoint": bytes(30 * 42 * 3 * 4), "clip_id": "x" * 15_000}[column]
    columns = {"clip_id": [f"c{n}" for n in range(count)], "label": [0] * count, "keypoint": [bytes(504)] * count}
    columns |= {"dtype": ["float32"] * count, "shape": [[1, 42, 3]] * count, "num_frames": [1] * count}
    arrow.parquet.write_table(arrow.table({**columns, column: [large] * count}), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 30_000
    monkeypatch.setenv("KARSL_MAX_UNPACKED_BYTES", "500000")

    def read():
        source = open_clips(tmp_path / "a.parquet", skeleton="hand_42")
        return source.read(source.records[0])

    with pytest.raises(CorruptRecordError, match=f"'{column}' is too large .it unpacks to {count * len(large)} bytes"):
        read()
