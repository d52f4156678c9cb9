"""One frozen description of a keypoint set: names, groups, bones, and the mirror that follows from the names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

import numpy as np

from karsl.errors import SkeletonError

_OTHER_SIDE = {"left": "right", "right": "left"}


def mirror_name(name: str) -> str:
    """Swap the words `left` and `right` inside a keypoint's name.

    Example:
        >>> mirror_name("left_hand_thumb_tip"), mirror_name("mouth_right"), mirror_name("nose")
        ('right_hand_thumb_tip', 'mouth_left', 'nose')
    """
    return "_".join(_OTHER_SIDE.get(word, word) for word in name.split("_"))


@dataclass(frozen=True)
class Skeleton:
    """Names, groups and bones of V keypoints; frozen, so it can be shared and hashed.

    Args:
        name: How configs and metainfo call it, e.g. `'karsl_184'`.
        parts: `(group, keypoint names)` in the order of the array's keypoint axis.
        bones: Pairs of keypoint names to draw and to connect in graph models.

    Raises:
        SkeletonError: A keypoint or group name occurs twice, or a bone names a keypoint that is not there.

    Example:
        >>> s = Skeleton("arm", (("pose", ("left_wrist", "right_wrist", "nose")),), (("left_wrist", "right_wrist"),))
        >>> s.num_keypoints, s.groups, s.mirror.tolist(), s.edges.tolist()
        (3, {'pose': slice(0, 3, None)}, [1, 0, 2], [[0, 1]])
    """

    name: str
    parts: tuple[tuple[str, tuple[str, ...]], ...]
    bones: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        parts = tuple((group, tuple(names)) for group, names in self.parts)  # lists, as in a config, would not hash
        object.__setattr__(self, "parts", parts)
        object.__setattr__(self, "bones", tuple((a, b) for a, b in self.bones))
        if len(self.groups) != len(parts):
            raise SkeletonError(f"skeleton {self.name!r}: groups named twice: {[g for g, _ in parts]}; names must be unique")
        if len(self._position) != len(self.names):
            twice = sorted({n for n in self.names if self.names.count(n) > 1})
            raise SkeletonError(f"skeleton {self.name!r}: keypoints named twice: {twice}; names must be unique")
        for bone in self.bones:
            for end in bone:
                self.index(end)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:  # hundreds of strings: once
        return hash((self.name, self.parts, self.bones))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The V keypoint names in array order."""
        return tuple(n for _, names in self.parts for n in names)

    @cached_property
    def _position(self) -> dict[str, int]:
        return {n: i for i, n in enumerate(self.names)}

    @property
    def num_keypoints(self) -> int:
        """V."""
        return len(self.names)

    @cached_property
    def groups(self) -> dict[str, slice]:
        """Group name to its slice of the keypoint axis."""
        out, start = {}, 0
        for group, names in self.parts:
            out[group] = slice(start, start + len(names))
            start += len(names)
        return out

    @cached_property
    def group_slices(self) -> np.ndarray:
        """int64 (G, 2), first point and last + 1 of each group."""
        return np.array([(s.start, s.stop) for s in self.groups.values()], dtype=np.int64).reshape(-1, 2)

    @cached_property
    def group_of(self) -> np.ndarray:
        """int64 (V,), number of the group of each point."""
        return np.repeat(np.arange(len(self.groups)), self.group_slices[:, 1] - self.group_slices[:, 0])

    @cached_property
    def edges(self) -> np.ndarray:
        """int64 (E, 2), the bones as keypoint numbers; read-only, since a skeleton is shared."""
        pairs = [(self._position[a], self._position[b]) for a, b in self.bones]
        return _fixed(np.array(pairs, dtype=np.int64).reshape(-1, 2))

    @cached_property
    def mirror(self) -> np.ndarray:
        """int64 (V,): `mirrored[v] = original[mirror[v]]`; an involution, derived from the names; read-only.

        Raises:
            SkeletonError: A keypoint of one side has no partner on the other.
        """
        partners = [mirror_name(n) for n in self.names]
        alone = [n for n, p in zip(self.names, partners, strict=True) if p not in self._position]
        if alone:
            more = f" (and {len(alone) - 1} more)" if len(alone) > 1 else ""
            raise SkeletonError(
                f"skeleton {self.name!r} has no mirror for {alone[0]!r}{more}; "
                "add its partner to the table or drop the point with SelectKeypoints"
            )
        return _fixed(np.array([self._position[p] for p in partners], dtype=np.int64))

    def index(self, name: str) -> int:
        """Position of one keypoint on the keypoint axis.

        Raises:
            SkeletonError: There is no such keypoint.
        """
        try:
            return self._position[name]
        except KeyError:
            near = get_close_matches(name, self.names, n=3)
            hint = f"; did you mean {', '.join(map(repr, near))}?" if near else f"; it has e.g. {self.names[:3]}"
            raise SkeletonError(f"skeleton {self.name!r} has no keypoint {name!r}{hint}") from None

    def indices(self, names: Iterable[str]) -> np.ndarray:
        """int64 positions of several keypoints, in the order asked."""
        return np.array([self.index(n) for n in names], dtype=np.int64)

    def positions(self, wanted: Iterable[str]) -> np.ndarray:
        """int64 positions of keypoints and whole groups, in array order, each once.

        Args:
            wanted: Keypoint or group names.

        Raises:
            SkeletonError: A name is neither.
        """
        chosen: set[int] = set()
        for name in wanted:
            part = self.groups.get(name)
            chosen.update(range(part.start, part.stop) if part else [self.index(name)])
        return np.array(sorted(chosen), dtype=np.int64)

    def select(self, wanted: Iterable[str], *, name: str | None = None) -> Skeleton:
        """The skeleton of some keypoints, in array order; groups left empty are dropped.

        Args:
            wanted: Keypoint or group names.
            name: Name of the result; default this name and the number of points.

        Example:
            >>> from karsl.skeletons import get_skeleton
            >>> get_skeleton("karsl_184").select(["rh", "lh"]).groups
            {'rh': slice(0, 21, None), 'lh': slice(21, 42, None)}
        """
        keep = {self.names[i] for i in self.positions(wanted)}
        parts = tuple((g, tuple(n for n in names if n in keep)) for g, names in self.parts)
        return Skeleton(
            name or f"{self.name}:{len(keep)}",
            tuple((g, names) for g, names in parts if names),
            tuple(b for b in self.bones if set(b) <= keep),
        )

    def mapping_from(self, source: Skeleton) -> np.ndarray:
        """int64 (V,): for each keypoint here its position in `source`, or -1 where `source` lacks it."""
        return np.array([source._position.get(n, -1) for n in self.names], dtype=np.int64)


def _fixed(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
