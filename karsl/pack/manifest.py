"""`manifest.json` of a pack: what lies in it, byte for byte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from xxhash import xxh3_64_hexdigest

from karsl.errors import PackError
from karsl.skeletons import Skeleton
from karsl.storage.packed import MANIFEST
from karsl.storage.stamp import file_xxh3

FORMAT, VERSION = "karsl pack", 1
_FILE = re.compile(r"(frames|presence|clips)-\d{5,}\.npy")


@dataclass(frozen=True)
class FileFacts:
    """Size and xxh3 (hex) of a file."""

    bytes: int
    xxh3: str

    @classmethod
    def of(cls, path: Path) -> FileFacts:
        """Of the file as it is now."""
        return cls(path.stat().st_size, file_xxh3(path))


@dataclass(frozen=True)
class Shard:
    """A shard.

    Attributes:
        frames: Name of its frames.
        num_clips, num_frames: In it.
        rounding: Largest difference between a number and what was given to be packed.
        files: Name to facts.
        removed: Clips, counted in this shard, that no record points to any more.
    """

    frames: str
    num_clips: int
    num_frames: int
    rounding: float
    files: dict[str, FileFacts]
    removed: tuple[int, ...] = ()

    @classmethod
    def of(cls, stored: dict) -> Shard:
        """From JSON."""
        files = {name: FileFacts(**facts) for name, facts in stored["files"].items()}
        return cls(**{**stored, "files": files, "removed": tuple(stored["removed"])})


@dataclass(frozen=True)
class Manifest:
    """What a pack holds.

    Attributes:
        skeleton: Name of the points' layout.
        parts: Its groups and the names of their points.
        dtype: `'float16'` or `'float32'`.
        shards: In order.
        annotations: Facts of `annotations.json`.
    """

    skeleton: str
    parts: list
    dtype: str
    shards: tuple[Shard, ...] = field(default=())
    annotations: FileFacts = field(default=FileFacts(0, ""))

    @classmethod
    def start(cls, skeleton: Skeleton, dtype: str) -> Manifest:
        """Of a pack without clips."""
        return cls(skeleton.name, [[group, list(names)] for group, names in skeleton.parts], dtype)

    @classmethod
    def read(cls, folder: str | Path) -> Manifest:
        """The manifest of a pack.

        Raises:
            PackError: There is none, it is damaged, of a later version, or names files that no pack has.
        """
        path = Path(folder) / MANIFEST
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise PackError(f"{folder} holds no {MANIFEST}, so it is no finished pack; make one with 'karsl pack'") from None
        except (ValueError, OSError) as error:
            raise PackError(f"{path} cannot be read ({error}); pack the corpus again") from error
        if not isinstance(stored, dict) or stored.get("format") != FORMAT:
            raise PackError(f"{path} is not the manifest of a pack; is it the right folder?")
        if stored["version"] != VERSION:
            raise PackError(f"{path} is of version {stored['version']}, this karsl reads {VERSION}; update karsl")
        if stored.pop("xxh3", None) != _checksum(stored):
            raise PackError(f"{path} is not what was written, its checksum differs; copy it again or pack the corpus again")
        shards = tuple(Shard.of(shard) for shard in stored["shards"])
        check_names((name for shard in shards for name in (shard.frames, *shard.files)), path)
        facts = FileFacts(**stored["annotations"])
        return cls(stored["skeleton"], stored["parts"], stored["dtype"], shards, facts)

    def write(self, path: Path) -> None:
        """Write it, with a checksum of its own."""
        stored = {"format": FORMAT, "version": VERSION, "num_clips": self.num_clips, **asdict(self)}
        path.write_text(json.dumps({**stored, "xxh3": _checksum(stored)}, indent=1) + "\n", encoding="utf-8")

    @property
    def num_clips(self) -> int:
        """Clips that records point to."""
        return sum(shard.num_clips - len(shard.removed) for shard in self.shards)

    @property
    def next_number(self) -> int:
        """Of a shard that is added."""
        return 1 + max((int(shard.frames[-9:-4]) for shard in self.shards), default=-1)

    def files(self) -> Iterator[tuple[Shard, str, FileFacts]]:
        """Every file of every shard."""
        for shard in self.shards:
            for name, facts in shard.files.items():
                yield shard, name, facts

    def with_shards(self, shards: list[Shard]) -> Manifest:
        """With more shards."""
        return replace(self, shards=(*self.shards, *shards))


def check_names(names: Iterable[str], where: Path) -> None:
    """Refuse a list of a pack's files that names another one: what is on the list is read, written and removed.

    Raises:
        PackError: A name that no file of a pack has, such as one that leads out of its folder.
    """
    strange = next((name for name in names if not (isinstance(name, str) and _FILE.fullmatch(name))), None)
    if strange is not None:
        raise PackError(f"{where} names {strange!r}, which is no file of a pack; do not trust this pack, get another copy")


def _checksum(stored: dict) -> str:
    return xxh3_64_hexdigest(json.dumps(stored, sort_keys=True, separators=(",", ":")).encode())
