"""What the page shows of one clip: who signs what, its points as loaded and after each step, other draws of the steps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np

from karsl.formats.karsl.layout import category_of
from karsl.skeletons import Skeleton
from karsl.visualization.drawing.clip import glosses, visible_points


@dataclass(frozen=True)
class PageStage:
    """Points of a clip at one place of the pipeline.

    Attributes:
        name: Of the step, such as `'RandomFlip'`.
        points: float (T, V, 2) or (T, V, 3), NaN where missing; x and y are shown.
        skeleton: What the V points are.
        frame_inds: float (T,), frames of the clip on disk that a sampler took, or None where frame t is frame t on disk.
        note: A few words to show beside the name.
    """

    name: str
    points: np.ndarray
    skeleton: Skeleton
    frame_inds: np.ndarray | None = None
    note: str = ""

    @classmethod
    def of(cls, name: str, results: Mapping[str, Any], *, note: str = "") -> PageStage:
        """Read a results dict: after LoadKeypoints or any later step before packing.

        Raises:
            SkeletonError: The arrays do not fit the skeleton.
        """
        skeleton, inds = results["skeleton"], results.get("frame_inds")
        points = visible_points(results["keypoint"], results.get("keypoint_score"), skeleton)
        return cls(name, points, skeleton, None if inds is None else np.asarray(inds, dtype=np.float64), note)


@dataclass(frozen=True)
class PageClip:
    """One clip of the page.

    Attributes:
        clip_id: Its name in the dataset.
        stages: At least one: as loaded first, then after each step.
        link: What stands in the page's address, `#clip=<link>`; default `clip_link(clip_id)`, the same in every page.
        label: Class number, or None.
        sign: SignID, or None.
        english: Gloss.
        arabic: Gloss.
        signer: Name.
        split: Name.
        chapter: Subject of the sign.
        draws: The last stage again, as other draws of the random steps leave it.
        total_frames: Length of the clip on disk; default that of the first stage.
    """

    clip_id: str
    stages: Sequence[PageStage]
    link: str = ""
    label: int | None = None
    sign: int | None = None
    english: str = ""
    arabic: str = ""
    signer: str = ""
    split: str = ""
    chapter: str = ""
    draws: Sequence[PageStage] = field(default_factory=tuple)
    total_frames: int | None = None

    def __post_init__(self) -> None:
        if not self.link:
            object.__setattr__(self, "link", clip_link(self.clip_id))

    @classmethod
    def of(
        cls,
        stages: Sequence[tuple[str, Mapping[str, Any]]],
        *,
        metainfo: Mapping[str, Any] | None = None,
        draws: Iterable[Mapping[str, Any]] = (),
    ) -> PageClip:
        """Read what `clip_stages` gives.

        Args:
            stages: Name and results of each step, the clip as loaded first.
            metainfo: The dataset's, for glosses.
            draws: Results after the last step before packing, each of another draw.

        Raises:
            SkeletonError: Arrays do not fit their skeleton.
        """
        first = stages[0][1]
        return cls(
            **clip_facts(first, metainfo),
            stages=tuple(PageStage.of(name, results) for name, results in stages),
            draws=tuple(PageStage.of(f"draw {k}", results) for k, results in enumerate(draws, start=1)),
            total_frames=int(first.get("total_frames", len(first["keypoint"]))),
        )


def clip_facts(record: Mapping[str, Any], metainfo: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What a record tells of its clip, as keywords of `PageClip`; nothing is read from disk.

    Args:
        record: Of `get_data_info`, or results.
        metainfo: The dataset's, for glosses.

    Example:
        >>> facts = clip_facts({"clip_id": "a", "label": 0, "sign": 71}, {"classes": ("skeleton",)})
        >>> facts["english"], facts["chapter"], facts["link"]
        ('skeleton', 'Health', 'a')
    """
    metainfo = metainfo or {}
    label, sign = record.get("label"), record.get("sign")
    clip_id = str(record.get("clip_id", f"clip_{record.get('sample_idx', 0)}"))
    english, arabic = ("" if _is_number(name) else name for name in glosses(label, metainfo))
    is_karsl = metainfo.get("dataset_name", "karsl") == "karsl"
    return {
        "clip_id": clip_id,
        "link": clip_link(clip_id),
        "label": None if label is None else int(label),
        "sign": None if sign is None else int(sign),
        "english": english,
        "arabic": arabic,
        "signer": str(record.get("signer") or ""),
        "split": str(record.get("split") or ""),
        "chapter": category_of(int(sign)) if sign is not None and is_karsl else "",
    }


def _is_number(name: str) -> bool:
    """Without a label sheet a class is called by its file's number."""
    return name.isdecimal() and len(name) == 4


def clip_link(clip_id: str) -> str:
    """The stable link of a clip: plain letters, and six digits of a hash where letters had to be replaced.

    Example:
        >>> clip_link("03_01_0071"), clip_link("01-train/0071/a (1)")
        ('03_01_0071', '01-train-0071-a-1-ef34fd')
    """
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", clip_id).strip("-.")[:120]
    return plain if plain == clip_id else f"{plain}-{blake2b(clip_id.encode(), digest_size=3).hexdigest()}".lstrip("-")
