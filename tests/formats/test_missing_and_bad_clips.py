"""Missing points as options of every format, and `--skip-bad`: one bad clip does not block a conversion or a pack."""

from __future__ import annotations

import io
import json
import pickle
import tarfile

import numpy as np
import pytest

from karsl.cli.main import main
from karsl.datasets import KeypointDataset
from karsl.errors import DataErrors
from karsl.formats import convert, open_clips
from karsl.io.missing import MissingPoints
from karsl.io.sources import marker_notes

HOLE = MissingPoints("missing", ("minus_one",))
RNG = np.random.default_rng(0)


def holed(*shape: int) -> np.ndarray:
    """Return random points of which that of frame 0, keypoint 0 is NaN and that of keypoint 1 at (-1, -1)."""
    clip = RNG.random(shape).astype(np.float32) + 0.1
    clip[0, 0, 0] = np.nan
    clip[0, 1, :2] = -1
    return clip


def write_npz(folder):
    (folder / "01-train").mkdir(parents=True)
    np.savez(folder / "01-train" / "0001.npz", a=holed(2, 184, 4))
    return folder


def write_annotation(folder):
    folder.mkdir()
    np.save(folder / "a.npy", holed(2, 184, 4))
    record = {"clip_id": "a", "label": 0, "num_frames": 2, "keypoint_path": "a.npy"}
    content = {"metainfo": {"skeleton": "karsl_184", "classes": ["x"]}, "data_list": [record]}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def write_pyskl(folder):
    folder.mkdir()
    clip = holed(2, 184, 3)
    annotation = {"frame_dir": "a", "label": 0, "keypoint": clip[None], "keypoint_score": np.ones((1, 2, 184), np.float32)}
    (folder / "a.pkl").write_bytes(pickle.dumps([annotation]))
    return folder / "a.pkl"


def write_holistic(folder):
    folder.mkdir()
    rows = RNG.random((2, 1662))
    rows[0, 0], rows[0, 4:6] = np.nan, -1
    np.savez(folder / "hello.npz", a=rows)
    return folder


def write_tar(folder):
    folder.mkdir()
    buffer = io.BytesIO()
    np.save(buffer, holed(2, 184, 3))
    with tarfile.open(folder / "a.tar", "w") as archive:
        for name, content in (("a.npy", buffer.getvalue()), ("a.cls", b"0")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return folder


def write_parquet(folder):
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: parquet is not tested")
    import pyarrow.parquet

    folder.mkdir()
    table = arrow.table({"clip_id": ["a"], "label": [0], "keypoint": [holed(2, 184, 3).tolist()]})
    pyarrow.parquet.write_table(table, folder / "a.parquet")
    return folder


def read_first(path, **options):
    source = open_clips(path, trusted=True, **options)
    return source.read(source.records[0])


@pytest.mark.parametrize("write", [write_npz, write_annotation, write_pyskl, write_holistic, write_tar, write_parquet])
def test_nan_and_markers_are_missing_in_every_format_on_request(write, tmp_path):
    path = write(tmp_path / "in")
    skeleton = None if write is write_holistic else "karsl_184"
    with pytest.raises(ValueError, match="NaN|finite"):
        read_first(path, skeleton=skeleton)
    clip = read_first(path, skeleton=skeleton, missing=HOLE)
    assert not clip[0, :2].any()
    assert (clip[0, 2:, 3] > 0).all()
    assert (clip[1, :, 3] > 0).all()


@pytest.mark.parametrize("command", ["convert", "pack"])
def test_the_options_of_the_commands_reach_the_reader(command, tmp_path, capsys):
    root = write_npz(tmp_path / "in")
    words = [command, str(root), str(tmp_path / "out"), *(["--to", "annotation"] if command == "convert" else [])]
    assert main(words) == 2
    assert "1 values that are NaN or infinite" in capsys.readouterr().err
    assert main([*words, "--nonfinite", "missing", "--missing", "minus_one"]) == 0
    dataset = KeypointDataset("annotations.json", data_root=str(tmp_path / "out"), pipeline=[dict(type="LoadKeypoints")])
    assert np.isnan(dataset[0]["keypoint"][0, :2]).all()


def test_browse_takes_the_options_too(tmp_path):
    root = write_npz(tmp_path / "in")
    words = ["browse", str(root), "--not-show", "--output-dir", str(tmp_path / "sheets")]
    assert main(words) == 2
    assert main([*words, "--nonfinite", "missing"]) == 0


def test_points_at_one_negative_place_are_noted_once(tmp_path):
    clip = RNG.random((3, 184, 4)).astype(np.float32)
    clip[:, 3:9, :2] = -1
    (tmp_path / "01-train").mkdir()
    np.savez(tmp_path / "01-train" / "0001.npz", a=clip, b=clip / 2)
    (note,) = marker_notes(open_clips(tmp_path))
    assert note.endswith("e.g. in clip '01-train/0001/a'; if they are missing, use --missing minus_one")
    assert marker_notes(open_clips(tmp_path, missing=HOLE))[0].count("01-train/0001/b") == 1  # half of it: at -0.5


def pyskl_with_bad_clips(path):
    good = dict(label=0, keypoint_score=np.ones((1, 8, 17), np.float32))
    clips = [dict(good, frame_dir=f"v{i}", keypoint=RNG.random((1, 8, 17, 2)).astype(np.float32)) for i in range(4)]
    clips[1] |= {"keypoint": np.zeros((0, 8, 17, 2), np.float32), "keypoint_score": None}  # found when it is listed
    clips[2]["keypoint"][0, 3, 5, 0] = np.inf  # found when it is read
    path.write_bytes(pickle.dumps({"annotations": clips}))
    return path


@pytest.mark.parametrize("command", ["convert", "pack"])
def test_bad_clips_are_left_out_on_request_and_listed(command, tmp_path, capsys):
    path = pyskl_with_bad_clips(tmp_path / "a.pkl")
    out = tmp_path / "out"
    words = [command, str(path), str(out), "--source-skeleton", "coco_17", "--trust-pickle", str(path)]
    words += ["--to", "annotation"] if command == "convert" else []
    assert main(words) == 2
    assert "annotation 1 ('v1')" in (error := capsys.readouterr().err)
    assert "--skip-bad" in error
    assert not out.exists()
    assert main([*words, "--skip-bad"]) == 0
    printed = capsys.readouterr().out
    assert "skipped, 2 problems" in printed
    assert "annotation 1 ('v1')" in printed
    assert "clip 'v2'" in printed
    records = json.loads((out / "annotations.json").read_text())["data_list"]
    assert [record["clip_id"] for record in records] == ["v0", "v3"]


def test_a_source_of_bad_clips_only_is_an_error_even_if_they_are_skipped(tmp_path, capsys):
    clips = [dict(frame_dir="a", label=0, keypoint=np.full((1, 2, 17, 2), np.inf, np.float32))]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(clips))
    source = open_clips(tmp_path / "a.pkl", trusted=True, skeleton="coco_17")
    with pytest.raises(DataErrors, match="no clip is left"):
        convert(source, tmp_path / "out", "annotation", skip_bad=True)
    words = ["pack", str(tmp_path / "a.pkl"), str(tmp_path / "pack"), "--source-skeleton", "coco_17", "--skip-bad"]
    assert main([*words, "--trust-pickle", str(tmp_path / "a.pkl")]) == 2
    assert "no clip is left" in capsys.readouterr().err


@pytest.mark.parametrize("format", ["tar", "holistic-block", "spoter", "pyskl", "karsl"])
def test_every_writer_leaves_them_out(format, tmp_path):
    from tests.formats.random_clips import make_source, output_name

    skeleton = {"spoter": "spoter_54", "holistic-block": "holistic_543"}.get(format, "karsl_184")
    source = make_source(skeleton, [(4, "none", seed) for seed in range(3)])
    source.reader.clips[source.records[1]["clip_id"]][0, 0, 0] = np.nan
    result = convert(source, tmp_path / output_name(format), format, skip_bad=True)
    assert result.num_clips == 2
    assert len(result.problems) == 1
    assert len(open_clips(result.path, format=format, trusted=True).records) == 2
