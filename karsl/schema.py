"""Values from outside: content of files and answers is converted to declared types before it is used.

A wrong type, range or missing value becomes one sentence with file and field, so that the code behind needs no checks.
"""

from __future__ import annotations

import json
import re
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np

from karsl.errors import KarslError, first_line

T = TypeVar("T")

Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
"""A number of things, or an offset."""
UInt64 = Annotated[int, msgspec.Meta(ge=0)]
"""A checksum. Larger numbers equal no checksum; msgspec has no bound of 64 bits."""

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_DESCRIPTION = re.compile(r"(?P<problem>.*?)(?: - at (?:`key` in )?`\$\.?(?P<place>.*)`)?", re.DOTALL)


def parse_json(text: str | bytes) -> Any:
    """Parse JSON with any numbers that Python's parser accepts, NaN included.

    Raises:
        ValueError: If the text is not JSON, nests too deeply, or escapes half a character, which no file can contain.

    Example:
        >>> parse_json('{"a": [1, 2.5, "b"]}')
        {'a': [1, 2.5, 'b']}
    """
    try:
        try:
            return msgspec.json.decode(text)  # twice as fast, and stricter
        except (msgspec.MsgspecError, UnicodeError):
            content = json.loads(text)
            if _SURROGATE.search(text.encode(errors="surrogatepass") if isinstance(text, str) else text):
                json.dumps(content, ensure_ascii=False).encode()  # a UnicodeEncodeError unless the halves are pairs
            return content
    except RecursionError as error:
        raise ValueError("it nests too deeply") from error


def read_json(path: str | Path, *, error: type[KarslError], remedy: str) -> Any:
    """Read a JSON file in UTF-8.

    Args:
        path: Path of the file.
        error: Class of the error to raise.
        remedy: What to do about a damaged file.

    Raises:
        KarslError: Of class `error`, if the file cannot be read.
    """
    try:
        return parse_json(Path(path).read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except (OSError, ValueError) as reason:
        raise error(f"{path}: not readable ({reason}); {remedy}") from reason


def convert_numbers(values: Any, *, where: object, error: type[KarslError], remedy: str) -> np.ndarray:
    """Convert nested lists of numbers to a float32 array.

    Args:
        values: Nested lists or arrays; None becomes NaN.
        where: Name of the content, for errors.
        error: Class of the error to raise.
        remedy: What to do about a wrong value.

    Raises:
        KarslError: Of class `error`, if they are ragged, too large for a float, or no numbers.
    """
    try:
        return np.asarray(values, np.float32)
    except (ValueError, TypeError, OverflowError, RecursionError) as reason:
        raise error(f"{where}: points are not numbers ({first_line(reason)}); {remedy}") from reason


def convert(content: Any, kind: type[T], *, where: object, error: type[KarslError], remedy: str) -> T:
    """Convert plain content, as of JSON, to a declared type: a dataclass, or a container of simple types.

    Args:
        content: Dicts, lists and simple values.
        kind: The type. Fields of a dataclass may be `Annotated` with bounds.
        where: Name of the content, for errors.
        error: Class of the error to raise.
        remedy: What to do about a wrong value.

    Raises:
        KarslError: Of class `error`, if a value is missing, or its type or range is wrong.

    Example:
        >>> from karsl.errors import AnnotationError
        >>> convert({"a": ["x"]}, dict[str, list[int]], where="a.json", error=AnnotationError, remedy="write it again")
        Traceback (most recent call last):
        karsl.errors.AnnotationError: a.json: [...][0]: expected int, got str; write it again
    """
    try:
        return msgspec.convert(content, kind)
    except (msgspec.ValidationError, RecursionError, UnicodeEncodeError) as reason:
        raise error(f"{where}: {_describe(reason)}; {remedy}") from reason


def whole_number(value: Any) -> int | None:
    """Return the integer that a number or text is, as pandas and spreadsheets write it; None if it is not one.

    Example:
        >>> [whole_number(value) for value in (3, 3.0, "3", " 3.0 ", 3.5, "three", True, None)]
        [3, 3, 3, 3, None, None, None, None]
    """
    if isinstance(value, (bytes, bytearray)):
        value = value.decode("ascii", "replace")
    if isinstance(value, str):
        digits, _, fraction = value.strip().partition(".")
        is_whole = re.fullmatch(r"[+-]?\d{1,20}", digits) is not None and not fraction.strip("0")
        return int(digits) if is_whole else None
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    if isinstance(value, Integral):
        return int(value)
    number = float(value)
    return int(number) if number.is_integer() else None


def _describe(error: BaseException) -> str:
    """Return a message of msgspec with the field first."""
    if isinstance(error, RecursionError):
        return "it nests too deeply"
    match = _DESCRIPTION.fullmatch(str(error))
    if match is None or not match["problem"]:
        return str(error)
    problem = match["problem"].replace("`", "")
    problem = problem[0].lower() + problem[1:]
    return f"{match['place']}: {problem}" if match["place"] else problem
