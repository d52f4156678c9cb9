"""Output of `karsl browse`: pages, contact sheets and animations in files, opened in the desktop's viewer."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
import webbrowser
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from karsl.errors import ConfigError, DataErrors, KarslError, pluralize
from karsl.formats.folders import UniqueNames

_OVERVIEW_CLIPS = 60  # image viewers fail on larger images
_SIGN_SHEET_CLIPS = 30


def export_clips(args: argparse.Namespace, dataset: Any, clips: Sequence[Any]) -> int:
    """Write every clip in the requested format, report the paths, and open them if there is a display.

    A clip that cannot be read does not prevent the others from being written.

    Raises:
        DataErrors: If some clips cannot be read; the others are written.
    """
    problems = list(getattr(dataset, "skipped_problems", ()))
    writers = {"html": _write_html, "sheet": _write_sign_sheets if args.per_sign else _write_sheets}
    paths = writers.get(args.format, _write_animations)(args, dataset, clips, problems)
    if paths and not args.not_show:
        open_files(paths, interval=args.show_interval)
    if problems:
        raise DataErrors(args.source, problems)
    return 0


def has_display() -> bool:
    """Return True in a terminal with a desktop, or if `$BROWSER` is set.

    Without a desktop, the standard library would start a text browser and wait for it.
    """
    if os.environ.get("BROWSER"):
        return True
    has_desktop = sys.platform in ("darwin", "win32") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(has_desktop) and sys.stdout.isatty()


def open_files(paths: Sequence[Path], *, interval: float = 0) -> None:
    """Open the first file if there is a display. With `interval`, open all, that many seconds apart."""
    if not has_display():
        return
    for number, path in enumerate(paths if interval else paths[:1]):
        if number:
            time.sleep(interval)
        webbrowser.open(path.absolute().as_uri())


def unique_names(clip_ids: Iterable[str]) -> list[str]:
    """Return file names for clip ids, valid on every file system and distinct even if case is ignored.

    Example:
        >>> unique_names(iter(["01-train/0001/a (1)", "01-train/0001/A-1", "01-train_0001_a_1", "overview"]))
        ['01-train_0001_a_1', '01-train_0001_A-1', '01-train_0001_a_1-2', 'overview-2']
    """
    names = UniqueNames()
    names.unique("", "overview")
    return [names.unique("", re.sub(r"[^\w.-]+", "_", clip_id).strip("._")[-120:] or "clip") for clip_id in clip_ids]


def _stages(
    args: argparse.Namespace, clips: Sequence[Any], problems: list[str], description: str, mode: str
) -> Iterator[tuple]:
    """Yield number, clip, stages and augmented views of each readable clip, with a progress bar."""
    from karsl.progress import tracker
    from karsl.visualization.clips.select import shown_stages
    from karsl.visualization.video import add_video

    for number, clip in enumerate(tracker(description)(clips, len(clips))):
        try:
            video = None if args.per_sign else args.video
            views = shown_stages(clip, args.mode or mode, augmentations=args.augmentations, seed=args.seed)
            stages = views[0] if video is None else add_video(clip, views[0], video)
        except ConfigError:
            raise
        except KarslError as error:
            problems.append(f"{_clip_id(clip)}: {error}")
        else:
            yield number, clip, stages, views[1]


def _write_sheets(args: argparse.Namespace, dataset: Any, clips: Sequence[Any], problems: list[str]) -> list[Path]:
    from karsl.visualization import overview_sheet, pipeline_sheet

    names = unique_names(map(_clip_id, clips))
    shown: list[tuple[Mapping, Mapping]] = []
    written: list[Path] = []
    for number, clip, stages, views in _stages(args, clips, problems, "drawing sheets", "concat"):
        written.append(args.output_dir / f"{names[number]}.png")
        _save(pipeline_sheet([*stages, *views], metainfo=clip.metainfo), written[-1])
        if len(shown) < _OVERVIEW_CLIPS:
            shown.append(({**stages[0][1], "pictures": ()}, clip.metainfo))
    if not shown:
        return []
    title = f"{Path(args.source).name} · {len(shown)} of {pluralize(len(dataset), 'clip')}"
    overview = args.output_dir / "overview.png"
    _save(overview_sheet([r for r, _ in shown], metainfo=[m for _, m in shown], title=title), overview)
    _report(f"{pluralize(len(written), 'sheet')} and overview.png in {args.output_dir}", [m for _, m in shown])
    return [overview, *written]


def _write_sign_sheets(args: argparse.Namespace, dataset: Any, clips: Sequence[Any], problems: list[str]) -> list[Path]:
    from karsl.visualization import sign_sheet

    signs: dict[Any, list[tuple[Mapping, Mapping]]] = {}
    for _, clip, stages, _ in _stages(args, clips, problems, "reading clips", "original"):
        signs.setdefault(_sign(clip), []).append((stages[-1][1], clip.metainfo))
    written = []
    for sign, loaded in signs.items():
        for start in range(0, len(loaded), _SIGN_SHEET_CLIPS):
            name = f"sign_{sign}" + (f"-{start // _SIGN_SHEET_CLIPS + 1}" if start else "")
            written.append(args.output_dir / f"{unique_names([name])[0]}.png")
            chunk = loaded[start : start + _SIGN_SHEET_CLIPS]
            _save(sign_sheet([r for r, _ in chunk], metainfo=[m for _, m in chunk]), written[-1])
    _report(f"{pluralize(len(written), 'sheet')} in {args.output_dir}", [m for loaded in signs.values() for _, m in loaded])
    return written


def _write_animations(args: argparse.Namespace, dataset: Any, clips: Sequence[Any], problems: list[str]) -> list[Path]:
    from karsl.visualization.animation import Scene, frames_per_second, write_animation

    names, written = unique_names(map(_clip_id, clips)), []
    for number, clip, stages, views in _stages(args, clips, problems, f"drawing {args.format}", "concat"):
        scene = Scene([*stages, *views], metainfo=clip.metainfo)
        fps = frames_per_second(clip.record, clip.metainfo)
        written.append(write_animation(args.output_dir / f"{names[number]}.{args.format}", scene, fps=fps))
    _report(f"{pluralize(len(written), f'{args.format} file')} in {args.output_dir}", [clip.metainfo for clip in clips])
    return written


def _write_html(args: argparse.Namespace, dataset: Any, clips: Sequence[Any], problems: list[str]) -> list[Path]:
    from karsl.visualization.page import write_page
    from karsl.visualization.page.clip import page_clips, source_metadata

    shown = _stages(args, clips, problems, "writing the page", "pipeline")
    pages = page_clips((clip, stages, views) for _, clip, stages, views in shown)
    first = next(pages, None)
    if first is None:
        return []
    metadata = source_metadata(args.source, dataset, shown=len(clips))
    path, title = args.output_dir / "browse.html", Path(args.source).name
    written = write_page(path, chain([first], pages), title=title, metadata=metadata)
    more = f" and {pluralize(len(written) - 1, 'page')} of clips in the same folder" if len(written) > 1 else ""
    print(f"open {written[0]}{more}")
    return written[:1]


def _save(image: Any, path: Path) -> None:
    from karsl.io.atomic import atomic_path

    with atomic_path(path) as part:
        image.save(part, format="PNG", optimize=True)


def _report(text: str, metainfo: Iterable[Mapping]) -> None:
    from karsl.visualization import arabic_problem

    print(text)
    problem = arabic_problem() if any("classes_ar" in meta for meta in metainfo) else None
    if problem:
        print(f"karsl browse: {problem}", file=sys.stderr)


def _clip_id(clip: Any) -> str:
    return str(clip.record.get("clip_id", f"clip_{clip.index}"))


def _sign(clip: Any) -> Any:
    sign = clip.record.get("sign")
    return f"{sign:04d}" if isinstance(sign, int) else clip.record.get("label", "unknown")
