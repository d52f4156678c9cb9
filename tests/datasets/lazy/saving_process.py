"""Saves items of recorded datasets, each in a process of its own: `saving_process.py ROOT FOLDER WHAT...`.

With `DIE_AT=n` in the environment such a process is killed by its item n, counting from 0.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from karsl.datasets import KArSLDataset
from karsl.datasets.combine import SliceDataset
from karsl.datasets.lazy import LazyDataset
from karsl.errors import ConfigError

LOAD, CENTRE = dict(type="LoadKeypoints"), dict(type="CenterScale")
LOCK = threading.Lock()


def noted(results):
    """A step of one's own that writes down what it sees."""
    log = Path(os.environ["SEEN"])
    with log.open("a", encoding="utf-8") as stream:
        stream.write(f"{results['clip_id']}\n")
    if len(log.read_bytes().splitlines()) > int(os.environ.get("DIE_AT", 1000)):
        os.kill(os.getpid(), signal.SIGKILL)
    return results


def untold(results):
    """Holds something whose content cannot be read off."""
    with LOCK:
        return results


def recorded(what, root):
    """A dataset given as an object, so that no config tells what it does."""
    signer, steps = ("02" if "signer" in what else "01"), [CENTRE] if "centered" in what else []
    clips = KArSLDataset(data_root=root, pipeline=[LOAD, *steps], filter_cfg=dict(signers=signer))
    lazy = LazyDataset(SliceDataset(clips, 6) if "sliced" in what else clips.get_subset(6), seed=0)
    return lazy.map([noted, untold] if "untold" in what else noted)


def save(what, root, folder):
    """`what` is `name` or `name-change`; what has one name goes to one place."""
    name = what.partition("-")[0]
    os.environ["SEEN"] = f"{folder}/{name}.log"
    try:
        recorded(what, root).save_as(f"{folder}/{name}", dtype="float32")
        print(f"{what}: written")
    except ConfigError as error:
        print(f"{what}: {error}")


if __name__ == "__main__":
    root, folder, *whats = sys.argv[1:]
    for what in whats:
        child = os.fork()
        if not child:
            save(what, root, folder)
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)
