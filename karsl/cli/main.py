"""`karsl COMMAND ...`: dispatch to a command, with one-line errors and an exit status.

| exit status | meaning |
| --- | --- |
| 0 | success |
| 1 | clips of `karsl extract` failed, `karsl audit` found problems, a limit of `karsl memory` or `bench` is exceeded |
| 2 | invalid input; one line on stderr names it and a remedy |
| 130 | interrupted from the keyboard |
| 141 | standard output was closed by its reader, such as `head` |
| 143 | terminated by SIGTERM, as at the end of a job's time; partial files are removed as after Ctrl-C |
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from karsl.cli.formatter import HelpFormatter
from karsl.errors import DISK_FULL, SHARED_MEMORY_REMEDY, KarslError, TransformError, did_you_mean, first_line
from karsl.terminal import escaped_output
from karsl.version import __version__

__all__ = ["COMMANDS", "main"]

COMMANDS = (
    *("extract", "prepare", "audit", "splits", "pack", "convert", "skeletons"),
    *("train", "test", "loso", "report", "fuse", "predict", "live", "export", "info"),
    *("browse", "memory", "bench", "demo", "doctor", "completion"),
)
"""One module per command, in the order of `karsl --help`."""

BAD_INPUT = 2
INTERRUPTED = 130
CLOSED_OUTPUT = 141
TERMINATED = 143
DEBUG = "--debug"
DEBUG_HELP = "show the traceback of an error instead of one line"
# Built-in errors that are caused by a path of the user.
PATH_ERRORS = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError, FileExistsError)
DISK_ERRORS = dict.fromkeys(DISK_FULL, "; free some space, or write to another location") | {
    errno.EROFS: "; write to another location"
}
# Texts of PyTorch and platformdirs about the machine, with remedies.
ENVIRONMENT_ERRORS = {
    "shared memory": SHARED_MEMORY_REMEDY,
    "can't allocate memory": "use a larger machine, or a smaller model or batch",
    "could not determine the home directory": "set HOME or XDG_CACHE_HOME to a folder that you may write",
}
# PyTorch raises the error of a worker process with the entire traceback as its text.
WORKER_TRACEBACK = "\nOriginal Traceback (most recent call last):\n"
RAISED = re.compile(r"^(?:(?P<karsl>karsl\.errors\.)|[\w.]+\.)?(?P<name>DataErrors|\w*Error): ", re.MULTILINE)
SKIP_BAD = "or skip such clips: on_error='skip' in the config's dataset, or 'karsl prepare --skip-bad' and --ann-file"
UNREADABLE = ("CorruptRecordError", "FileNotFoundError")


class Parser(argparse.ArgumentParser):
    """`ArgumentParser` without abbreviations, with `HelpFormatter`, one-line errors, suggestions and exit status 2."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"allow_abbrev": False, "formatter_class": HelpFormatter, **kwargs})

    @property
    def option_strings(self) -> list[str]:
        """Return every option, short and long."""
        return [option for action in self._actions for option in action.option_strings]

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse options and positional words in any order; suggest an option in place of an unknown one."""
        parsed, unknown = self.parse_known_intermixed_args(args, namespace)
        if unknown:
            word = unknown[0]
            hint = did_you_mean(word.split("=")[0], self.option_strings) if word.startswith("-") else ""
            self.error(f"unknown argument '{word}'{hint}")
        return parsed

    def error(self, message: str) -> NoReturn:
        """Print one sentence and exit with status 2."""
        end = "" if message.endswith("?") else ";"
        self.exit(2, f"{self.prog}: {message}{end} see '{self.prog} --help'\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments after `karsl`; None uses the command line.

    Returns:
        The exit status, see the table of this module.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    _escape_unprintable()
    command, rest = _split(words)
    with escaped_output():
        try:
            return _top(rest) if command is None else _run(command, rest)
        except SystemExit as stop:  # raised by argparse after --help and after its own errors
            return stop.code if isinstance(stop.code, int) else 1


def _escape_unprintable() -> None:
    """Print letters that the encoding of the terminal or pipe lacks as escapes, and do not fail on them."""
    if sys.stdout is None:  # closed by the caller
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open until the process ends
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _split(words: list[str]) -> tuple[str | None, list[str]]:
    """Separate the name of the command from its arguments; options before it belong to the top level."""
    for index, word in enumerate(words):
        if not word.startswith("-"):
            if any(option != DEBUG for option in words[:index]):
                break  # the top level handles --help and unknown options
            return word, words[:index] + words[index + 1 :]
    return None, words


def _top(words: list[str]) -> int:
    """Handle `karsl` without a command: help, version, unknown options."""
    width = max(map(len, COMMANDS))
    parser = Parser(
        prog="karsl",
        usage="karsl [-h] [--version] COMMAND ...",
        description="A dataset toolkit for sign-language keypoints.",
        epilog="commands:\n"
        + "\n".join(f"  {name:{width}}  {_module(name).SUMMARY}" for name in COMMANDS)
        + "\n\n'karsl COMMAND --help' lists the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"karsl {__version__}")
    parser.add_argument(DEBUG, action="store_true", help=DEBUG_HELP)
    parser.parse_args(words)
    parser.print_help(sys.stderr)
    return BAD_INPUT


def _run(command: str, words: list[str]) -> int:
    """Parse the arguments of a command, run it, and report its errors in one line."""
    if command not in COMMANDS:
        hint = did_you_mean(command, COMMANDS, f"commands are {', '.join(COMMANDS)}")
        return _fail("karsl", f"unknown command '{command}'{hint}")
    debug = DEBUG in words
    prog = f"karsl {command}"
    try:
        module = _module(command)
        with _sigterm_raises():
            status = module.run(_parser(prog, module).parse_args(words))
        sys.stdout.flush()
        return status
    except KeyboardInterrupt as stop:
        if debug:
            raise
        is_sigterm = isinstance(stop, TerminatedError)
        return _fail(prog, "terminated" if is_sigterm else "interrupted", TERMINATED if is_sigterm else INTERRUPTED)
    except BrokenPipeError:
        if not _stdout_is_closed():
            raise
        return CLOSED_OUTPUT
    except (KarslError, ModuleNotFoundError, RuntimeError, OSError, MemoryError, UnicodeEncodeError) as error:
        sentence = _describe(error)
        if debug or sentence is None:
            raise
        return _fail(prog, sentence)


class TerminatedError(KeyboardInterrupt):
    """Raised on SIGTERM: whatever cleans up after Ctrl-C does so here."""


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Raise `TerminatedError` on SIGTERM, unless a caller of this process has another handler; forked processes just end."""
    owner = os.getpid()
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def stop(number: int, frame: Any) -> None:
        if os.getpid() == owner:
            signal.signal(number, signal.SIG_IGN)  # a launcher may send it to the process and to its group
            if hasattr(signal, "SIGCHLD"):
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler reports workers that got it, too
            raise TerminatedError
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is stop:  # else this process is about to end
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _module(command: str) -> ModuleType:
    return import_module(f"karsl.cli.{command}")


def _parser(prog: str, module: ModuleType) -> Parser:
    parser = Parser(prog=prog, description=f"{module.SUMMARY[0].upper()}{module.SUMMARY[1:]}.")
    module.add_arguments(parser)
    parser.add_argument(DEBUG, action="store_true", help=DEBUG_HELP)
    return parser


def _describe(error: Exception) -> str | None:
    """Return an error as one sentence, None for a bug."""
    text, raised = str(error), _raised(str(error))
    if raised:
        text = text[raised[-1].end() :].strip()
    if isinstance(error, KarslError) or (raised and raised[-1]["karsl"]):
        return f"{text}; {SKIP_BAD}" if _is_bad_clip(error) else text
    if isinstance(error, MemoryError):
        return f"not enough memory{f' ({first_line(error)})' if text else ''}; use a larger machine, or a part of the data"
    if isinstance(error, UnicodeEncodeError):  # of an argument or a name that is not UTF-8
        return f"{error.object[:80]!r} cannot be written as {error.encoding}; give it another name"
    if isinstance(error, RuntimeError):
        remedy = next((remedy for cause, remedy in ENVIRONMENT_ERRORS.items() if cause in text), None)
        return None if remedy is None else f"{first_line(RuntimeError(text))}; {remedy}"
    if isinstance(error, ModuleNotFoundError):
        library = (error.name or "").partition(".")[0]
        if library in ("mmengine", "cv2"):
            return f"{library} is not installed; run pip install 'karsl[mmengine]' or 'karsl[onedl]'"
        return None
    return _describe_os_error(error, text) if isinstance(error, OSError) else text


def _describe_os_error(error: OSError, text: str) -> str | None:
    """Return the system message for an error of a path, a disk or the machine, None for others."""
    if _is_of_semaphore(error):
        sys.unraisablehook = lambda unraisable: None  # of PyTorch's incomplete iterator, when it is deleted
        return f"no shared memory for workers ({error.strerror}); {SHARED_MEMORY_REMEDY}"
    remedy = DISK_ERRORS.get(error.errno or 0, "")
    if not remedy and not isinstance(error, PATH_ERRORS) and (error.filename is None or error.strerror is None):
        return None
    if error.strerror is None:
        return text
    where = "" if error.filename is None else f": '{error.filename}'"
    return f"{error.strerror.lower()}{where}{remedy}"


def _is_of_semaphore(error: OSError) -> bool:
    """Return True if a lock or queue of multiprocessing could not be created, for which Linux needs `/dev/shm`."""
    frames = traceback.extract_tb(error.__traceback__)
    return any(Path(frame.filename).parts[-2:] == ("multiprocessing", "synchronize.py") for frame in frames)


def _raised(text: str) -> list[re.Match]:
    """Find the error messages in the traceback of a worker; empty for other texts."""
    return list(RAISED.finditer(text)) if WORKER_TRACEBACK in text else []


def _is_bad_clip(error: BaseException) -> bool:
    """Return True if a transform failed because of the content of a file."""
    in_worker = any(raised["name"] in UNREADABLE for raised in _raised(str(error)))
    return isinstance(error, TransformError) and (in_worker or type(error.__cause__).__name__ in UNREADABLE)


def _fail(prog: str, sentence: str, status: int = BAD_INPUT) -> int:
    print(f"{prog}: {sentence}", file=sys.stderr)
    return status


def _stdout_is_closed() -> bool:
    """Return True if the reader of standard output closed it; later flushes are then silenced."""
    try:
        print(flush=True)  # a flush alone succeeds if the failed write left nothing in the buffer
    except BrokenPipeError:
        # Python flushes again at exit and would complain; see the note on SIGPIPE in the docs of `signal`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
