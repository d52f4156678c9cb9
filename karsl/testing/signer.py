"""Bodies and habits of synthetic signers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Signer:
    """One person: lengths in shoulder widths, places in the picture in [0, 1], angles in radians."""

    name: str
    shoulder: float  # shoulder width in the picture
    centre: tuple[float, float]  # the point between the shoulders in the picture
    tilt: float  # of the shoulder line
    upper_arm: float
    forearm: float
    hand: float
    head: float
    tempo: float  # above 1 is slower: longer clips
    reach: float  # how wide the movements are
    left_habit: float  # share of clips performed with the left hand
    low_rest: float  # how far the resting hands hang down
    bias: tuple[float, float, float]  # habitual offset of every place of articulation
    bend: float  # habitual bend of the wrist
    roll: float  # habitual turn of the palm


def make_signer(name: str, seed: int) -> Signer:
    """Draw a person from their name, so that the same name is the same body in every corpus of a seed.

    Example:
        >>> make_signer("01", 0) == make_signer("01", 0), make_signer("01", 0) == make_signer("02", 0)
        (True, False)
    """
    rng = np.random.default_rng([seed, *name.encode()])
    return Signer(
        name=name,
        shoulder=rng.uniform(0.22, 0.31),
        centre=(rng.uniform(0.43, 0.57), rng.uniform(0.42, 0.50)),
        tilt=rng.normal(0, 0.035),
        upper_arm=rng.uniform(0.74, 0.86),
        forearm=rng.uniform(0.66, 0.76),
        hand=rng.uniform(0.46, 0.54),
        head=rng.uniform(0.60, 0.74),
        tempo=float(np.exp(rng.uniform(-0.25, 0.25))),
        reach=float(np.exp(rng.uniform(-0.35, 0.35))),
        left_habit=rng.uniform(0.03, 0.3),
        low_rest=rng.uniform(1.15, 1.4),
        bias=tuple(rng.normal(0, (0.13, 0.13, 0.06))),
        bend=rng.normal(0, 0.3),
        roll=rng.normal(0, 0.35),
    )
