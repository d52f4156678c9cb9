"""LSFB: the folder of isolated signs, and tars with several arrays per sample."""

from __future__ import annotations

import gzip
import io
import tarfile

import numpy as np
import pytest

from karsl.errors import AnnotationError, DataErrors
from karsl.formats import detect_format, open_clips
from tests.formats.lsfb_files import POINTS, write_folder


def write(path, samples):
    with tarfile.open(path, "w") as archive:
        for key, (arrays, texts) in samples.items():
            contents = {f"{key}.{extension}": text.encode() for extension, text in texts.items()}
            for name, array in arrays.items():
                stream = io.BytesIO()
                np.save(stream, array)
                contents[f"{key}.{name}.npy"] = stream.getvalue()
            for name, content in contents.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def arrays(frames=2, value=0.5, **changes):
    return {name: np.full((frames, count, 3), value, np.float32) for name, count in POINTS.items()} | changes


def test_the_groups_of_a_sample_are_one_clip(tmp_path):
    hand = np.full((2, 21, 3), 0.25, np.float32)
    hand[1] = np.nan
    samples = {"b": (arrays(left_hand=hand), {"class": "merci", "idx": "1"}), "a": (arrays(3), {"class": "ami", "idx": "0"})}
    path = write(tmp_path / "train_0.tar", samples)
    for source_path in (path, tmp_path):
        assert detect_format(source_path).name == "lsfb-tar"
        source = open_clips(source_path)
        assert (source.skeleton.name, source.metainfo["classes"]) == ("mediapipe_553", ("ami", "merci"))
        assert [(r["clip_id"], r["label"], r["num_frames"]) for r in source.records] == [("b", 1, 2), ("a", 0, 3)]
    clip = source.read(source.records[0])
    assert clip[:, 511].tolist() == [[0.25, 0.25, 0.25, 1], [0, 0, 0, 0]]
    assert clip[:, 532].tolist() == [[0.5, 0.5, 0.5, 1]] * 2


def test_fewer_groups_are_another_skeleton_and_words_alone_are_numbered(tmp_path):
    hands = {name: array for name, array in arrays().items() if name != "face"}
    source = open_clips(write(tmp_path / "x.tar", {"a": (hands, {"class": "merci"}), "b": (hands, {"class": "ami"})}))
    assert (source.skeleton.name, source.metainfo["classes"]) == ("mp_75", ("ami", "merci"))
    assert [record["label"] for record in source.records] == [1, 0]


def test_unequal_samples_are_named(tmp_path):
    texts = {"class": "ami"}
    unequal = {
        "a": (arrays(), texts),
        "b": (arrays(pose=np.zeros((5, 33, 3))), texts),
        "c": ({"pose": np.zeros((2, 33, 3))}, texts),
    }
    with pytest.raises(DataErrors, match="2 problems") as caught:
        open_clips(write(tmp_path / "x.tar", unequal))
    assert "sample 'b': arrays of shapes" in str(caught.value)
    assert "sample 'c' has pose.npy, the first sample pose.npy, face.npy" in str(caught.value)


def test_a_sample_without_a_word_and_a_compressed_tar_are_errors(tmp_path):
    path = write(tmp_path / "x.tar", {"a": (arrays(), {})})
    with pytest.raises(AnnotationError, match="'a' has neither a number in .idx nor a word in .class"):
        open_clips(path)
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(AnnotationError, match="compressed tar cannot be read one by one; unpack it with 'gzip -d'"):
        open_clips(path)


CLIPS = [("CLSFBI0103A_S001_B_10_20", "MERCI", "S001", 3), ("CLSFBI0104A_S002_B_5_9", "AMI", "S002", 2)]


def test_the_folder_of_isolated_signs_gives_clips_signers_numbers_and_splits(tmp_path):
    root = write_folder(tmp_path / "isol", CLIPS)
    hand = np.full((3, 21, 3), 0.75)
    hand[1] = np.nan
    np.save(root / "poses" / "left_hand" / f"{CLIPS[0][0]}.npy", hand)
    assert detect_format(root).name == "lsfb"
    source = open_clips(root)
    assert (source.skeleton.name, source.metainfo["classes"]) == ("mediapipe_553", ("AMI", "MERCI"))
    keys = ("clip_id", "label", "signer", "split", "num_frames")
    assert [tuple(record[key] for key in keys) for record in source.records] == [
        (CLIPS[0][0], 1, "S001", "train", 3),
        (CLIPS[1][0], 0, "S002", "test", 2),
    ]
    clip = source.read(source.records[0])
    assert clip[:, 511].tolist() == [[0.75, 0.75, 0.75, 1], [0, 0, 0, 0], [0.75, 0.75, 0.75, 1]]
    assert clip[:, 0].tolist() == [[0.25, 0.25, 0.25, 1]] * 3


def test_raw_poses_are_read_where_the_others_are_not_downloaded(tmp_path):
    groups = {name: count for name, count in POINTS.items() if name != "face"}
    source = open_clips(write_folder(tmp_path / "isol", CLIPS, groups=groups, poses="poses_raw", splits=False))
    assert source.skeleton.name == "mp_75"
    assert "split" not in source.records[0]
    assert source.read(source.records[1]).shape == (2, 75, 4)


def test_a_missing_array_and_a_missing_column_are_named(tmp_path):
    root = write_folder(tmp_path / "isol", CLIPS)
    (root / "poses" / "pose" / f"{CLIPS[1][0]}.npy").unlink()
    with pytest.raises(DataErrors, match=rf"pose/{CLIPS[1][0]}.npy: no such file"):
        open_clips(root)
    assert len(open_clips(root, skip_bad=True).records) == 1
    (root / "instances.csv").write_text("id,gloss\na,b\n")
    with pytest.raises(AnnotationError, match=r"instances.csv: no column \['sign', 'signer'\]"):
        open_clips(root)
