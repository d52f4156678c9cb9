"""Faults to plant in a corpus, one function each, and what an audit must report for it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from karsl.audit.finding import KINDS
from karsl.io import list_members, read_member
from karsl.skeletons import get_skeleton
from karsl.skeletons.skeleton import mirror_name

SKELETON = get_skeleton("karsl_184")
RIGHT, LEFT = SKELETON.groups["rh"], SKELETON.groups["lh"]
Clips = dict[str, dict[str, np.ndarray]]
"""Arrays by file and key."""

MIRROR = SKELETON.indices([mirror_name(name) for name in SKELETON.names])


def load(root: Path) -> Clips:
    """Return every clip of a data root."""
    paths = sorted(root.glob("*/*.npz"))
    return {
        path.relative_to(root).as_posix(): {m.key: read_member(str(path), m.key) for m in list_members(path)[0]}
        for path in paths
    }


def save(root: Path, clips: Clips, labels: Path | None = None) -> Path:
    """Write clips as a data root."""
    for name, arrays in clips.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        np.savez(root / name, **arrays)
    if labels:
        shutil.copy(labels / "labels.csv", root)
    return root


def coordinates(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """Return a change of a clip that changes x, y and z of detected points."""

    def changed(clip: np.ndarray) -> np.ndarray:
        out = clip.copy()
        seen = clip[..., :3].any(-1)
        out[..., :3] = np.where(seen[..., None], change(clip[..., :3].copy()), 0)
        return out

    return changed


def swap_hands(clip: np.ndarray) -> np.ndarray:
    out = clip.copy()
    out[:, RIGHT], out[:, LEFT] = clip[:, LEFT], clip[:, RIGHT]
    return out


def double_hand(clip: np.ndarray) -> np.ndarray:
    out = clip.copy()
    out[:, LEFT] = clip[:, RIGHT]
    return out


def scaled(x: float, y: float, z: float) -> Callable[[np.ndarray], np.ndarray]:
    return coordinates(lambda xyz: xyz * np.array([x, y, z], xyz.dtype))


def spike(value: float, frame: int = 3, point: int = 100, axis: int = 0) -> Callable[[np.ndarray], np.ndarray]:
    def changed(clip: np.ndarray) -> np.ndarray:
        out = clip.copy()
        out[frame, point, axis] = value
        return out

    return changed


def reorder(order: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda clip: clip[:, order]


def permuted(part: slice) -> np.ndarray:
    order = np.arange(184)
    order[part] = np.random.default_rng(1).permutation(order[part])
    return order


def without(*parts: slice) -> Callable[[np.ndarray], np.ndarray]:
    def changed(clip: np.ndarray) -> np.ndarray:
        out = clip.copy()
        for part in parts:
            out[:, part] = 0
        return out

    return changed


def by_text(clip: np.ndarray) -> np.ndarray:
    return clip[np.argsort([str(number) for number in range(len(clip))])]


def shuffled(clip: np.ndarray) -> np.ndarray:
    return clip[np.random.default_rng(0).permutation(len(clip))]


def mostly_empty(clip: np.ndarray) -> np.ndarray:
    out = clip.copy()
    out[len(out) // 3 :] = 0
    return out


FLIPPED = coordinates(lambda xyz: xyz * [-1, 1, 1] + [1, 0, 0])
GROUP_ORDER = np.concatenate([np.arange(142, 184), np.arange(142)])  # hands before pose and face

CONTENT: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "empty": ("empty", lambda clip: clip * 0),
    "scores without points": ("empty", lambda clip: clip * np.float32([0, 0, 0, 1])),
    "one frame": ("one_frame", lambda clip: clip[10:11]),
    "frozen": ("frozen", lambda clip: np.repeat(clip[10:11], len(clip), 0)),
    "frozen from the middle on": ("repeats", lambda clip: clip[np.minimum(np.arange(len(clip)), len(clip) // 2)]),
    "every frame twice": ("repeats", lambda clip: np.repeat(clip, 2, 0)),
    "mostly empty": ("gaps", mostly_empty),
    "pixels": ("unit", scaled(1280, 720, 1280)),
    "percent": ("unit", scaled(100, 100, 100)),
    "tiny": ("unit", scaled(1 / 256, 1 / 256, 1 / 256)),
    "1e20 at one point": ("far", spike(1e20)),
    "-5000 at one point": ("far", spike(-5000.0, axis=1)),
    "1e20 at a shoulder": ("far", lambda clip: spike(1e20, frame=len(clip) // 8, point=0)(clip)),
    "z in pixels": ("far", scaled(1, 1, 720)),
    "upside down": ("upside_down", coordinates(lambda xyz: xyz * [1, -1, 1] + [0, 1, 0])),
    "rotated by 180 degrees": ("upside_down", coordinates(lambda xyz: xyz * [-1, -1, 1] + [1, 1, 0])),
    "x and y exchanged": ("rotated", coordinates(lambda xyz: xyz[..., [1, 0, 2]])),
    "rotated by 90 degrees": ("rotated", coordinates(lambda xyz: xyz[..., [1, 0, 2]] * [1, -1, 1] + [0, 1, 0])),
    "mirrored": ("mirrored", FLIPPED),
    "left and right names exchanged": ("mirrored", reorder(MIRROR)),
    "x is constant": ("flat", coordinates(lambda xyz: xyz * [0, 1, 1] + [0.5, 0, 0])),
    "all points at one place": ("flat", coordinates(lambda xyz: xyz * 0 + 0.5)),
    "no depth": ("no_depth", scaled(1, 1, 0)),
    "points reversed": ("order", lambda clip: clip[:, ::-1]),
    "points shuffled": ("order", reorder(permuted(slice(0, 184)))),
    "points of the face shuffled": ("order", reorder(permuted(slice(6, 142)))),
    "points of the hands shuffled": ("order", reorder(permuted(slice(142, 184)))),
    "groups in another order": ("order", reorder(GROUP_ORDER)),
    "hands exchanged": ("swapped_hands", swap_hands),
    "flipped but for the arms": ("swapped_hands", swap_hands),
    "one hand twice": ("one_hand_twice", double_hand),
    "no hands": ("no_hand", without(RIGHT, LEFT)),
    "no face": ("no_group", without(SKELETON.groups["face"])),
    "frames sorted by text": ("sorted_by_text", by_text),
    "frames in random order": ("jumps", shuffled),
    "four signs in one clip": ("length", lambda clip: np.concatenate([scaled(*[1 + 1e-4 * k] * 3)(clip) for k in range(6)])),
}
"""Faults of one clip: kind of the finding, and the change."""


COPIES: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "the same": ("copy", lambda clip: clip),
    "as float64": ("copy", lambda clip: clip.astype(np.float64)),
    "rounded to float16": ("near_copy", lambda clip: clip.astype(np.float16)),
    "with noise": (
        "near_copy",
        lambda clip: coordinates(lambda xyz: xyz + np.random.default_rng(0).normal(0, 5e-4, xyz.shape))(clip),
    ),
    "cut at both ends": ("near_copy", lambda clip: clip[2:-3]),
    "at half the frame rate": ("near_copy", lambda clip: clip[::2]),
    "moved and scaled": ("near_copy", coordinates(lambda xyz: xyz * 0.9 + [0.05, 0.02, 0])),
}
"""Copies of a clip: kind of the finding, and the change of the copy."""


def plant_files(root: Path) -> dict[str, str]:
    """Plant faults of files and folders in a data root; return a part of the text that reports each."""
    valid = np.zeros((5, 184, 4), np.float32) + np.random.default_rng(0).random((5, 184, 4), np.float32)
    expected = {}

    def write(name: str, text: str, **arrays: object) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        np.savez(root / name, **arrays)  # type: ignore[arg-type]
        expected[name] = text

    write("01-tain/0001.npz", "01-tain: no split 'tain'", a=valid)
    write("signer2_train/0001.npz", "folder 'signer2_train' is not read, but has clips", a=valid)
    write("01-train/hello.npz", "01-train/hello.npz: a file must be named by its SignID", a=valid)
    write("01-train/0900.npz", "sign 900 is not in the label table", a=valid)
    write("01-train/0006/33.npz", "no known skeleton has 33, see --source-skeleton", a=valid[:, :33])
    write("01-train/0006/two.npz", "has 2 values per keypoint", a=valid[..., :2])
    write("01-train/0006/flat.npz", "has shape (5, 736)", a=valid.reshape(5, -1))
    write("01-train/0006/none.npz", "has no frames", a=valid[:0])
    write("01-train/0006/text.npz", "holds <U1, not numbers", a=np.array(["x"]))
    write("01-train/0006/nan.npz", "that are NaN or infinite, first in frame 0, keypoint 0", a=valid * np.nan)
    write(
        "01-train/0006/inf.npz",
        "has 1 values that are NaN or infinite, first in frame 2, keypoint 7",
        a=spike(np.inf, 2, 7)(valid),
    )
    write("01-train/0006/pickle.npz", "pickle.npz", a=np.array([{}], object))
    good = (root / "01-train/0001.npz").read_bytes()
    for name, content in (("cut", good[: len(good) // 2]), ("no", b"not an archive"), ("zero", b"")):
        (root / f"01-train/0006/{name}.npz").write_bytes(content)
        expected[f"01-train/0006/{name}.npz"] = f"01-train/0006/{name}.npz"
    np.save(root / "01-train/0003.npy", valid)
    expected["npy beside the archives"] = "01-train/0003.npy: one array without a name"
    damaged = bytearray(good)
    damaged[len(good) // 3] ^= 0xFF
    (root / "03-test/0001.npz").write_bytes(bytes(damaged))
    expected["damaged bytes"] = "03-test/0001.npz"
    (root / "04-train").mkdir()
    expected["empty folder"] = "04-train: the folder is empty"
    (root / "05-train").mkdir()
    (root / "05-train/readme.txt").write_text("nothing")
    expected["folder without clips"] = "05-train: the folder has no"
    (root / "extra").mkdir()
    expected["extra folder"] = "1 folder is not read: 'extra'"
    (root / "01-train/0001.zip").write_bytes(b"x")
    expected["another type"] = "01-train/0001.zip"
    (root / "01-train/._0001.npz").write_bytes(b"x")
    expected["hidden"] = "01-train/._0001.npz"
    os.symlink(root / "nowhere", root / "01-train/0004.npz.link")
    expected["link"] = "1 link without a target is not read: '01-train/0004.npz.link'"
    os.symlink(root, root / "01-train/loop")
    expected["loop"] = "1 link to a folder that contains it is not read: '01-train/loop'"
    os.mkfifo(root / "01-train/pipe.npz")
    expected["pipe"] = "1 pipe, socket or device is not read: '01-train/pipe.npz'"
    (root / os.fsdecode(b"01-train/0006/\xe9.npz")).write_bytes(good)
    expected["name that is not UTF-8"] = r"01-train/0006/\xe9.npz: the name is not UTF-8"
    (root / "0001.npz").write_bytes(good)
    expected["file outside"] = "1 file outside of a folder like '01-train' is not read: '0001.npz'"
    return expected


def as_single_files(root: Path, name: str) -> None:
    """Replace an archive by a folder with a file per clip."""
    clips = dict(np.load(root / name))
    (root / name).unlink()
    (root / name[:-4]).mkdir()
    for key, clip in clips.items():
        np.save(root / name[:-4] / f"{key}.npy", clip)


def kinds_text(kind: str) -> str:
    """Return what a finding says about several clips."""
    return KINDS[kind].many
