"""Forms that recorded items are saved in."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from karsl.io.atomic import atomic_output, atomic_path
from karsl.storage.convert import Clips
from karsl.storage.convert.write import convert_clips


def write_pack(source: Clips, path: Path, **options: Any) -> None:
    """A pack; see `karsl.pack.write.pack_clips`."""
    from karsl.pack.write import pack_clips

    pack_clips(source, path, **options)


def write_tars(source: Clips, path: Path, **options: Any) -> None:
    """WebDataset tars; see `karsl.webdataset.write.write_tars`."""
    from karsl.webdataset import write

    with atomic_output(path) as part:
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
