"""`karsl COMMAND ...`: find the command, run it, and turn what goes wrong into one line and an exit status.

| status | means |
| --- | --- |
| 0 | done |
| 1 | `karsl memory`: a limit that was given is exceeded |
| 2 | an input is wrong; one line on stderr says which and what to do |
| 130 | interrupted from the keyboard |
| 141 | the reader of standard output went away, as `head` does |
"""

from __future__ import annotations

import argparse
import errno
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from karsl.cli import COMMANDS
from karsl.cli.parser import Parser
from karsl.errors import DISK_FULL, KarslError, TransformError, did_you_mean
from karsl.version import __version__

__all__ = ["main"]

BAD_INPUT = 2
INTERRUPTED = 130
CLOSED_OUTPUT = 141
DEBUG = "--debug"
DEBUG_HELP = "show the traceback of an error instead of one line"
# Built-in errors that mean "your path", not "our fault".
PATH_ERRORS = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError, FileExistsError)
DISK_ERRORS = dict.fromkeys(DISK_FULL, "; make room, or write to another place") | {errno.EROFS: "; write to another place"}
# PyTorch makes the whole traceback of a worker process the text of the error that it raises here.
WORKER_TRACEBACK = "\nOriginal Traceback (most recent call last):\n"
RAISED = re.compile(r"^(?:(?P<ours>karsl\.errors\.)|[\w.]+\.)?(?P<name>DataErrors|\w*Error): ", re.MULTILINE)
SKIP_BAD = "or leave such clips out: on_error='skip' in the config's dataset, or 'karsl prepare --skip-bad' and --ann-file"
UNREADABLE = ("CorruptRecordError", "FileNotFoundError")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Words after `karsl`. None reads the command line.

    Returns:
        The exit status, see the table above.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    command, rest = _split(words)
    try:
        if command is None:
            return _top(rest)
        return _run(command, rest)
    except SystemExit as stop:  # argparse leaves this way after --help and after its own errors
        return stop.code if isinstance(stop.code, int) else 1


def _split(words: list[str]) -> tuple[str | None, list[str]]:
    """Separate the command's name from its words; options in front of it belong to the top level."""
    for position, word in enumerate(words):
        if not word.startswith("-"):
            if any(option != DEBUG for option in words[:position]):
                break  # let the top level answer --help or complain
            return word, words[:position] + words[position + 1 :]
    return None, words


def _top(words: list[str]) -> int:
    """Answer `karsl`, `karsl --help`, `karsl --version`, or name the option that is wrong."""
    width = max(map(len, COMMANDS))
    parser = Parser(
        prog="karsl",
        usage="karsl [-h] [--version] COMMAND ...",
        description="A dataset toolkit for sign-language keypoints.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="commands:\n"
        + "\n".join(f"  {name:{width}}  {_module(name).SUMMARY}" for name in COMMANDS)
        + "\n\n'karsl COMMAND --help' tells the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"karsl {__version__}")
    parser.add_argument(DEBUG, action="store_true", help=DEBUG_HELP)
    parser.parse_args(words)
    parser.print_help(sys.stderr)
    return BAD_INPUT


def _run(command: str, words: list[str]) -> int:
    """Parse a command's words, run it, and report its errors in one line."""
    if command not in COMMANDS:
        hint = did_you_mean(command, COMMANDS, f"commands are {', '.join(COMMANDS)}")
        return _fail("karsl", f"unknown command '{command}'{hint}")
    debug = DEBUG in words
    prog = f"karsl {command}"
    try:
        module = _module(command)
        status = module.run(_parser(prog, module).parse_args(words))
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        if debug:
            raise
        return _fail(prog, "interrupted", INTERRUPTED)
    except BrokenPipeError:
        if not _stdout_is_closed():
            raise
        return CLOSED_OUTPUT
    except (KarslError, ModuleNotFoundError, RuntimeError, OSError) as error:
        sentence = _sentence(error)
        if debug or sentence is None:
            raise
        return _fail(prog, sentence)


def _module(command: str) -> ModuleType:
    return import_module(f"karsl.cli.{command}")


def _parser(prog: str, module: ModuleType) -> Parser:
    parser = Parser(prog=prog, description=module.SUMMARY)
    module.add_arguments(parser)
    parser.add_argument(DEBUG, action="store_true", help=DEBUG_HELP)
    return parser


def _sentence(error: Exception) -> str | None:
    """Say an error in one line; None for one that is a fault of the program."""
    text, raised = str(error), _raised(str(error))
    if raised:
        text = text[raised[-1].end() :].strip()
    if isinstance(error, KarslError) or (raised and raised[-1]["ours"]):
        return f"{text}; {SKIP_BAD}" if _is_bad_clip(error) else text
    if isinstance(error, RuntimeError):
        return None
    if isinstance(error, ModuleNotFoundError):
        library = (error.name or "").partition(".")[0]
        if library in ("mmengine", "cv2"):
            return f"{library} is not installed; pip install 'karsl[mmengine]' or 'karsl[onedl]' brings it"
        return None
    return _of_system(error, text) if isinstance(error, OSError) else text


def _of_system(error: OSError, text: str) -> str | None:
    """What the system says of a path or a disk; None for its other errors."""
    remedy = DISK_ERRORS.get(error.errno or 0, "")
    if not remedy and not isinstance(error, PATH_ERRORS):
        return None
    if error.strerror is None:
        return text
    where = "" if error.filename is None else f": '{error.filename}'"
    return f"{error.strerror.lower()}{where}{remedy}"


def _raised(text: str) -> list[re.Match]:
    """Where each error of a worker's traceback begins to speak; nothing in any other text."""
    return list(RAISED.finditer(text)) if WORKER_TRACEBACK in text else []


def _is_bad_clip(error: BaseException) -> bool:
    """Whether a step failed on a clip because of what lies in its file."""
    in_worker = any(raised["name"] in UNREADABLE for raised in _raised(str(error)))
    return isinstance(error, TransformError) and (in_worker or type(error.__cause__).__name__ in UNREADABLE)


def _fail(prog: str, sentence: str, status: int = BAD_INPUT) -> int:
    print(f"{prog}: {sentence}", file=sys.stderr)
    return status


def _stdout_is_closed() -> bool:
    """Whether the reader of standard output went away; if so, later flushes are silenced."""
    try:
        print(flush=True)  # a flush alone passes when the failed write left nothing in the buffer
    except BrokenPipeError:
        # Python flushes again at exit and would complain; see the note on SIGPIPE in the docs of `signal`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
