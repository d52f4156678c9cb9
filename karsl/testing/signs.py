"""Definitions of the synthetic signs: words, locations, movements and hand shapes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from karsl.testing.body import HAND_SHAPES

WORDS: tuple[tuple[str, str], ...] = (
    ("مرحبا", "hello"),
    ("شكرا", "thanks"),
    ("نعم", "yes"),
    ("لا", "no"),
    ("ماء", "water"),
    ("خبز", "bread"),
    ("بيت", "house"),
    ("باب", "door"),
    ("كتاب", "book"),
    ("قلم", "pen"),
    ("مدرسة", "school"),
    ("معلم", "teacher"),
    ("طبيب", "doctor"),
    ("مستشفى", "hospital"),
    ("أم", "mother"),
    ("أب", "father"),
    ("أخ", "brother"),
    ("أخت", "sister"),
    ("صديق", "friend"),
    ("شمس", "sun"),
    ("قمر", "moon"),
    ("بحر", "sea"),
    ("شجرة", "tree"),
    ("سيارة", "car"),
    ("طريق", "road"),
    ("سوق", "market"),
    ("يوم", "day"),
    ("ليل", "night"),
    ("صباح الخير", "good morning"),
    ("مع السلامة", "goodbye"),
    ("من فضلك", "please"),
    ("يأكل", "eat"),
    ("يشرب", "drink"),
    ("ينام", "sleep"),
    ("يقرأ", "read"),
    ("يكتب", "write"),
    ("كبير", "big"),
    ("صغير", "small"),
    ("سعيد", "happy"),
    ("حزين", "sad"),
    ("حليب", "milk"),
    ("قهوة", "coffee"),
)
"""Common Arabic words with their English glosses, one per sign."""

LOCATIONS: dict[str, tuple[float, float, float]] = {
    "forehead": (-0.45, -0.50, -0.45),
    "chin": (-0.20, -0.05, -0.55),
    "chest": (-0.10, 0.45, -0.55),
    "side": (-0.85, 0.30, -0.45),
    "belly": (-0.25, 0.85, -0.50),
    "aside": (-0.95, -0.30, -0.40),
}
"""Position of the right wrist relative to the midpoint of the shoulders, in shoulder widths: x to the right of the image, y
down, z away from the camera."""

MOVEMENTS = ("tap", "outward", "down", "circle", "wave", "arc", "twist")
OTHER_HAND = ("rest", "mirror", "base")


@dataclass(frozen=True)
class Sign:
    """A synthetic sign; angles in radians."""

    number: int
    location: str
    movement: str
    shape: str
    other: str
    bend: float
    roll: float
    size: float


@cache
def make_signs(seed: int, hard: bool = False) -> tuple[Sign, ...]:
    """Generate one sign per word of `WORDS`; sign i + 1 is at index i.

    Any two signs differ in at least two of location, movement and hand shape, so that no single part decides the class.

    Args:
        seed: Seed of the signs.
        hard: Make pairs that are easily confused: the second sign of each pair is the first one with another hand shape, or
            with another movement.

    Example:
        >>> signs = make_signs(0)
        >>> len(signs), len({(s.location, s.movement) for s in signs})
        (42, 42)
    """
    rng = np.random.default_rng([seed, 0x516E])
    pairs = [(p, m) for p in range(len(LOCATIONS)) for m in range(len(MOVEMENTS))]
    order = rng.permutation(len(pairs))[: len(WORDS)]
    shapes = rng.permutation(list(HAND_SHAPES))
    signs = tuple(_sign(i + 1, pairs[index], shapes, rng) for i, index in enumerate(order))
    return tuple(_variant(signs[i - 1], signs[i], i) if hard and i % 2 else sign for i, sign in enumerate(signs))


def _variant(first: Sign, second: Sign, index: int) -> Sign:
    """Return the first sign with the number and one part of the second, in turn hand shape and movement, that differs."""
    parts = ("shape", "movement") if index % 4 == 1 else ("movement", "shape")
    part = next(part for part in parts if getattr(first, part) != getattr(second, part))
    return replace(first, number=second.number, **{part: getattr(second, part)})


def _sign(number: int, pair: tuple[int, int], shapes: np.ndarray, rng: np.random.Generator) -> Sign:
    location, movement = pair
    return Sign(
        number=number,
        location=list(LOCATIONS)[location],
        movement=MOVEMENTS[movement],
        shape=str(shapes[(location + movement) % len(shapes)]),  # signs with the same location or movement differ in shape
        other=str(rng.choice(OTHER_HAND, p=(0.5, 0.3, 0.2))),
        bend=rng.uniform(-0.5, 0.5),
        roll=rng.uniform(-0.9, 0.9),
        size=rng.uniform(0.85, 1.15),
    )


def stroke_path(movement: str, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the movement around the place of articulation.

    Args:
        movement: One of `MOVEMENTS`.
        s: (T,), progress of the stroke in [0, 1].

    Returns:
        Offset of the wrist (T, 3) in shoulder widths, and additional roll of the palm (T,) in radians.

    Raises:
        ValueError: If the movement is not one of `MOVEMENTS`.
    """
    zero, turn = np.zeros_like(s), 2 * np.pi * s
    paths = {
        "tap": (zero, 0.16 * np.abs(np.sin(turn)), -0.1 * np.abs(np.sin(turn)), zero),
        "outward": (0.3 - 0.65 * s, zero, zero, zero),
        "down": (zero, -0.3 + 0.65 * s, zero, zero),
        "circle": (0.24 * np.sin(1.5 * turn), -0.24 * np.cos(1.5 * turn), zero, zero),
        "wave": (0.26 * np.sin(2.5 * turn), zero, zero, 0.35 * np.sin(2.5 * turn)),
        "arc": (0.32 * np.cos(np.pi * s), -0.3 * np.sin(np.pi * s), zero, zero),
        "twist": (zero, zero, -0.15 * s, 1.1 * np.sin(1.5 * turn)),
    }
    if movement not in paths:
        raise ValueError(f"movement {movement!r} is not one of {', '.join(MOVEMENTS)}")
    x, y, z, roll = paths[movement]
    return np.stack([x, y, z], axis=-1), roll
