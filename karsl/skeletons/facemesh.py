"""Names of MediaPipe's 478 face-mesh vertices, so that left, right and the midline can be read off a name.

Vertices of the contours are named by feature (`left_eye_upper_0`); the rest `right_face_k` / `left_face_k` by the number k
of the right one, or `face_k` on the midline. Sides are the signer's.

Source: MediaPipe Face Mesh, `FACEMESH_CONTOURS` and `FACEMESH_IRISES` in
https://github.com/google-ai-edge/mediapipe/blob/v0.10.14/mediapipe/python/solutions/face_mesh_connections.py
"""

from __future__ import annotations

NUM_VERTICES, NUM_WITH_IRISES = 468, 478

# feature: (vertices on the right side, their mirror images on the left side), both in drawing order
_PAIRED = {
    "oval": (
        (109, 67, 103, 54, 21, 162, 127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148),
        (338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    ),
    "eye_lower": ((33, 7, 163, 144, 145, 153, 154, 155, 133), (263, 249, 390, 373, 374, 380, 381, 382, 362)),
    "eye_upper": ((246, 161, 160, 159, 158, 157, 173), (466, 388, 387, 386, 385, 384, 398)),
    "brow_lower": ((46, 53, 52, 65, 55), (276, 283, 282, 295, 285)),
    "brow_upper": ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336)),
    "iris": ((469, 470, 471, 472), (476, 475, 474, 477)),
    "pupil": ((468,), (473,)),
}
# feature: vertices from the right corner over the midline to the left corner
_CROSSING = {
    "lips_outer_lower": (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291),
    "lips_outer_upper": (185, 40, 39, 37, 0, 267, 269, 270, 409),
    "lips_inner_lower": (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308),
    "lips_inner_upper": (191, 80, 81, 82, 13, 312, 311, 310, 415),
}
_MIDLINE = (1, 2, 4, 5, 6, 8, 9, 11, 12, 15, 16, 18, 19, 94, 151, 164, 168, 175, 195, 197, 199, 200)
_FIRST_LEFT = 248  # below it lies no vertex of the left side that is not on a contour


def _contour_names() -> dict[int, str]:
    names = {10: "oval_top", 152: "oval_bottom"}
    for feature, (right, left) in _PAIRED.items():
        for k, (r, m) in enumerate(zip(right, left, strict=True)):
            names[r], names[m] = f"right_{feature}_{k}", f"left_{feature}_{k}"
    for feature, chain in _CROSSING.items():
        half = len(chain) // 2
        names[chain[half]] = feature
        for k in range(half):
            names[chain[k]], names[chain[-1 - k]] = f"right_{feature}_{k}", f"left_{feature}_{k}"
    return names


def _all_names() -> tuple[str, ...]:
    names = _contour_names() | {v: f"face_{v}" for v in _MIDLINE}
    free = [v for v in range(NUM_VERTICES) if v not in names]
    right, left = [v for v in free if v < _FIRST_LEFT], [v for v in free if v >= _FIRST_LEFT]
    for r, m in zip(right, left, strict=True):  # the mesh numbers both sides in the same order
        names[r], names[m] = f"right_face_{r}", f"left_face_{r}"
    return tuple(names[v] for v in range(NUM_WITH_IRISES))


VERTEX_NAMES: tuple[str, ...] = _all_names()
"""Name of each vertex by its MediaPipe number, irises (468-477) last."""

CONTOUR_VERTICES: tuple[int, ...] = tuple(sorted(v for v in _contour_names() if v not in (468, 473)))
"""The 136 end points of FACEMESH_CONTOURS and FACEMESH_IRISES, ascending: the face of the KArSL layout."""


def _closed(vertices: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(zip(vertices, (*vertices[1:], vertices[0]), strict=True))


def _open(vertices: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(zip(vertices[:-1], vertices[1:], strict=True))


def contour_bones() -> tuple[tuple[str, str], ...]:
    """Pairs of vertex names that draw oval, eyes, brows, lips and irises."""
    right_oval, left_oval = _PAIRED["oval"]
    lines = _closed((10, *left_oval, 152, *right_oval[::-1]))
    for side in (0, 1):
        lower, upper = _PAIRED["eye_lower"][side], _PAIRED["eye_upper"][side]
        lines += _closed((*lower, *upper[::-1])) + _closed(_PAIRED["iris"][side])
        lines += _open(_PAIRED["brow_lower"][side]) + _open(_PAIRED["brow_upper"][side])
    for ring in ("outer", "inner"):
        lines += _closed((*_CROSSING[f"lips_{ring}_lower"], *_CROSSING[f"lips_{ring}_upper"][::-1]))
    return tuple((VERTEX_NAMES[a], VERTEX_NAMES[b]) for a, b in lines)
