"""Tars of LSFB: several arrays per sample."""

from __future__ import annotations

import gzip
import io
import tarfile

import numpy as np
import pytest

from karsl.errors import AnnotationError, DataErrors
from karsl.formats import detect_format, open_clips

POINTS = {"pose": 33, "face": 478, "left_hand": 21, "right_hand": 21}


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
