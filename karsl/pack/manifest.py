"""`manifest.json` of a pack: its shards, and size and checksum of every file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from xxhash import xxh3_64_hexdigest

from karsl.errors import PackError, pluralize
from karsl.io.annotations import MANIFEST, PACK_FORMAT, PACK_VERSION, version_problem
from karsl.io.hashing import file_xxh3
from karsl.schema import Count, convert, read_json
from karsl.skeletons import Skeleton

PACK_KEYS = ("clip_id", "keypoint_path", "frame_start", "num_frames")
"""Keys of every record of a pack."""
_REMEDY = "copy it again, or pack the corpus again"
_FILENAME = re.compile(r"(frames|presence|clips)-\d{5,}\.npy")


@dataclass(frozen=True)
class FileStat:
    """Size and xxh3 (hex) of a file."""

    bytes: Count
    xxh3: str

    @classmethod
    def from_path(cls, path: Path) -> FileStat:
        """Read a file and return its size and checksum."""
        return cls(path.stat().st_size, file_xxh3(path))


@dataclass(frozen=True)
class Shard:
    """One shard of a pack.

    Attributes:
        frames: Name of its file of frames.
        num_clips, num_frames: Number of clips and frames, removed ones included.
        rounding: Largest difference between a stored value and its source.
        files: Size and checksum of each file by name.
        removed: Indices in this shard of clips that no record refers to any more.
    """

    frames: str
    num_clips: Count
    num_frames: Count
    rounding: float
    files: dict[str, FileStat]
    removed: tuple[Count, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """Content of a pack.

    Attributes:
        skeleton: Name of the skeleton.
        parts: Its groups and the names of their keypoints.
        dtype: `'float16'` or `'float32'`.
        shards: Shards in order.
        annotations: Size and checksum of `annotations.json`.
    """

    skeleton: str
    parts: list
    dtype: Annotated[str, msgspec.Meta(pattern="^float(16|32)$")]
    shards: tuple[Shard, ...] = ()
    annotations: FileStat = FileStat(0, "")

    @classmethod
    def create(cls, skeleton: Skeleton, dtype: str) -> Manifest:
        """Create the manifest of a pack without clips."""
        return cls(skeleton.name, [[group, list(names)] for group, names in skeleton.parts], dtype)

    @classmethod
    def read(cls, folder: str | Path, *, known_only: bool = False) -> Manifest:
        """Read the manifest of a pack.

        Args:
            folder: Folder of the pack.
            known_only: Reject fields that this version of karsl does not know, which it can neither verify nor keep in a
                changed pack. Otherwise they are ignored.

        Raises:
            PackError: If there is none, or it is damaged, of another version, or names files that do not belong to a pack.
        """
        path = Path(folder) / MANIFEST
        if not path.is_file():
            raise PackError(f"{folder} holds no {MANIFEST}, so it is no finished pack; make one with 'karsl pack'")
        stored = read_json(path, error=PackError, remedy=_REMEDY)
        if not isinstance(stored, dict) or stored.get("format") != PACK_FORMAT:
            raise PackError(f"{path} is not the manifest of a pack; is it the right folder?")
        if (version := stored.get("version")) != PACK_VERSION:
            raise PackError(version_problem(path, version))
        if stored.pop("xxh3", None) != _checksum(stored):
            raise PackError(f"{path} is not what was written, its checksum differs; copy it again or pack the corpus again")
        manifest = convert(stored, cls, where=path, error=PackError, remedy=_REMEDY)
        for shard in manifest.shards:
            check_shard(shard, path)
        if (count := stored.get("num_clips")) != manifest.num_clips:
            raise PackError(f"{path}: num_clips {count}, but its shards have {manifest.num_clips}; {_REMEDY}")
        if known_only and (name := _unknown_field(stored, json.loads(json.dumps(manifest._content())))):
            raise PackError(
                f"{path}: this karsl reads packs with a field {name!r}, but can neither verify nor change them; update karsl"
            )
        return manifest

    def write(self, path: Path) -> None:
        """Write the manifest with a checksum of itself."""
        stored = self._content()
        path.write_text(json.dumps({**stored, "xxh3": _checksum(stored)}, indent=1) + "\n", encoding="utf-8")

    def _content(self) -> dict:
        """Return the content of the file without its checksum."""
        return {"format": PACK_FORMAT, "version": PACK_VERSION, "num_clips": self.num_clips, **asdict(self)}

    @property
    def num_clips(self) -> int:
        """Number of clips that records refer to."""
        return sum(shard.num_clips - len(shard.removed) for shard in self.shards)

    @property
    def next_number(self) -> int:
        """Number of the next shard to add."""
        return 1 + max((int(shard.frames[-9:-4]) for shard in self.shards), default=-1)

    def files(self) -> dict[str, FileStat]:
        """Return size and checksum of the files of all shards by name."""
        return {name: stat for shard in self.shards for name, stat in shard.files.items()}


def _unknown_field(stored: Any, known: Any, name: str = "") -> str:
    """Return the name of a field of `stored`, such as `shards[0].files`, that is not in `known`; empty if there is none."""
    if isinstance(stored, dict) and isinstance(known, dict):
        extra = next((key for key in stored if key not in known), None)
        if extra is not None:
            return f"{name}.{extra}".lstrip(".")
        pairs = [(value, known[key], f"{name}.{key}".lstrip(".")) for key, value in stored.items()]
    elif isinstance(stored, list) and isinstance(known, list):
        pairs = [(*values, f"{name}[{n}]") for n, values in enumerate(zip(stored, known, strict=False))]
    else:
        pairs = []
    return next(filter(None, (_unknown_field(*pair) for pair in pairs)), "")


def check_shard(shard: Shard, where: Path) -> None:
    """Check the names of a shard's files, and that its numbers fit each other.

    Raises:
        PackError: See `check_filenames`; or a removed clip does not exist.
    """
    check_filenames((shard.frames, *shard.files), where)
    if not shard.frames.startswith("frames") or any(index >= shard.num_clips for index in shard.removed):
        raise PackError(
            f"{where}: shard {shard.frames} of {pluralize(shard.num_clips, 'clip')} has others removed; {_REMEDY}"
        )


def check_filenames(names: Iterable[str], where: Path) -> None:
    """Check that names are those of a pack's files, since files with these names are read, written and removed.

    Raises:
        PackError: If a name has another form, such as a path that leaves the folder.
    """
    wrong = next((name for name in names if not (isinstance(name, str) and _FILENAME.fullmatch(name))), None)
    if wrong is not None:
        raise PackError(f"{where} names {wrong!r}, which is no file of a pack; do not trust this pack, get another copy")


def _checksum(stored: dict) -> str:
    return xxh3_64_hexdigest(json.dumps(stored, sort_keys=True, separators=(",", ":")).encode())
