"""Performances of synthetic signs by synthetic signers, and a simulated detector: 184 keypoints per frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from karsl.skeletons import get_skeleton
from karsl.testing.body import HAND_SHAPES, REST_SHAPE, bend_arm, face_template, hand_points, iris_rows, palm_frame
from karsl.testing.signs import LOCATIONS, Sign, stroke_path

SKELETON = get_skeleton("karsl_184")
POSE, FACE, RIGHT, LEFT = (SKELETON.groups[group] for group in ("pose", "face", "rh", "lh"))
_Arm = tuple[np.ndarray, np.ndarray, np.ndarray]
MIN_FRAMES, MEAN_FRAMES, MAX_FRAMES = 15, 40, 116  # as in KArSL


@dataclass(frozen=True)
class Signer:
    """Body and habits of a signer: lengths in shoulder widths, image positions in [0, 1], angles in radians."""

    name: str
    shoulder: float  # shoulder width in the image
    center: tuple[float, float]  # midpoint of the shoulders in the image
    tilt: float  # of the shoulder line
    upper_arm: float
    forearm: float
    hand: float
    head: float
    tempo: float  # above 1 is slower, with longer clips
    reach: float  # size of the movements
    left_habit: float  # fraction of clips signed with the left hand
    low_rest: float  # distance of the resting hands below the shoulders
    bias: tuple[float, float, float]  # habitual offset of every place of articulation
    bend: float  # habitual bend of the wrist
    roll: float  # habitual roll of the palm
    jitter: float = 1.0  # of the detector, as a multiple
    losses: float = 1.0  # number of runs of frames without a hand, as a multiple


HARD_STYLE, HARD_JITTER, HARD_LOSSES = 1.6, 4.0, 3.0
"""Habits of signers, jitter of the detector and losses of hands in a hard corpus, as multiples of an easy one."""


def make_signer(name: str, seed: int, hard: bool = False) -> Signer:
    """Generate a signer from a name: the same name is the same body in every corpus of a seed.

    Args:
        name: Name of the signer.
        seed: Seed of the corpus.
        hard: Make signers differ more in size and place of movements, wrist and palm, and less accurate detection.

    Example:
        >>> make_signer("01", 0) == make_signer("01", 0), make_signer("01", 0) == make_signer("02", 0)
        (True, False)
    """
    rng = np.random.default_rng([seed, *name.encode()])
    style = HARD_STYLE if hard else 1.0
    return Signer(
        name=name,
        shoulder=rng.uniform(0.22, 0.31),
        center=(rng.uniform(0.43, 0.57), rng.uniform(0.42, 0.50)),
        tilt=rng.normal(0, 0.035),
        upper_arm=rng.uniform(0.74, 0.86),
        forearm=rng.uniform(0.66, 0.76),
        hand=rng.uniform(0.46, 0.54),
        head=rng.uniform(0.60, 0.74),
        tempo=float(np.exp(rng.uniform(-0.25, 0.25))),
        reach=float(np.exp(style * rng.uniform(-0.35, 0.35))),
        left_habit=rng.uniform(0.03, 0.3),
        low_rest=rng.uniform(1.15, 1.4),
        bias=tuple(style * rng.normal(0, (0.13, 0.13, 0.06))),
        bend=style * rng.normal(0, 0.3),
        roll=style * rng.normal(0, 0.35),
        jitter=HARD_JITTER if hard else 1.0,
        losses=HARD_LOSSES if hard else 1.0,
    )


@dataclass(frozen=True)
class Performance:
    """A complete clip, before detection.

    Attributes:
        keypoint: float64 (T, 184, 3); x and y in the image, z as in MediaPipe.
        raised: (T, 2), height of the right and the left hand, from 0 at rest to 1 while signing.
    """

    keypoint: np.ndarray
    raised: np.ndarray


def render_sign(sign: Sign, signer: Signer, rng: Generator) -> Performance:
    """Generate one performance of a sign: smooth arms and hands, and a face.

    Args:
        sign: The sign.
        signer: The signer.
        rng: Random generator for everything that differs between two performances.
    """
    num_frames = _sample_length(signer, rng)
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
    return Performance(_to_image(body, signer, rng), np.stack([right[2], left[2]], axis=-1))


def _sample_length(signer: Signer, rng: Generator) -> int:
    frames = MEAN_FRAMES * signer.tempo * np.exp(rng.normal(0, 0.32))
    return int(np.clip(round(frames), MIN_FRAMES, MAX_FRAMES))


def _timing(num_frames: int, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the height of the hand and the progress of the stroke, both (T,) in [0, 1]."""
    t = (np.arange(num_frames) + 0.5) / num_frames
    shortest = 4 / num_frames  # minimum for an arm, also in short clips
    up_at, up_for = rng.uniform(0.0, 0.12), max(rng.uniform(0.1, 0.16), shortest)
    down_at, down_for = 1 - rng.uniform(0.0, 0.12), max(rng.uniform(0.1, 0.16), shortest)
    raised = np.minimum(_ease((t - up_at) / up_for), _ease((down_at - t) / down_for))
    start, stop = up_at + 0.7 * up_for, down_at - 0.7 * down_for
    progress = np.clip((t - start) / (stop - start), 0, 1) ** np.exp(rng.normal(0, 0.2))
    return raised, progress


def _ease(u: np.ndarray) -> np.ndarray:
    """Return the minimum-jerk step from 0 to 1 (Flash and Hogan 1985)."""
    u = np.clip(u, 0, 1)
    return u**3 * (10 - 15 * u + 6 * u * u)


def _drift(num_frames: int, size: int, scale: float, rng: Generator) -> np.ndarray:
    """Return slow random motion (T, size): a sum of waves with at most two periods per clip."""
    t = np.linspace(0, 2 * np.pi, num_frames)[:, None, None]
    waves = np.sin(t * rng.uniform(0.2, 2, (3, size)) + rng.uniform(0, 2 * np.pi, (3, size)))
    return scale * (waves * rng.normal(0, 0.6, (3, size))).sum(1)


def _main_arm(sign: Sign, signer: Signer, raised: np.ndarray, progress: np.ndarray, rng: Generator) -> _Arm:
    offset, twist = stroke_path(sign.movement, progress)
    size = sign.size * signer.reach * np.exp(rng.normal(0, 0.2))
    location = np.array(LOCATIONS[sign.location]) + signer.bias + rng.normal(0, 0.1, 3)
    bend = sign.bend + signer.bend + rng.normal(0, 0.2)
    roll = sign.roll + signer.roll + rng.normal(0, 0.25)
    return _arm(signer, raised, location + size * offset, HAND_SHAPES[sign.shape], bend, roll + twist, rng)


def _other_arm(sign: Sign, signer: Signer, raised: np.ndarray, progress: np.ndarray, rng: Generator) -> _Arm:
    if sign.other == "mirror":
        return _main_arm(sign, signer, raised, progress, rng)
    up = raised if sign.other == "base" else np.zeros_like(raised)
    location = np.array([-0.15, 0.6, -0.5]) + rng.normal(0, 0.05, 3)
    target = np.broadcast_to(location, (len(raised), 3))
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
    """Return a right arm in body axes: shoulder, elbow and wrist (T, 3, 3), hand (T, 21, 3), and `raised` (T,)."""
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
    """Return the direction of the fingers (T, 3): that of the forearm, bent in the image plane, with half its depth."""
    along = wrist - elbow
    cos, sin = np.cos(bend), np.sin(bend)
    x, y = along[:, 0], along[:, 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y, 0.5 * along[:, 2]], axis=-1)


def _face(signer: Signer, num_frames: int, rng: Generator) -> np.ndarray:
    """Return the head (T, 136, 3) in body axes, with small nods, turns and shifts."""
    angles = _drift(num_frames, 2, 0.05, rng) + rng.normal(0, (0.06, 0.04))
    shift = _drift(num_frames, 2, 0.012, rng) + rng.normal(0, 0.02, 2)
    x, y, z = np.moveaxis(np.broadcast_to(face_template(), (num_frames, 136, 3)), -1, 0)
    yaw, roll = angles[:, :1], angles[:, 1:]
    x, z = x + yaw * z, z - yaw * x
    x, y = x - roll * y, y + roll * x
    neck = -0.28 - 0.55 * signer.head
    return np.stack([signer.head * x + shift[:, :1], signer.head * y + neck + shift[:, 1:], 0.5 * z], axis=-1)


def _to_image(body: np.ndarray, signer: Signer, rng: Generator) -> np.ndarray:
    """Map body axes to the image and add the jitter of a detector; z of each hand is relative to its wrist."""
    num_frames = len(body)
    cos, sin = np.cos(signer.tilt), np.sin(signer.tilt)
    points = body @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    for rows in (RIGHT, LEFT):
        points[:, rows, 2] -= points[:, rows, 2][:, :1]
    jitter = np.full(SKELETON.num_keypoints, 0.004)
    jitter[FACE] = 0.0015
    points += rng.normal(0, 1, points.shape) * jitter[:, None] * signer.jitter
    size = signer.shoulder * np.exp(rng.normal(0, 0.03))
    center = np.array([*signer.center, 0.0]) + rng.normal(0, (0.015, 0.01, 0.0))
    sway = np.zeros((num_frames, 1, 3))
    sway[..., :2] = _drift(num_frames, 2, 0.003, rng)[:, None]
    return center + size * points + sway


def apply_detector(performance: Performance, rng: Generator, losses: float = 1.0) -> np.ndarray:
    """Simulate a keypoint extractor: low visibility, hands that are down, runs of lost frames, clips without irises.

    Args:
        performance: The complete clip.
        rng: Random generator for the losses.
        losses: Number of runs of frames without a hand, as a multiple.

    Returns:
        float32 (T, 184, 4): x, y, z, visibility. Undetected points are zeros with visibility 0.
    """
    num_frames = len(performance.keypoint)
    seen = np.ones(performance.keypoint.shape[:2])
    seen[:, POSE] = _pose_visibility(performance.raised, rng)
    for side, rows, max_lost in ((0, RIGHT, 0.66), (1, LEFT, 1.0)):
        seen[:, rows] = _hand_detected(performance.raised[:, side], max_lost, rng, losses)[:, None]
    if rng.random() < 0.5:  # an extractor run without iris refinement
        seen[:, FACE.start + iris_rows()] = 0
    if rng.random() < 0.04:  # a face turned away or covered
        seen[:, FACE] *= ~_run(num_frames, 0.15, rng)[:, None]
    clip = np.concatenate([performance.keypoint, seen[..., None]], axis=-1)
    return np.where(seen[..., None] > 0, clip, 0).astype(np.float32)


def _pose_visibility(raised: np.ndarray, rng: Generator) -> np.ndarray:
    """Return the visibility of the pose (T, 6): high for shoulders, low for wrists that are down, never 0."""
    left_right = raised[:, ::-1]  # pose points alternate left, right
    shoulder = np.full_like(left_right, 0.99)
    elbow, wrist = 0.7 + 0.28 * left_right, 0.25 + 0.73 * left_right
    visibility = np.concatenate([shoulder, elbow, wrist], axis=-1)
    return np.clip(visibility + rng.normal(0, 0.02, visibility.shape), 0.05, 1.0)


def _hand_detected(raised: np.ndarray, max_lost: float, rng: Generator, losses: float) -> np.ndarray:
    """Return bool (T,), True for frames in which a hand is detected."""
    if raised.max() < 0.5:  # a hand at rest is mostly never detected
        is_lost = rng.random() < 0.8
        return np.zeros(len(raised), bool) if is_lost else _run(len(raised), 0.5, rng)
    seen = raised > rng.uniform(0.15, 0.5)
    before = seen.copy()
    for _ in range(rng.poisson(0.8 * losses)):
        seen &= ~_run(len(raised), 0.15, rng)
    return seen if 1 - seen.mean() <= max_lost else before


def _run(num_frames: int, mean_share: float, rng: Generator) -> np.ndarray:
    """Return bool (T,) with one run of frames, which covers `mean_share` of the clip on average."""
    length = 1 + int(num_frames * min(rng.exponential(mean_share), 1.0))
    start = rng.integers(0, max(num_frames - length, 0) + 1)
    frames = np.arange(num_frames)
    return (frames >= start) & (frames < start + length)
