"""Write WebDataset tars: an uncompressed `.npy` and a `.json` per clip, an index next to each tar, `tars.json` for all."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from karsl.errors import AnnotationError, ConfigError, CorruptRecordError
from karsl.io.annotations import LOCATOR_KEYS, is_file_name, shorten, split_annotation
from karsl.io.atomic import atomic_path
from karsl.io.clip import canonical_clip, shape_problem, to_float16, value_problem
from karsl.schema import convert, read_json
from karsl.skeletons import Skeleton
from karsl.webdataset.index import SUFFIX, index_tar
from karsl.webdataset.samples import clip_extension, group_samples, iter_tar, read_array, read_sample_json

TARS = "tars.json"
_SHARD = re.compile(r"clips-\d{6,}\.tar")
_SPECIAL = re.compile(r"[\x00-\x1f\x7f\\{}*?\[\]#:]")  # of patterns, addresses and Windows paths
_MAX_NAME_BYTES = 200  # file systems allow 255, and the cache appends suffixes
_TEMPORARY = re.compile(r"\.clips-\d{6,}\..*part\.tar")  # of `atomic_path`


@dataclass(frozen=True)
class _Tar:
    """Entry of a tar in `tars.json`; other keys are for readers of the file."""

    name: str


@dataclass(frozen=True)
class _Tars:
    """Content of `tars.json`."""

    metainfo: dict
    tars: list[_Tar]


def write_tars(
    folder: str | Path,
    metainfo: dict,
    records: list[dict],
    read_clip: Callable[[dict], np.ndarray],
    *,
    skeleton: Skeleton,
    dtype: str = "float16",
    samples_per_shard: int = 1000,
    progress: Callable[[Iterable, int], Iterable] | None = None,
) -> Path:
    """Write `clips-000000.tar` and so on, with one clip in memory at a time. WebDataset itself reads them, too.

    The data of a clip starts at a multiple of 64 bytes, so a mapped tar is read as fast as a mapped array.

    Args:
        folder: Output folder. Shards of an earlier call are replaced or removed.
        metainfo: Dataset metadata with `signs` or `classes`, stored in `tars.json`.
        records: Records in the order of the clips.
        read_clip: Returns the canonical clip of a record, (T, V, 4).
        skeleton: Skeleton of the clips.
        dtype: `'float16'` or `'float32'`.
        samples_per_shard: Number of clips in each tar but the last.
        progress: `progress(records, total)` wraps the iteration, for a progress bar.

    Returns:
        Path of `tars.json`.

    Raises:
        ConfigError: If `dtype` is unknown, a `clip_id` is not unique, a clip is not finite, exceeds float16 or has another
            skeleton, or the folder contains other tars.
    """
    if dtype not in ("float16", "float32") or samples_per_shard < 1:
        raise ConfigError(
            f"tars of dtype={dtype!r}, samples_per_shard={samples_per_shard}; expected 'float16' or 'float32', at least 1"
        )
    folder = Path(folder)
    _check_folder(folder)
    label = {sign: index for index, sign in enumerate(metainfo.get("signs", ()))}
    remaining = iter(zip(_sample_keys(records), progress(records, len(records)) if progress else records, strict=True))
    shards = []
    for number in range(-(-len(records) // samples_per_shard)):
        path = folder / f"clips-{number:06d}.tar"
        with atomic_path(path) as temp, tarfile.open(temp, "w", format=tarfile.PAX_FORMAT) as archive:
            for key, record in islice(remaining, samples_per_shard):
                clip = _to_dtype(read_clip(record), dtype, record, skeleton)
                metadata = {k: v for k, v in record.items() if k not in LOCATOR_KEYS} | {"num_frames": len(clip)}
                if "label" not in metadata and record.get("sign") in label:
                    metadata["label"] = label[record["sign"]]
                add_sample(archive, key, clip, metadata)
        index = index_tar(path)
        index.write(path.with_name(path.name + SUFFIX))
        shards.append({"name": path.name, "clips": len(index.clips), "bytes": index.size, "xxh3": index.xxh3})
    with atomic_path(folder / TARS) as temp:
        content = {"metainfo": {**metainfo, "skeleton": metainfo.get("skeleton", skeleton.name)}, "tars": shards}
        temp.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    _remove_stale(folder, {str(shard["name"]) for shard in shards})
    return folder / TARS


def read_tars(path: Path) -> dict:
    """Read `metainfo` and `tars`, the names of all shards, from a `tars.json`; empty if there is no such file.

    Raises:
        AnnotationError: If the file is damaged.
    """
    if not path.is_file():
        return {}
    remedy = "write the tars again, or remove it"
    content = read_json(path, error=AnnotationError, remedy=remedy)
    stored = convert(content, _Tars, where=path, error=AnnotationError, remedy=remedy)
    metainfo, _ = split_annotation({"metainfo": stored.metainfo, "data_list": []}, path)
    names = [tar.name for tar in stored.tars]
    wrong = next((name for name in names if not _is_tar_name(name)), None)
    if wrong is not None:
        raise AnnotationError(f"{path}: {shorten(wrong)} is no name of a tar in its folder; do not trust it, write it again")
    return {"metainfo": metainfo, "tars": names}


def _is_tar_name(name: str) -> bool:
    """Return True for a file in the same folder or a subfolder; False for other folders, addresses and patterns."""
    if not is_file_name(name) or _SPECIAL.search(name):
        return False
    return all(part not in ("", ".", "..") and len(os.fsencode(part)) <= _MAX_NAME_BYTES for part in name.split("/"))


def repack_tar(path: str | Path, out: Path, *, member: str | None = None, nonfinite: str = "raise") -> int:
    """Write the clips of any tar to an uncompressed one of canonical float32 clips, which can be mapped; return the count.

    The archive is read sequentially with one sample in memory at a time, so the members of a sample must be consecutive,
    as WebDataset writes them.

    Args:
        path: Any tar.
        out: The new tar, written atomically.
        member: Extension of the clips; None selects the only array of a sample.
        nonfinite: `'raise'`, or `'missing'` if NaN marks a missing point.

    Raises:
        CorruptRecordError: If the archive or a clip is damaged; the error names the member.
    """
    num_keypoints = count = 0
    seen: set[str] = set()
    with atomic_path(out) as temp, tarfile.open(temp, "w", format=tarfile.PAX_FORMAT) as archive:
        for key, sample in _iter_samples(path):
            where = f"{path}: sample {key!r}"
            extension = clip_extension(sample, member, where)
            if extension is None and sample.keys().isdisjoint(("json", "cls")):
                continue
            if key in seen:
                raise CorruptRecordError(
                    f"{where} comes twice; its members must follow one another, write the tar sorted by name"
                )
            seen.add(key)
            if extension is None:
                continue
            raw = read_array(sample[extension], extension, where)
            problem = shape_problem(raw.shape, raw.dtype, num_keypoints or (raw.shape[1] if raw.ndim == 3 else 0))
            if problem:
                raise CorruptRecordError(f"{where} {problem}; is it a clip?")
            num_keypoints = raw.shape[1]
            clip = canonical_clip(raw, where=where, nonfinite=nonfinite)
            add_sample(archive, key, clip, read_sample_json(sample, where))
            count += 1
    return count


def add_sample(archive: tarfile.TarFile, key: str, clip: np.ndarray, metadata: dict) -> None:
    """Add a clip and its metadata as `key.npy` and `key.json`."""
    buffer = io.BytesIO()
    np.save(buffer, clip, allow_pickle=False)
    _add_file(archive, f"{key}.npy", buffer.getvalue())
    _add_file(archive, f"{key}.json", json.dumps(metadata, ensure_ascii=False).encode())


def _add_file(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file without owner and time, so that equal clips make equal tars."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    archive.addfile(info, io.BytesIO(content))


def _iter_samples(path: str | Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield the key and the members, by extension, of each run of members with one key."""
    key = ""
    sample: dict[str, bytes] = {}
    for member, content in iter_tar(path):
        for name, members in group_samples([member], path).items():  # one, or none for a file that belongs to no sample
            if name != key and sample:
                yield key, sample
                sample = {}
            key = name
            sample[next(iter(members))] = content
    if sample:
        yield key, sample


def _check_folder(folder: Path) -> None:
    """Check that a folder contains no tars of other writers, since readers of a folder read all of its tars."""
    names = sorted(p.name for p in folder.glob("*.tar*") if not p.name.startswith("."))
    others = [name for name in names if not _SHARD.fullmatch(name.removesuffix(SUFFIX))]
    if others:
        raise ConfigError(
            f"{folder} contains {others[0]!r}, which would be read with the new tars; name a folder without others"
        )


def _remove_stale(folder: Path, written: set[str]) -> None:
    """Remove the shards of an earlier call with their indexes, and temporary files of killed writers."""
    for path in folder.glob("*clips-*"):
        name = path.name.removesuffix(SUFFIX)
        if (_SHARD.fullmatch(name) and name not in written) or _TEMPORARY.fullmatch(name):
            path.unlink()


def _sample_keys(records: list[dict]) -> Iterator[str]:
    """Yield the unique keys of samples: the `clip_id` with dots replaced, since a dot ends a key."""
    seen: set[str] = set()
    for number, record in enumerate(records):
        key = str(record.get("clip_id", f"{number:06d}")).replace(".", "_").strip("/")
        if key in seen or not key:
            raise ConfigError(f"clip_id {record.get('clip_id')!r}: a sample of a tar needs a unique name; rename the clip")
        seen.add(key)
        yield key


def _to_dtype(clip: np.ndarray, dtype: str, record: dict, skeleton: Skeleton) -> np.ndarray:
    name = record.get("clip_id", "a clip")
    problem = shape_problem(clip.shape, clip.dtype, skeleton.num_keypoints)
    problem = problem or ("has no score" if clip.shape[2] != 4 else value_problem(clip))
    if problem:
        raise ConfigError(f"{name!r} {problem}; is the skeleton {skeleton.name!r} right?")
    if dtype == "float32":
        return np.ascontiguousarray(clip, np.float32)
    return to_float16(clip, name=name, has_mask=False)
