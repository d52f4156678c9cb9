"""`karsl browse --serve`: the page on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from threading import Thread
from typing import Any


def serve_until_interrupted(dataset: Any, args: argparse.Namespace) -> int:
    """Serve every clip that the words keep; Ctrl-C and SIGTERM end it in good order.

    Raises:
        ConfigError: Nothing is left to show, or the port is taken.
    """
    from karsl.cli.display import open_url
    from karsl.visualization.clips.catalogue import ClipFilter
    from karsl.visualization.serve import ClipServer, Shelf

    keep = ClipFilter(tuple(args.sign), tuple(args.signer), tuple(args.split))
    shelf = Shelf(
        dataset,
        source=Path(args.source).name,
        keep=keep,
        indices=tuple(args.index),
        sort=args.sort,
        mode=args.mode or "pipeline",
        draws=args.draws,
        seed=args.seed,
    )
    Thread(target=lambda: shelf.index_gz, daemon=True).start()  # while the browser opens
    with ClipServer(shelf, args.port) as server:
        before = signal.signal(signal.SIGTERM, _interrupt)
        try:
            print(f"{len(shelf)} clips at {server.url} (Ctrl-C ends)", flush=True)
            if not args.not_show:
                open_url(server.url)
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            print("ended", flush=True)
        finally:
            signal.signal(signal.SIGTERM, before)
    return 0


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt
