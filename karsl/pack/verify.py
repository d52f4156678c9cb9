"""Comparison of a pack with its manifest, byte for byte, with the location of every difference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from shlex import quote

import numpy as np

from karsl.errors import KarslError, pluralize
from karsl.io.annotations import parse_annotations
from karsl.io.pack_reader import ANNOTATIONS, CHECKSUM, FIRST, LENGTH, Pack, sibling_filename
from karsl.pack.encode import write_header
from karsl.pack.manifest import PACK_KEYS, FileStat, Manifest, Shard

_REMEDY = "copy the file again, or pack the corpus again"


def verify_pack(path: str | Path, *, progress: Callable[[int, int], None] | None = None) -> list[str]:
    """Compare every byte of a pack with its checksums, and every record with the clips.

    Args:
        path: Folder of the pack.
        progress: Called with the number of bytes done and in total.

    Returns:
        One sentence per problem, with shard, clip, bytes and remedy. Empty if there is none.

    Raises:
        PackError: If the manifest is missing or damaged, or has a field that this karsl does not know.
        AnnotationError: If the annotation file cannot be read.
    """
    folder = Path(path)
    manifest = Manifest.read(folder, known_only=True)
    total, done = sum(stat.bytes for stat in manifest.files().values()), 0
    problem = _difference(folder / ANNOTATIONS, manifest.annotations)
    problems = [problem] if problem else []
    records = [] if problems else parse_annotations(folder / ANNOTATIONS, required=PACK_KEYS)[1]
    clip_ids = {(r["keypoint_path"], r["frame_start"]): r["clip_id"] for r in records}
    for shard in manifest.shards:
        damaged: dict[str, str] = {}
        for name, stat in shard.files.items():
            problem = _difference(folder / name, stat)
            if problem:
                damaged[name] = problem
            done += stat.bytes
            if progress:
                progress(done, total)
        problems += _locate_problems(folder, shard, damaged, clip_ids)
    return problems or list(_dangling_records(folder, manifest, records))


def _difference(path: Path, stat: FileStat) -> str | None:
    if not path.is_file():
        return f"{path.name} is missing; {_REMEDY}"
    size = path.stat().st_size
    if size != stat.bytes:
        return f"{path.name} has {size} bytes instead of {stat.bytes}: it was cut or written to; {_REMEDY}"
    if FileStat.from_path(path) != stat:
        return f"{path.name} is not what was written, its checksum differs; {_REMEDY}"
    return None


def _locate_problems(
    folder: Path, shard: Shard, damaged: dict[str, str], clip_ids: dict[tuple[str, int], str]
) -> Iterator[str]:
    """Yield the problems of a shard, by clip if the checksums of clips locate them; removed clips are ignored."""
    pack = None
    if damaged and set(damaged) <= {shard.frames, sibling_filename(shard.frames, "presence")}:
        with suppress(KarslError, OSError):  # it cannot be opened: report its damaged files
            pack = Pack(folder / shard.frames, verify="first touch")
    if pack is None:
        yield from damaged.values()
        return
    bad = [n for n in range(len(pack.clips)) if pack.checksum(n) != int(pack.clips[n, CHECKSUM])]
    used = [n for n in bad if n not in shard.removed]
    for name, problem in damaged.items() if not used else ():
        if not bad or not _header_is_intact(folder / name):
            yield problem.replace("differs;", "differs, though not in its clips;")
    for n in used:
        clip_id = clip_ids.get((shard.frames, int(pack.clips[n, FIRST])), "of no record")
        yield (
            f"{shard.frames}: {pack.describe_clip(n)} ({clip_id}) are not what was written; copy the shard again, or "
            f"'karsl pack {quote(str(folder))} --remove' the clip and '--append' it again"
        )


def _header_is_intact(path: Path) -> bool:
    """Return True if all bytes before the clips are as written: the header depends only on shape and dtype."""
    array, header = np.load(path, mmap_mode="r", allow_pickle=False), BytesIO()
    write_header(header, array.shape, array.dtype)
    with path.open("rb") as stream:
        return stream.read(len(header.getvalue())) == header.getvalue()


def _dangling_records(folder: Path, manifest: Manifest, records: list[dict]) -> Iterator[str]:
    """Yield the records that refer to no clip; the files are known to be intact."""
    lengths: dict[tuple[str, int], int] = {}
    for shard in manifest.shards:
        clips = np.load(folder / sibling_filename(shard.frames, "clips"), allow_pickle=False)
        lengths |= {(shard.frames, start): length for start, length in clips[:, : LENGTH + 1].tolist()}
    if len(records) != manifest.num_clips:
        yield (
            f"{ANNOTATIONS} has {pluralize(len(records), 'record')}, the manifest "
            f"{pluralize(manifest.num_clips, 'clip')}; {_REMEDY}"
        )
    for r in records:
        if lengths.get((r["keypoint_path"], r["frame_start"])) != r["num_frames"]:
            yield f"{ANNOTATIONS}: clip {r['clip_id']!r} points to no clip of {r['keypoint_path']}; {_REMEDY}"
