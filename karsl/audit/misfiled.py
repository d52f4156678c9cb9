"""Clips that do not look like the other clips of their sign."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from karsl.audit.finding import Finding, make_finding
from karsl.audit.landmarks import PATH_POINTS
from karsl.audit.measures import NUM_TIMES
from karsl.skeletons.skeleton import mirror_name

_MIN_CLIPS = 5  # of a sign and signer, for a center
_AWAY, _NEARER, _OUTLIER = 1.7, 2.0, 10.0  # times the usual distance; times the distance to the other sign
_MIRROR = [PATH_POINTS.index(mirror_name(name)) for name in PATH_POINTS]
_WRISTS = [PATH_POINTS.index(name) for name in ("right_wrist", "left_wrist")]


def find_misfiled(figures: np.ndarray, usable: np.ndarray, records: Sequence[Mapping]) -> Iterator[Finding]:
    """Yield clips that look like another sign of their signer, and clips that look like no other clip of their sign.

    A clip is compared with the center of each sign of its signer, also mirrored, since some signs are performed with either
    hand. It is misfiled if it is 1.7 times as far from its own center as usual, and twice as far as from another one.

    Args:
        figures: `FIGURES` of the clips.
        usable: bool (N,), clips to compare.
        records: Records with `label`, `clip_id`, and `signer` if known.
    """
    names, labels = np.unique([_sign_name(record) for record in records], return_inverse=True)
    signers = np.array([str(record.get("signer")) for record in records])
    misfiled: dict[int, int] = {}
    outliers = []
    for signer in np.unique(signers):
        clips = np.flatnonzero((signers == signer) & usable)
        found = _compare(figures["path"][clips].astype(np.float32), labels[clips])
        if found is None:
            continue
        own, usual, other, like = found
        looks_other = (own > _AWAY * usual) & (own > _NEARER * other)
        misfiled.update(zip(clips[looks_other].tolist(), like[looks_other].tolist(), strict=True))
        outliers += clips[(own > _OUTLIER * usual) & ~looks_other].tolist()
    if misfiled:
        positions = sorted(misfiled)
        yield make_finding("misfiled", positions, [f"like {names[misfiled[position]]}" for position in positions])
    if outliers:
        yield make_finding("outlier", sorted(outliers))


def _sign_name(record: Mapping) -> str:
    sign = record.get("sign")
    if sign is None:
        return f"label {record.get('label')}"
    return f"sign {sign:04d}" if isinstance(sign, int) else f"sign {sign}"


def _compare(paths: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """Compare the clips of a signer with the centers of its signs.

    Returns:
        Distance to the center of the own sign, its usual value, the smallest to that of another sign, and the label of that;
        None if there are not two signs with enough clips. The distance is 0 for signs with few clips.
    """
    known, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if (counts >= _MIN_CLIPS).sum() < 2:
        return None
    mirrored = _mirror(paths)
    wrists = paths.reshape(len(paths), NUM_TIMES, -1, 2)[:, :, _WRISTS].std(1).sum(-1)
    is_left = wrists[:, 1] > wrists[:, 0]
    canonical = np.where(is_left[:, None], mirrored, paths)
    enough = counts >= _MIN_CLIPS
    centers = np.stack([np.median(canonical[inverse == number], 0) for number in np.flatnonzero(enough)])
    distances = np.full((len(paths), len(known)), np.inf, np.float32)
    distances[:, enough] = np.minimum(_distances(canonical, centers), _distances(_mirror(canonical), centers))
    rows = np.arange(len(paths))
    own = np.where(enough[inverse], distances[rows, inverse], 0)
    usual = np.array([np.median(own[inverse == number]) for number in range(len(known))])[inverse]
    distances[rows, inverse] = np.inf
    nearest = distances.argmin(-1)
    return own, usual, distances[rows, nearest], known[nearest]


def _mirror(paths: np.ndarray) -> np.ndarray:
    points = paths.reshape(len(paths), NUM_TIMES, len(PATH_POINTS), 2)[:, :, _MIRROR] * np.array([-1, 1], np.float32)
    return points.reshape(len(paths), -1)


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    square = np.square(a).sum(-1)[:, None] + np.square(b).sum(-1) - 2 * a @ b.T
    return np.sqrt(np.maximum(square, 0))
