"""What a pack that is to be written begins with: nothing, a pack that is replaced, or one that is added to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from karsl.errors import ConfigError, PackError
from karsl.skeletons import Skeleton
from karsl.storage.pack.manifest import Manifest
from karsl.storage.pack.shard import KINDS
from karsl.storage.pack.staging import INSIDE
from karsl.storage.packed import MANIFEST


@dataclass(frozen=True)
class Base:
    """What a pack begins with.

    Attributes:
        manifest: Its shards stay; without any for a pack that is made anew.
        first_number: Of the first shard that is written.
        obsolete: Files that go when all is done.
    """

    manifest: Manifest
    first_number: int = 0
    obsolete: tuple[str, ...] = ()


def begin(out: Path, mode: str, skeleton: Skeleton, dtype: str | None) -> Base:
    """Look at what lies in the folder of a pack that is to be written.

    Args:
        out: The folder.
        mode, dtype: See `karsl.storage.pack.writer.pack_clips`.
        skeleton: Of the clips.

    Raises:
        PackError: The pack is there or is not there, or the folder holds files of others.
        ConfigError: Clips of other points or other numbers than the pack's.
    """
    before = _before(out, mode)
    kind = dtype or (before.dtype if before and mode == "append" else "float16")
    if kind not in KINDS:
        raise ConfigError(f"dtype={kind!r} of a pack; expected 'float16' or 'float32'")
    manifest = Manifest.start(skeleton, kind)
    if before is None:
        return Base(manifest)
    if mode == "append":
        _check_fits(before, manifest, out)
        return Base(before, before.next_number)
    return Base(manifest, before.next_number, tuple(name for _, name, _ in before.files()))


def _before(out: Path, mode: str) -> Manifest | None:
    if out.is_file():
        raise PackError(f"{out} is a file; a pack is a folder, choose another name")
    if mode == "append":
        return Manifest.read(out)
    if not (out / MANIFEST).is_file():
        _check_empty(out)
        return None
    if mode == "new":
        raise PackError(f"{out} holds a pack; add clips to it with --append, or make it anew with --replace")
    return Manifest.read(out)


def _check_empty(out: Path) -> None:
    """Files of others beside a pack would be taken for its own, and its own would replace theirs."""
    others = sorted(entry.name for entry in out.iterdir() if entry.name != INSIDE) if out.is_dir() else []
    if others:
        raise PackError(
            f"{out} holds files that are no pack's, e.g. {others[0]!r}; name a folder that is empty or not there"
        )


def _check_fits(before: Manifest, now: Manifest, out: Path) -> None:
    if before.parts != now.parts:
        raise ConfigError(
            f"{out} holds points of {before.skeleton!r}, the source those of {now.skeleton!r}; convert it first"
        )
    if before.dtype != now.dtype:
        raise ConfigError(f"{out} holds {before.dtype}, not {now.dtype}; leave --dtype out, or pack both anew")
