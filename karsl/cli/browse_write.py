"""Write what `karsl browse` shows: a page, sheets or moving pictures; one bad clip does not hide the others."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from karsl.progress import tracker

_IN_OVERVIEW = 60  # clips; more make a picture that no viewer shows
_IN_SIGN_SHEET = 30


def write_browsed(args: argparse.Namespace, dataset: Any, places: Sequence[Any]) -> int:
    """Write every clip in the format asked for, say where, and open it where there is a display.

    Raises:
        DataErrors: Some clips cannot be read; the others are written.
    """
    from karsl.cli.display import show
    from karsl.errors import DataErrors

    problems = list(getattr(dataset, "skipped_problems", ()))
    writer = {"html": _write_html, "sheet": _write_signs if args.per_sign else _write_sheets}.get(args.format, _write_moving)
    paths = writer(args, dataset, places, problems)
    if paths and not args.not_show:
        show(paths, every=args.show_interval)
    if problems:
        raise DataErrors(args.source, problems)
    return 0


def unique_names(clip_ids: Iterable[str]) -> list[str]:
    """File names for clip ids: safe on every file system, no two alike even where case is ignored.

    Example:
        >>> unique_names(iter(["01-train/0001/a (1)", "01-train/0001/A-1", "01-train_0001_a_1", "overview"]))
        ['01-train_0001_a_1', '01-train_0001_A-1', '01-train_0001_a_1-2', 'overview-2']
    """
    taken, names = {"overview"}, []
    for clip_id in clip_ids:
        plain = re.sub(r"[^\w.-]+", "_", clip_id).strip("._")[-120:] or "clip"
        name, number = plain, 2
        while name.casefold() in taken:
            name, number = f"{plain}-{number}", number + 1
        taken.add(name.casefold())
        names.append(name)
    return names


def _stages(args: argparse.Namespace, places: Sequence[Any], problems: list[str], task: str, mode: str) -> Iterator[tuple]:
    """Number, place, stages and further draws of each clip that can be read, with a progress bar."""
    from karsl.errors import ConfigError, KarslError
    from karsl.visualization.clips.choice import shown_stages

    for number, place in enumerate(tracker(task)(places, len(places))):
        try:
            stages, draws = shown_stages(place, args.mode or mode, draws=args.draws, seed=args.seed)
            yield number, place, stages, draws
        except ConfigError:
            raise
        except KarslError as error:  # one bad clip: the others are still worth seeing
            problems.append(f"{_clip_id(place)}: {error}")


def _write_sheets(args: argparse.Namespace, dataset: Any, places: Sequence[Any], problems: list[str]) -> list[Path]:
    from karsl.visualization import overview_sheet, pipeline_sheet

    names = unique_names(map(_clip_id, places))
    shown: list[tuple[Mapping, Mapping]] = []
    written: list[Path] = []
    for number, place, stages, draws in _stages(args, places, problems, "drawing sheets", "concat"):
        written.append(args.output_dir / f"{names[number]}.png")
        _save(pipeline_sheet([*stages, *draws], metainfo=place.metainfo), written[-1])
        if len(shown) < _IN_OVERVIEW:
            shown.append((stages[0][1], place.metainfo))
    if not shown:
        return []
    title = f"{Path(args.source).name} · {len(shown)} of {len(dataset)} clips"
    overview = args.output_dir / "overview.png"
    _save(overview_sheet([r for r, _ in shown], metainfo=[m for _, m in shown], title=title), overview)
    _report(f"{_count(written, 'sheet')} and overview.png lie in {args.output_dir}", [m for _, m in shown])
    return [overview, *written]


def _write_signs(args: argparse.Namespace, dataset: Any, places: Sequence[Any], problems: list[str]) -> list[Path]:
    from karsl.visualization import sign_sheet

    signs: dict[Any, list[tuple[Mapping, Mapping]]] = {}
    for _, place, stages, _ in _stages(args, places, problems, "reading clips", "original"):
        signs.setdefault(_sign(place), []).append((stages[-1][1], place.metainfo))
    written = []
    for sign, clips in signs.items():
        for part in range(0, len(clips), _IN_SIGN_SHEET):
            name = f"sign_{sign}" + (f"-{part // _IN_SIGN_SHEET + 1}" if part else "")
            written.append(args.output_dir / f"{unique_names([name])[0]}.png")
            some = clips[part : part + _IN_SIGN_SHEET]
            _save(sign_sheet([r for r, _ in some], metainfo=[m for _, m in some]), written[-1])
    _report(f"{_count(written, 'sheet')} in {args.output_dir}", [m for clips in signs.values() for _, m in clips])
    return written


def _write_moving(args: argparse.Namespace, dataset: Any, places: Sequence[Any], problems: list[str]) -> list[Path]:
    from karsl.visualization.animation import Scene, frames_per_second, write_animation

    names, written = unique_names(map(_clip_id, places)), []
    for number, place, stages, draws in _stages(args, places, problems, f"drawing {args.format}", "concat"):
        scene = Scene([*stages, *draws], metainfo=place.metainfo)
        fps = frames_per_second(place.record, place.metainfo)
        written.append(write_animation(args.output_dir / f"{names[number]}.{args.format}", scene, fps=fps))
    _report(f"{_count(written, f'{args.format} file')} in {args.output_dir}", [place.metainfo for place in places])
    return written


def _write_html(args: argparse.Namespace, dataset: Any, places: Sequence[Any], problems: list[str]) -> list[Path]:
    from karsl.visualization.page import write_page
    from karsl.visualization.page.gallery import page_clips, source_facts

    shown = _stages(args, places, problems, "writing the page", "pipeline")
    clips = page_clips((place, stages, draws) for _, place, stages, draws in shown)
    first = next(clips, None)
    if first is None:
        return []
    facts = source_facts(args.source, dataset, shown=len(places))
    written = write_page(args.output_dir / "browse.html", chain([first], clips), title=Path(args.source).name, facts=facts)
    more = f" and {_count(written[1:], 'page')} of clips beside it" if len(written) > 1 else ""
    print(f"open {written[0]}{more}")
    return written[:1]


def _save(image: Any, path: Path) -> None:
    from karsl.storage.atomic import atomic_path

    with atomic_path(path) as part:
        image.save(part, format="PNG", optimize=True)


def _report(text: str, metainfo: Iterable[Mapping]) -> None:
    from karsl.visualization import arabic_problem

    print(text)
    problem = arabic_problem() if any("classes_ar" in about for about in metainfo) else None
    if problem:
        print(f"karsl browse: {problem}", file=sys.stderr)


def _count(things: Sequence[Any], name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def _clip_id(place: Any) -> str:
    return str(place.record.get("clip_id", f"clip_{place.index}"))


def _sign(place: Any) -> Any:
    sign = place.record.get("sign")
    return f"{sign:04d}" if isinstance(sign, int) else place.record.get("label", "unknown")
