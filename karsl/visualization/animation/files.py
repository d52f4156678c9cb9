"""Write moving pictures: GIF and lossless WebP by Pillow, H.264 video by the ffmpeg of imageio-ffmpeg."""

from __future__ import annotations

import logging
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from karsl.errors import ConfigError, KarslError, missing_extra
from karsl.io.atomic import atomic_path
from karsl.visualization.animation.scene import Scene
from karsl.visualization.animation.timeline import FPS, delays_ms
from karsl.visualization.drawing.palette import drawing_colours
from karsl.visualization.drawing.pillow import Image

_PALETTE_FROM = 8  # pictures that a GIF's colours are taken from; a clip has the same few in all
_APART = 10  # of 255; Pillow looks colours up in steps of 4, and white must not become the grey beside it


def write_animation(path: str | Path, scene: Scene, *, fps: float = FPS) -> Path:
    """Write a clip as a moving picture, whole or not at all.

    Args:
        path: Its suffix says the format: `.gif`, `.webp` (lossless) or `.mp4` (H.264, plays in browsers).
        scene: What to show.
        fps: Frames a second.

    Returns:
        `path`.

    Raises:
        ConfigError: Another suffix.
        MissingExtraError: `.mp4` without imageio-ffmpeg.
    """
    path = Path(path)
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise ConfigError(f"'{path}': no moving picture has suffix {path.suffix!r}; expected {', '.join(_WRITERS)}")
    with atomic_path(path) as part:
        writer(part, scene, fps)
    return path


def _write_gif(path: Path, scene: Scene, fps: float) -> None:
    """One palette for all pictures and no dithering: still parts stand still, and the file is a fifth."""
    palette = _shared_palette(scene)
    pictures = (picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in scene.pictures())
    first = next(pictures)
    delays = delays_ms(scene.num_frames, fps, unit=10)
    first.save(path, format="GIF", save_all=True, append_images=pictures, duration=delays, loop=0, optimize=False)


def encode_webp(scene: Scene, fps: float = FPS) -> bytes:
    """A clip as a lossless WebP that plays for ever: what a page or a notebook holds as one picture."""
    buffer = BytesIO()
    _write_webp(buffer, scene, fps)
    return buffer.getvalue()


def _write_webp(target: Path | BytesIO, scene: Scene, fps: float) -> None:
    pictures = scene.pictures()
    first, delays = next(pictures), delays_ms(scene.num_frames, fps)
    first.save(
        target, format="WEBP", save_all=True, append_images=pictures, duration=delays, loop=0, lossless=True, method=2
    )


def _write_mp4(path: Path, scene: Scene, fps: float) -> None:
    """`yuv420p` and the index in front: what every browser plays, from the first byte on."""
    try:
        from imageio_ffmpeg import write_frames  # an optional extra
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
        for picture in scene.pictures():
            sink.send(np.ascontiguousarray(picture))
    except OSError as error:
        raise KarslError(f"'{path}': ffmpeg could not write H.264 video ({error}); try --format webp") from error
    finally:
        sink.close()


def _shared_palette(scene: Scene) -> Any:
    """The colours that are drawn with, kept as they are, and those in between that the pictures hold."""
    moments = np.unique(np.linspace(0, scene.num_frames - 1, _PALETTE_FROM).astype(int)).tolist()
    width, height = scene.size
    together = Image.new("RGB", (width, height * len(moments)))
    for number, moment in enumerate(moments):
        together.paste(scene.picture(moment), (0, number * height))
    pure = np.array([[int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in drawing_colours()])
    found = together.quantize(256 - len(pure), method=Image.Quantize.MEDIANCUT).getpalette() or []
    between = np.array(found).reshape(-1, 3)
    apart = np.abs(between[:, None] - pure).max(-1).min(1) > _APART
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([pure, between[apart]]).ravel().tolist())
    return palette


_WRITERS: dict[str, Callable[[Path, Scene, float], None]] = {".gif": _write_gif, ".webp": _write_webp, ".mp4": _write_mp4}
SUFFIXES = tuple(_WRITERS)
