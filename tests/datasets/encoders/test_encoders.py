"""Encoders by known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from karsl.datasets.encoders.streams import parents, stream_of
from karsl.datasets.lazy import FeatureEncoder, LabelEncoder
from karsl.errors import ConfigError
from karsl.skeletons import Skeleton, get_skeleton

ARM = Skeleton("arm", (("pose", ("shoulder", "elbow", "wrist")),), (("shoulder", "elbow"), ("elbow", "wrist")))
CLIP = np.array([[[0, 0], [1, 0], [1, 2]], [[0, 1], [1, 1], [np.nan, np.nan]]], np.float32)


def test_every_point_hangs_on_the_one_its_bone_leads_to():
    assert parents(ARM).tolist() == [0, 0, 1]
    karsl = get_skeleton("karsl_184")
    found = parents(karsl)
    assert found[karsl.index("right_hand_thumb_tip")] == karsl.index("right_hand_thumb_ip")
    assert found[karsl.index("left_wrist")] == karsl.index("left_elbow")
    ends = {tuple(sorted(bone)) for bone in karsl.edges.tolist()}
    assert all(tuple(sorted((v, p))) in ends for v, p in enumerate(found.tolist()) if v != p)


def test_streams_of_an_arm():
    assert stream_of("joint", CLIP, ARM) is CLIP
    assert stream_of("bone", CLIP, ARM)[0].tolist() == [[0, 0], [1, 0], [0, 2]]
    motion = stream_of("motion", CLIP, ARM)
    assert motion[0].tolist() == [[0, 0]] * 3
    assert motion[1, :2].tolist() == [[0, 1], [0, 1]]
    assert np.isnan(motion[1, 2]).all()


def test_features_stand_side_by_side_and_missing_is_filled():
    item = {"keypoint": CLIP, "skeleton": ARM, "label": 0}
    flat = FeatureEncoder(["joint", "bone"], fill=-1.0)(item)
    assert flat["features"].tolist() == [[0, 0, 1, 0, 1, 2, 0, 0, 1, 0, 0, 2], [0, 1, 1, 1, -1, -1, 0, 0, 1, 0, -1, -1]]
    assert flat["label"] == 0
    by_point = FeatureEncoder(["joint", "motion"], flatten=False)(item)["features"]
    assert by_point.shape == (2, 3, 4)
    assert by_point[1, 0].tolist() == [0, 1, 0, 1]


def test_packed_items_are_encoded_alike():
    packed = {"inputs": torch.nan_to_num(torch.from_numpy(CLIP)), "keypoint_mask": torch.from_numpy(~np.isnan(CLIP[..., 0]))}
    encoder = FeatureEncoder("bone")
    encoder.bind({}, ARM)
    raw = FeatureEncoder("bone")({"keypoint": CLIP, "skeleton": ARM})
    assert torch.equal(encoder(packed)["features"], raw["features"])


def test_sign_ids_and_glosses(tmp_path):
    info = {"signs": (7, 9), "classes": ("hi", "so hi"), "classes_ar": ("ab", "b a")}

    def encoded(label, **kwargs):
        encoder = LabelEncoder(**kwargs)
        encoder.bind(info, None)
        return encoder.encode({"label": label})

    assert encoded(1) == {"sign": 9}
    word = encoded(1, target="english", tokens="word")
    assert (word["gloss"], word["gloss_ids"].tolist()) == ("so hi", [2, 1])
    character = encoded(1, target="arabic")
    assert (character["gloss"], character["gloss_ids"].tolist()) == ("b a", [3, 1, 2])
    sheet = tmp_path / "labels.csv"
    sheet.write_text("SignID,Sign-Arabic,Sign-English\n5,x,zero\n7,y,seven\n9,z,nine\n", encoding="utf-8")
    assert encoded(0, target="english", tokens="word", label_sheet=sheet)["gloss_ids"].tolist() == [2]
    sheet.write_text("SignID,Sign-Arabic,Sign-English\n5,x,zero\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"no SignID \[7, 9\]"):
        encoded(0, target="english", label_sheet=sheet)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FeatureEncoder("bones"), "expected some of joint, bone, motion"),
        (lambda: FeatureEncoder()({"label": 1}), "neither keypoint nor inputs"),
        (lambda: FeatureEncoder("bone")({"keypoint": CLIP}), "no skeleton for clips of 3 keypoints"),
        (lambda: LabelEncoder("french"), "expected sign, english, arabic"),
        (lambda: LabelEncoder("arabic").bind({}, None), "no 'classes_ar'"),
    ],
)
def test_wrong_arguments_say_what_is_expected(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
