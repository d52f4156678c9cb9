"""`karsl live`: classify the frames of a video or camera while they arrive."""

from __future__ import annotations

import argparse
import time
import webbrowser
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from karsl.cli.options import add_import, import_user_modules
from karsl.cli.predict import add_model, load_recognizer
from karsl.errors import ConfigError, CorruptRecordError, DatasetNotFoundError, pluralize

if TYPE_CHECKING:
    import numpy as np

    from karsl.inference.live import LiveFrame
    from karsl.visualization.live import LiveState

SUMMARY = "classify the signs of a video or camera while its frames arrive, shown in the browser"
_DESCRIPTION = """\
Find the keypoints of each frame, classify a sliding window of frames, print each sign when it is recognized, and serve a
page with keypoints, scores, frame rate and latency on 127.0.0.1. The model was trained on isolated signs: choose a --window
of about their length."""
_RATE_FRAMES = 30  # over which the frame rate on the page is averaged


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.description = _DESCRIPTION
    add_model(parser)
    parser.add_argument(
        "source",
        nargs="?",
        default="0",
        metavar="SOURCE",
        help="video file, folder of pictures, or number of a camera (default: 0)",
    )
    parser.add_argument("--window", type=int, default=60, metavar="N", help="frames per window (default: %(default)s)")
    parser.add_argument("--stride", type=int, default=5, metavar="N", help="frames between decisions (default: %(default)s)")
    parser.add_argument(
        "--smoothing", type=float, default=0.5, help="weight of earlier windows, 0 to 1 (default: %(default)s)"
    )
    parser.add_argument(
        "--threshold", type=float, default=0.5, help="smallest score of a recognized sign (default: %(default)s)"
    )
    parser.add_argument(
        "--extractor", default="holistic", metavar="NAME", help="as of 'karsl extract' (default: %(default)s)"
    )
    parser.add_argument("--models", type=Path, metavar="FILE", help="networks of the extractor, as of 'karsl extract'")
    parser.add_argument("--port", type=int, default=0, help="port of the page (default: a free one)")
    parser.add_argument(
        "--not-show", action="store_true", help="do not open the page, which is opened if there is a display"
    )
    add_import(parser)


def run(args: argparse.Namespace) -> int:
    """Classify until the source ends or Ctrl-C, then print rate and latency."""
    from karsl.inference.live import classify_frames
    from karsl.inference.streaming import StreamingRecognizer
    from karsl.inference.video import open_extractor
    from karsl.visualization.live import LiveState

    if not 0 <= args.port < 1 << 16:
        raise ConfigError(f"--port {args.port}; expected 0 to 65535")
    import_user_modules(args.imports)
    images = _images(args.source)
    recognizer = load_recognizer(args)
    options = {key: getattr(args, key) for key in ("window", "stride", "smoothing", "threshold")}
    stream = StreamingRecognizer(recognizer, **options)
    extractor = open_extractor(recognizer.skeleton, args.extractor, models=args.models)
    state = LiveState(
        Path(args.source).name if not args.source.isdecimal() else f"camera {args.source}", recognizer.skeleton
    )
    with _served(state, args):
        report = _Report(state)
        try:
            for frame in classify_frames(images, extractor, stream):
                report.add(frame)
        except KeyboardInterrupt:
            print("stopped", flush=True)
        if not report.latencies:
            raise CorruptRecordError(f"{args.source}: no frames")
        report.finish()
    return 0


class _Report:
    """What is printed and shown while frames are classified."""

    def __init__(self, state: LiveState) -> None:
        self.state = state
        self.latencies: list[float] = []
        self.decision_latencies: list[float] = []
        self._label: int | None = None
        self._values: dict[str, Any] = {"top": [], "decision": None}
        self._times = [time.perf_counter()]
        self._last: LiveFrame | None = None

    def add(self, frame: LiveFrame) -> None:
        self._times.append(time.perf_counter())
        self.latencies.append(frame.latency_s)
        decision = frame.decision
        if decision is not None:
            self.decision_latencies.append(frame.latency_s)
            top = decision.prediction.top(5)
            best = [top[0].name, top[0].name_ar]
            rows = [[c.name, c.name_ar, round(c.score, 4)] for c in top]
            self._values = {"top": rows, "decision": None if decision.label is None else best}
            if decision.label is not None and decision.label != self._label:
                print(f"frame {frame.frame}: {' '.join(filter(None, best))} {top[0].score:.2f}", flush=True)
            self._label = decision.label
        self._last = frame
        self._show(ended=False)

    def _show(self, *, ended: bool) -> None:
        frame, recent = self._last, self._times[-_RATE_FRAMES:]
        if frame is not None:
            fps = (len(recent) - 1) / max(recent[-1] - recent[0], 1e-9)
            values = {**self._values, "fps": round(fps, 2), "latency_ms": round(frame.latency_s * 1e3, 1), "ended": ended}
            self.state.update(frame.frame, frame.points, frame.aspect, **values)

    def finish(self) -> None:
        import numpy as np

        self._show(ended=True)
        count, seconds = len(self.latencies), self._times[-1] - self._times[0]
        median, most = np.percentile(self.decision_latencies or self.latencies, (50, 95)) * 1e3
        print(
            f"{pluralize(count, 'frame')}, {count / seconds:.1f} frames/s; from a frame to "
            f"its decision {median:.0f} ms (median), "
            f"{most:.0f} ms (95 %)"
        )


def _images(source: str) -> Iterable[np.ndarray]:
    from karsl.inference.video import camera_frames, has_frames
    from karsl.io.video import FrameReader

    if source.isdecimal() and not Path(source).exists():
        return camera_frames(int(source))
    path = Path(source)
    if not path.exists():
        raise DatasetNotFoundError(
            f"no video '{source}'; expected a video file, a folder of pictures, or the number of a camera"
        )
    if not has_frames(path):
        raise ConfigError(
            f"'{source}' is neither a video nor a folder of pictures; 'karsl predict' classifies files of keypoints"
        )
    return FrameReader(path)


@contextmanager
def _served(state: LiveState, args: argparse.Namespace) -> Iterator[None]:
    from karsl.cli.browse_export import has_display
    from karsl.visualization.server import ClipServer

    with ClipServer(state, args.port) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        print(f"live at {server.url} (Ctrl-C stops)", flush=True)
        if not args.not_show and has_display():
            webbrowser.open(server.url)
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
