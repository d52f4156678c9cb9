"""`ArrayLayout`: what the numbers of an array are, as keypoints, coordinates and conventions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np

from karsl.errors import ConfigError, CorruptRecordError, did_you_mean
from karsl.io.clip import Fill, canonical_clip, value_problem
from karsl.skeletons import Skeleton, describe_skeleton, get_skeleton, skeleton_names
from karsl.skeletons.mediapipe import POSE_33, VERTEX_NAMES, hand, mediapipe_skeleton

LAYOUTS: dict[str, str] = {
    "holistic_1662": "pose:33x4, face:468x3, lh:21x3, rh:21x3",
    "holistic_1692": "pose:33x4, face:478x3, lh:21x3, rh:21x3",
    "holistic_2172": "pose:33x4, face:468x4, lh:21x4, rh:21x4",
    "holistic_2212": "pose:33x4, face:478x4, lh:21x4, rh:21x4",
    "holistic_1629": "pose:33x3, face:468x3, lh:21x3, rh:21x3",
    "holistic_1659": "pose:33x3, face:478x3, lh:21x3, rh:21x3",
    "holistic_1086": "pose:33x2, face:468x2, lh:21x2, rh:21x2",
    "holistic_258": "pose:33x4, lh:21x3, rh:21x3",
    "holistic_225": "pose:33x3, lh:21x3, rh:21x3",
    "holistic_150": "pose:33x2, lh:21x2, rh:21x2",
    "holistic_126": "lh:21x3, rh:21x3",
    "holistic_84": "lh:21x2, rh:21x2",
    "holistic_132": "pose:33x4",
    "holistic_99": "pose:33x3",
    "msl_226": "pose:25x4, lh:21x3, rh:21x3",
}
"""Columns of common layouts by name. The number in a name is that of the columns of a frame."""

MISSING = ("zeros", "nan", "minus_one", "zero_score")
"""Marks of a missing keypoint: x, y and z are 0; one of them is NaN; x and y are -1; the score is 0."""
SCALES = ("shares", "pixels")
_AXES = ("TVC", "TD")
_MEDIAPIPE = {
    ("pose", 33): POSE_33,
    ("pose", 25): POSE_33[:25],
    **{("face", count): VERTEX_NAMES[:count] for count in (468, 478)},
    ("lh", 21): hand("left"),
    ("rh", 21): hand("right"),
}
_GROUP_NAMES = {"left_hand": "lh", "right_hand": "rh", "lefthand": "lh", "righthand": "rh", "body": "pose"}
_COLUMN = re.compile(r"(\w+)\s*:\s*(\d+)\s*x\s*(\d+)")
_GROUPS = re.compile(r"\w+\s*:\s*\d+(\s*,\s*\w+\s*:\s*\d+)*")
_ARRAY = re.compile(r"(\w+)\s*=\s*([^=,]+?)")
_GRAMMAR = (
    "expected a skeleton name, a name such as 'holistic_1662', columns such as 'pose:33x4, lh:21x3, rh:21x3', keypoints such "
    "as 'pose:33, lh:21, rh:21', or arrays such as 'pose=body_array, lh=left_array'; options follow after ';', as in "
    "'coco_17; axes=CTV; score=2'"
)


class Columns(NamedTuple):
    """Consecutive columns of a frame: `count` points of a group with `width` values each."""

    group: str
    count: int
    width: int


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
        _check_groups(self.skeleton, {c.group: c.count for c in self.columns} or None, "columns")
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
        if isinstance(value, str):
            value = _parse_text(value)
        if not isinstance(value, Mapping):
            raise ConfigError(f"layout={value!r}; {_GRAMMAR}")
        return _from_config(value)

    def to_config(self) -> dict[str, Any]:
        """Return a dict of plain values, without defaults, from which `parse` makes the same layout."""
        config: dict[str, Any] = {"skeleton": _plain(describe_skeleton(self.skeleton))}
        if self.columns:
            config["columns"] = ", ".join(f"{c.group}:{c.count}x{c.width}" for c in self.columns)
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
        return sum(c.count * c.width for c in self.columns) if self.columns else None

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
            return f"has {size.get('M', 1)} persons, person={self.person} is read, shape {shape}"
        part = self.skeleton.groups[group] if group else slice(0, self.skeleton.num_keypoints)
        return self._values_problem(size, part.stop - part.start, f"the group {group!r}" if group else "the skeleton", shape)

    def _values_problem(self, size: dict[str, int], count: int, owner: str, shape: tuple[int, ...]) -> str | None:
        if self.num_columns is not None:
            columns = self.to_config()["columns"]
            wrong = size["D"] != self.num_columns
            return f"has {size['D']} columns, the layout {self.num_columns} ({columns}), shape {shape}" if wrong else None
        if "D" in size:
            wrong = size["D"] % count or size["D"] // count not in (2, 3, 4)
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
        if self.arrays:
            points, score = self._join_arrays(raw, where), 3
        else:
            points, score = self._to_points(np.asarray(raw), where)
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

    def _join_arrays(self, raw: np.ndarray | Mapping[str, np.ndarray], where: str) -> np.ndarray:
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
        return clip

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


# ---- parsing ----


def _parse_text(text: str) -> dict[str, Any]:
    """Return the dict of a layout's text."""
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except ValueError as error:
            raise ConfigError(f"layout={text!r} is not JSON ({error}); {_GRAMMAR}") from None
    what, *options = (part.strip() for part in text.split(";"))
    config: dict[str, Any] = {}
    for option in filter(None, options):
        key, equals, value = option.partition("=")
        if not equals:
            raise ConfigError(f"layout={text!r}: option {option!r} has no value; {_GRAMMAR}")
        config[key.strip()] = _parse_option(key.strip(), value.strip(), text)
    if _GROUPS.fullmatch(what):
        return {"skeleton": what, **config}
    if what in LAYOUTS or _COLUMN.match(what):
        return {"columns": LAYOUTS.get(what, what), **config}
    if "=" in what:
        return {"arrays": what, **config}
    if what not in skeleton_names() and "name" not in what:
        hint = did_you_mean(what, (*LAYOUTS, *skeleton_names()))
        raise ConfigError(f"no layout {what!r}{hint or ';'} {_GRAMMAR}")
    return {"skeleton": what, **config}


def _parse_option(key: str, value: str, text: str) -> Any:
    if key in ("score", "person"):
        if value.lower() == "none":
            return None
        if not value.isdecimal():
            raise ConfigError(f"layout={text!r}: {key}={value!r}; expected a number")
        return int(value)
    if key == "size":
        return value.lower().split("x")
    return value


def _from_config(config: Mapping[str, Any]) -> ArrayLayout:
    known = ("skeleton", "columns", "arrays", "axes", "score", "scale", "size", "missing", "person")
    for key in config:
        if key not in known:
            raise ConfigError(f"layout: no key {key!r}{did_you_mean(str(key), known, 'known: ' + ', '.join(known))}")
    if not {"skeleton", "columns", "arrays"} & set(config):
        raise ConfigError(f"layout={dict(config)!r} names no keypoints; {_GRAMMAR}")
    columns, arrays = _parse_columns(config.get("columns") or ()), _parse_arrays(config.get("arrays") or ())
    skeleton = _skeleton_of(config.get("skeleton"), columns, arrays)
    options = {key: config[key] for key in ("score", "missing", "person") if key in config}
    axes = str(config.get("axes") or ("TD" if columns else "TVC")).upper()
    axes = axes[1:] if axes.startswith("N") else axes  # a stack is found by its number of axes
    return ArrayLayout(skeleton, columns, arrays, axes, size=_parse_size(config), **options)


def _parse_columns(columns: str | Sequence[Any]) -> tuple[Columns, ...]:
    if not isinstance(columns, str):
        return tuple(Columns(_group(str(group)), int(count), int(width)) for group, count, width in columns)
    parts = []
    for text in LAYOUTS.get(columns, columns).split(","):
        match = _COLUMN.fullmatch(text.strip())
        if match is None:
            raise ConfigError(f"layout: columns {text.strip()!r}; {_GRAMMAR}")
        parts.append(Columns(_group(match[1]), int(match[2]), int(match[3])))
    return tuple(parts)


def _parse_arrays(arrays: str | Mapping[str, str] | Sequence[Any]) -> tuple[tuple[str, str], ...]:
    if isinstance(arrays, str):
        matches = [_ARRAY.fullmatch(text.strip()) for text in arrays.split(",")]
        if None in matches:
            raise ConfigError(f"layout: arrays {arrays!r}; {_GRAMMAR}")
        arrays = [(match[1], match[2]) for match in matches if match]
    pairs = arrays.items() if isinstance(arrays, Mapping) else arrays
    return tuple((_group(str(group)), str(name)) for group, name in pairs)


def _group(name: str) -> str:
    return _GROUP_NAMES.get(name.lower(), name)


def _parse_size(config: Mapping[str, Any]) -> tuple[float, float] | None:
    scale = config.get("scale", "pixels" if config.get("size") else "shares")
    if scale not in SCALES:
        raise ConfigError(f"layout: scale={scale!r}{did_you_mean(str(scale), SCALES, 'expected shares or pixels')}")
    if scale == "shares":
        return None
    try:
        width, height = map(float, config.get("size") or ())
    except (TypeError, ValueError):
        width = height = 0.0
    if not (width > 0 and height > 0):
        raise ConfigError(
            f"layout: scale='pixels' with size={config.get('size')!r}; give the image size, as in size=1280x720"
        )
    return width, height


def _skeleton_of(declared: Any, columns: tuple[Columns, ...], arrays: tuple[tuple[str, str], ...]) -> Skeleton:
    if isinstance(declared, str) and _GROUPS.fullmatch(declared):
        pairs = (part.split(":") for part in declared.split(","))
        return skeleton_of_groups(tuple((_group(group.strip()), int(count)) for group, count in pairs), in_order=True)
    if declared is not None:
        return get_skeleton(declared)
    if columns:
        return skeleton_of_groups(tuple((c.group, c.count) for c in columns))
    counts = {"pose": 33, "face": 468, "lh": 21, "rh": 21}
    unknown = [group for group, _ in arrays if group not in counts]
    if unknown:
        raise ConfigError(f"layout: the keypoints of group {unknown[0]!r} are not known; add skeleton=NAME")
    return skeleton_of_groups(tuple((group, counts[group]) for group, _ in arrays))


@lru_cache(maxsize=64)
def skeleton_of_groups(groups: tuple[tuple[str, int], ...], *, in_order: bool = False) -> Skeleton:
    """Return the skeleton with some groups and numbers of points: a registered one, or one of MediaPipe's keypoints.

    Args:
        groups: Names and numbers of points.
        in_order: The skeleton has the groups in this order; otherwise a registered one with another order is preferred.

    Raises:
        ConfigError: If no keypoints are known for a group of this size.

    Example:
        >>> skeleton_of_groups((("rh", 21), ("lh", 21))).name, skeleton_of_groups((("rh", 21),)).name
        ('hand_42', 'rh_21')
    """
    registered = [get_skeleton(name) for name in skeleton_names()]
    sizes = [tuple((group, len(names)) for group, names in skeleton.parts) for skeleton in registered]
    rules: list[Callable[[tuple], bool]] = [lambda own: own == groups, lambda own: sorted(own) == sorted(groups)]
    for same in rules[:1] if in_order else rules:
        found = [skeleton for skeleton, own in zip(registered, sizes, strict=True) if same(own)]
        if found:
            return found[0]
    for group, count in groups:
        if (group, count) not in _MEDIAPIPE:
            known = ", ".join(f"{name} {number}" for name, number in _MEDIAPIPE)
            raise ConfigError(
                f"layout: no keypoint names for {count} points of group {group!r} (known are {known}); add their skeleton, "
                "as in dict(columns=..., skeleton=dict(name=..., parts=[(group, names), ...]))"
            )
    name = "_".join(f"{group}_{count}" for group, count in groups)
    return mediapipe_skeleton(name, *((group, _MEDIAPIPE[group, count]) for group, count in groups))


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
