"""One moment of a clip as a picture: body, both hands enlarged, and the timeline with a cursor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from karsl.visualization.animation.timeline import shown_together
from karsl.visualization.drawing.bars import draw_presence, draw_taken
from karsl.visualization.drawing.canvas import Canvas, shorten
from karsl.visualization.drawing.clip import ClipView
from karsl.visualization.drawing.palette import GRID, INK, MUTED, GroupStyle, group_styles
from karsl.visualization.drawing.skeleton import draw_skeleton
from karsl.visualization.drawing.title import MARGIN, draw_title
from karsl.visualization.drawing.viewport import Viewport, fit, fit_alike, fit_following

_TITLE, _HEAD, _LEFT = 50, 22, 104  # pixels: title, a stage's head; label of bars
_WIDE, _SLIM = 420, 300  # pixels across of one stage alone, of one among several
_ABREAST = 4  # stages in a row


@dataclass(frozen=True)
class Panel:
    """A box of the picture that shows one group of a stage, or all of it (`group` None); one viewport a frame."""

    x: float
    y: float
    width: float
    height: float
    group: GroupStyle | None
    views: list[Viewport]


class Scene:
    """The moving picture of a clip, or of a clip and what a pipeline made of it, side by side.

    Args:
        stages: Name and results of each, after LoadKeypoints and before packing.
        metainfo: The dataset's, for glosses.

    Attributes:
        size: Width and height in pixels, both even as H.264 wants them.
        num_frames: Moments to show.

    Raises:
        KeyError: Results hold no keypoints.
        SkeletonError: The arrays do not fit the skeleton.
    """

    def __init__(self, stages: Sequence[tuple[str, Mapping[str, Any]]], *, metainfo: Mapping | None = None) -> None:
        self.names = [name for name, _ in stages]
        self.clips = [ClipView.of(results, metainfo=metainfo) for _, results in stages]
        self.moments = shown_together(self.clips)
        self.num_frames = len(self.moments)
        self.panels = _plan(self.clips)
        everywhere = [panel for panels in self.panels for panel in panels]
        width = max(max(p.x + p.width for p in everywhere), 480)
        self._bars_top = max(p.y + p.height for p in everywhere) + 10
        bars = 13 * len(group_styles(self.clips[0].skeleton)) + 18
        self.size = (round(width) + 1) // 2 * 2, (round(self._bars_top + bars) + 1) // 2 * 2

    def pictures(self) -> Iterator[Any]:
        """Each moment as a `PIL.Image.Image` in RGB."""
        return (self.picture(moment) for moment in range(self.num_frames))

    def picture(self, moment: int) -> Any:
        """One moment, in [0, num_frames)."""
        canvas = Canvas(*self.size)
        self._title(canvas, moment)
        for name, clip, panels, frame in zip(self.names, self.clips, self.panels, self.moments[moment], strict=True):
            self._stage(canvas, name, clip, panels, int(frame))
        self._timeline(canvas, moment)
        return canvas.finish()

    def _title(self, canvas: Canvas, moment: int) -> None:
        clip = self.clips[0]
        draw_title(canvas, clip, size=15, arabic_size=19, top=7, gap=12)
        facts = " · ".join(filter(None, (clip.facts, clip.clip_id)))
        canvas.text(8, 29, shorten(facts, self.size[0] - 110, size=10), size=10, colour=MUTED)
        place = f"{moment + 1} / {self.num_frames}"
        canvas.text(self.size[0] - MARGIN, 36, place, size=10, colour=MUTED, anchor="rm")

    def _stage(self, canvas: Canvas, name: str, clip: ClipView, panels: list[Panel], frame: int) -> None:
        if len(self.clips) > 1:
            text = f"{name} · t={frame}"
            room = panels[-1].x + panels[-1].width - panels[0].x - 12
            place = panels[0].x + 6, panels[0].y - _HEAD + 5
            canvas.text(*place, shorten(text, room, size=11, bold=True), size=11, bold=True)
        for panel in panels:
            with canvas.panel(panel.x, panel.y, panel.width, panel.height) as inner:
                _draw(inner, clip, panel, frame)
            canvas.box(panel.x, panel.y, panel.width + 1, panel.height + 1, edge=GRID)

    def _timeline(self, canvas: Canvas, moment: int) -> None:
        first, top = self.clips[0], self._bars_top
        span = {"left": _LEFT, "width": self.size[0] - _LEFT - MARGIN}
        end = draw_presence(canvas, first, top=top, **span)
        taken = next((clip.frame_inds for clip in self.clips if clip.frame_inds is not None), None)
        if taken is not None and first.is_on_disk_time:
            end = draw_taken(canvas, taken, first.total_frames, top=end, **span)
        x = _LEFT + span["width"] * (self.moments[moment, 0] + 0.5) / first.num_frames
        canvas.line((x, top - 4), (x, end - 2), INK, width=1.5)


def _plan(clips: Sequence[ClipView]) -> list[list[Panel]]:
    """Panels of every stage, in a grid; bodies of stages in like coordinates share one frame, so a shift is seen."""
    top: float = _TITLE + (_HEAD if len(clips) > 1 else 0)
    width = _WIDE if len(clips) == 1 else _SLIM
    bodies = fit_alike([clip.framed() for clip in clips], (width, width))
    planned: list[list[Panel]] = []
    for number, (clip, body) in enumerate(zip(clips, bodies, strict=True)):
        x = number % _ABREAST * (width + 6.0)
        if number and not number % _ABREAST:
            top = max(p.y + p.height for panels in planned for p in panels) + _HEAD + 4
        panels = _groups_apart(clip, x, top, width) if clip.hands_float() else _body_and_hands(clip, body, x, top, width)
        planned.append(panels)
    return planned


def _body_and_hands(clip: ClipView, body: Viewport, x: float, top: float, width: float) -> list[Panel]:
    panels = [Panel(x, top, width, width, None, [body] * clip.num_frames)]
    styles = group_styles(clip.skeleton)
    hands = sorted((s for s in styles if s.side), key=lambda s: s.side == "left")
    if len(hands) == len(styles) == 1:
        return panels  # nothing but one hand: the body's panel shows it as large
    side = width == _WIDE  # one stage alone has its hands beside the body, one among several below it
    size = (width / 2, width / 2) if side else (width / 2, width * 0.45)
    for number, hand in enumerate(hands):
        views = fit_following(clip.points[:, clip.skeleton.groups[hand.name]], size, pad=14)
        place = (x + width, top + number * size[1]) if side else (x + number * size[0], top + width)
        panels.append(Panel(*place, *size, hand, views))
    return panels


def _groups_apart(clip: ClipView, x: float, top: float, width: float) -> list[Panel]:
    """Data centered group by group: each in a panel of its own, two in a row."""
    size = (width / 2, width / 2)
    views = [fit([clip.points[:, part]], size, pad=8) for part in clip.skeleton.groups.values()]
    return [
        Panel(x + n % 2 * size[0], top + n // 2 * size[1], *size, style, [view] * clip.num_frames)
        for n, (style, view) in enumerate(zip(group_styles(clip.skeleton), views, strict=True))
    ]


def _draw(inner: Canvas, clip: ClipView, panel: Panel, frame: int) -> None:
    only = clip.skeleton.groups[panel.group.name] if panel.group else None
    points = clip.points[frame]
    if panel.group:
        inner.text(6, 5, panel.group.label, size=9, colour=panel.group.colour)
    if not np.isfinite(points[only or slice(None)]).all(-1).any():
        inner.text(panel.width / 2, panel.height / 2, "missing", size=11, colour="#a8b1bd", anchor="mm")
        return
    zoom = panel.width / (220 if panel.group is None else 110)
    draw_skeleton(inner, panel.views[frame].to_pixels(points), clip.skeleton, only=only, zoom=zoom)
