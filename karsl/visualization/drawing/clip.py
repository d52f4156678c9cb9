"""What a picture shows of a clip: its points with the missing ones out, who signs what, what a sampler took."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from karsl.errors import SkeletonError
from karsl.skeletons import Skeleton

_LEGS = re.compile(r"(^|_)(knee|ankle|heel|foot|toe)(_|$)")


@dataclass(frozen=True)
class ClipView:
    """A clip ready to draw.

    Attributes:
        points: float64 (T, V, 2), NaN where missing.
        skeleton: What the V points are.
        title: SignID and English gloss, as far as known.
        facts: Signer, split and length, as far as known.
        clip_id: Name of the clip, or empty.
        arabic: Arabic gloss, or empty.
        frame_inds: float64 (L,), frames of the clip on disk that a sampler took, or None.
        total_frames: Length of the clip on disk.
    """

    points: np.ndarray
    skeleton: Skeleton
    title: str
    facts: str
    clip_id: str
    arabic: str
    frame_inds: np.ndarray | None
    total_frames: int

    @classmethod
    def of(
        cls, results: Mapping[str, Any], skeleton: Skeleton | None = None, *, metainfo: Mapping | None = None
    ) -> ClipView:
        """Read a results dict.

        Args:
            results: After LoadKeypoints or any later step before packing.
            skeleton: Of the points; default `results['skeleton']`.
            metainfo: The dataset's, for glosses.

        Raises:
            KeyError: `results` has no keypoints: the clip is not loaded yet, or packed already.
            SkeletonError: The arrays do not fit the skeleton.
        """
        if "keypoint" not in results:
            raise KeyError(f"no 'keypoint' in results of keys {sorted(results)}; draw after LoadKeypoints, before packing")
        skeleton = results["skeleton"] if skeleton is None else skeleton
        points = visible_points(results["keypoint"], results.get("keypoint_score"), skeleton)
        title, arabic = _titles(results, metainfo or {})
        inds = results.get("frame_inds")
        total = int(results.get("total_frames", len(points)))
        inds = None if inds is None else np.asarray(inds, dtype=np.float64)
        facts, clip_id = _facts(results, len(points)), str(results.get("clip_id", ""))
        return cls(points, skeleton, title, facts, clip_id, arabic, inds, total)

    @property
    def num_frames(self) -> int:
        """T."""
        return len(self.points)

    @property
    def is_on_disk_time(self) -> bool:
        """Whether frame t here is frame t on disk: nothing sampled yet."""
        return self.frame_inds is None and self.total_frames == self.num_frames

    def present(self, group: str) -> np.ndarray:
        """Whether any point of a group is seen, bool (T,)."""
        return np.isfinite(self.points[:, self.skeleton.groups[group]]).all(-1).any(-1)

    def framed(self) -> list[np.ndarray]:
        """Points of each group that a picture of the whole is fitted to, (T, n, 2) each: no legs, which sign nothing.

        Detectors guess legs below the edge of the picture; fitted to them, hands would be a few pixels.
        """
        names = self.skeleton.names
        above = np.array([not _LEGS.search(name) for name in names])
        if not above.any():
            above[:] = True
        return [self.points[:, part][:, above[part]] for part in self.skeleton.groups.values()]

    def shown_frames(self, count: int) -> np.ndarray:
        """At most `count` frames spread over the clip, int64: the centres of equal segments.

        Each is the frame that lies below its column where columns and time share one width.
        """
        count = min(count, self.num_frames)
        return np.floor((np.arange(count) + 0.5) * self.num_frames / max(count, 1)).astype(np.int64)

    def best_frame(self) -> int:
        """The frame of the middle half in which most is seen, the nearest to the middle among equals."""
        middle = (self.num_frames - 1) / 2
        seen = np.isfinite(self.points).all(-1)
        parts = [seen[:, part].mean(-1) for part in self.skeleton.groups.values()]
        away = np.abs(np.arange(self.num_frames) - middle)
        score = np.round(np.sum(parts, axis=0), 2) - 10 * (away > self.num_frames / 4) - away / (10 * self.num_frames)
        return int(np.argmax(score))

    def hands_float(self) -> bool:
        """Whether hands lie far from both wrists: each group was centered by itself, so one picture of all misleads."""
        skeleton, gaps = self.skeleton, []
        if not {"left_shoulder", "right_shoulder", "left_wrist", "right_wrist"} <= set(skeleton.names):
            return False
        wrists = self.points[:, skeleton.indices(["left_wrist", "right_wrist"])]
        shoulders = self.points[:, skeleton.indices(["left_shoulder", "right_shoulder"])]
        width = _median(np.linalg.norm(shoulders[:, 0] - shoulders[:, 1], axis=-1))
        for side in ("left", "right"):
            if f"{side}_hand_wrist" in skeleton.names:
                hand = self.points[:, [skeleton.index(f"{side}_hand_wrist")]]
                gaps.append(np.linalg.norm(wrists - hand, axis=-1).min(-1))  # either wrist: a wrong flip is no floating
        return bool(gaps) and _median(np.concatenate(gaps)) > 0.75 * width


def visible_points(keypoint: Any, score: Any | None, skeleton: Skeleton) -> np.ndarray:
    """x and y of the points that are seen, float64 (T, V, 2); NaN for the others.

    Raises:
        SkeletonError: The shapes do not fit each other or the skeleton.
    """
    keypoint = np.asarray(keypoint, dtype=np.float64)
    if keypoint.ndim != 3 or keypoint.shape[1] != skeleton.num_keypoints or keypoint.shape[2] < 2 or not len(keypoint):
        raise SkeletonError(
            f"keypoint has shape {keypoint.shape}; skeleton {skeleton.name!r} needs (T, {skeleton.num_keypoints}, C) "
            "with T at least 1 and C at least 2"
        )
    seen = np.isfinite(keypoint[..., :2]).all(-1)
    if score is not None:
        if np.shape(score) != keypoint.shape[:2]:
            raise SkeletonError(f"keypoint_score has shape {np.shape(score)}; expected {keypoint.shape[:2]}")
        seen &= np.asarray(score) > 0
    return np.where(seen[..., None], keypoint[..., :2], np.nan)


def _median(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")


def glosses(label: int | None, metainfo: Mapping[str, Any]) -> tuple[str, str]:
    """English and Arabic gloss of a label, empty where they are not known.

    Example:
        >>> glosses(1, {"classes": ("hello", "thanks")}), glosses(7, {})
        (('thanks', ''), ('', ''))
    """
    lists = (metainfo.get("classes") or (), metainfo.get("classes_ar") or ())
    english, arabic = (str(names[label]) if label is not None and 0 <= label < len(names) else "" for names in lists)
    return english, arabic


def _titles(results: Mapping[str, Any], metainfo: Mapping[str, Any]) -> tuple[str, str]:
    label = results.get("label")
    english, arabic = glosses(label, metainfo)
    number = f"{results['sign']:04d}" if "sign" in results else "" if label is None else f"label {label}"
    return " · ".join(filter(None, (number, english if english != number else ""))), arabic


def _facts(results: Mapping[str, Any], num_frames: int) -> str:
    signer = f"signer {results['signer']}" if results.get("signer") else ""
    frames = f"{num_frames} frame" + ("" if num_frames == 1 else "s")
    return " · ".join(filter(None, (signer, results.get("split", ""), frames)))
