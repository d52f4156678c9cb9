"""`ArrayLayout`: what the numbers of an array are, as keypoints, coordinates and conventions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from karsl.errors import ConfigError, CorruptRecordError, did_you_mean, pluralize
from karsl.io.clip import Fill, canonical_clip, value_problem
from karsl.io.layout_config import Columns, parse_layout
from karsl.skeletons import Skeleton, describe_skeleton

MISSING = ("zeros", "nan", "minus_one", "zero_score")
"""Marks of a missing keypoint: x, y and z are 0; one of them is NaN; x and y are -1; the score is 0."""
_AXES = ("TVC", "TD")


@dataclass(frozen=True)
class ArrayLayout:
    """Layout of the numbers in the arrays of a data set.

    Args:
        skeleton: Keypoints of a clip.
        columns: Columns of a frame, for arrays without a keypoint axis. Empty: the keypoints in order, all equally wide.
        arrays: `(group, name)` of the arrays of a clip, if each group has its own array.
        axes: Order of the axes of a clip: T frames, V keypoints, C values of a keypoint, D columns, M persons. An array with
            one more axis in front is a stack of clips.
        score: Number of the value in C that is the score; None if there is none. Ignored where C is not larger.
        size: Width and height of the image, if coordinates are pixels; z is divided by the width. None: shares of the image.
        missing: Mark of a missing keypoint, one of `MISSING`.
        person: Number of the person to read.

    Example:
        >>> layout = ArrayLayout.parse("lh:21x3, rh:21x3")
        >>> layout.skeleton.name, layout.num_columns, layout.to_clip(np.ones((2, 126))).shape
        ('hand_42', 126, (2, 42, 4))
    """

    skeleton: Skeleton
    columns: tuple[Columns, ...] = ()
    arrays: tuple[tuple[str, str], ...] = ()
    axes: str = "TVC"
    score: int | None = 3
    size: tuple[float, float] | None = None
    missing: str = "zeros"
    person: int = 0

    def __post_init__(self) -> None:
        if sorted(self.axes.replace("M", "", 1)) not in [sorted(axes) for axes in _AXES]:
            raise ConfigError(f"layout: axes={self.axes!r}; expected an order of T, V, C or of T, D, and M for persons")
        if self.columns and "D" not in self.axes:
            raise ConfigError(f"layout: axes={self.axes!r} with columns; columns are the axis D, as in axes='TD'")
        if self.missing not in MISSING:
            hint = did_you_mean(self.missing, MISSING, f"expected one of {', '.join(MISSING)}")
            raise ConfigError(f"layout: missing={self.missing!r}{hint}")
        if self.missing == "zero_score" and self.score is None:
            raise ConfigError("layout: missing='zero_score' needs the number of the score, such as score=2")
        _check_columns(self.columns, self.score)
        _check_groups(self.skeleton, {c.group: c.points for c in self.columns} or None, "columns")
        _check_groups(self.skeleton, dict.fromkeys(g for g, _ in self.arrays) or None, "arrays")

    @classmethod
    def parse(cls, value: ArrayLayout | Skeleton | str | Mapping[str, Any]) -> ArrayLayout:
        """Return the layout that a value describes.

        Args:
            value: A layout; a skeleton, its name, or its groups, `"pose:33, lh:21"`; columns, `"pose:33x4, lh:21x3"`; a name
                in `LAYOUTS`; arrays by group, `"pose=body, lh=left"`; each text with options after `;`,
                `"coco_17; axes=CTV; score=2"`; or a dict with `skeleton`, `columns` or `arrays`, and
                `axes score scale size missing person`.

        Raises:
            ConfigError: If the value describes no layout.
            SkeletonError: If a skeleton is unknown.

        Example:
            >>> ArrayLayout.parse("holistic_1662").skeleton.name, ArrayLayout.parse("coco_17; axes=CTV; score=2").axes
            ('holistic_543', 'CTV')
        """
        if isinstance(value, ArrayLayout):
            return value
        if isinstance(value, Skeleton):
            return cls(value)
        return cls(**parse_layout(value))

    def to_config(self) -> dict[str, Any]:
        """Return a dict of plain values, without defaults, from which `parse` makes the same layout."""
        config: dict[str, Any] = {"skeleton": _plain(describe_skeleton(self.skeleton))}
        if self.columns:
            config["columns"] = ", ".join(f"{c.group}:{c.points}x{c.width}" for c in self.columns)
        if self.arrays:
            config["arrays"] = dict(self.arrays)
        for name in ("axes", "score", "missing", "person"):
            config[name] = getattr(self, name)
        if self.size is not None:
            config |= {"scale": "pixels", "size": list(self.size)}
        defaults = {field.name: field.default for field in fields(self)}
        return {key: value for key, value in config.items() if key not in defaults or value != defaults[key]}

    # ---- shapes ----

    @property
    def clip_ndim(self) -> int:
        """Number of axes of one clip."""
        return len(self.axes)

    @cached_property
    def num_columns(self) -> int | None:
        """Columns of a frame, None if the layout has none."""
        return sum(c.points * c.width for c in self.columns) if self.columns else None

    def num_frames(self, shape: Sequence[int]) -> int:
        """Return T of a clip of some shape."""
        return int(shape[self.axes.index("T")])

    def num_persons(self, shape: Sequence[int]) -> int:
        """Return M of a clip of some shape; 1 without that axis."""
        return int(shape[self.axes.index("M")]) if "M" in self.axes else 1

    def shape_problem(self, shape: tuple[int, ...], dtype: np.dtype, group: str | None = None) -> str | None:
        """Return why an array cannot be a clip, or the part of one that is a group, or None if it can."""
        if dtype.kind not in "fiu":
            return f"holds {dtype}, not numbers"
        if len(shape) != self.clip_ndim:
            return f"has shape {shape}; a clip has the axes {', '.join(self.axes)}"
        size = dict(zip(self.axes, shape, strict=True))
        if size["T"] == 0:
            return f"has no frames, shape {shape}"
        if self.person >= size.get("M", 1):
            return f"has {pluralize(size.get('M', 1), 'person')}, person={self.person} is read, shape {shape}"
        part = self.skeleton.groups[group] if group else slice(0, self.skeleton.num_keypoints)
        return self._values_problem(size, part.stop - part.start, f"the group {group!r}" if group else "the skeleton", shape)

    def _values_problem(self, size: dict[str, int], count: int, owner: str, shape: tuple[int, ...]) -> str | None:
        if self.num_columns is not None:
            columns = self.to_config()["columns"]
            wrong = size["D"] != self.num_columns
            return f"has {size['D']} columns, the layout {self.num_columns} ({columns}), shape {shape}" if wrong else None
        if "D" in size:
            wrong = size["D"] not in (2 * count, 3 * count, 4 * count)
            return f"has {size['D']} columns, {owner} {count} keypoints with 2 to 4 values, shape {shape}" if wrong else None
        if size["V"] != count:
            return f"has {size['V']} keypoints, {owner} {count}, shape {shape}{self._suggest_axes(shape, count)}"
        if size["C"] not in (2, 3, 4):
            return (
                f"has {size['C']} values per keypoint; 2 to 4 are expected, shape {shape}{self._suggest_axes(shape, count)}"
            )
        return None

    def _suggest_axes(self, shape: tuple[int, ...], count: int) -> str:
        for axes in ("TCV", "CTV", "VTC", "CVT", "VCT"):
            size = dict(zip(axes, shape, strict=False))
            if len(shape) == 3 and size["V"] == count and size["C"] in (2, 3, 4):
                return f"; is the order of its axes {axes} (axes='{axes}')?"
        return ""

    def values_per_keypoint(self, shape: Sequence[int]) -> int | None:
        """Return 3 or 4 if clips of this shape are (T, V, 3 or 4) in memory with zeros for missing points, else None.

        Such clips are read by the compiled pass as they are stored.
        """
        if self.arrays or self.size is not None or self.missing != "zeros" or self.score != 3 or self.axes not in _AXES:
            return None
        if self.columns and [c.group for c in self.columns] != list(self.skeleton.groups):
            return None
        widths = {c.width for c in self.columns} or {shape[-1] if "C" in self.axes else shape[-1] // self._num_keypoints}
        return int(widths.pop()) if widths in ({3}, {4}) else None

    @property
    def _num_keypoints(self) -> int:
        return self.skeleton.num_keypoints

    # ---- values ----

    def to_clip(
        self,
        raw: np.ndarray | Mapping[str, np.ndarray],
        *,
        where: str = "clip",
        nonfinite: str = "raise",
        fill: Fill | None = None,
    ) -> np.ndarray:
        """Convert the array of a clip, or its arrays by group, to a canonical clip.

        Args:
            raw: Array with the axes of the layout, or one per group.
            where: Name of the clip in errors.
            nonfinite, fill: See `canonical_clip`.

        Returns:
            float32 (T, V, 4). The score of a present point without one is 1.

        Raises:
            CorruptRecordError: If a shape is wrong, or a value is not finite.
        """
        points, score = self._join_arrays(raw, where) if self.arrays else self._to_points(np.asarray(raw), where)
        is_plain = self.size is None and self.missing == "zeros"
        if is_plain and (points.shape[-1], score) in ((3, None), (4, 3)):
            return canonical_clip(points, where=where, nonfinite=nonfinite, fill=fill)
        return self._to_canonical(self._spread(points, score), where, nonfinite)

    def _to_points(self, raw: np.ndarray, where: str, group: str | None = None) -> tuple[np.ndarray, int | None]:
        """Return values (T, V, C), and which of them is the score."""
        problem = self.shape_problem(raw.shape, raw.dtype, group)
        if problem:
            raise CorruptRecordError(f"{where} {problem}; is the layout of the data set right?")
        order = [self.axes.index(axis) for axis in ("M" * ("M" in self.axes) + ("TD" if "D" in self.axes else "TVC"))]
        values = raw.transpose(order)
        if "M" in self.axes:
            values = values[self.person]
        if self.columns:
            return self._split_columns(values), 3
        if values.ndim == 2:
            part = self.skeleton.groups[group] if group else slice(0, self._num_keypoints)
            values = values.reshape(len(values), part.stop - part.start, -1)
        score = self.score if self.score is not None and self.score < values.shape[-1] else None
        return values, score

    def _split_columns(self, rows: np.ndarray) -> np.ndarray:
        clip, start = np.zeros((len(rows), self._num_keypoints, 4), np.float32), 0
        for group, count, width in self.columns:
            values = rows[:, start : start + count * width].reshape(len(rows), count, width)
            score = self.score if self.score is not None and self.score < width else None
            clip[:, self.skeleton.groups[group]] = self._spread(values, score)
            start += count * width
        return clip

    def _join_arrays(self, raw: np.ndarray | Mapping[str, np.ndarray], where: str) -> tuple[np.ndarray, int | None]:
        if not isinstance(raw, Mapping):
            raise CorruptRecordError(
                f"{where} is one array, the layout expects {', '.join(name for _, name in self.arrays)}"
            )
        parts = {}
        for group, name in self.arrays:
            values, score = self._to_points(np.asarray(raw[group]), f"{where}, array {name!r}", group)
            parts[group] = self._spread(values, score)
        lengths = {name: len(parts[group]) for group, name in self.arrays}
        if len(set(lengths.values())) > 1:
            raise CorruptRecordError(f"{where}: its arrays have different lengths, {lengths}; export it again")
        clip = np.zeros((next(iter(lengths.values())), self._num_keypoints, 4), np.float32)
        for group, values in parts.items():
            clip[:, self.skeleton.groups[group]] = values
        return clip, 3

    def _spread(self, values: np.ndarray, score: int | None) -> np.ndarray:
        """Return x, y, z and score, float32 (T, V, 4), of values (T, V, 2 to 4); z is 0 and the score 1 if absent."""
        out = np.zeros((*values.shape[:-1], 4), np.float32)
        coordinates = [c for c in range(values.shape[-1]) if c != score][:3]
        with np.errstate(over="ignore"):
            out[..., : len(coordinates)] = values[..., coordinates]
            if score is not None:
                out[..., 3] = values[..., score]
            else:  # a group without scores in data that marks missing points by theirs has zeros
                out[..., 3] = (out[..., :3] != 0).any(-1) if self.missing == "zero_score" else 1
        return out

    def _to_canonical(self, clip: np.ndarray, where: str, nonfinite: str) -> np.ndarray:
        """Apply the mark of missing points and the scale to x, y, z and score, float32 (T, V, 4), in place."""
        if self.missing == "nan":
            clip[np.isnan(clip[..., :3]).any(-1)] = 0
        elif self.missing == "minus_one":
            clip[(clip[..., :2] == -1).all(-1)] = 0
        elif self.missing == "zero_score":
            clip[clip[..., 3] <= 0] = 0
        if self.size is not None:
            clip[..., :3] /= np.array([self.size[0], self.size[1], self.size[0]], np.float32)
        if self.missing == "zeros":
            return canonical_clip(clip, where=where, nonfinite=nonfinite)
        return _keep_origin(clip, where, nonfinite, has_score=self.missing == "zero_score")


def _keep_origin(clip: np.ndarray, where: str, nonfinite: str, *, has_score: bool) -> np.ndarray:
    """Finish a clip whose missing points are four zeros, and in which a point at the origin may be present."""
    present = clip[..., 3] > 0 if has_score else (clip != 0).any(-1)
    finite = np.isfinite(clip).all(-1)
    if not finite.all():
        if nonfinite == "raise":
            raise CorruptRecordError(
                f"{where} {value_problem(clip)}; re-export it, or LoadKeypoints(nonfinite='missing') drops those points"
            )
        present &= finite
    clip[~present] = 0
    score = clip[..., 3]
    clip[..., 3] = np.where(present, np.where(score > 0, np.minimum(score, 1), 1), 0)
    return clip


def _check_columns(columns: tuple[Columns, ...], score: int | None) -> None:
    for group, count, width in columns:
        if width not in (2, 3, 4) or count < 1:
            raise ConfigError(f"layout: columns '{group}:{count}x{width}'; a point has 2 to 4 values")
    if columns and score is not None and score not in range(4):
        raise ConfigError(f"layout: score={score}; a point has the values 0 to 3")


def _check_groups(skeleton: Skeleton, counts: Mapping[str, int | None] | None, what: str) -> None:
    """Raise if columns or arrays do not name each group of the skeleton once, with its number of points."""
    if counts is None:
        return
    own = {group: part.stop - part.start for group, part in skeleton.groups.items()}
    if own.keys() != counts.keys():
        raise ConfigError(f"layout: {what} of {sorted(counts)}, but skeleton {skeleton.name!r} has the groups {list(own)}")
    wrong = next((group for group, count in counts.items() if count not in (None, own[group])), None)
    if wrong is not None:
        raise ConfigError(
            f"layout: {counts[wrong]} points of {wrong!r}, but skeleton {skeleton.name!r} has {own[wrong]}; correct one"
        )


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))
