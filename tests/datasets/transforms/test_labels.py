"""EncodeGloss and MapLabels by known answers."""

from __future__ import annotations

import numpy as np
import pytest

from karsl.datasets.transforms import EncodeGloss, MapLabels
from karsl.datasets.transforms.labels import relabel, relabel_all
from karsl.errors import ConfigError

INFO = {"signs": (7, 9), "classes": ("hi", "so hi"), "classes_ar": ("ab", "b a")}


def encoded(label, **kwargs):
    sample = EncodeGloss(**kwargs).bind(INFO)({"label": label, "note": "unchanged"})
    assert (sample.pop("label"), sample.pop("note")) == (label, "unchanged")
    return sample


def test_sign_ids_and_glosses(tmp_path):
    assert encoded(1) == {"sign": 9}
    word = encoded(1, target="english", tokens="word")
    assert (word["gloss"], word["gloss_ids"].tolist()) == ("so hi", [2, 1])
    character = encoded(1, target="arabic")
    assert (character["gloss"], character["gloss_ids"].tolist()) == ("b a", [3, 1, 2])
    table = tmp_path / "labels.csv"
    table.write_text("SignID,Sign-Arabic,Sign-English\n5,x,zero\n7,y,seven\n9,z,nine\n", encoding="utf-8")
    assert encoded(0, target="english", tokens="word", label_table=table)["gloss_ids"].tolist() == [2]
    table.write_text("SignID,Sign-Arabic,Sign-English\n5,x,zero\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"no SignID \[7, 9\]"):
        encoded(0, target="english", label_table=table)


def test_classes_can_be_given_and_are_not_replaced():
    transform = EncodeGloss("english", classes=["b", "ab"])
    assert transform({"label": 1})["gloss_ids"].tolist() == [1, 2]
    assert transform.bind(INFO) is transform
    assert transform.vocabulary == {"a": 1, "b": 2}
    assert EncodeGloss(classes=[5, 6])({"label": 0}) == {"label": 0, "sign": 5}


def test_binding_leaves_the_transform_as_it_was():
    transform = EncodeGloss()
    transform.bind(INFO)
    with pytest.raises(ConfigError, match="has no classes"):
        transform({"label": 0})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EncodeGloss("french"), "expected sign, english, arabic"),
        (lambda: EncodeGloss("arabic").bind({}), "no 'classes_ar'"),
        (lambda: EncodeGloss("sign").bind({}), "use a corpus with SignIDs"),
    ],
)
def test_invalid_arguments_raise(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_labels_are_mapped_in_samples_records_and_columns():
    steps = [MapLabels(np.array([4, 2, -1, 0, 1])), str.upper, MapLabels(np.array([0, 1, 20, 3, 40]))]
    assert relabel({"label": 1}, steps) == {"label": 20}
    assert relabel_all(np.array([0, 1]), steps).tolist() == [40, 20]
    assert relabel({"clip_id": "a"}, steps) == {"clip_id": "a"}
    assert relabel({"label": None}, steps) == {"label": None}
