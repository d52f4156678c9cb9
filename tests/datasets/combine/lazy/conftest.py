"""A pack of the synthetic corpus, and a LazyDataset over it."""

from __future__ import annotations

import pytest

from karsl.cli.main import main
from karsl.datasets.combine import LazyDataset

LOAD, PACK = dict(type="LoadKeypoints"), dict(type="PackKeypointInputs")
MOVE = [dict(type="TSNSampleFrames", clip_len=6, jitter=1.0), dict(type="RandomFlip"), dict(type="CenterScale")]


@pytest.fixture(scope="session")
def lazy_pack(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lazy") / "pack"
    assert main(["pack", str(corpus), str(folder), "--dtype", "float32"]) == 0
    return folder


@pytest.fixture
def leaf(lazy_pack):
    """Config of a part of the pack."""

    def leaf(pipeline=(LOAD,), **kwargs):
        return dict(
            type="KArSLDataset", ann_file="annotations.json", data_root=str(lazy_pack), pipeline=list(pipeline), **kwargs
        )

    return leaf


@pytest.fixture
def mixed(leaf):
    """Two signers, transforms of one and of both, a filter and a mix."""

    def mixed(seed=5):
        lazy = LazyDataset(seed=seed)
        lazy.add_dataset(leaf(filter_cfg=dict(signers="01")), name="one")
        lazy.add_dataset(leaf(filter_cfg=dict(signers="02")), name="two")
        lazy.map(dict(type="RandomFlip", prob=1.0), dataset="two").filter(dict(min_frames=5))
        return lazy.mix(interleave=False).map([*MOVE, PACK])

    return mixed


@pytest.fixture
def encoders():
    """Transforms that add features and SignIDs."""
    return [dict(type="SkeletonFeatures", feats=["joint", "bone"]), dict(type="EncodeGloss")]
