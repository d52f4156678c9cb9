"""Every reader of data from outside: how to write a small sound source, and how to read all of it."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import msgpack
import numpy as np
import torch
from torch.utils.data import DataLoader
from xxhash import xxh3_64_digest

from karsl.datasets import KeypointDataset, StreamDataset, TarDataset, keypoint_collate
from karsl.datasets.index.record_list import RecordList
from karsl.formats import FORMATS, convert, open_clips
from karsl.formats.karsl.scan import scan_npz_folders
from karsl.io import ClipReader, FunctionSource, list_members, read_label_table, read_member
from karsl.io.npy import array_from, parse_header
from karsl.io.remote import Retry, download, read_file, read_ranges
from karsl.io.torch_files import list_tensors, read_tensor
from karsl.pack import Manifest, pack_records, verify_pack
from karsl.skeletons import get_skeleton
from karsl.webdataset.write import write_tars
from tests.formats.lsfb_files import write_folder
from tests.fuzz.damage import damage, damage_value
from tests.fuzz.raw_server import RawServer, answer
from tests.fuzz.run import Reader

HANDS = get_skeleton("hand_42")
PIPELINE = [dict(type="LoadKeypoints"), dict(type="TSNSampleFrames", clip_len=4), dict(type="PackKeypointInputs")]
META = {"skeleton": "hand_42", "signs": (7, 9), "classes": ("see you", "thanks"), "classes_ar": ("أراك", "شكرا")}
_RETRY = Retry(attempts=2, timeout_s=2)


# ---- clips and sources ----


def clip_of(record: dict, points: int = 42) -> np.ndarray:
    """Return a clip, float32 (T, V, 4), exact in float16, with one missing point."""
    rng = np.random.default_rng(record["num_frames"])
    clip = rng.integers(1, 100, (record["num_frames"], points, 4)).astype(np.float32) / 128
    clip[:, 3] = 0
    return clip


def records() -> list[dict]:
    """Return four records with labels."""
    common = [{"clip_id": f"0{n % 2 + 1}-train/clip {n}", "num_frames": n + 2, "label": n % 2} for n in range(4)]
    return [{**record, "sign": META["signs"][n % 2], "signer": "01", "split": "train"} for n, record in enumerate(common)]


def source_of(skeleton: str, *, same_length: bool = False) -> FunctionSource:
    """Return four clips on a skeleton."""
    points = get_skeleton(skeleton)
    rows = [{**record, "num_frames": 3} for record in records()] if same_length else records()
    read = partial(clip_of, points=points.num_keypoints)
    return FunctionSource({**META, "dataset_name": "fuzz", "skeleton": skeleton}, points, rows, read)


def make_format(name: str, folder: Path) -> Path:
    """Write clips in a format."""
    source = source_of(FORMATS[name].skeleton or "hand_42", same_length=name == "holistic-block")
    suffix = {"pyskl": ".pkl", "pyskl2d": ".pkl", "spoter": ".csv"}.get(name, "")
    return convert(source, folder / f"clips{suffix}", name).path


def read_format(name: str, path: Path) -> None:
    """Read all clips of a format, as `convert` does."""
    options = {"skeleton": "hand_42"} if name in ("karsl", "karsl-block") else {}
    source = open_clips(path, format=name, trusted=True, **options)
    for record in source.records[:8]:
        source.read(record)


def make_pack(folder: Path) -> Path:
    pack_records(folder / "pack", META, records(), clip_of, skeleton=HANDS)
    return folder / "pack"


def make_tars(folder: Path) -> Path:
    write_tars(folder / "tars", META, records(), clip_of, skeleton=HANDS)
    return folder / "tars"


def make_asl_app(folder: Path) -> Path:
    frame = {"pose": [[0.1, 0.2, 0.3]] * 33, "face": None, "right_hand": [[0.1, 0.2, 0.3]] * 21, "left_hand": None}
    (folder / "app").mkdir()
    for sign in ("hello", "thanks"):
        (folder / "app" / f"{sign}.json").write_text(json.dumps({"sign": sign, "fps": 30, "frames": [frame] * 3}))
    return folder / "app"


def make_lsfb(folder: Path) -> Path:
    return write_folder(folder / "lsfb", [("a_1", "MERCI", "S001", 3), ("b_2", "AMI", "S002", 2)])


def make_msl(folder: Path) -> Path:
    (folder / "msl").mkdir()
    for word in ("hello", "thanks"):
        np.savez(folder / "msl" / f"{word}.npz", a=np.ones((3, 226), np.float32), b=np.ones((5, 226), np.float32))
    return folder / "msl"


def make_block(folder: Path) -> Path:
    """Write the four files of the reference project's block."""
    root = folder / "block"
    root.mkdir()
    clips = [clip_of(record) for record in records()]
    np.concatenate(clips).astype(np.float32).tofile(root / "train_X.mmap")
    np.save(root / "train_X_shape.npy", (14, 42, 4))
    np.savez(root / "train_y.npz", y=[7, 7, 9, 9])
    np.save(root / "train_X_map_samples_lens.npy", {7: {1: [2, 3]}, 9: {1: [4, 5]}})
    return root


def make_arrays(folder: Path) -> Path:
    """Write stacks, ragged clips and a file per clip, in the folder of a class."""
    root = folder / "arrays"
    (root / "hello").mkdir(parents=True)
    clips = [clip_of(record) for record in records()]
    stack = np.stack([clip[:2] for clip in clips])
    np.save(root / "hello" / "shard_0.npy", stack)
    np.savez(root / "hello" / "shard_1.npz", stack)
    torch.save(torch.from_numpy(stack), root / "hello" / "shard_2.pt")
    np.savez(root / "hello" / "shard_3.npz", data=np.concatenate(clips), lengths=[len(clip) for clip in clips])
    np.save(root / "hello" / "1.npy", clips[0])
    return root


def read_arrays(path: Path) -> None:
    source = open_clips(path, format="arrays", layout="hand_42")
    for record in source.records:
        source.read(record)
    read_dataset(KeypointDataset(data_root=str(path), layout="hand_42", pipeline=PIPELINE, index_cache=None))


def make_scan(folder: Path) -> Path:
    """Write KArSL's layout; its cached scan is written when it is first read."""
    root = folder / "corpus" / "01-train"
    root.mkdir(parents=True)
    for sign in (7, 9):
        np.savez(root / f"{sign:04d}.npz", a=clip_of(records()[0]), b=clip_of(records()[1]))
        os.utime(root / f"{sign:04d}.npz", (1, 1))  # files of the last seconds are not cached
    (folder / "cache").mkdir()
    scan_npz_folders(root.parent, skeleton=HANDS, cache_dir=folder / "cache")
    return root.parent


def read_scan(root: Path) -> None:
    result = scan_npz_folders(root, skeleton=HANDS, cache_dir=root.parent / "cache")
    reader = ClipReader()
    for record in result.records:
        reader.read({**record, "keypoint_path": str(root / record["keypoint_path"])}, HANDS.num_keypoints)


def damage_scan(content: bytes, rng: Random) -> bytes:
    """Damage a value of a cached scan, whose checksum is then right again."""
    stored = msgpack.unpackb(content[8:], unicode_errors="surrogatepass")
    with suppress(TypeError, OverflowError):  # a value that msgpack cannot store
        packed = msgpack.packb(damage_value(stored, rng), unicode_errors="surrogatepass")
        return xxh3_64_digest(packed) + packed
    return damage(content, rng)


# ---- datasets ----


def read_dataset(dataset: Any) -> None:
    """Read single samples and batches in the compiled pass."""
    count = min(len(dataset), 8)
    for index in range(count):
        dataset[index]
    keypoint_collate(dataset.__getitems__(list(range(count))))


def read_pack(path: Path) -> None:
    read_dataset(KeypointDataset(data_root=str(path), ann_file="annotations.json", pipeline=PIPELINE, index_cache=None))


def read_pack_unchecked(path: Path) -> None:
    options = dict(pipeline=[PIPELINE[0] | {"verify": "off"}, *PIPELINE[1:]], index_cache=None)
    read_dataset(KeypointDataset(data_root=str(path), ann_file="annotations.json", **options))


def make_annotated(folder: Path) -> Path:
    return make_format("annotation", folder)


def read_annotated(path: Path) -> None:
    annotations = next(path.glob("*.json")).name
    read_dataset(KeypointDataset(data_root=str(path), ann_file=annotations, pipeline=PIPELINE, index_cache=None))


def read_tars(path: Path) -> None:
    cache = path.parent / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    read_dataset(TarDataset(str(path), PIPELINE, cache_dir=str(cache), index_cache=None))


def read_stream(path: Path) -> None:
    cache = path.parent / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    stream = StreamDataset(str(path), PIPELINE, seed=0, cache_dir=str(cache), index_cache=None)
    for batch in DataLoader(stream, 2, collate_fn=keypoint_collate):
        batch["inputs"].sum()


# ---- single files ----


def make_npy(folder: Path) -> Path:
    np.save(folder / "clip.npy", clip_of(records()[0]))
    return folder / "clip.npy"


def read_npy(path: Path) -> None:
    from karsl.errors import CorruptRecordError

    ClipReader().read({"keypoint_path": str(path)}, 42)
    content = path.read_bytes()
    with suppress(CorruptRecordError, ValueError):  # what callers of these two handle
        parse_header(content)
        array_from(content)


def make_npz(save: Callable[..., None], folder: Path) -> Path:
    save(folder / "clips.npz", a=clip_of(records()[0]), b=clip_of(records()[1]).astype(np.float16))
    return folder / "clips.npz"


def read_npz(path: Path) -> None:
    members, _ = list_members(path)
    for member in members:
        read_member(path, member.key)
        ClipReader().read({"keypoint_path": str(path), "keypoint_key": member.key}, 42)


def make_torch(folder: Path) -> Path:
    torch.save({"a": torch.from_numpy(clip_of(records()[0])), "b": torch.zeros(3, 42, 4)}, folder / "clips.pt")
    return folder / "clips.pt"


def read_torch(path: Path) -> None:
    members, _ = list_tensors(path)
    for member in members:
        read_tensor(path, member.key)
        ClipReader().read({"keypoint_path": str(path), "keypoint_key": member.key}, 42)


def make_labels(suffix: str, folder: Path) -> Path:
    path = folder / f"labels{suffix}"
    rows = [("SignID", "Sign-Arabic", "Sign-English"), (7, "أراك", "see you"), (9, "شكرا", "thanks")]
    if suffix == ".xlsx":
        import openpyxl

        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        book.save(path)
    elif suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows(rows)
    else:
        path.write_text(json.dumps({"AR_WORDS": ["أراك", "شكرا"], "EN_WORDS": ["see you", "thanks"]}))
    return path


def make_index(folder: Path) -> Path:
    columns = {"label": "int64", "split": "category"}
    RecordList.build(records(), path=folder / "a.idx", fingerprint="ab" * 16, columns=columns, meta=dict(META))
    return folder / "a.idx"


def read_index(path: Path) -> None:
    content = path.read_bytes()  # damage among the records deletes the file
    try:
        found = RecordList.open(path, "ab" * 16)
        _ = found.meta, [found[index] for index in range(min(len(found), 8))]
        for column in found.columns:
            found.column(column)
    finally:
        path.write_bytes(content)
        path.chmod(0o600)


# ---- answers of a server ----


def make_answers(folder: Path) -> Path:
    """Store the bytes that a server sends for the files of a pack and of tars, headers included."""
    answers = folder / "answers"
    for made in (make_pack(folder), make_tars(folder)):
        for file in sorted(path for path in made.rglob("*") if path.is_file()):
            target = answers / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(answer(file.read_bytes()))
        shutil.rmtree(made)
    body = bytes(range(100))
    (answers / "part.bin").write_bytes(answer(body[10:60], "206 Partial Content", {"Content-Range": "bytes 10-59/100"}))
    return answers


def damage_answer(content: bytes, rng: Random) -> bytes:
    """Damage the header of an answer, or the body below a header that is right."""
    header, _, body = content.partition(b"\r\n\r\n")
    if rng.random() < 0.5:
        return damage(header + b"\r\n", rng) + b"\r\n" + body
    damaged = damage(body, rng)
    return header.replace(b"Content-Length: %d" % len(body), b"Content-Length: %d" % len(damaged)) + b"\r\n\r\n" + damaged


def read_answers(path: Path) -> None:
    """Read single files and ranges, then the tars and the pack as streams."""
    target = path.parent / "target"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    server = RawServer.of_process(path)
    errors: list[BaseException] = []
    for read in (
        lambda: read_file(f"{server.url}/tars/tars.json", "", _RETRY),
        lambda: download(f"{server.url}/tars/tars.json", target / "part", retry=_RETRY),
        lambda: read_ranges(f"{server.url}/part.bin", [(10, 60)], retry=_RETRY),
        lambda: _read_remote(f"{server.url}/tars/clips-000000.tar", target / "a"),
        lambda: _read_remote(f"{server.url}/pack", target / "b"),
    ):
        try:
            read()
        except Exception as error:
            errors.append(error)
    _raise_foreign(errors)


def _read_remote(url: str, cache: Path) -> None:
    stream = StreamDataset(url, PIPELINE, seed=0, cache_dir=str(cache), index_cache=None)
    for batch in DataLoader(stream, 2, collate_fn=keypoint_collate):
        batch["inputs"].sum()


def _raise_foreign(errors: list[BaseException]) -> None:
    """Raise the first error that is none of karsl, or else the first."""
    from karsl.errors import KarslError
    from karsl.io.remote import NotModified, RangesNotSupported

    answers = (KarslError, NotModified, RangesNotSupported)
    foreign = [error for error in errors if not isinstance(error, answers)]
    karsl = [error for error in errors if isinstance(error, KarslError)]
    for error in (foreign or karsl)[:1]:
        raise error


_SINGLE = (
    Reader("npy", make_npy, read_npy),
    Reader("npz-stored", partial(make_npz, np.savez), read_npz),
    Reader("npz-deflated", partial(make_npz, np.savez_compressed), read_npz),
    Reader("torch", make_torch, read_torch),
    *(
        Reader(f"labels-{suffix[1:]}", partial(make_labels, suffix), read_label_table)
        for suffix in (".csv", ".xlsx", ".json")
    ),
    Reader("index", make_index, read_index),
    Reader("scan-cache", make_scan, read_scan, "*.scan", damage_scan),
)
_DATASETS = (
    Reader("pack-manifest", make_pack, Manifest.read, "manifest.json"),
    Reader("pack-annotations", make_pack, read_pack, "annotations.json"),
    Reader("pack-files", make_pack, read_pack),
    Reader("pack-unchecked", make_pack, read_pack_unchecked),
    Reader("pack-verify", make_pack, verify_pack),
    Reader("annotations", make_annotated, read_annotated, "*.json"),
    Reader("tar-dataset", make_tars, read_tars),
    Reader("tar-stream", make_tars, read_stream),
    Reader("pack-stream", make_pack, read_stream),
    Reader("server", make_answers, read_answers, damage=damage_answer),
)
_FORMATS = (
    *(
        Reader(name, partial(make_format, name), partial(read_format, name))
        for name, form in FORMATS.items()
        if form.writer and form.reader
    ),
    Reader("asl-app", make_asl_app, partial(read_format, "asl-app")),
    Reader("arrays", make_arrays, read_arrays),
    Reader("lsfb", make_lsfb, partial(read_format, "lsfb")),
    Reader("msl150", make_msl, partial(read_format, "msl150")),
    Reader("karsl-block", make_block, partial(read_format, "karsl-block")),
    Reader("pack", make_pack, partial(read_format, "pack")),
)
READERS: dict[str, Reader] = {reader.name: reader for reader in (*_SINGLE, *_DATASETS, *_FORMATS)}
"""All readers by name. A new format that can be written is among them without an edit here."""
