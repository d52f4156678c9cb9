"""Tiny corpora in the real layouts of the recipe pages. Each function writes one below a folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import av
import numpy as np
from PIL import Image

from karsl.formats import convert
from karsl.io.sources import FunctionSource
from karsl.skeletons import get_skeleton
from tests.formats.lsfb_files import write_folder

FRAMES = 4


def write_video(path: Path, value: int) -> None:
    """Write a video of a few frames whose brightness starts at a value, so that no two clips are equal."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for frame in range(FRAMES):
            picture = np.full((32, 32, 3), (4 * value + frame) % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_table(path: Path, rows: Iterable[Iterable[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)


def make_karsl(root: Path) -> None:
    """Frames of two signs and three signers, recorded on two days."""
    clips = [(signer, split, sign) for signer in (1, 2, 3) for split in ("train", "test") for sign in (71, 72)]
    for number, (signer, split, sign) in enumerate(clips):
        for day in (1, 15) if split == "train" else (15,):
            name = f"03_{signer:02d}_{sign:04d}_({day:02d}_12_16_15_{number:02d}_03)_c"
            folder = root / "KArSL" / f"{signer:02d}" / split / f"{sign:04d}" / name
            folder.mkdir(parents=True)
            for frame in range(FRAMES):
                Image.new("RGB", (16, 16), (10 * number + day + frame,) * 3).save(folder / f"{frame}.jpg")


def make_autsl(root: Path) -> None:
    write_table(
        root / "AUTSL" / "SignList_ClassId_TR_EN.csv", [("ClassId", "TR", "EN"), (0, "abla", "sister"), (1, "el", "hand")]
    )
    parts = {"train": ((0, 1), "train"), "val": ((2,), "validation"), "test": ((3,), "test")}
    for split, (signers, table) in parts.items():
        names = [(f"signer{signer}_sample{sample}", sample % 2) for signer in signers for sample in (1, 2)]
        for name, label in names:
            write_video(root / "AUTSL" / split / f"{name}_color.mp4", 10 * int(name[6]) + label)
            write_video(root / "AUTSL" / split / f"{name}_depth.mp4", 60)
        write_table(root / "AUTSL" / f"{table}_labels.csv", names)


def make_wlasl(root: Path) -> None:
    kit, entries, number = root / "WLASL" / "start_kit", [], 69240
    for gloss in ("book", "drink"):
        instances = []
        for split in ("train", "train", "val", "test"):
            number += 1
            write_video(kit / "videos" / f"{number}.mp4", number % 50)
            clip = {"bbox": [0, 0, 32, 32], "fps": 25, "frame_start": 1, "frame_end": -1, "source": "a", "variation_id": 0}
            instances.append({**clip, "video_id": str(number), "signer_id": number % 7, "split": split})
        entries.append({"gloss": gloss, "instances": [*instances, {**instances[0], "video_id": "00000"}]})
    (kit / "WLASL_v0.3.json").write_text(json.dumps(entries))


def make_lsa64(root: Path) -> None:
    for number, (sign, signer) in enumerate((sign, signer) for sign in (1, 64) for signer in (1, 9, 10)):
        write_video(root / "LSA64" / "all" / f"{sign:03d}_{signer:03d}_001.mp4", number)


def make_include(root: Path) -> None:
    videos = {
        "train": ("Adjectives/1. loud/MVI_9534.MOV", "Home/34. Pen/MVI_8795.MOV", "Home/34. Pen/MVI_8796.MOV"),
        "val": ("Adjectives/1. loud/MVI_9535.MOV",),
        "test": ("Adjectives/1. loud/MVI_5178.MOV", "Home/34. Pen/MVI_8797.MOV"),
    }
    (root / "train_test_paths").mkdir()
    for number, (split, paths) in enumerate(videos.items()):
        (root / "train_test_paths" / f"include_{split}.txt").write_text("\n".join(paths))
        for take, path in enumerate(paths):
            write_video(root / "INCLUDE" / path, 8 * number + take)


def make_asl_citizen(root: Path) -> None:
    head, folder = ("Participant ID", "Video file", "Gloss", "ASL-LEX Code"), root / "ASL_Citizen"
    for number, (split, signer) in enumerate((("train", "P1"), ("val", "P2"), ("test", "P3"))):
        rows = [
            (signer, f"{take}{number}-seed{gloss}.mp4", gloss, "C_02_014") for take, gloss in enumerate(("APPLE", "DOG1"))
        ]
        write_table(folder / "splits" / f"{split}.csv", [head, *rows])
        for take, row in enumerate(rows):
            write_video(folder / "videos" / row[1], 10 * number + 4 * take)


def make_google_islr(root: Path) -> None:
    """Written by karsl, whose output Kaggle's own starter code reads."""
    points = get_skeleton("kaggle_543")
    records = [
        {"clip_id": f"{signer}{label}", "label": label, "signer": str(26734 + signer), "num_frames": FRAMES}
        for signer in range(6)
        for label in range(2)
    ]

    def read(record: dict) -> np.ndarray:
        clip = np.random.default_rng(int(record["clip_id"])).random((FRAMES, points.num_keypoints, 4), np.float32)
        clip[..., 3] = 1
        clip[:, points.groups["lh"]] = 0
        return clip

    source = FunctionSource({"classes": ("blow", "wait")}, points, records, read)
    convert(source, root / "asl-signs", "kaggle").path.joinpath("clips.json").unlink()


def make_lsfb_isol(root: Path) -> None:
    clips = [
        (f"CLSFBI010{n}A_S00{signer}_B_{n}00_{n}90", sign, f"S00{signer}", FRAMES)
        for n, (signer, sign) in enumerate([(1, "MERCI"), (1, "AMI"), (2, "MERCI"), (2, "AMI"), (3, "AMI")])
    ]
    write_folder(root / "lsfb_v2" / "isol", clips)


def make_msl150(root: Path) -> None:
    (root / "msl150").mkdir()
    for number, word in enumerate(("ambulancia", "hoy")):
        rng = np.random.default_rng(number)
        clips = {f"{word}_{n:03d}": rng.random((30, 226), np.float32) for n in range(12)}
        np.savez(root / "msl150" / f"{word}.npz", **clips)


CORPORA: dict[str, Callable[[Path], None]] = {
    "karsl": make_karsl,
    "autsl": make_autsl,
    "wlasl": make_wlasl,
    "lsa64": make_lsa64,
    "include": make_include,
    "asl-citizen": make_asl_citizen,
    "google-islr": make_google_islr,
    "lsfb-isol": make_lsfb_isol,
    "msl150": make_msl150,
}
