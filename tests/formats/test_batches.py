"""The same clips through every form give the same batches of a KeypointDataset, to what the form's table says it keeps.

`KARSL_LONG_TESTS=1` takes 600 clips instead of 36.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from karsl.datasets import KeypointDataset, keypoint_collate
from karsl.storage.convert import FORMS, convert_clips, open_source
from karsl.testing import make_corpus
from tests.storage.convert.drawn_clips import WRITTEN, needs

PIPELINE = [
    dict(type="LoadKeypoints"),
    dict(type="TSNSampleFrames", clip_len=20),
    dict(type="PackKeypointInputs"),
]
LONG = bool(os.environ.get("KARSL_LONG_TESTS"))
OF_ONE_LENGTH = ("holistic-block",)  # clips of other lengths are refused, see test_columns


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    counts = dict(signs=10, train_clips=16, test_clips=4) if LONG else dict(signs=3, train_clips=3, test_clips=1)
    return open_source(make_corpus(tmp_path_factory.mktemp("corpus"), **counts))


def batch_of(folder, source, skeleton):
    """One batch of all clips, ordered by the names of clips, by way of an annotation file."""
    path = convert_clips(source, folder, "annotation", skeleton=skeleton).path
    dataset = KeypointDataset("annotations.json", data_root=path, pipeline=PIPELINE, test_mode=True)
    names = [dataset.get_data_info(i)["clip_id"].rpartition("/")[2] for i in range(len(dataset))]
    return keypoint_collate([dataset[i] for i in np.argsort(names)]), sorted(names), dataset


@pytest.mark.parametrize("form", [form for form in WRITTEN if form not in OF_ONE_LENGTH])
def test_the_same_clips_give_the_same_batches(form, clips, tmp_path):
    needs(form)
    out = tmp_path / ("clips" + {"pyskl": ".pkl", "pyskl2d": ".pkl", "spoter": ".csv"}.get(form, ""))
    done = convert_clips(clips, out, form)
    skeleton = FORMS[form].skeleton or "karsl_184"
    batch, names, dataset = batch_of(tmp_path / "again", open_source(out, form=form, trusted=True), None)
    expected, names_expected, _ = batch_of(tmp_path / "straight", clips, skeleton)
    assert names == names_expected
    assert dataset.skeleton.name == skeleton
    assert len(names) == done.num_clips == len(clips.records) == (600 if LONG else 36)
    axes = 3 if "z" in FORMS[form].keeps else 2
    np.testing.assert_array_equal(batch["keypoint_mask"], expected["keypoint_mask"])
    np.testing.assert_array_equal(batch["label"], expected["label"])
    np.testing.assert_allclose(batch["inputs"][..., :axes], expected["inputs"][..., :axes], atol=2e-6, rtol=0)


@pytest.mark.parametrize("form", [name for name, form in FORMS.items() if form.takes_half])
def test_float16_gives_the_same_batches_to_3_digits_and_says_so(form, clips, tmp_path):
    needs(form)
    out = tmp_path / ("clips" + (".pkl" if form.startswith("pyskl") else ""))
    done = convert_clips(clips, out, form, dtype="float16")
    assert any(line.startswith("precision: values are rounded to float16") for line in done.losses)
    batch, _, _ = batch_of(tmp_path / "again", open_source(out, form=form, trusted=True), None)
    expected, _, _ = batch_of(tmp_path / "straight", clips, None)
    axes = 3 if "z" in FORMS[form].keeps else 2
    np.testing.assert_array_equal(batch["keypoint_mask"], expected["keypoint_mask"])
    np.testing.assert_allclose(batch["inputs"][..., :axes], expected["inputs"][..., :axes], atol=2e-3, rtol=1e-3)
