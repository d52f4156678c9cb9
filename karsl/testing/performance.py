"""One performance of a sign by a signer: smooth arms and hands, a face that stays, 184 points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from karsl.skeletons import get_skeleton
from karsl.testing.arm import bend_arm
from karsl.testing.face import face_template
from karsl.testing.hand import HAND_SHAPES, REST_SHAPE, hand_points, palm_frame
from karsl.testing.lexicon import PLACES, Sign, stroke
from karsl.testing.signer import Signer

SKELETON = get_skeleton("karsl_184")
POSE, FACE, RIGHT, LEFT = (SKELETON.groups[group] for group in ("pose", "face", "rh", "lh"))
_Arm = tuple[np.ndarray, np.ndarray, np.ndarray]
MIN_FRAMES, MEAN_FRAMES, MAX_FRAMES = 15, 40, 116  # the lengths of real clips


@dataclass(frozen=True)
class Performance:
    """A complete clip before anything goes missing.

    Attributes:
        keypoint: float64 (T, 184, 3); x and y in the picture, z as MediaPipe gives it.
        raised: (T, 2) how far the right and the left hand are up, 0 at rest and 1 signing.
    """

    keypoint: np.ndarray
    raised: np.ndarray


def perform(sign: Sign, signer: Signer, rng: Generator) -> Performance:
    """Perform a sign once.

    Args:
        sign: What is signed.
        signer: Who signs.
        rng: Draws everything that differs between two performances.
    """
    num_frames = _draw_length(signer, rng)
    raised, progress = _timing(num_frames, rng)
    mirrored = rng.random() < signer.left_habit
    main = _main_arm(sign, signer, raised, progress, rng)
    other = _other_arm(sign, signer, raised, progress, rng)
    right, left = (other, main) if mirrored else (main, other)
    body = np.empty((num_frames, SKELETON.num_keypoints, 3))
    for side, (arm, hand, _), rows in ((1, right, RIGHT), (0, left, LEFT)):
        sign_x = np.array([1.0 if side else -1.0, 1.0, 1.0])
        body[:, POSE][:, side::2] = arm * sign_x
        body[:, rows] = hand * sign_x
    body[:, FACE] = _face(signer, num_frames, rng)
    return Performance(_picture(body, signer, rng), np.stack([right[2], left[2]], axis=-1))


def _draw_length(signer: Signer, rng: Generator) -> int:
    frames = MEAN_FRAMES * signer.tempo * np.exp(rng.normal(0, 0.32))
    return int(np.clip(round(frames), MIN_FRAMES, MAX_FRAMES))


def _timing(num_frames: int, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """How far the hand is up (T,) and how far the stroke has come (T,), both in [0, 1]."""
    t = (np.arange(num_frames) + 0.5) / num_frames
    shortest = 4 / num_frames  # an arm needs that many frames however short the clip
    up_at, up_for = rng.uniform(0.0, 0.12), max(rng.uniform(0.1, 0.16), shortest)
    down_at, down_for = 1 - rng.uniform(0.0, 0.12), max(rng.uniform(0.1, 0.16), shortest)
    raised = np.minimum(_ease((t - up_at) / up_for), _ease((down_at - t) / down_for))
    start, stop = up_at + 0.7 * up_for, down_at - 0.7 * down_for
    progress = np.clip((t - start) / (stop - start), 0, 1) ** np.exp(rng.normal(0, 0.2))
    return raised, progress


def _ease(u: np.ndarray) -> np.ndarray:
    """Minimum-jerk step from 0 to 1 (Flash and Hogan 1985)."""
    u = np.clip(u, 0, 1)
    return u**3 * (10 - 15 * u + 6 * u * u)


def _drift(num_frames: int, size: int, scale: float, rng: Generator) -> np.ndarray:
    """Slow wandering (T, size): a few random waves of at most two periods a clip."""
    t = np.linspace(0, 2 * np.pi, num_frames)[:, None, None]
    waves = np.sin(t * rng.uniform(0.2, 2, (3, size)) + rng.uniform(0, 2 * np.pi, (3, size)))
    return scale * (waves * rng.normal(0, 0.6, (3, size))).sum(1)


def _main_arm(sign: Sign, signer: Signer, raised: np.ndarray, progress: np.ndarray, rng: Generator) -> _Arm:
    offset, twist = stroke(sign.movement, progress)
    size = sign.size * signer.reach * np.exp(rng.normal(0, 0.2))
    place = np.array(PLACES[sign.place]) + signer.bias + rng.normal(0, 0.1, 3)
    bend = sign.bend + signer.bend + rng.normal(0, 0.2)
    roll = sign.roll + signer.roll + rng.normal(0, 0.25)
    return _arm(signer, raised, place + size * offset, HAND_SHAPES[sign.shape], bend, roll + twist, rng)


def _other_arm(sign: Sign, signer: Signer, raised: np.ndarray, progress: np.ndarray, rng: Generator) -> _Arm:
    if sign.other == "mirror":
        return _main_arm(sign, signer, raised, progress, rng)
    up = raised if sign.other == "base" else np.zeros_like(raised)
    place = np.array([-0.15, 0.6, -0.5]) + rng.normal(0, 0.05, 3)
    target = np.broadcast_to(place, (len(raised), 3))
    return _arm(signer, up, target, HAND_SHAPES["flat"], -0.4, np.full(len(raised), 0.5), rng)


def _arm(
    signer: Signer,
    raised: np.ndarray,
    target: np.ndarray,
    shape: tuple[float, ...],
    bend: float,
    roll: np.ndarray,
    rng: Generator,
) -> _Arm:
    """One right arm, body axes: shoulder, elbow and wrist (T, 3, 3), hand (T, 21, 3), and `raised` (T,)."""
    num_frames = len(raised)
    up = raised[:, None]
    rest = np.array([-0.62, signer.low_rest, -0.12]) + rng.normal(0, 0.03, 3)
    shoulder = np.array([-0.5, 0.0, 0.0]) + up * [0.0, -0.02, 0.0] + _drift(num_frames, 3, 0.008, rng)
    target = rest + up * (target - rest) + _drift(num_frames, 3, 0.02, rng)
    elbow, wrist = bend_arm(shoulder, target, signer.upper_arm, signer.forearm)
    curl = np.asarray(REST_SHAPE) + up * (np.asarray(shape) + rng.normal(0, 0.12, 6) - REST_SHAPE)
    curl = curl + _drift(num_frames, 6, 0.03, rng)
    frame = palm_frame(_heading(elbow, wrist, raised * bend), raised * roll)
    hand = signer.hand * hand_points(np.clip(curl, -0.1, 1.8)) @ frame
    return np.stack([shoulder, elbow, wrist], axis=1), wrist[:, None] + hand, raised


def _heading(elbow: np.ndarray, wrist: np.ndarray, bend: np.ndarray) -> np.ndarray:
    """The fingers go on from the forearm, bent in the picture plane (T,) and less deep than it."""
    along = wrist - elbow
    cos, sin = np.cos(bend), np.sin(bend)
    x, y = along[:, 0], along[:, 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y, 0.5 * along[:, 2]], axis=-1)


def _face(signer: Signer, num_frames: int, rng: Generator) -> np.ndarray:
    """The head (T, 136, 3) in body axes: nods, turns and shifts a little."""
    angles = _drift(num_frames, 2, 0.05, rng) + rng.normal(0, (0.06, 0.04))
    shift = _drift(num_frames, 2, 0.012, rng) + rng.normal(0, 0.02, 2)
    x, y, z = np.moveaxis(np.broadcast_to(face_template(), (num_frames, 136, 3)), -1, 0)
    yaw, roll = angles[:, :1], angles[:, 1:]
    x, z = x + yaw * z, z - yaw * x
    x, y = x - roll * y, y + roll * x
    neck = -0.28 - 0.55 * signer.head
    return np.stack([signer.head * x + shift[:, :1], signer.head * y + neck + shift[:, 1:], 0.5 * z], axis=-1)


def _picture(body: np.ndarray, signer: Signer, rng: Generator) -> np.ndarray:
    """Body axes to the picture, with a detector's tremble; z of each hand counts from its own wrist."""
    num_frames = len(body)
    cos, sin = np.cos(signer.tilt), np.sin(signer.tilt)
    points = body @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    for rows in (RIGHT, LEFT):
        points[:, rows, 2] -= points[:, rows, 2][:, :1]
    tremble = np.full(SKELETON.num_keypoints, 0.004)
    tremble[FACE] = 0.0015
    points += rng.normal(0, 1, points.shape) * tremble[:, None]
    size = signer.shoulder * np.exp(rng.normal(0, 0.03))
    centre = np.array([*signer.centre, 0.0]) + rng.normal(0, (0.015, 0.01, 0.0))
    sway = np.zeros((num_frames, 1, 3))
    sway[..., :2] = _drift(num_frames, 2, 0.003, rng)[:, None]
    return centre + size * points + sway
