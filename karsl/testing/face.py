"""A face of parametric curves on the 136 mesh points of the KArSL layout."""

from __future__ import annotations

from functools import cache

import numpy as np

from karsl.skeletons import get_skeleton, mirror_name


def face_names() -> tuple[str, ...]:
    """Names of the 136 points in the layout's order."""
    skeleton = get_skeleton("karsl_184")
    return skeleton.names[skeleton.groups["face"]]


def iris_rows() -> np.ndarray:
    """Which of the 136 points are the irises' (int64 (8,)): extractors without refinement leave them out."""
    return np.array([row for row, name in enumerate(face_names()) if "_iris_" in name])


@cache
def face_template() -> np.ndarray:
    """The neutral face.

    Returns:
        float64 (136, 3): x to the picture's right, y down, z away from the camera; chin to forehead is 1,
        the centre is 0.

    Example:
        >>> points = dict(zip(face_names(), face_template().round(2).tolist()))
        >>> points["oval_top"][:2], points["oval_bottom"][:2]
        ([0.0, -0.5], [0.0, 0.5])
    """
    right = _oval() | _lips() | _eye() | _brow()  # and the midline; the left side is its mirror image
    left = {mirror_name(name): (-x, y) for name, (x, y) in right.items()}
    xy = np.array([(left | right)[name] for name in face_names()])
    bulge = 0.28 * np.sqrt(np.clip(1 - (xy[:, 0] / 0.42) ** 2 - (xy[:, 1] / 0.55) ** 2, 0, None))
    template = np.column_stack([xy, -bulge])
    template.flags.writeable = False
    return template


_Points = dict[str, tuple[float, float]]


def _oval() -> _Points:
    points = {"oval_top": (0.0, -0.5), "oval_bottom": (0.0, 0.5)}
    for k in range(17):  # from the top down
        angle = np.pi * (k + 1) / 18
        y = -0.5 * np.cos(angle)
        points[f"right_oval_{k}"] = (-0.385 * np.sin(angle) ** 0.85 * (1 - 0.7 * max(y, 0.0) ** 2), y)
    return points


def _lips() -> _Points:
    points = {}
    for name, half_width, depth, first in (
        ("lips_outer_lower", 0.145, 0.062, 0),
        ("lips_outer_upper", 0.145, -0.045, 1),
        ("lips_inner_lower", 0.115, 0.022, 0),
        ("lips_inner_upper", 0.115, -0.008, 1),
    ):
        for step in range(first, 6):  # from the right corner to the middle; upper curves leave the corner out
            u = step / 5 - 1
            bow = 0.012 * np.exp(-((u / 0.15) ** 2)) if first else 0.0
            key = name if step == 5 else f"right_{name}_{step - first}"
            points[key] = (half_width * u, 0.25 + depth * (1 - u * u) + bow)
    return points


def _eye() -> _Points:
    points = {}
    for name, count, depth in (("lower", 9, 0.024), ("upper", 7, -0.034)):
        ends = 1 if count == 9 else 0.75  # the lower curve holds both corners
        for k, u in enumerate(np.linspace(ends, -ends, count)):  # outer corner first
            points[f"right_eye_{name}_{k}"] = (-0.165 - 0.078 * u, -0.07 + depth * (1 - u * u) - 0.006 * u)
    for k, angle in enumerate(np.arange(4) * np.pi / 2):
        points[f"right_iris_{k}"] = (-0.165 + 0.022 * np.cos(angle), -0.077 - 0.022 * np.sin(angle))
    return points


def _brow() -> _Points:
    points = {}
    for name, height in (("lower", -0.165), ("upper", -0.195)):
        for k, u in enumerate(np.linspace(1, -1, 5)):  # outer end first
            points[f"right_brow_{name}_{k}"] = (-0.18 - 0.105 * u, height - 0.03 * (1 - (u - 0.3) ** 2))
    return points
