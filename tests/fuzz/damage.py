"""Damage to a file: its bytes, the numbers in it, the nodes of JSON, or one member of an archive. A seed determines it."""

from __future__ import annotations

import io
import json
import re
import struct
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

NUMBERS = ("0", "-1", "1", "2", "255", "65536", "2147483648", "4294967296", "9223372036854775807", "9223372036854775808")
NUMBERS += ("-9223372036854775809", "18446744073709551616", "1" + "0" * 30, "1e308", "NaN", "Infinity", "0.5", "", "null")
TOKENS = (
    b"\0",
    b"\xff" * 8,
    b"'",
    b'"',
    b",",
    b"\n",
    b"{",
    b"}",
    b"[",
    b"]",
    b"..",
    b"/",
    b"%",
    b"\xef\xbb\xbf",
    b"True",
    b"None",
)
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 0.5, 1e308, float("nan"), float("inf"), 2**31, 2**63, -(2**63) - 1, 10**30),
    *("", "x", "..", "../../etc/passwd", "/etc/passwd", "http://x/y", "\0", "\ud800", "é" * 300, "1", "nan"),
    *([], [[]], [1, 2, 3], ["a"], {}, {"a": 1}, [[[[[[[[]]]]]]]]),
)
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?")


def damage(content: bytes, rng: Random) -> bytes:
    """Return damaged content: the container stays sound in half of the cases, so that its readers get to the inside."""
    for reader in (_damage_json, _damage_zip, _damage_tar):
        if rng.random() < 0.5:
            with suppress(ValueError, KeyError, OSError, EOFError, RecursionError, zipfile.BadZipFile, tarfile.TarError):
                return reader(content, rng)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = rng.choice(_OPERATIONS)(content, rng)
    return content


# ---- bytes ----


def _flip_bit(content: bytes, rng: Random) -> bytes:
    at = rng.randrange(max(1, len(content)))
    return content[:at] + bytes([content[at] ^ (1 << rng.randrange(8))]) + content[at + 1 :] if content else b"\1"


def _truncate(content: bytes, rng: Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _extend(content: bytes, rng: Random) -> bytes:
    return content + rng.randbytes(rng.randrange(1, 100))


def _insert_token(content: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.choice(TOKENS) + content[at:]


def _delete_slice(content: bytes, rng: Random) -> bytes:
    first = rng.randrange(len(content) + 1)
    return content[:first] + content[first + rng.randrange(1, 50) :]


def _repeat_slice(content: bytes, rng: Random) -> bytes:
    first = rng.randrange(len(content) + 1)
    return content[:first] + content[first : first + rng.randrange(1, 50)] * rng.choice((2, 3, 100)) + content[first:]


def _overwrite(content: bytes, rng: Random) -> bytes:
    at, size = rng.randrange(len(content) + 1), rng.choice((1, 2, 4, 8))
    return content[:at] + rng.choice((bytes(size), b"\xff" * size, rng.randbytes(size))) + content[at + size :]


def _overwrite_integer(content: bytes, rng: Random) -> bytes:
    """Replace eight bytes by a number that addresses and lengths overflow with."""
    at = rng.randrange(len(content) + 1)
    number = rng.choice((-1, 0, 1, 2**31, 2**40, 2**62, 2**63 - 1, -(2**63)))
    return content[:at] + struct.pack("<q", number) + content[at + 8 :]


def _replace_number(content: bytes, rng: Random) -> bytes:
    """Replace a decimal number; headers and tables have most of them near the start."""
    found = list(_NUMBER.finditer(content[: 1 << 16]))
    if not found:
        return _overwrite(content, rng)
    number = rng.choice(found)
    return content[: number.start()] + rng.choice(NUMBERS).encode() + content[number.end() :]


_OPERATIONS: tuple[Callable[[bytes, Random], bytes], ...] = (
    *(_flip_bit, _truncate, _extend, _insert_token, _delete_slice, _repeat_slice, _overwrite, _overwrite_integer),
    *(_replace_number, _replace_number, _replace_number),
)


# ---- containers ----


def _damage_json(content: bytes, rng: Random) -> bytes:
    """Damage a value of a JSON document."""
    document = json.loads(content)
    if not isinstance(document, (dict, list)):
        raise ValueError("no document")
    return json.dumps(damage_value(document, rng)).encode()


def damage_value(document: Any, rng: Random) -> Any:
    """Replace, remove or add one value somewhere in nested dicts and lists; return the document."""
    root = [document]
    parents: list[Any] = [root]
    _collect(document, parents)
    parent = rng.choice(parents)
    key = rng.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
    action = rng.random()
    if action < 0.15 and parent is not root:
        del parent[key]
    elif action < 0.2 and isinstance(parent, list):
        parent.append(parent[key])
    elif isinstance(parent, dict) and action < 0.25:
        parent[rng.choice(("", "x", "\0", key + "x"))] = rng.choice(VALUES)
    else:
        parent[key] = rng.choice(VALUES)
    return root[0]


def _collect(value: Any, parents: list[Any]) -> None:
    if isinstance(value, (dict, list)) and value:
        parents.append(value)
        for child in value.values() if isinstance(value, dict) else value:
            _collect(child, parents)


def _damage_zip(content: bytes, rng: Random) -> bytes:
    """Damage one member and write the archive again, with its checksum."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info: archive.read(info) for info in archive.infolist()}
    chosen, written = rng.choice(list(members)), io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for info, data in members.items():
            archive.writestr(info, damage(data, rng) if info is chosen else data, info.compress_type)
    return written.getvalue()


def _damage_tar(content: bytes, rng: Random) -> bytes:
    """Damage one member and write the archive again, with its size."""
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = [(info, stream.read()) for info in archive if (stream := archive.extractfile(info))]
    chosen, written = rng.randrange(len(members)), io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for number, (info, data) in enumerate(members):
            data = damage(data, rng) if number == chosen else data
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return written.getvalue()
