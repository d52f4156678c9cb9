"""List the videos and frame folders of a source, and parse their paths: KArSL's trees, class folders, a CSV list."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from karsl.errors import ConfigError, DatasetNotFoundError, pluralize
from karsl.formats.karsl.layout import LAST_SIGN, SPLIT_FOLDER
from karsl.io.annotations import is_file_name
from karsl.io.file_list import Unread, list_folder
from karsl.io.video import is_picture, is_video
from karsl.schema import whole_number

_SPLITS = {"train": "train", "test": "test", **dict.fromkeys(("val", "valid", "validation", "dev"), "val")}
_CLIP_NAME = re.compile(
    r"(?P<chapter>\d{2})_(?P<signer>\d{2})_(?P<sign>\d{4})_\((?P<day>\d{2})_(?P<month>\d{2})_(?P<year>\d{2})(?:_\d{2}){3}\)_c"
)
_SIGNER_NAME = re.compile(r"(?:^|[_-])signer[_-]?(\d+)(?=[_-]|$)", re.IGNORECASE)
_TEXT_COLUMNS = ("clip_id", "class", "signer", "split", "session")
COLUMNS = ("path", "sign", *_TEXT_COLUMNS)
"""Columns of a CSV list. Only `path` is required."""


@dataclass(frozen=True)
class Video:
    """A clip to extract.

    Attributes:
        clip_id: Its name: `01-train/0071/<name>` in KArSL's trees, else the path without suffix.
        path: Path of the file or frame folder, relative to the root, with `/`.
        metadata: `sign`, `class`, `signer`, `split`, `session`, `chapter`, as far as the path or the list contains them.
        doubts: Contradictions between name and folder.
    """

    clip_id: str
    path: str
    metadata: dict[str, Any] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()


@dataclass
class VideoList:
    """Content of a source.

    Attributes:
        root: Folder that the paths are relative to.
        videos: Clips in the order of their ids.
        problems: One sentence per clip that cannot be extracted, by its path.
        notes: One sentence per kind of content that is not read.
    """

    root: Path
    videos: list[Video] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def list_videos(source: str | Path) -> VideoList:
    """List the clips of a video file, of a folder, or of a CSV list.

    Args:
        source: Video; folder with videos or with folders of pictures at any depth; or `.csv` file with a header and the
            columns `COLUMNS`, whose paths are relative to it.

    Raises:
        DatasetNotFoundError: If it does not exist or contains no clip.
        ConfigError: If it is another kind of file, or a list without the column `path`.
    """
    source = Path(source)
    if source.is_dir():
        found = _list_folder(source)
    elif not source.exists():
        raise DatasetNotFoundError(f"no video, folder or list '{source}' to extract")
    elif source.suffix.lower() == ".csv":
        found = _read_list(source)
    elif is_video(source.name):
        found = VideoList(source.parent)
        _add(found, [(source.name, {})])
    else:
        raise ConfigError(f"'{source}' is neither a video, a folder nor a .csv list; see 'karsl extract --help'")
    if not found.videos and not found.problems:
        notes = f" ({'; '.join(found.notes)})" if found.notes else ""
        raise DatasetNotFoundError(f"'{source}' contains no video and no folder of pictures{notes}")
    found.videos.sort(key=lambda video: video.clip_id)
    return found


def parse_path(path: str) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """Return the clip id, the metadata and the doubts that follow from a path relative to the root.

    Example:
        >>> parse_path("01/train/0071-0170/0071/03_01_0071_(01_12_16_15_53_03)_c.mp4")[0]
        '01-train/0071/03_01_0071_(01_12_16_15_53_03)_c'
        >>> parse_path("train/hello/a.mp4")
        ('train/hello/a', {'split': 'train', 'class': 'hello'}, ())
    """
    pure = PurePosixPath(path)
    name = pure.stem if is_video(path) else pure.name
    folders = pure.parts[:-1]
    split, signer = _split_of(folders)
    metadata: dict[str, Any] = {} if split is None else {"split": split}
    named = _CLIP_NAME.fullmatch(name)
    sign = next((int(f) for f in reversed(folders) if re.fullmatch(r"\d{4}", f) and 1 <= int(f) <= LAST_SIGN), None)
    signer = signer or next((f for f in folders if re.fullmatch(r"\d{2}", f)), None)
    if named or (sign is not None and signer is not None):
        return _parse_karsl(path, name, named, sign, signer, metadata)
    classes = [folder for folder in folders if folder.lower() not in _SPLITS and not _SIGNER_NAME.fullmatch(folder)]
    if classes:
        metadata["class"] = classes[-1]
    signers = [found[1] for part in (*folders, name) if (found := _SIGNER_NAME.search(part))]
    if signers:
        metadata["signer"] = signers[-1]
    return str(pure.with_suffix("")) if is_video(path) else path, metadata, ()


def _split_of(folders: tuple[str, ...]) -> tuple[str | None, str | None]:
    """Return the split that folders name, and the signer if it is in the same name."""
    for folder in folders:
        if folder.lower() in _SPLITS:
            return _SPLITS[folder.lower()], None
        if SPLIT_FOLDER.fullmatch(folder):
            return folder[3:], folder[:2]
    return None, None


def _parse_karsl(
    path: str, name: str, named: re.Match | None, sign: int | None, signer: str | None, metadata: dict[str, Any]
) -> tuple[str, dict[str, Any], tuple[str, ...]]:
    """Combine the folders of a clip with its name. Where they differ, the folders count, as for other readers of KArSL."""
    doubts = []
    if named:
        for what, stated, in_folder in (("sign", int(named["sign"]), sign), ("signer", named["signer"], signer)):
            if in_folder is not None and in_folder != stated:
                doubts.append(f"its name has {what} {stated}, its folder {in_folder}: is it in the wrong folder?")
        metadata["chapter"] = int(named["chapter"])
        metadata["session"] = f"20{named['year']}-{named['month']}-{named['day']}"
    sign = sign if sign is not None or named is None else int(named["sign"])
    signer = signer if signer is not None or named is None else named["signer"]
    metadata |= {"sign": sign, "signer": signer}
    folder = "-".join(filter(None, (signer, metadata.get("split"))))
    return f"{folder}/{sign:04d}/{name}", metadata, tuple(doubts)


def _list_folder(root: Path) -> VideoList:
    found, other, unread = VideoList(root), Counter[str](), Unread()
    paths: list[tuple[str, dict[str, Any]]] = []
    for inner, subfolders, visible in _walk(root, unread):
        videos = [name for name in visible if is_video(name)]
        num_pictures = sum(map(is_picture, visible))
        paths += [(inner + name, {}) for name in videos]
        if num_pictures and (videos or (not inner and subfolders)):
            other["pictures next to videos or folders"] += num_pictures
        elif num_pictures:
            paths.append((inner.rstrip("/") or ".", {}))
        other.update(Path(name).suffix.lower() or name for name in visible if not is_video(name) and not is_picture(name))
    _add(found, paths)
    found.notes += sorted(unread.notes())
    if other:
        kinds = ", ".join(
            f"{count} {kind}" for kind, count in sorted(other.items(), key=lambda item: (-item[1], item[0]))[:5]
        )
        found.notes.append(f"{pluralize(other.total(), 'file')} not read: {kinds}{', ...' if len(other) > 5 else ''}")
    return found


def _walk(root: Path, unread: Unread, prefix: str = "") -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield the path of each folder, with `/` or empty, the names of its folders and of its files, in the order of names."""
    folders, files = list_folder(root / prefix, unread, prefix)
    yield prefix, folders, files
    for name in folders:
        yield from _walk(root, unread, f"{prefix}{name}/")


def _add(found: VideoList, paths: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Add clips by their paths, with the metadata of a list; collect those whose names cannot be used."""
    first: dict[str, str] = {}
    for path, given in paths:
        inner = found.root.resolve().name if path == "." else re.sub(r"^(\.\.?/|/)+", "", path)  # outside the root in a list
        parsed_id, metadata, doubts = parse_path(inner)
        clip_id = given.get("clip_id") or parsed_id
        metadata = {**metadata, **{key: value for key, value in given.items() if key != "clip_id"}}
        printable = os.fsencode(path).decode("utf-8", "backslashreplace")
        if printable != path:
            found.problems[printable] = "the name is not UTF-8; rename it"
        elif {"..", "."} & set(parts := clip_id.split("/")) or "" in parts or not is_file_name(clip_id):
            found.problems[path] = f"clip_id {clip_id!r} leaves the folder of the clips; choose another"
        elif clip_id in first:
            found.problems[path] = f"its clip has the same name as that of {first[clip_id]}; rename one of them"
        else:
            first[clip_id] = path
            found.videos.append(Video(clip_id, path, metadata, doubts))


def _read_list(source: Path) -> VideoList:
    found = VideoList(source.parent)
    try:
        with source.open(encoding="utf-8-sig", newline="") as stream:
            rows = csv.DictReader(stream)
            header = tuple(rows.fieldnames or ())
            if "path" not in header:
                raise ConfigError(f"{source}: no column 'path' in {header}; the columns are {', '.join(COLUMNS)}")
            _add(found, _parse_rows(found, rows))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{source}: not a readable CSV file ({error}); save it again as UTF-8") from error
    unknown = [name for name in header if name not in COLUMNS]
    if unknown:
        found.notes.append(f"columns {', '.join(map(repr, unknown))} are not read; known are {', '.join(COLUMNS)}")
    return found


def _parse_rows(found: VideoList, rows: csv.DictReader) -> Iterator[tuple[str, dict[str, Any]]]:
    for row in rows:
        path, sign = (row["path"] or "").strip(), (row.get("sign") or "").strip()
        metadata: dict[str, Any] = {key: row[key].strip() for key in _TEXT_COLUMNS if (row.get(key) or "").strip()}
        if not path:
            found.problems[f"row {rows.line_num}"] = "it has no path"
        elif sign and not 0 < (whole_number(sign) or 0) < 1 << 63:
            found.problems[path] = f"sign {sign!r} is not a SignID"
        elif not (found.root / path).exists():
            found.problems[path] = "the file does not exist"
        else:
            yield path, {**metadata, **({"sign": whole_number(sign)} if sign else {})}
