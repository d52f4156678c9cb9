"""A small learnable corpus in the file layout of KArSL, for the demo, tests and examples."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from karsl.errors import pluralize
from karsl.io.atomic import atomic_path
from karsl.testing.performance import Signer, apply_detector, make_signer, render_sign
from karsl.testing.signs import WORDS, Sign, make_signs

# First SignID of each category of KArSL.
_CATEGORY_STARTS = (1, 32, 71, 160, 192, 224, 273, 289, 299, 356, 459)


def make_corpus(
    root: str | os.PathLike[str],
    *,
    signs: int = 8,
    signers: Sequence[str] = ("01", "02", "03"),
    train_clips: int = 12,
    test_clips: int = 4,
    seed: int = 0,
    hard: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a synthetic corpus: `<root>/<signer>-<split>/<sign>.npz` and `<root>/labels.csv`.

    Signers differ in body, position, speed and habits; signs in location, movement and hand shape. Some clips are signed
    with the other hand, and hands are missing as in the output of a detector. The same arguments give the same bytes.

    Args:
        root: Folder to write to; created if missing. Existing files are replaced atomically.
        signs: Number of signs, with SignIDs from 1; at most the number of `WORDS`.
        signers: Names of the signers; the name determines the body.
        train_clips: Number of clips per sign and signer in the train split.
        test_clips: Number of clips per sign and signer in the test split; 0 writes no such folder.
        seed: Seed of signs, bodies and performances.
        hard: Make pairs of signs that differ in one part only, signers who differ more, and a detector with more noise and
            more missing hands.
        progress: Called as `progress(done, total)` with numbers of clips.

    Returns:
        `root` as a `Path`.

    Raises:
        ValueError: If a count is out of range, a signer is repeated, or there is nothing to write.

    Example:
        >>> import tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> root = make_corpus(folder.name, signs=1, signers=["01"], train_clips=2, test_clips=0)
        >>> sorted(path.relative_to(root).as_posix() for path in root.rglob("*.*"))
        ['01-train/0001.npz', 'labels.csv']
        >>> folder.cleanup()
    """
    counts = {"train": train_clips, "test": test_clips}
    _check(signs, signers, counts)
    root = Path(root)
    total = signs * len(signers) * sum(counts.values())
    done = 0
    with atomic_path(root / "labels.csv") as temporary:
        temporary.write_bytes(_label_table(signs))
    for name in signers:
        signer = make_signer(name, seed, hard)
        for sign in make_signs(seed, hard)[:signs]:
            clips = _clips(sign, signer, sum(counts.values()), seed)
            for split, first, count in (("train", 0, train_clips), ("test", train_clips, test_clips)):
                if count:
                    _write(root / f"{name}-{split}" / f"{sign.number:04d}.npz", clips[first : first + count])
            done += len(clips)
            if progress is not None:
                progress(done, total)
    return root


def clip_key(sign: int, signer: str, number: int) -> str:
    """Return the name of a clip as in KArSL, with the time of one of two recording sessions per signer.

    Example:
        >>> clip_key(71, "01", 0)
        '03_01_0071_(01_12_16_12_30_00)_c'
    """
    category = int(np.searchsorted(_CATEGORY_STARTS, sign, side="right"))
    session = datetime(2016, 12, 1, 9) if number % 2 == 0 else datetime(2017, 1, 12, 14)
    time = session + timedelta(minutes=3 * (sign - 1) % 360, seconds=9 * (number // 2))
    return f"{category:02d}_{signer}_{sign:04d}_({time:%d_%m_%y_%H_%M_%S})_c"


def _check(signs: int, signers: Sequence[str], counts: dict[str, int]) -> None:
    if not 1 <= signs <= len(WORDS):
        raise ValueError(f"signs={signs} is out of range; the synthetic corpus has 1 to {pluralize(len(WORDS), 'sign')}")
    if not signers or len(set(signers)) != len(signers):
        raise ValueError(f"signers={list(signers)} must contain at least one signer, without duplicates")
    if min(counts.values()) < 0 or not any(counts.values()):
        raise ValueError(f"train_clips and test_clips are {counts}; both must be at least 0, and one more than 0")


def _clips(sign: Sign, signer: Signer, count: int, seed: int) -> list[tuple[str, np.ndarray]]:
    rng = np.random.default_rng([seed, sign.number, *signer.name.encode()])
    return [
        (clip_key(sign.number, signer.name, i), apply_detector(render_sign(sign, signer, rng), rng, signer.losses))
        for i in range(count)
    ]


def _write(path: Path, clips: list[tuple[str, np.ndarray]]) -> None:
    """Write uncompressed, so that the bytes do not depend on zlib; the time stamps of numpy are constant."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **dict(clips))  # type: ignore[arg-type]  # numpy types every key as allow_pickle


def _label_table(signs: int) -> bytes:
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("SignID", "Sign-Arabic", "Sign-English"))
    rows.writerows((number, *word) for number, word in enumerate(WORDS[:signs], start=1))
    return text.getvalue().encode("utf-8")
