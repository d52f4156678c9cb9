"""The same clips in every arrangement of array files that is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from karsl.skeletons import get_skeleton

WORDS = ("hello", "yes")
Clips = dict[str, list[np.ndarray]]


class Form(NamedTuple):
    """An arrangement: how it is written, the arguments that read it, and whether clips have one length."""

    write: Callable[[Path, Clips], Any]
    options: dict[str, Any] = {}  # noqa: RUF012 - never modified
    one_length: bool = False
    skeleton: str = "karsl_184"


def make_clips(lengths: tuple[int, int, int, int], skeleton: str = "karsl_184") -> Clips:
    """Return two clips (T, V, 4) of each word; a score is positive, and one point and one group in ten are missing."""
    rng, points = np.random.default_rng(7), get_skeleton(skeleton)
    clips = []
    for frames in lengths:
        clip = rng.uniform(0.1, 1, (frames, points.num_keypoints, 4)).astype(np.float32)
        clip[rng.random(clip.shape[:2]) < 0.1] = 0
        clip[0, list(points.groups.values())[-1]] = 0
        clips.append(clip)
    return {"hello": clips[:2], "yes": clips[2:]}


def write_karsl(root: Path, clips: Clips) -> None:
    """Write KArSL's layout: an archive per sign, an array per clip."""
    (root / "01-train").mkdir(parents=True)
    for sign, own in enumerate(clips.values(), start=1):
        np.savez(root / f"01-train/{sign:04d}.npz", **{str(i): clip for i, clip in enumerate(own)})


def each(suffix: str, save: Callable[[Path, np.ndarray], Any], change: Callable = lambda clip: clip) -> Callable:
    """Return a writer of `<word>/<clip><suffix>`."""

    def write(root: Path, clips: Clips) -> None:
        for word, own in clips.items():
            (root / word).mkdir(parents=True)
            for i, clip in enumerate(own):
                save(root / word / f"{i}{suffix}", change(clip))

    return write


def per_word(suffix: str, save: Callable[[Path, list[np.ndarray]], Any]) -> Callable:
    """Return a writer of `<word><suffix>`."""

    def write(root: Path, clips: Clips) -> None:
        root.mkdir(parents=True)
        for word, own in clips.items():
            save(root / f"{word}{suffix}", own)

    return write


def _block(root: Path, clips: Clips) -> None:
    root.mkdir(parents=True)
    np.save(root / "X.npy", np.concatenate([np.stack(own) for own in clips.values()]))
    np.save(root / "y.npy", np.repeat([0, 1], 2))


def _shards(root: Path, clips: Clips) -> None:
    root.mkdir(parents=True)
    stack = np.concatenate([np.stack(own) for own in clips.values()])
    np.save(root / "shard_9.npy", stack[:3])
    np.save(root / "shard_10.npy", stack[3:])  # after shard 9
    np.save(root / "labels.npy", np.array(["hello", "hello", "yes", "yes"]))


def _named_by_pattern(root: Path, clips: Clips) -> None:
    root.mkdir(parents=True)
    for word, own in clips.items():
        for i, clip in enumerate(own):
            np.save(root / f"{word}-{i + 1}.npy", clip)


def _table(root: Path, clips: Clips) -> None:
    root.mkdir(parents=True)
    rows = ["file;gloss;signer"]
    for word, own in clips.items():
        for i, clip in enumerate(own):
            np.save(root / f"{word[0]}{i}.npy", clip)
            rows.append(f"{word[0]}{i}.npy;{word};{i}")
    (root / "labels.csv").write_text("\n".join(rows), encoding="utf-8-sig")


def _ragged_pair(root: Path, clips: Clips) -> None:
    root.mkdir(parents=True)
    joined = [clip for own in clips.values() for clip in own]
    np.save(root / "data.npy", np.concatenate(joined))
    np.save(root / "data_offsets.npy", np.cumsum([0, *map(len, joined)]))
    np.save(root / "labels.npy", np.array([0, 0, 1, 1]))


def _padded(path: Path, own: list[np.ndarray]) -> None:
    stack = np.full((len(own), max(map(len, own)), *own[0].shape[1:]), 5, np.float32)
    for row, clip in zip(stack, own, strict=True):
        row[: len(clip)] = clip
    np.savez(path, clips=stack, lengths=[len(clip) for clip in own])


def _parts(path: Path, clip: np.ndarray) -> None:
    groups = get_skeleton("mp_75").groups
    parts = {name: clip[:, groups[group]] for name, group in (("body", "pose"), ("left", "lh"), ("right", "rh"))}
    np.savez(path, **parts, info=np.zeros(3), left_meta=np.zeros((len(clip), 4)))


def _frames(root: Path, clips: Clips) -> None:
    for word, own in clips.items():
        for i, clip in enumerate(own):
            (root / word / str(i)).mkdir(parents=True)
            for number, frame in enumerate(clip):
                np.save(root / word / str(i) / f"{number}.npy", frame.reshape(-1))


def _minus_one(clip: np.ndarray) -> np.ndarray:
    return np.where(clip[..., 3:] > 0, clip, np.float32(-1))


def _zero_score(clip: np.ndarray) -> np.ndarray:
    out = clip.copy()
    out[clip[..., 3] == 0] = (0.5, 0.5, 0.5, 0)
    return out


def save_h5(path: Path, own: list[np.ndarray]) -> None:
    """Write a stack."""
    import h5py

    with h5py.File(path, "w") as file:
        file["clips"] = np.stack(own)


K = {"layout": "karsl_184"}
FORMS: dict[str, Form] = {
    "npy per clip": Form(each(".npy", np.save), K),
    "npy of float64": Form(each(".npy", lambda path, clip: np.save(path, clip.astype(np.float64))), K),
    "npy in Fortran order": Form(each(".npy", lambda path, clip: np.save(path, np.asfortranarray(clip))), K),
    "pt per clip": Form(each(".pt", lambda path, clip: torch.save(torch.from_numpy(clip), path)), K),
    "npz per word": Form(per_word(".npz", lambda path, own: np.savez(path, *own)), K),
    "compressed npz per word": Form(per_word(".npz", lambda path, own: np.savez_compressed(path, *own)), K),
    "npy stack per word": Form(per_word(".npy", lambda path, own: np.save(path, np.stack(own))), K, one_length=True),
    "compressed stack per word": Form(
        per_word(".npz", lambda path, own: np.savez_compressed(path, X=np.stack(own))), K, one_length=True
    ),
    "pt stack per word": Form(
        per_word(".pt", lambda path, own: torch.save(torch.from_numpy(np.stack(own)), path)), K, one_length=True
    ),
    "pt list per word": Form(per_word(".pt", lambda path, own: torch.save([torch.from_numpy(c) for c in own], path)), K),
    "pt dict per word": Form(
        per_word(".pt", lambda path, own: torch.save({f"c{i}": torch.from_numpy(c) for i, c in enumerate(own)}, path)), K
    ),
    "h5 stack per word": Form(per_word(".h5", save_h5), K, one_length=True),
    "X and y": Form(_block, K, one_length=True),
    "shards and labels": Form(_shards, K, one_length=True),
    "joined clips with lengths": Form(
        per_word(".npz", lambda path, own: np.savez(path, data=np.concatenate(own), lengths=[len(c) for c in own])), K
    ),
    "joined clips with offsets in a file": Form(_ragged_pair, K),
    "joined clips in a dict of tensors": Form(
        per_word(
            ".pt",
            lambda path, own: torch.save(
                {"data": torch.from_numpy(np.concatenate(own)), "lengths": torch.tensor([len(c) for c in own])}, path
            ),
        ),
        K,
    ),
    "padded stack with lengths": Form(per_word(".npz", _padded), K),
    "names by a pattern": Form(_named_by_pattern, {**K, "pattern": r"(?P<label>[a-z]+)-(?P<signer>\d+)"}),
    "table of labels": Form(_table, K),
    "columns": Form(each(".npy", np.save, lambda clip: clip.reshape(len(clip), -1)), {"layout": "karsl_184; axes=TD"}),
    "stack of columns": Form(
        per_word(".npy", lambda path, own: np.save(path, np.stack(own).reshape(len(own), len(own[0]), -1))),
        {"layout": "karsl_184; axes=TD"},
        one_length=True,
    ),
    "coordinates first": Form(
        each(".npy", np.save, lambda clip: clip.transpose(2, 0, 1)), {"layout": "karsl_184; axes=CTV"}
    ),
    "persons first": Form(
        each(".npy", np.save, lambda clip: np.stack([np.full_like(clip, 9), clip])),
        {"layout": {"skeleton": "karsl_184", "axes": "MTVC", "person": 1}},
    ),
    "missing as NaN": Form(
        each(".npy", np.save, lambda clip: np.where(clip[..., 3:] > 0, clip, np.float32(np.nan))),
        {"layout": "karsl_184; missing=nan"},
    ),
    "missing as -1": Form(each(".npy", np.save, _minus_one), {"layout": "karsl_184; missing=minus_one"}),
    "missing by score": Form(each(".npy", np.save, _zero_score), {"layout": "karsl_184; missing=zero_score"}),
    "array per group": Form(each(".npz", _parts), {"layout": "pose=body, lh=left, rh=right"}, skeleton="mp_75"),
    "file per frame": Form(_frames, {"layout": "pose:33x4, lh:21x4, rh:21x4"}, skeleton="mp_75"),
}
