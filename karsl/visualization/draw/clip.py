"""A clip ready to draw: visible points, titles, sampled frames."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from karsl.errors import SkeletonError, pluralize
from karsl.io.annotations import join_splits
from karsl.skeletons import Skeleton

_LEGS = re.compile(r"(^|_)(knee|ankle|heel|foot|toe)(_|$)")


@dataclass(frozen=True)
class ClipPlot:
    """A clip ready to draw.

    Attributes:
        points: float64 (T, V, 2), NaN where missing.
        skeleton: Skeleton of the V points.
        title: SignID and English gloss, as far as known.
        subtitle: Signer, split and length, as far as known.
        clip_id: Name of the clip, or empty.
        arabic: Arabic gloss, or empty.
        frame_inds: float64 (L,), sampled frames of the clip on disk, or None.
        total_frames: Length of the clip on disk.
        pictures: T frames of its video, uint8 (h, w, 3), or empty. y of the points is then in heights of the picture, and x,
            too.
    """

    points: np.ndarray
    skeleton: Skeleton
    title: str
    subtitle: str
    clip_id: str
    arabic: str
    frame_inds: np.ndarray | None
    total_frames: int
    pictures: Sequence[np.ndarray] = ()

    @classmethod
    def from_results(
        cls, results: Mapping[str, Any], skeleton: Skeleton | None = None, *, metainfo: Mapping | None = None
    ) -> ClipPlot:
        """Read a results dict.

        Args:
            results: Results after LoadKeypoints or any later transform before packing.
            skeleton: Skeleton of the points. None uses `results['skeleton']`.
            metainfo: Metainfo of the dataset, for glosses.

        Raises:
            KeyError: If `results` has no keypoints: the clip is not loaded yet, or already packed.
            SkeletonError: If the arrays do not match the skeleton.
        """
        if "keypoint" not in results:
            raise KeyError(f"no 'keypoint' in results of keys {sorted(results)}; draw after LoadKeypoints, before packing")
        skeleton = results["skeleton"] if skeleton is None else skeleton
        points = visible_points(results["keypoint"], results.get("keypoint_score"), skeleton)
        pictures = results.get("pictures", ())
        points = points * (aspect_ratio(pictures), 1.0)
        title, arabic = _titles(results, metainfo or {})
        inds = results.get("frame_inds")
        total = int(results.get("total_frames", len(points)))
        inds = None if inds is None else np.asarray(inds, dtype=np.float64)
        subtitle, clip_id = _subtitle(results, len(points)), str(results.get("clip_id", ""))
        return cls(points, skeleton, title, subtitle, clip_id, arabic, inds, total, pictures)

    @property
    def num_frames(self) -> int:
        """Number of frames T."""
        return len(self.points)

    @property
    def is_unsampled(self) -> bool:
        """True if frame t is frame t of the clip on disk."""
        return self.frame_inds is None and self.total_frames == self.num_frames

    def present(self, group: str) -> np.ndarray:
        """Return the frames with any point of a group, bool (T,)."""
        return np.isfinite(self.points[:, self.skeleton.groups[group]]).all(-1).any(-1)

    def points_to_fit(self) -> list[np.ndarray]:
        """Return the points (T, n, 2) of each group that a picture of the body is fitted to, without legs.

        Detectors guess legs below the edge of the picture; fitted to them, hands would be a few pixels.
        """
        fitted = np.array([not _LEGS.search(name) for name in self.skeleton.names])
        if not fitted.any():
            fitted[:] = True
        return [self.points[:, part][:, fitted[part]] for part in self.skeleton.groups.values()]

    def shown_frames(self, count: int) -> np.ndarray:
        """Return at most `count` frames, int64: the centers of equal segments of the clip.

        Each frame is below its column if the columns and the time axis have the same width.
        """
        count = min(count, self.num_frames)
        return np.floor((np.arange(count) + 0.5) * self.num_frames / max(count, 1)).astype(np.int64)

    def best_frame(self) -> int:
        """Return the frame of the middle half with the most points; of equal ones, the nearest to the middle."""
        seen = np.isfinite(self.points).all(-1)
        shares = [seen[:, part].mean(-1) for part in self.skeleton.groups.values()]
        distance = np.abs(np.arange(self.num_frames) - (self.num_frames - 1) / 2)
        is_outside = distance > self.num_frames / 4
        return int(np.argmax(np.round(np.sum(shares, axis=0), 2) - 10 * is_outside - distance / (10 * self.num_frames)))


def aspect_ratio(pictures: Sequence[np.ndarray]) -> float:
    """Return width by height of the first picture, 1 without pictures."""
    return pictures[0].shape[1] / pictures[0].shape[0] if len(pictures) else 1.0


def hands_detached(points: np.ndarray, skeleton: Skeleton) -> bool:
    """Return True if the hands are far from both wrists, that is if each group was centered separately.

    Args:
        points: (T, V, 2), NaN where missing.
        skeleton: Skeleton of the V points.
    """
    if not {"left_shoulder", "right_shoulder", "left_wrist", "right_wrist"} <= set(skeleton.names):
        return False
    wrists = points[:, skeleton.indices(["left_wrist", "right_wrist"])]
    shoulders = points[:, skeleton.indices(["left_shoulder", "right_shoulder"])]
    width = _median(np.linalg.norm(shoulders[:, 0] - shoulders[:, 1], axis=-1))
    gaps = []
    for side in ("left", "right"):
        if f"{side}_hand_wrist" in skeleton.names:
            hand = points[:, [skeleton.index(f"{side}_hand_wrist")]]
            gaps.append(np.linalg.norm(wrists - hand, axis=-1).min(-1))  # either wrist: a wrong flip is not detached
    return bool(gaps) and _median(np.concatenate(gaps)) > 0.75 * width


def visible_points(keypoint: Any, score: Any | None, skeleton: Skeleton) -> np.ndarray:
    """Return x and y of the points, float64 (T, V, 2), NaN where missing.

    Args:
        keypoint: (T, V, C) with C at least 2.
        score: (T, V), or None. A point of score 0 is missing.
        skeleton: Skeleton of the V points.

    Raises:
        SkeletonError: If the shapes do not match each other or the skeleton.
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


def glosses(label: int | None, metainfo: Mapping[str, Any]) -> tuple[str, str]:
    """Return the English and Arabic gloss of a label, empty if unknown.

    Example:
        >>> glosses(1, {"classes": ("hello", "thanks")}), glosses(7, {})
        (('thanks', ''), ('', ''))
    """
    lists = (metainfo.get("classes") or (), metainfo.get("classes_ar") or ())
    english, arabic = (str(names[label]) if label is not None and 0 <= label < len(names) else "" for names in lists)
    return english, arabic


def _median(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")


def _titles(results: Mapping[str, Any], metainfo: Mapping[str, Any]) -> tuple[str, str]:
    label = results.get("label")
    english, arabic = glosses(label, metainfo)
    number = f"{results['sign']:04d}" if "sign" in results else "" if label is None else f"label {label}"
    return " · ".join(filter(None, (number, english if english != number else ""))), arabic


def _subtitle(results: Mapping[str, Any], num_frames: int) -> str:
    signer = f"signer {results['signer']}" if results.get("signer") else ""
    return " · ".join(filter(None, (signer, join_splits(results), pluralize(num_frames, "frame"))))
