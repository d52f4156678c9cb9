"""Run readers on damaged files, in processes of their own: `python -m tests.fuzz.run [READER ...] --inputs N [--first K]`.

Prints one JSON object per reader: the number of inputs, and the failures by place. A failure is a signal (a crash), more
than 10 s, more than 1 GiB above what reading the sound files takes, or an exception that is no error of karsl.
"""

from __future__ import annotations

import argparse
import json
import logging
import mmap
import os
import resource
import shutil
import signal
import struct
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from karsl.errors import KarslError
from tests.fuzz.damage import damage

SECONDS, MEMORY = 10, 1 << 30
_CHUNK = 500  # inputs per process, so that what one leaves behind does not add up
_CURRENT = struct.Struct("<q")


@dataclass(frozen=True)
class Reader:
    """A reader of files that others may have written.

    Args:
        name: Name on the command line.
        make: Writes a sound source below a folder and returns the path to read.
        read: Reads everything at a path.
        files: Pattern of the names of files to damage.
        damage: Function of the content and a generator.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], object]
    files: str = "*"
    damage: Callable[[bytes, Random], bytes] = damage


class Hang(BaseException):
    """Reading takes too long; no reader catches it."""


def run(reader: Reader, first: int, count: int) -> dict[str, Any]:
    """Read `count` damaged inputs; return the failures by place."""
    failures: dict[str, dict[str, Any]] = {}
    folder = Path(tempfile.mkdtemp(prefix="karsl-fuzz-"))
    try:
        source = reader.make(folder)
        files = sorted(path for path in folder.rglob(reader.files) if path.is_file())
        reader.read(source)  # sound, and compiles what is compiled
        current, begin = mmap.mmap(-1, _CURRENT.size), first
        while begin < first + count:
            end = min(begin + _CHUNK, first + count)
            begin = _run_chunk(reader, source, files, range(begin, end), current, failures)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {"reader": reader.name, "inputs": count, "failures": failures}


def _run_chunk(
    reader: Reader, source: Path, files: list[Path], numbers: range, current: mmap.mmap, failures: dict[str, dict]
) -> int:
    """Fork a process that reads the inputs; return the number of the next input, after the one that crashed."""
    sound = {path: path.read_bytes() for path in files}
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(receive)
        try:
            found = _read_all(reader, source, sound, numbers, current)
            os.write(send, json.dumps(found)[: 1 << 15].encode())
        finally:
            os._exit(0)
    os.close(send)
    with open(receive, "rb") as stream:
        answer = stream.read()
    _, status = os.waitpid(pid, 0)
    for path, content in sound.items():
        path.write_bytes(content)
    if os.WIFSIGNALED(status):
        number = _CURRENT.unpack(current[:])[0]
        name = "hang" if os.WTERMSIG(status) == signal.SIGKILL else signal.Signals(os.WTERMSIG(status)).name
        failures.setdefault(name, {"number": number, "error": name, "count": 0})["count"] += 1
        return number + 1
    for place, failure in json.loads(answer).items():
        failures.setdefault(place, {**failure, "count": 0})["count"] += failure["count"]
    return numbers.stop


def _read_all(reader: Reader, source: Path, sound: dict[Path, bytes], numbers: range, current: mmap.mmap) -> dict[str, dict]:
    signal.signal(signal.SIGALRM, _stop)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    found: dict[str, dict] = {}
    files = list(sound)
    for number in numbers:
        current[:] = _CURRENT.pack(number)
        rng = Random(f"{reader.name} {number}")
        path = rng.choice(files)
        path.write_bytes(reader.damage(sound[path], rng))
        try:
            _read(reader, source)
        except (Hang, Exception) as error:
            if not isinstance(error, (KarslError, FileNotFoundError)):
                place = _place(error)
                found.setdefault(place, {"number": number, "error": f"{type(error).__name__}: {error}"[:200], "count": 0})
                found[place]["count"] += 1
        finally:
            path.write_bytes(sound[path])
    return found


def _read(reader: Reader, source: Path) -> None:
    """Read within the limits. An input that has numba compile for a type of its own is read again, with more time."""
    try:
        _set_alarm(SECONDS)
        reader.read(source)
    except Hang as error:
        if not any("/numba/" in frame.filename for frame in traceback.extract_tb(error.__traceback__)):
            raise
        _set_alarm(20 * SECONDS)
        reader.read(source)
    finally:
        _set_alarm(0)


def _set_alarm(seconds: float) -> None:
    """Raise `Hang` after some seconds, and kill a process whose compiled code does not return to Python."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (_cpu_seconds() + int(3 * seconds) + 30, resource.RLIM_INFINITY))


def _cpu_seconds() -> int:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return int(usage.ru_utime + usage.ru_stime) + 1


def _stop(number: int, frame: Any) -> None:
    raise Hang(f"over {SECONDS} s")


def _place(error: BaseException) -> str:
    """Return the type of an error and the last lines of karsl and of any module that it came from."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    own = [frame for frame in frames if "/karsl/" in frame.filename]
    names = [f"{frame.filename.rpartition('/karsl/')[2]}:{frame.lineno}" for frame in own[-1:]]
    if frames and frames[-1] not in own:
        names.append(f"{Path(frames[-1].filename).name}:{frames[-1].lineno}")
    return f"{type(error).__name__} at {' > '.join(names)}"


def main() -> None:
    """Run the readers that are named, or all of them."""
    from karsl.io.remote import Retry
    from tests.fuzz.readers import READERS

    parser = argparse.ArgumentParser(description="Run readers on damaged files.")
    parser.add_argument("readers", nargs="*", help=f"default: all of {', '.join(READERS)}")
    parser.add_argument("--inputs", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable()
    Retry.backoff = lambda self, failures: None  # type: ignore[method-assign]
    for name in args.readers or READERS:
        print(json.dumps(run(READERS[name], args.first, args.inputs), ensure_ascii=True), flush=True)


if __name__ == "__main__":
    sys.exit(main())
