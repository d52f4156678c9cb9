"""Animations of clips: GIF and lossless WebP by Pillow, H.264 video by imageio-ffmpeg."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import ConfigError, KarslError, missing_extra
from karsl.io.atomic import atomic_path
from karsl.visualization.draw.canvas import Canvas, Image, shorten
from karsl.visualization.draw.captions import BAR, GAP, MARGIN, TICK, draw_presence, draw_sampled_frames, draw_title
from karsl.visualization.draw.clip import ClipPlot, hands_detached
from karsl.visualization.draw.palette import GRID, INK, MUTED, GroupStyle, drawing_colors, enlarged_hands, group_styles
from karsl.visualization.draw.skeleton import Viewport, draw_frame, fit, fit_per_frame, fit_shared

FPS = 25.0  # videos of KArSL have 25 or 30 frames per second; `fps` of metainfo or a record takes precedence

_TITLE, _HEAD, _LEFT = 50, 22, 104  # pixels: title, heading of a stage, labels of bars
_WIDTH_ALONE, _WIDTH_OF_SEVERAL = 420, 300  # pixels per stage
_COLUMNS = 4  # stages per row
_PALETTE_FRAMES = 8  # frames from which the palette of a GIF is computed
_MIN_COLOR_DISTANCE = 10  # of 255; Pillow looks colors up in steps of 4, and white must not become a gray next to it


@dataclass(frozen=True)
class Panel:
    """A box that shows one group of a stage, or all groups (`group` None), with one viewport per frame."""

    x: float
    y: float
    width: float
    height: float
    group: GroupStyle | None
    views: list[Viewport]


class Scene:
    """Frames of an animation: a clip, or a clip and its stages in a pipeline, side by side.

    Each stage has the body, enlarged hands, and a timeline with a cursor below.

    Args:
        stages: Name and results of each stage, after LoadKeypoints and before packing.
        metainfo: Metainfo of the dataset, for glosses.

    Attributes:
        size: Width and height in pixels, both even as H.264 requires.
        num_frames: Number of frames of the animation.

    Raises:
        KeyError: If results have no keypoints.
        SkeletonError: If the arrays do not match the skeleton.
    """

    def __init__(self, stages: Sequence[tuple[str, Mapping[str, Any]]], *, metainfo: Mapping | None = None) -> None:
        self.names = [name for name, _ in stages]
        self.clips = [ClipPlot.from_results(results, metainfo=metainfo) for _, results in stages]
        self.frames = align_frames(self.clips)
        self.num_frames = len(self.frames)
        self.panels = _layout(self.clips)
        panels = [panel for stage in self.panels for panel in stage]
        width = max(max(p.x + p.width for p in panels), 480)
        self._bars_top = max(p.y + p.height for p in panels) + 10
        bars = (BAR + GAP) * len(group_styles(self.clips[0].skeleton)) + TICK + GAP + 7
        self.size = (round(width) + 1) // 2 * 2, (round(self._bars_top + bars) + 1) // 2 * 2

    def images(self) -> Iterator[Any]:
        """Yield each frame as a `PIL.Image.Image` in RGB."""
        return (self.image(index) for index in range(self.num_frames))

    def image(self, index: int) -> Any:
        """Draw one frame, with index in [0, num_frames)."""
        canvas = Canvas(*self.size)
        self._draw_title(canvas, index)
        for name, clip, panels, frame in zip(self.names, self.clips, self.panels, self.frames[index], strict=True):
            self._draw_stage(canvas, name, clip, panels, int(frame))
        self._draw_timeline(canvas, index)
        return canvas.finish()

    def _draw_title(self, canvas: Canvas, index: int) -> None:
        clip = self.clips[0]
        draw_title(canvas, clip, size=15, arabic_size=19, top=7, gap=12)
        subtitle = " · ".join(filter(None, (clip.subtitle, clip.clip_id)))
        canvas.text(8, 29, shorten(subtitle, self.size[0] - 110, size=10), size=10, color=MUTED)
        counter = f"{index + 1} / {self.num_frames}"
        canvas.text(self.size[0] - MARGIN, 36, counter, size=10, color=MUTED, anchor="rm")

    def _draw_stage(self, canvas: Canvas, name: str, clip: ClipPlot, panels: list[Panel], frame: int) -> None:
        if len(self.clips) > 1:
            width = panels[-1].x + panels[-1].width - panels[0].x - 12
            heading = shorten(f"{name} · t={frame}", width, size=11, bold=True)
            canvas.text(panels[0].x + 6, panels[0].y - _HEAD + 5, heading, size=11, bold=True)
        for panel in panels:
            with canvas.panel(panel.x, panel.y, panel.width, panel.height) as inner:
                _draw_panel(inner, clip, panel, frame)
            canvas.box(panel.x, panel.y, panel.width + 1, panel.height + 1, edge=GRID)

    def _draw_timeline(self, canvas: Canvas, index: int) -> None:
        first, top = self.clips[0], self._bars_top
        span = {"left": _LEFT, "width": self.size[0] - _LEFT - MARGIN}
        end = draw_presence(canvas, first, top=top, **span)
        inds = next((clip.frame_inds for clip in self.clips if clip.frame_inds is not None), None)
        if inds is not None and first.is_unsampled:
            end = draw_sampled_frames(canvas, inds, first.total_frames, top=end, **span)
        x = _LEFT + span["width"] * (self.frames[index, 0] + 0.5) / first.num_frames
        canvas.line((x, top - 4), (x, end - 2), INK, width=1.5)


def write_animation(path: str | Path, scene: Scene, *, fps: float = FPS) -> Path:
    """Write a clip as an animation, atomically.

    Args:
        path: File to write. Its suffix selects the format: `.gif`, `.webp` (lossless) or `.mp4` (H.264, plays in browsers).
        scene: Frames to write.
        fps: Frames per second.

    Returns:
        `path`.

    Raises:
        ConfigError: If the suffix is unknown.
        MissingExtraError: If imageio-ffmpeg is required for `.mp4` and not installed.
    """
    path = Path(path)
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise ConfigError(f"'{path}': no animation format has suffix {path.suffix!r}; expected {', '.join(_WRITERS)}")
    with atomic_path(path) as part:
        writer(part, scene, fps)
    return path


def encode_webp(scene: Scene, fps: float = FPS) -> bytes:
    """Return a clip as a lossless, looping WebP, which a page or a notebook can embed."""
    buffer = BytesIO()
    _write_webp(buffer, scene, fps)
    return buffer.getvalue()


def frames_per_second(record: Mapping[str, Any], metainfo: Mapping[str, Any] | None = None) -> float:
    """Return the `fps` of a record, else of the dataset, limited to 1 to 100; else 25.

    Example:
        >>> frames_per_second({}, {"fps": 30}), frames_per_second({"fps": 0})
        (30.0, 25.0)
    """
    for values in (record, metainfo or {}):
        fps = values.get("fps")
        if isinstance(fps, (int, float)) and np.isfinite(fps) and fps > 0:
            return float(min(max(fps, 1.0), 100.0))
    return FPS


def align_frames(clips: Sequence[ClipPlot]) -> np.ndarray:
    """Return the frame of each stage at each frame of the animation, which has those of the longest stage.

    The other stages show the frame that is nearest on disk.

    Args:
        clips: Stages of one clip.

    Returns:
        int64 (frames, clips).

    Example:
        >>> import numpy as np
        >>> from karsl.skeletons import get_skeleton
        >>> def plot(frames, **more):
        ...     return ClipPlot.from_results({"keypoint": np.zeros((frames, 42, 3)), **more}, get_skeleton("hand_42"))
        >>> align_frames([plot(4), plot(2, frame_inds=[0.5, 3.0], total_frames=4)]).T.tolist()
        [[0, 1, 2, 3], [0, 0, 1, 1]]
    """
    reference = positions_on_disk(max(clips, key=lambda clip: clip.num_frames))
    distances = (np.abs(positions_on_disk(clip)[None] - reference[:, None]) for clip in clips)
    return np.stack([distance.argmin(1) for distance in distances], axis=1)


def positions_on_disk(clip: ClipPlot) -> np.ndarray:
    """Return the position of each frame in the clip on disk, float64 (T,); evenly spread if unknown."""
    count, inds = clip.num_frames, clip.frame_inds
    if inds is not None and len(inds) == count and np.isfinite(inds).all():
        return inds
    return (np.arange(count) + 0.5) * clip.total_frames / count - 0.5


def delays_ms(count: int, fps: float, *, unit: int = 1) -> list[int]:
    """Return the duration of each of `count` frames in multiples of `unit` ms, with the exact sum.

    GIF has units of 10 ms: with each frame of 30 fps rounded separately, it would play 11 % too fast.

    Example:
        >>> delays_ms(6, 30, unit=10)
        [30, 40, 30, 30, 40, 30]
    """
    ends = np.floor(np.arange(count + 1) * 1000 / fps / unit + 0.5).astype(np.int64) * unit
    return np.maximum(np.diff(ends), unit).tolist()


def _layout(clips: Sequence[ClipPlot]) -> list[list[Panel]]:
    """Return the panels of each stage, in a grid. Bodies in similar coordinates share a viewport, to make shifts visible."""
    top: float = _TITLE + (_HEAD if len(clips) > 1 else 0)
    width = _WIDTH_ALONE if len(clips) == 1 else _WIDTH_OF_SEVERAL
    bodies = fit_shared([clip.points_to_fit() for clip in clips], (width, width))
    layout: list[list[Panel]] = []
    for number, (clip, body) in enumerate(zip(clips, bodies, strict=True)):
        x = number % _COLUMNS * (width + 6.0)
        if number and not number % _COLUMNS:
            top = max(p.y + p.height for panels in layout for p in panels) + _HEAD + 4
        is_detached = hands_detached(clip.points, clip.skeleton)
        layout.append(_group_panels(clip, x, top, width) if is_detached else _body_panels(clip, body, x, top, width))
    return layout


def _body_panels(clip: ClipPlot, body: Viewport, x: float, top: float, width: float) -> list[Panel]:
    panels = [Panel(x, top, width, width, None, [body] * clip.num_frames)]
    is_alone = width == _WIDTH_ALONE  # hands on the right of a single stage, below one of several
    size = (width / 2, width / 2) if is_alone else (width / 2, width * 0.45)
    for number, hand in enumerate(enlarged_hands(clip.skeleton)):
        views = fit_per_frame(clip.points[:, clip.skeleton.groups[hand.name]], size, pad=14)
        corner = (x + width, top + number * size[1]) if is_alone else (x + number * size[0], top + width)
        panels.append(Panel(*corner, *size, hand, views))
    return panels


def _group_panels(clip: ClipPlot, x: float, top: float, width: float) -> list[Panel]:
    """Return one panel per group, two in a row, for groups that were centered separately."""
    size = (width / 2, width / 2)
    views = [fit([clip.points[:, part]], size, pad=8) for part in clip.skeleton.groups.values()]
    return [
        Panel(x + n % 2 * size[0], top + n // 2 * size[1], *size, style, [view] * clip.num_frames)
        for n, (style, view) in enumerate(zip(group_styles(clip.skeleton), views, strict=True))
    ]


def _draw_panel(inner: Canvas, clip: ClipPlot, panel: Panel, frame: int) -> None:
    group = panel.group
    if group:
        inner.text(6, 5, group.label, size=9, color=group.color)
    zoom = panel.width / (110 if group else 220)
    draw_frame(inner, clip, frame, panel.views[frame], group=group, zoom=zoom, text_size=11)


def _write_gif(path: Path, scene: Scene, fps: float) -> None:
    """Write with one palette and no dithering, so that static areas compress: a fifth of the size."""
    palette = _shared_palette(scene)
    images = (image.quantize(palette=palette, dither=Image.Dither.NONE) for image in scene.images())
    first = next(images)
    delays = delays_ms(scene.num_frames, fps, unit=10)
    first.save(path, format="GIF", save_all=True, append_images=images, duration=delays, loop=0, optimize=False)


def _write_webp(target: Path | BytesIO, scene: Scene, fps: float) -> None:
    images = scene.images()
    first, delays = next(images), delays_ms(scene.num_frames, fps)
    options = {"duration": delays, "loop": 0, "lossless": True, "method": 2}
    first.save(target, format="WEBP", save_all=True, append_images=images, **options)


def _write_mp4(path: Path, scene: Scene, fps: float) -> None:
    """Write `yuv420p` with the index first, which browsers play while loading."""
    try:
        from imageio_ffmpeg import write_frames  # optional dependency
    except ImportError as error:
        raise missing_extra("video", "imageio-ffmpeg") from error
    logging.getLogger("imageio_ffmpeg").setLevel(logging.ERROR)
    options = ["-crf", "17", "-preset", "medium", "-movflags", "+faststart", "-f", "mp4"]
    sink = write_frames(
        str(path.absolute()), scene.size, fps=fps, codec="libx264", pix_fmt_out="yuv420p", quality=None, macro_block_size=2,
        ffmpeg_log_level="error", output_params=options,
    )  # fmt: skip
    try:
        sink.send(None)
        for image in scene.images():
            sink.send(np.ascontiguousarray(image))
    except OSError as error:
        raise KarslError(f"'{path}': ffmpeg could not write H.264 video ({error}); try --format webp") from error
    finally:
        sink.close()


def _shared_palette(scene: Scene) -> Any:
    """Return a palette of the drawing colors, unchanged, and the mixed colors of some frames."""
    indices = np.unique(np.linspace(0, scene.num_frames - 1, _PALETTE_FRAMES).astype(int)).tolist()
    width, height = scene.size
    stacked = Image.new("RGB", (width, height * len(indices)))
    for number, index in enumerate(indices):
        stacked.paste(scene.image(index), (0, number * height))
    pure = np.array([[int(color[k : k + 2], 16) for k in (1, 3, 5)] for color in drawing_colors()])
    mixed = np.array(stacked.quantize(256 - len(pure), method=Image.Quantize.MEDIANCUT).getpalette() or []).reshape(-1, 3)
    is_distinct = np.abs(mixed[:, None] - pure).max(-1).min(1) > _MIN_COLOR_DISTANCE
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([pure, mixed[is_distinct]]).ravel().tolist())
    return palette


_WRITERS: dict[str, Callable[[Path, Scene, float], None]] = {".gif": _write_gif, ".webp": _write_webp, ".mp4": _write_mp4}
SUFFIXES = tuple(_WRITERS)
