"""Contents of the browse page for one clip: metadata, points of each pipeline stage, augmented views."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import numpy as np

from karsl.formats.karsl.layout import category_of
from karsl.io.annotations import join_splits
from karsl.skeletons import Skeleton
from karsl.visualization.clips.select import Stage
from karsl.visualization.clips.sources import ClipRef
from karsl.visualization.draw.clip import aspect_ratio, glosses, visible_points


@dataclass(frozen=True)
class PageStage:
    """Points of a clip at one stage of the pipeline.

    Attributes:
        name: Name of the transform, such as `'RandomFlip'`.
        points: float (T, V, 2) or (T, V, 3), NaN where missing; x and y are shown.
        skeleton: Skeleton of the V points.
        frame_inds: float (T,), sampled frames of the clip on disk, or None if frame t is frame t on disk.
        pictures: T frames of the video, uint8 (h, w, 3), or empty. Coordinates are then in heights of the picture.
    """

    name: str
    points: np.ndarray
    skeleton: Skeleton
    frame_inds: np.ndarray | None = None
    pictures: Sequence[np.ndarray] = ()

    @classmethod
    def from_results(cls, name: str, results: Mapping[str, Any]) -> PageStage:
        """Read a results dict after LoadKeypoints or any later transform before packing.

        Raises:
            SkeletonError: If the arrays do not match the skeleton.
        """
        skeleton, inds = results["skeleton"], results.get("frame_inds")
        points = visible_points(results["keypoint"], results.get("keypoint_score"), skeleton)
        pictures = results.get("pictures", ())
        points = points * (aspect_ratio(pictures), 1.0)
        return cls(name, points, skeleton, None if inds is None else np.asarray(inds, dtype=np.float64), pictures)


@dataclass(frozen=True)
class PageClip:
    """One clip of the page.

    Attributes:
        clip_id: Name of the clip in the dataset.
        stages: Stages, at least one: as loaded first, then after each transform.
        link: Identifier in the address of the page, `#clip=<link>`. Empty uses `clip_link(clip_id)`, the same in every page.
        label: Class index, or None.
        sign: SignID, or None.
        english: English gloss.
        arabic: Arabic gloss.
        signer: Name of the signer.
        split: Name of the split.
        category: Category of the sign.
        augmentations: Last stage of further augmented views.
        total_frames: Length of the clip on disk. None uses that of the first stage.
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
    category: str = ""
    augmentations: Sequence[PageStage] = field(default_factory=tuple)
    total_frames: int | None = None

    def __post_init__(self) -> None:
        if not self.link:
            object.__setattr__(self, "link", clip_link(self.clip_id))

    @classmethod
    def from_stages(
        cls,
        stages: Sequence[tuple[str, Mapping[str, Any]]],
        *,
        metainfo: Mapping[str, Any] | None = None,
        augmentations: Iterable[Mapping[str, Any]] = (),
    ) -> PageClip:
        """Read the result of `clip_stages`.

        Args:
            stages: Name and results of each stage, the loaded clip first.
            metainfo: Metainfo of the dataset, for glosses.
            augmentations: Results of the last transform before packing, each with other random numbers.

        Raises:
            SkeletonError: If arrays do not match their skeleton.
        """
        first = stages[0][1]
        views = enumerate(augmentations, start=1)
        return cls(
            **clip_metadata(first, metainfo),
            stages=tuple(PageStage.from_results(name, results) for name, results in stages),
            augmentations=tuple(PageStage.from_results(f"augmentation {k}", results) for k, results in views),
            total_frames=int(first.get("total_frames", len(first["keypoint"]))),
        )


def page_clips(clips: Iterable[tuple[ClipRef, list[Stage], list[Stage]]]) -> Iterator[PageClip]:
    """Convert clips for `write_page`, one at a time.

    Args:
        clips: Clip, stages and augmented views of each, as returned by `shown_stages`.
    """
    used: dict[str, int] = {}
    for clip, stages, augmentations in clips:
        page = page_clip(clip, stages, augmentations)
        yield replace(page, link=unique_link(page.link, used))


def page_clip(clip: ClipRef, stages: list[Stage], augmentations: list[Stage]) -> PageClip:
    """Convert one clip."""
    first = {**clip.record, **stages[0][1]}
    views = [results for _, results in augmentations]
    return PageClip.from_stages([(stages[0][0], first), *stages[1:]], metainfo=clip.metainfo, augmentations=views)


def clip_metadata(record: Mapping[str, Any], metainfo: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the metadata of a record as keyword arguments of `PageClip`. No clip is read.

    Args:
        record: Record from `get_data_info`, or results.
        metainfo: Metainfo of the dataset, for glosses.

    Example:
        >>> metadata = clip_metadata({"clip_id": "a", "label": 0, "sign": 71}, {"classes": ("skeleton",)})
        >>> metadata["english"], metadata["category"], metadata["link"]
        ('skeleton', 'Health', 'a')
    """
    metainfo = metainfo or {}
    label, sign = record.get("label"), record.get("sign")
    clip_id = str(record.get("clip_id", f"clip_{record.get('sample_idx', 0)}"))
    english, arabic = ("" if _is_sign_number(name) else name for name in glosses(label, metainfo))
    is_karsl = metainfo.get("dataset_name", "karsl") == "karsl"
    return {
        "clip_id": clip_id,
        "link": clip_link(clip_id),
        "label": None if label is None else int(label),
        "sign": None if sign is None else int(sign),
        "english": english,
        "arabic": arabic,
        "signer": str(record.get("signer") or ""),
        "split": join_splits(record),
        "category": category_of(int(sign)) if sign is not None and is_karsl else "",
    }


def source_metadata(source: str, dataset: Any, *, shown: int) -> Mapping[str, str]:
    """Return the origin of the clips, for the statistics of the page."""
    metadata: dict[str, str] = {"source": str(source), "clips": f"{shown} of {len(dataset)}"}
    metainfo = getattr(dataset, "metainfo", None) or {}
    if metainfo.get("dataset_name"):
        metadata["dataset"] = str(metainfo["dataset_name"])
    if isinstance(metainfo.get("skeleton"), str):
        metadata["skeleton"] = metainfo["skeleton"]
    return metadata


def clip_link(clip_id: str) -> str:
    """Return a stable link of a clip: URL-safe characters, and six digits of a hash if characters were replaced.

    Example:
        >>> clip_link("03_01_0071"), clip_link("01-train/0071/a (1)")
        ('03_01_0071', '01-train-0071-a-1-ef34fd')
    """
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", clip_id).strip("-.")[:120]
    return plain if plain == clip_id else f"{plain}-{blake2b(clip_id.encode(), digest_size=3).hexdigest()}".lstrip("-")


def unique_link(link: str, used: dict[str, int]) -> str:
    """Return a link that is not in `used`, and add it: the second clip of a name is `name~2`.

    Example:
        >>> used = {}
        >>> [unique_link("a", used) for _ in range(3)]
        ['a', 'a~2', 'a~3']
    """
    used[link] = used.get(link, 0) + 1
    return link if used[link] == 1 else unique_link(f"{link}~{used[link]}", used)


def _is_sign_number(name: str) -> bool:
    """Return True for the name of a class without a gloss: its four-digit SignID."""
    return name.isdecimal() and len(name) == 4
