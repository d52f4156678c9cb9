"""The points of a skeleton that an audit looks at in every frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from karsl.skeletons import Skeleton

SIDES = ("right", "left")
_ARMS = ("shoulder", "elbow", "wrist")
_HANDS = ("wrist", "index_tip", "pinky_tip")
PATH_POINTS = (
    *("right_elbow", "left_elbow", "right_wrist", "left_wrist"),
    *("right_hand_index_tip", "left_hand_index_tip", "right_hand_pinky_tip", "left_hand_pinky_tip"),
)
"""Points by which clips are compared."""
_MAX_BONES, _MIN_BONES = 14, 8  # of a group
# The first that a skeleton has; the head is above the shoulders, and the top of the head above the chin.
_HEAD = ("oval_top", "left_eye_upper_3", "left_eye", "nose")
_CHIN = ("oval_bottom", "lips_outer_lower", "mouth_left", "mouth_outer_bottom", "nose")


@dataclass(frozen=True)
class Group:
    """A group of a skeleton within the sampled points.

    Attributes:
        name: Its name.
        part: Its points.
        bones: int64 (E, 2), its bones; none if it has only a few, whose lengths say little.
    """

    name: str
    part: slice
    bones: np.ndarray


@dataclass(frozen=True)
class Landmarks:
    """Points of arms, hands and head, and bones by group.

    Args:
        skeleton: Skeleton of the clips.

    Example:
        >>> from karsl.skeletons import get_skeleton
        >>> marks = Landmarks(get_skeleton("hand_42"))
        >>> marks.names[:2], marks.find("left_shoulder"), [group.name for group in marks.groups]
        (('right_hand_wrist', 'right_hand_index_tip'), None, ['lh', 'rh'])
    """

    skeleton: Skeleton

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the points, all of which the skeleton has. If it has no arms and no hands, the first points of all."""
        known = set(self.skeleton.names)
        wanted = [*(f"{s}_{j}" for j in _ARMS for s in SIDES), *(f"{s}_hand_{p}" for s in SIDES for p in _HANDS)]
        found = [name for name in (*wanted, self.head, self.chin) if name in known]
        return tuple(dict.fromkeys(found)) or self.skeleton.names[: len(wanted)]

    @cached_property
    def followed(self) -> np.ndarray:
        """int64 (K,), index on the keypoint axis of each of `names`, which are measured in all frames."""
        return self.skeleton.indices(self.names)

    @cached_property
    def sampled(self) -> np.ndarray:
        """int64 (S,), ascending indices of the points that are measured in a few frames: some of each group."""
        edges, chosen = self.skeleton.edges, [self.followed]
        for number, part in enumerate(self.skeleton.groups.values()):
            inside = edges[(self.skeleton.group_of[edges] == number).all(-1)] if len(edges) else edges
            chosen += [_some(inside, _MAX_BONES).reshape(-1), _some(np.arange(part.start, part.stop), _MAX_BONES)]
        return np.unique(np.concatenate(chosen))

    @cached_property
    def path(self) -> tuple[list[int], list[int]]:
        """Positions in `PATH_POINTS` and in `names` of the points by which clips are compared."""
        pairs = [(number, self.find(name)) for number, name in enumerate(PATH_POINTS)]
        known = [(number, column) for number, column in pairs if column is not None]
        # a skeleton of other points is compared by its first ones
        known = known or [(number, number) for number in range(min(len(PATH_POINTS), len(self.names)))]
        return [number for number, _ in known], [column for _, column in known]

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """Groups of the skeleton within `sampled`."""
        return tuple(self._groups())

    def _groups(self) -> Iterator[Group]:
        for name, part in self.skeleton.groups.items():
            start, stop = np.searchsorted(self.sampled, [part.start, part.stop]).tolist()
            members = self.sampled[start:stop]
            bones = self.skeleton.edges[np.isin(self.skeleton.edges, members).all(-1)]
            enough = len(bones) >= _MIN_BONES
            yield Group(name, slice(start, stop), np.searchsorted(self.sampled, bones) if enough else bones[:0])

    @cached_property
    def head(self) -> str:
        """Name of a point at the top of the head, empty if there is none."""
        return next((name for name in _HEAD if name in self.skeleton.names), "")

    @cached_property
    def chin(self) -> str:
        """Name of a point below that, empty if there is none."""
        return next((name for name in _CHIN if name in self.skeleton.names and name != self.head), "")

    def find(self, name: str) -> int | None:
        """Return the position of a point in `names`, None if the skeleton does not have it."""
        return self.names.index(name) if name in self.names else None

    def find_sampled(self, name: str) -> int | None:
        """Return the position of one of `names` in `sampled`, None if the skeleton does not have it."""
        return int(np.searchsorted(self.sampled, self.skeleton.index(name))) if name in self.names else None

    def hand(self, side: str) -> list[int]:
        """Return the positions in `names` of the points of a hand."""
        return [position for position, name in enumerate(self.names) if name.startswith(f"{side}_hand_")]


def _some(values: np.ndarray, count: int) -> np.ndarray:
    """Return at most `count` of some values, evenly spread."""
    return values[np.linspace(0, len(values) - 1, min(count, len(values))).round().astype(int)]
