"""Archives of others, compressed or not: read whole and right, or one clear error."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tarfile
from contextlib import suppress

import numpy as np
import pytest

from karsl.errors import CorruptRecordError
from karsl.storage.tar_members import stream_tar
from karsl.storage.tar_unpack import unpack_tar
from karsl.storage.tar_write import add_sample

COUNT = 12
COMPRESS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


@pytest.fixture(scope="module")
def plain() -> bytes:
    """An uncompressed archive of twelve clips."""
    stream, rng = io.BytesIO(), np.random.default_rng(0)
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for number in range(COUNT):
            clip = rng.random((6, 20, 4), dtype=np.float32) + 0.1
            add_sample(archive, f"c{number:02d}", clip, {"label": number % 3})
    return stream.getvalue()


def members(content: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return archive.getmembers()


def read(path) -> dict[str, bytes]:
    return {member.name: content for member, content in stream_tar(path)}


@pytest.mark.parametrize("form", COMPRESS)
def test_a_flipped_bit_in_a_compressed_tar_is_never_read_as_numbers(plain, tmp_path, form):
    path, rng, whole = tmp_path / f"a.tar.{form}", random.Random(1), COMPRESS[form](plain)
    path.write_bytes(whole)
    right = read(path)
    assert len(right) == 2 * COUNT
    for _ in range(60):
        bad = bytearray(whole)
        bad[rng.randrange(20, len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        with suppress(CorruptRecordError):
            assert read(path) == right  # a bit that stands for nothing


@pytest.mark.parametrize("form", COMPRESS)
def test_a_tar_compressed_in_parts_is_read_whole(plain, tmp_path, form):
    path, half = tmp_path / f"a.tar.{form}", members(plain)[COUNT].offset
    for cut in (half, half + 100):
        path.write_bytes(COMPRESS[form](plain[:cut]) + COMPRESS[form](plain[cut:]))
        assert len(read(path)) == 2 * COUNT
        assert unpack_tar(path, tmp_path / "out.tar") == COUNT


@pytest.mark.parametrize("form", ["gz", "xz", "none"])
def test_a_tar_that_was_cut_before_it_was_compressed_is_one_clear_error(plain, tmp_path, form):
    path, member = tmp_path / "a.tar", members(plain)[COUNT]
    for cut in (member.offset, member.offset + 300, member.offset_data, member.offset_data + 10):
        path.write_bytes(COMPRESS.get(form, bytes)(plain[:cut]))
        with pytest.raises(CorruptRecordError, match=r"a.tar: no readable tar \(.*\); is it cut off\? Copy it again"):
            unpack_tar(path, tmp_path / "out.tar")
        assert [p.name for p in tmp_path.iterdir()] == ["a.tar"]


def test_a_broken_header_between_members_is_no_end(plain, tmp_path):
    bad = bytearray(plain)
    bad[members(plain)[COUNT].offset] ^= 1
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(bad))
    with pytest.raises(CorruptRecordError, match="bad checksum where a member or the end is expected"):
        read(path)


def test_a_form_of_compression_that_is_not_read_is_named(tmp_path):
    path = tmp_path / "a.tar.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100))
    with pytest.raises(CorruptRecordError, match="zstandard is not read here"):
        read(path)
