"""Forms that recorded items are saved in."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from karsl.formats.convert import convert
from karsl.io.sources import FunctionSource
from karsl.storage.atomic import atomic_path
from karsl.storage.convert.staging import atomic_target


def write_pack(source: FunctionSource, path: Path, **options: Any) -> None:
    """A pack; see `karsl.storage.pack.writer.pack_clips`."""
    from karsl.storage.pack.writer import pack_clips

    pack_clips(source, path, **options)


def write_tars(source: FunctionSource, path: Path, **options: Any) -> None:
    """WebDataset tars; see `karsl.storage.tar.write.write_tars`."""
    from karsl.storage.tar import write

    with atomic_target(path) as part:
        write.write_tars(part, source.metainfo, source.records, source.read, skeleton=source.skeleton, **options)


def write_parquet(source: FunctionSource, path: Path, **options: Any) -> None:
    """Parquet as Hugging Face datasets read it; needs the extra `[parquet]`."""
    convert(source, path, "parquet", **options)


def write_jsonl(source: FunctionSource, path: Path) -> None:
    """A line a clip: its record, `shape`, and `keypoint`, base64 of little-endian float32 (T, V, 4): x, y, z, score.

    The first line is the metainfo.
    """
    with atomic_path(path) as part, part.open("w", encoding="utf-8") as stream:
        stream.write(json.dumps({"metainfo": source.metainfo}, ensure_ascii=False) + "\n")
        for record in source.records:
            clip = source.read(record).astype("<f4")
            facts = {key: value for key, value in record.items() if key != "spooled"}
            text = base64.b64encode(clip.tobytes()).decode()
            stream.write(json.dumps({**facts, "shape": clip.shape, "keypoint": text}, ensure_ascii=False) + "\n")


WRITERS: dict[str, Callable[..., None]] = {
    "pack": write_pack,
    "tars": write_tars,
    "parquet": write_parquet,
    "jsonl": write_jsonl,
}
