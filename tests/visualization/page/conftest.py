"""Clips of a synthetic corpus through a pipeline, and a page of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from karsl.datasets import KArSLDataset
from karsl.visualization.clips.select import clip_stages, select_clips
from karsl.visualization.page import PageClip, PageStage, write_page

PIPELINE = [
    dict(type="LoadKeypoints"),
    dict(type="TSNSampleFrames", clip_len=16),
    dict(type="RandomFlip", prob=0.5),
    dict(type="RandomAffine"),
    dict(type="CenterScale"),
]


def wrong_flip(stage: PageStage) -> PageStage:
    """The known bug: x mirrored and hands swapped, arms and face not."""
    right, left = stage.skeleton.groups["rh"], stage.skeleton.groups["lh"]
    mirrored = stage.points * [-1, 1] + [1, 0]
    points = mirrored.copy()
    points[:, right], points[:, left] = mirrored[:, left], mirrored[:, right]
    return PageStage("WrongFlip", points, stage.skeleton, stage.frame_inds)


def make_clips(root, pipeline=PIPELINE, *, count: int = 12, augmentations: int = 2) -> list[PageClip]:
    """Clips spread over the corpus, each with its stages and augmented views."""
    dataset = KArSLDataset(data_root=str(root), pipeline=pipeline, seed=0)
    clips = []
    for clip in select_clips(dataset, count=count, seed=1):
        dataset.set_epoch(0, seed=0)
        stages, others = clip_stages(clip), []
        for epoch in range(1, augmentations + 1):
            dataset.set_epoch(epoch, seed=0)
            others.append(clip_stages(clip)[-1][1])
        clips.append(PageClip.from_stages(stages, metainfo=dataset.metainfo, augmentations=others))
    return clips


@pytest.fixture(scope="session")
def page_clips(corpus) -> list[PageClip]:
    """12 clips of 4 signs; do not modify."""
    return make_clips(corpus)


@pytest.fixture
def clips_through(corpus):
    """`clips_through(pipeline)`: clips of the corpus through another pipeline."""
    return lambda pipeline, count=3: make_clips(corpus, pipeline, count=count, augmentations=0)


@pytest.fixture(scope="session")
def planted(page_clips) -> PageClip:
    """A clip with both hands, wrongly flipped after sampling."""
    clip = next(c for c in page_clips if np.isfinite(c.stages[0].points[:, [142, 163]]).all((1, 2)).any())
    first, sampled, *_ = clip.stages
    return replace(clip, stages=(first, sampled, wrong_flip(sampled)), augmentations=(), clip_id="planted", link="planted")


@pytest.fixture(scope="session")
def page_file(page_clips, planted, tmp_path_factory):
    """A page of the clips and the wrongly flipped one."""
    path = tmp_path_factory.mktemp("page") / "browse.html"
    write_page(path, [*page_clips, planted], title="a <title> & more", metadata={"config": "</script><b>x</b>"})
    return path
