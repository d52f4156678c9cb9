"""Compare a pack with its manifest, byte for byte, and say where it differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from shlex import quote

import numpy as np

from karsl.errors import KarslError
from karsl.storage.annotation import read_annotation
from karsl.storage.pack.manifest import FileFacts, Manifest, Shard
from karsl.storage.pack.shard import write_header
from karsl.storage.packed import ANNOTATIONS, CHECKSUM, FIRST, LENGTH, Pack

_REMEDY = "copy the file again, or pack the corpus again"


def verify_pack(folder: str | Path, *, tell: Callable[[int, int], None] | None = None) -> list[str]:
    """Every byte of a pack against its checksums, and every record against the clips.

    Args:
        folder: Of the pack.
        tell: Called with bytes done and bytes in all.

    Returns:
        One sentence per problem: shard, clip, bytes, what to do. Empty if all is well.

    Raises:
        PackError: No manifest, or a damaged one.
        AnnotationError: The annotation file is damaged beyond reading.
    """
    folder = Path(folder)
    manifest = Manifest.read(folder)
    total, done = sum(facts.bytes for _, _, facts in manifest.files()), 0
    listed = _difference(folder / ANNOTATIONS, manifest.annotations)
    problems = [listed] if listed else []
    names = {} if problems else _names(folder)
    for shard in manifest.shards:
        wrong: dict[str, str] = {}
        for name, facts in shard.files.items():
            problem = _difference(folder / name, facts)
            if problem:
                wrong[name] = problem
            done += facts.bytes
            if tell:
                tell(done, total)
        problems += _located(folder, shard, wrong, names)
    return problems or list(_strangers(folder, manifest))


def _difference(path: Path, facts: FileFacts) -> str | None:
    if not path.is_file():
        return f"{path.name} is missing; {_REMEDY}"
    size = path.stat().st_size
    if size != facts.bytes:
        return f"{path.name} has {size} bytes instead of {facts.bytes}: it was cut or written to; {_REMEDY}"
    return None if FileFacts.of(path) == facts else f"{path.name} is not what was written, its checksum differs; {_REMEDY}"


def _located(folder: Path, shard: Shard, wrong: dict[str, str], names: dict[tuple[str, int], str]) -> Iterator[str]:
    """The problems of a shard's files, by clip where the checksums of clips tell; clips that were removed do not count."""
    frames, presence, _ = shard.files
    if not wrong or not set(wrong) <= {frames, presence}:
        yield from wrong.values()
        return
    try:
        pack = Pack(folder / shard.frames, verify="first touch")
    except (KarslError, OSError):
        yield from wrong.values()
        return
    bad = [n for n in range(len(pack.clips)) if pack.checksum(n) != int(pack.clips[n, CHECKSUM])]
    left = [n for n in bad if n not in shard.removed]
    for name, problem in wrong.items() if not left else ():
        if not bad or not _has_its_header(folder / name):
            yield problem.replace("differs;", "differs, though not in its clips;")
    for n in left:
        called = names.get((shard.frames, int(pack.clips[n, FIRST])), "of no record")
        yield (
            f"{shard.frames}: {pack.span(n)} ({called}) are not what was written; copy the shard again, or "
            f"'karsl pack {quote(str(folder))} --remove' the clip and '--append' it again"
        )


def _has_its_header(path: Path) -> bool:
    """Whether all bytes before the clips are as they were written: the header says nothing but shape and dtype."""
    array, header = np.load(path, mmap_mode="r", allow_pickle=False), BytesIO()
    write_header(header, array.shape, array.dtype)
    with path.open("rb") as stream:
        return stream.read(len(header.getvalue())) == header.getvalue()


def _names(folder: Path) -> dict[tuple[str, int], str]:
    _, records = read_annotation(folder / ANNOTATIONS)
    return {(r["keypoint_path"], r["frame_start"]): r["clip_id"] for r in records}


def _strangers(folder: Path, manifest: Manifest) -> Iterator[str]:
    """Records that point to no clip; the files are known to be whole."""
    lengths: dict[tuple[str, int], int] = {}
    for shard in manifest.shards:
        clips = np.load(folder / list(shard.files)[2], allow_pickle=False)
        lengths |= {(shard.frames, start): length for start, length in clips[:, : LENGTH + 1].tolist()}
    _, records = read_annotation(folder / ANNOTATIONS)
    if len(records) != manifest.num_clips:
        yield f"{ANNOTATIONS} has {len(records)} records, the manifest {manifest.num_clips} clips; {_REMEDY}"
    for r in records:
        if lengths.get((r["keypoint_path"], r["frame_start"])) != r["num_frames"]:
            yield f"{ANNOTATIONS}: clip {r['clip_id']!r} points to no clip of {r['keypoint_path']}; {_REMEDY}"
