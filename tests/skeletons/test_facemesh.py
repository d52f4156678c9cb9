"""Names of face-mesh vertices, checked against a symmetry map and MediaPipe's own connections."""

from __future__ import annotations

import numpy as np
import pytest

from karsl.skeletons import mirror_name
from karsl.skeletons.facemesh import CONTOUR_VERTICES, NUM_VERTICES, NUM_WITH_IRISES, VERTEX_NAMES, contour_bones

# end points of FACEMESH_CONTOURS (128) and FACEMESH_IRISES (8) of MediaPipe 0.10.14
KARSL_FACE = (
    0, 7, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80, 81, 82, 84, 87, 88, 91,
    93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160,
    161, 162, 163, 172, 173, 176, 178, 181, 185, 191, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283, 284, 285, 288,
    291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365,
    373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454,
    466, 469, 470, 471, 472, 474, 475, 476, 477,
)  # fmt: skip


def mirrored_vertices() -> np.ndarray:
    return np.array([VERTEX_NAMES.index(mirror_name(name)) for name in VERTEX_NAMES])


def test_every_vertex_has_one_name():
    assert len(VERTEX_NAMES) == len(set(VERTEX_NAMES)) == NUM_WITH_IRISES == 478
    assert NUM_VERTICES == 468


def test_the_mirror_that_the_names_give_is_that_of_the_symmetry_map(shared_data):
    oracle = np.load(shared_data("karsl_labels") / "face_mesh_symmetry_map.npy")
    np.testing.assert_array_equal(mirrored_vertices(), oracle)


def test_the_mirror_is_an_involution():
    mirror = mirrored_vertices()
    assert mirror[mirror].tolist() == list(range(478))


def test_contour_vertices_are_the_136_of_karsl():
    assert CONTOUR_VERTICES == KARSL_FACE


@pytest.mark.parametrize(
    ("vertex", "name"),
    [
        (33, "right_eye_lower_0"),  # outer corner of the right eye
        (263, "left_eye_lower_0"),
        (61, "right_lips_outer_lower_0"),  # right corner of the mouth
        (291, "left_lips_outer_lower_0"),
        (13, "lips_inner_upper"),
        (17, "lips_outer_lower"),
        (10, "oval_top"),
        (152, "oval_bottom"),
        (1, "face_1"),  # the tip of the nose
        (468, "right_pupil_0"),
        (473, "left_pupil_0"),
    ],
)
def test_landmarks_that_everyone_knows_have_their_names(vertex, name):
    assert VERTEX_NAMES[vertex] == name


def test_contour_bones_reach_all_136_and_close_oval_eyes_lips_and_irises():
    bones = contour_bones()
    ends = [end for bone in bones for end in bone]
    assert set(ends) == {VERTEX_NAMES[v] for v in CONTOUR_VERTICES}
    open_ends = {name for name in ends if ends.count(name) == 1}
    assert len(open_ends) == 8  # two lines for each brow
    assert all("brow" in name for name in open_ends)
    assert len(bones) == len({frozenset(bone) for bone in bones}) == 132


def test_real_faces_lie_symmetric_by_these_names(shared_data):
    """In the middle of the face x of a vertex and of its mirror image lie on two sides of the nose."""
    clips = np.load(shared_data("holistic1662") / "hello.npz")
    face = np.concatenate([clips[key][:, 132 : 132 + 1404].reshape(-1, 468, 3) for key in clips.files])
    x = np.median(face[(face != 0).any((1, 2)), :, 0], 0)
    right = [v for v, name in enumerate(VERTEX_NAMES[:468]) if "right" in name]
    left = mirrored_vertices()[right]
    assert (x[right] < x[left]).all()
