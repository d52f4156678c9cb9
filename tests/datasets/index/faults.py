"""Processes that the fault tests start and kill. Run as `python faults.py FOLDER COUNT [LOG]`.

KILL_AT in the environment names the moment at which the process kills itself, as `kill -9` would: the number of a record, or
'before fsync', 'before replace', 'after replace'. HOLD_AT names a record at which it prints 'holding' and waits.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from pathlib import Path

from karsl.datasets.index.cache import open_or_build

FINGERPRINT = "ab" * 16
COLUMNS = {"label": "int64"}


def rows(count, salt=0):
    for i in range(count):
        if os.environ.get("KILL_AT") == str(i):
            die()
        if os.environ.get("HOLD_AT") == str(i):
            print("holding", flush=True)
            signal.pause()
        yield {"clip_id": f"clip {i} {salt}", "label": i % 7, "text": hashlib.md5(b"%d" % i).hexdigest()}


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_around(moment, name):
    real = getattr(os, name)

    def deadly(*args):
        if moment == "after":
            real(*args)
        die()

    setattr(os, name, deadly)


def start(folder, count, log=None, salt=0, name=FINGERPRINT):
    """Open or build as a dataset does; every build adds a line to `log`."""

    def make():
        if log:
            with open(log, "a") as file:
                file.write(f"{os.getpid()}\n")
        return rows(count, salt), {"count": count}

    return open_or_build(name, make, columns=COLUMNS, cache=folder)


def is_right(records, extra, count, salt=0) -> bool:
    labels = records.column("label").tolist() == [i % 7 for i in range(count)]
    return labels and extra == {"count": count} and all(a == b for a, b in zip(records, rows(count, salt), strict=True))


if __name__ == "__main__":
    moment, _, name = os.environ.get("KILL_AT", "").partition(" ")
    if name:
        die_around(moment, name)
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    print("ready", flush=True)
    records, extra = start(folder, count, *sys.argv[3:])
    print("right" if is_right(records, extra, count) else "WRONG", "file" if records.path else "memory", flush=True)
