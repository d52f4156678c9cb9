"""WebDataset tars, written: one uncompressed `.npy` and one `.json` a clip, an index beside each, `tars.json` beside all."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from karsl.errors import AnnotationError, ConfigError
from karsl.skeletons import Skeleton
from karsl.storage.annotation import LOCATOR_KEYS
from karsl.storage.atomic import atomic_path
from karsl.storage.half import to_half
from karsl.storage.record import shape_problem, value_problem
from karsl.storage.tar.index import SUFFIX, index_tar

TARS = "tars.json"
_OURS = re.compile(r"clips-\d{6,}\.tar")
_LEFT_OVER = re.compile(r"\.clips-\d{6,}\..*part\.tar")  # of `atomic_path`


def write_tars(
    folder: str | Path,
    metainfo: dict,
    records: list[dict],
    read_clip: Callable[[dict], np.ndarray],
    *,
    skeleton: Skeleton,
    dtype: str = "float16",
    clips_per_tar: int = 1000,
    progress: Callable[[Iterable, int], Iterable] | None = None,
) -> Path:
    """Write `clips-000000.tar` and so on, one clip in memory at a time; stock WebDataset reads them.

    The numbers of a clip begin at a multiple of 64 bytes, so that a mapped tar is as good as a mapped array.

    Args:
        folder: Made if absent. What was written there before is replaced, tars that are no longer needed included.
        metainfo: Dataset-level facts, with `signs` or `classes`; kept in `tars.json`.
        records: In the order they are to lie in.
        read_clip: Gives the canonical clip of a record, (T, V, 4).
        skeleton: Of the clips.
        dtype: `'float16'` or `'float32'`.
        clips_per_tar: Clips of each but the last.
        progress: `progress(records, total)` wraps the iteration, for a bar.

    Returns:
        Path of `tars.json`.

    Raises:
        ConfigError: An unknown `dtype`, two clips of one id, a value that is NaN or that float16 cannot hold, a clip of
            another skeleton, or other tars in the folder.
    """
    folder, kind = Path(folder), np.dtype(dtype)
    if kind not in (np.float16, np.float32) or clips_per_tar < 1:
        raise ConfigError(
            f"tars of dtype={dtype!r}, {clips_per_tar} clips each; expected 'float16' or 'float32', and 1 or more"
        )
    _refuse_others(folder)
    label = {sign: place for place, sign in enumerate(metainfo.get("signs", ()))}
    keys = _keys(records)
    waiting = iter(zip(keys, progress(records, len(records)) if progress else records, strict=True))
    shards = []
    for number in range(-(-len(records) // clips_per_tar)):
        path = folder / f"clips-{number:06d}.tar"
        with atomic_path(path) as part, tarfile.open(part, "w", format=tarfile.PAX_FORMAT) as archive:
            for key, record in islice(waiting, clips_per_tar):
                clip = _stored(read_clip(record), kind, record, skeleton)
                facts = {k: v for k, v in record.items() if k not in LOCATOR_KEYS} | {"num_frames": len(clip)}
                if "label" not in facts and record.get("sign") in label:
                    facts["label"] = label[record["sign"]]
                add_sample(archive, key, clip, facts)
        index = index_tar(path)
        index.write(path.with_name(path.name + SUFFIX))
        shards.append({"name": path.name, "clips": len(index.clips), "bytes": index.size, "xxh3": index.xxh3})
    with atomic_path(folder / TARS) as part:
        told = {"metainfo": {**metainfo, "skeleton": metainfo.get("skeleton", skeleton.name)}, "tars": shards}
        part.write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    _remove_stale(folder, {str(shard["name"]) for shard in shards})
    return folder / TARS


def read_tars(path: Path) -> dict:
    """What a `tars.json` says: `metainfo`, and `tars`, the names of all; nothing where there is none.

    Args:
        path: Of the file.

    Raises:
        AnnotationError: It is damaged.
    """
    if not path.is_file():
        return {}
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {"metainfo": dict(told["metainfo"]), "tars": [str(tar["name"]) for tar in told["tars"]]}
    except (ValueError, KeyError, TypeError) as error:
        raise AnnotationError(f"{path}: not readable ({error!r}); write the tars again, or remove it") from error


def _refuse_others(folder: Path) -> None:
    """A folder is read as all of its tars.

    Raises:
        ConfigError: There are others.
    """
    found = sorted(p.name for p in folder.glob("*.tar*") if not p.name.startswith("."))
    others = [name for name in found if not _OURS.fullmatch(name.removesuffix(SUFFIX))]
    if others:
        raise ConfigError(
            f"{folder} holds {others[0]!r}, which would be read along with what is written; name a folder without other tars"
        )


def _remove_stale(folder: Path, written: set[str]) -> None:
    """Remove tars that lay there before and have no successor, with their indexes, and what killed writers left."""
    for path in folder.glob("*clips-*"):
        name = path.name.removesuffix(SUFFIX)
        if (_OURS.fullmatch(name) and name not in written) or _LEFT_OVER.fullmatch(name):
            path.unlink()


def _keys(records: list[dict]) -> Iterator[str]:
    """Keys of samples: the clip's id, its dots replaced, for a dot ends a key.

    Raises:
        ConfigError: Two clips of one id.
    """
    seen: set[str] = set()
    for number, record in enumerate(records):
        key = str(record.get("clip_id", f"{number:06d}")).replace(".", "_").strip("/")
        if key in seen or not key:
            raise ConfigError(
                f"clip_id {record.get('clip_id')!r}: a sample of a tar needs a name of its own; rename the clip"
            )
        seen.add(key)
        yield key


def _stored(clip: np.ndarray, kind: np.dtype, record: dict, skeleton: Skeleton) -> np.ndarray:
    name = record.get("clip_id", "a clip")
    problem = shape_problem(clip.shape, clip.dtype, skeleton.num_keypoints)
    problem = problem or ("has no score" if clip.shape[2] != 4 else value_problem(clip))
    if problem:
        raise ConfigError(f"{name!r} {problem}; is the skeleton {skeleton.name!r} right?")
    return np.ascontiguousarray(clip, np.float32) if kind == np.float32 else to_half(clip, called=name, marked=False)


def add_sample(archive: tarfile.TarFile, key: str, clip: np.ndarray, facts: dict) -> None:
    """Add a clip and what is said of it, as `key.npy` and `key.json`."""
    buffer = io.BytesIO()
    np.save(buffer, clip, allow_pickle=False)
    _add(archive, f"{key}.npy", buffer.getvalue())
    _add(archive, f"{key}.json", json.dumps(facts, ensure_ascii=False).encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file without owner or time, so that equal clips make equal tars."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    archive.addfile(info, io.BytesIO(content))
