"""Clips converted to any format give the same batches of a KeypointDataset, up to what the format cannot store.

`KARSL_LONG_TESTS=1` uses 600 clips instead of 36.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from karsl.datasets import KeypointDataset, keypoint_collate
from karsl.formats import FORMATS, convert, open_clips
from karsl.testing import make_corpus
from tests.formats.random_clips import WRITTEN, output_name, require

PIPELINE = [
    dict(type="LoadKeypoints"),
    dict(type="TSNSampleFrames", clip_len=20),
    dict(type="PackKeypointInputs"),
]
LONG = bool(os.environ.get("KARSL_LONG_TESTS"))
ONE_LENGTH = ("holistic-block",)  # requires clips of one length, see test_holistic


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    counts = dict(signs=10, train_clips=16, test_clips=4) if LONG else dict(signs=3, train_clips=3, test_clips=1)
    return open_clips(make_corpus(tmp_path_factory.mktemp("corpus"), **counts))


def batch_of(folder, source, skeleton):
    """Return one batch of all clips, sorted by name, read through an annotation file."""
    path = convert(source, folder, "annotation", skeleton=skeleton).path
    dataset = KeypointDataset("annotations.json", data_root=path, pipeline=PIPELINE, test_mode=True)
    names = [dataset.get_data_info(i)["clip_id"].rpartition("/")[2] for i in range(len(dataset))]
    return keypoint_collate([dataset[i] for i in np.argsort(names)]), sorted(names), dataset


@pytest.mark.parametrize("format", [format for format in WRITTEN if format not in ONE_LENGTH])
def test_the_same_clips_give_the_same_batches(format, clips, tmp_path):
    require(format)
    out = tmp_path / output_name(format)
    done = convert(clips, out, format)
    skeleton = FORMATS[format].skeleton or "karsl_184"
    batch, names, dataset = batch_of(tmp_path / "again", open_clips(out, format=format, trusted=True), None)
    expected, names_expected, _ = batch_of(tmp_path / "straight", clips, skeleton)
    assert names == names_expected
    assert dataset.skeleton.name == skeleton
    assert len(names) == done.num_clips == len(clips.records) == (600 if LONG else 36)
    axes = 3 if "z" in FORMATS[format].supports else 2
    np.testing.assert_array_equal(batch["keypoint_mask"], expected["keypoint_mask"])
    np.testing.assert_array_equal(batch["label"], expected["label"])
    np.testing.assert_allclose(batch["inputs"][..., :axes], expected["inputs"][..., :axes], atol=2e-6, rtol=0)


@pytest.mark.parametrize("format", [name for name, format in FORMATS.items() if format.supports_half])
def test_float16_gives_the_same_batches_to_3_digits_and_reports_the_loss(format, clips, tmp_path):
    require(format)
    out = tmp_path / output_name(format)
    done = convert(clips, out, format, dtype="float16")
    assert any(line.startswith("precision: values are rounded to float16") for line in done.losses)
    batch, _, _ = batch_of(tmp_path / "again", open_clips(out, format=format, trusted=True), None)
    expected, _, _ = batch_of(tmp_path / "straight", clips, None)
    axes = 3 if "z" in FORMATS[format].supports else 2
    np.testing.assert_array_equal(batch["keypoint_mask"], expected["keypoint_mask"])
    np.testing.assert_allclose(batch["inputs"][..., :axes], expected["inputs"][..., :axes], atol=2e-3, rtol=1e-3)
