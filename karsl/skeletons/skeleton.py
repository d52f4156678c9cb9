"""Immutable description of a keypoint set: names, groups, bones, and the mirror that follows from the names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

import numpy as np

from karsl.errors import SkeletonError

_OTHER_SIDE = {"left": "right", "right": "left"}


def mirror_name(name: str) -> str:
    """Swap the words `left` and `right` in a keypoint name.

    Example:
        >>> mirror_name("left_hand_thumb_tip"), mirror_name("mouth_right"), mirror_name("nose")
        ('right_hand_thumb_tip', 'mouth_left', 'nose')
    """
    return "_".join(_OTHER_SIDE.get(word, word) for word in name.split("_"))


@dataclass(frozen=True, repr=False)
class Skeleton:
    """Names, groups and bones of V keypoints; immutable and hashable.

    Args:
        name: Name in configs and metainfo, e.g. `'karsl_184'`.
        parts: `(group, keypoint names)` in the order of the keypoint axis.
        bones: Pairs of keypoint names, drawn as lines and connected in graph models.

    Raises:
        SkeletonError: If a keypoint or group name occurs twice, or a bone names an unknown keypoint.

    Example:
        >>> s = Skeleton("arm", (("pose", ("left_wrist", "right_wrist", "nose")),), (("left_wrist", "right_wrist"),))
        >>> s.num_keypoints, s.groups, s.mirror.tolist(), s.edges.tolist()
        (3, {'pose': slice(0, 3, None)}, [1, 0, 2], [[0, 1]])
    """

    name: str
    parts: tuple[tuple[str, tuple[str, ...]], ...]
    bones: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        groups = ", ".join(f"{group} {len(names)}" for group, names in self.parts)
        return f"Skeleton({self.name!r}, {self.num_keypoints} keypoints: {groups})"

    def __post_init__(self) -> None:
        parts = tuple((group, tuple(names)) for group, names in self.parts)  # lists, as in a config, are not hashable
        object.__setattr__(self, "parts", parts)
        object.__setattr__(self, "bones", tuple((a, b) for a, b in self.bones))
        if len(self.groups) != len(parts):
            raise SkeletonError(f"skeleton {self.name!r}: duplicate groups in {[g for g, _ in parts]}; names must be unique")
        if len(self._index) != len(self.names):
            duplicates = sorted({n for n in self.names if self.names.count(n) > 1})
            raise SkeletonError(f"skeleton {self.name!r}: duplicate keypoints {duplicates}; names must be unique")
        for bone in self.bones:
            for end in bone:
                self.index(end)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:  # cached, since it covers hundreds of strings
        return hash((self.name, self.parts, self.bones))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """V keypoint names in array order."""
        return tuple(n for _, names in self.parts for n in names)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {n: i for i, n in enumerate(self.names)}

    @property
    def num_keypoints(self) -> int:
        """Number of keypoints, V."""
        return len(self.names)

    @cached_property
    def groups(self) -> dict[str, slice]:
        """Slice of the keypoint axis per group."""
        out, start = {}, 0
        for group, names in self.parts:
            out[group] = slice(start, start + len(names))
            start += len(names)
        return out

    @cached_property
    def group_slices(self) -> np.ndarray:
        """int64 (G, 2), start and stop of each group on the keypoint axis."""
        return np.array([(s.start, s.stop) for s in self.groups.values()], dtype=np.int64).reshape(-1, 2)

    @cached_property
    def group_of(self) -> np.ndarray:
        """int64 (V,), group number of each keypoint."""
        return np.repeat(np.arange(len(self.groups)), self.group_slices[:, 1] - self.group_slices[:, 0])

    @cached_property
    def edges(self) -> np.ndarray:
        """int64 (E, 2), bones as keypoint indices; read-only."""
        pairs = [(self._index[a], self._index[b]) for a, b in self.bones]
        return _read_only(np.array(pairs, dtype=np.int64).reshape(-1, 2))

    @cached_property
    def mirror(self) -> np.ndarray:
        """int64 (V,): `mirrored[v] = original[mirror[v]]`; an involution, derived from the names; read-only.

        Raises:
            SkeletonError: If a keypoint of one side has no counterpart on the other.
        """
        partners = [mirror_name(n) for n in self.names]
        unpaired = [n for n, p in zip(self.names, partners, strict=True) if p not in self._index]
        if unpaired:
            more = f" (and {len(unpaired) - 1} more)" if len(unpaired) > 1 else ""
            raise SkeletonError(
                f"skeleton {self.name!r} has no mirror for {unpaired[0]!r}{more}; "
                "add its counterpart or drop the keypoint with SelectKeypoints"
            )
        return _read_only(np.array([self._index[p] for p in partners], dtype=np.int64))

    def index(self, name: str) -> int:
        """Return the index of a keypoint on the keypoint axis.

        Raises:
            SkeletonError: If there is no such keypoint.
        """
        try:
            return self._index[name]
        except KeyError:
            near = get_close_matches(name, self.names, n=3)
            hint = f"; did you mean {', '.join(map(repr, near))}?" if near else f"; it has e.g. {self.names[:3]}"
            raise SkeletonError(f"skeleton {self.name!r} has no keypoint {name!r}{hint}") from None

    def indices(self, names: Iterable[str]) -> np.ndarray:
        """Return int64 indices of several keypoints, in the given order."""
        return np.array([self.index(n) for n in names], dtype=np.int64)

    def positions(self, wanted: Iterable[str]) -> np.ndarray:
        """Return int64 indices of keypoints and of the members of groups, in array order, without duplicates.

        Args:
            wanted: Keypoint or group names.

        Raises:
            SkeletonError: If a name is neither.
        """
        indices: set[int] = set()
        for name in wanted:
            group = self.groups.get(name)
            indices.update(range(group.start, group.stop) if group else [self.index(name)])
        return np.array(sorted(indices), dtype=np.int64)

    def select(self, wanted: Iterable[str], *, name: str | None = None) -> Skeleton:
        """Return the skeleton of some keypoints, in array order; empty groups are dropped.

        Args:
            wanted: Keypoint or group names.
            name: Name of the result; defaults to this name and the number of keypoints.

        Example:
            >>> from karsl.skeletons import get_skeleton
            >>> get_skeleton("karsl_184").select(["rh", "lh"]).groups
            {'rh': slice(0, 21, None), 'lh': slice(21, 42, None)}
        """
        selected = {self.names[i] for i in self.positions(wanted)}
        parts = tuple((g, tuple(n for n in names if n in selected)) for g, names in self.parts)
        return Skeleton(
            name or f"{self.name}:{len(selected)}",
            tuple((g, names) for g, names in parts if names),
            tuple(b for b in self.bones if set(b) <= selected),
        )

    def mapping_from(self, source: Skeleton) -> np.ndarray:
        """Return int64 (V,), the index in `source` of each keypoint, or -1 if `source` does not have it."""
        return np.array([source._index.get(n, -1) for n in self.names], dtype=np.int64)


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
