"""Archives of others, compressed or not: read whole and right, or one clear error."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest

from karsl.errors import CorruptRecordError
from karsl.webdataset.index import index_tar
from karsl.webdataset.samples import iter_tar, list_tar, read_array
from karsl.webdataset.write import add_sample, repack_tar

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
    return {member.name: content for member, content in iter_tar(path)}


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_flipped_bit_in_a_compressed_tar_is_never_read_as_numbers(plain, tmp_path, suffix):
    path, rng, whole = tmp_path / f"a.tar.{suffix}", random.Random(1), COMPRESS[suffix](plain)
    path.write_bytes(whole)
    right = read(path)
    assert len(right) == 2 * COUNT
    for _ in range(60):
        bad = bytearray(whole)
        bad[rng.randrange(20, len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        with suppress(CorruptRecordError):
            assert read(path) == right  # a bit that stands for nothing


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_tar_compressed_in_parts_is_read_whole(plain, tmp_path, suffix):
    path, half = tmp_path / f"a.tar.{suffix}", members(plain)[COUNT].offset
    for cut in (half, half + 100):
        path.write_bytes(COMPRESS[suffix](plain[:cut]) + COMPRESS[suffix](plain[cut:]))
        assert len(read(path)) == 2 * COUNT
        assert repack_tar(path, tmp_path / "out.tar") == COUNT


@pytest.mark.parametrize("suffix", ["gz", "xz", "none"])
def test_a_tar_that_was_cut_before_it_was_compressed_is_one_clear_error(plain, tmp_path, suffix):
    path, member = tmp_path / "a.tar", members(plain)[COUNT]
    for cut in (member.offset, member.offset + 300, member.offset_data, member.offset_data + 10):
        path.write_bytes(COMPRESS.get(suffix, bytes)(plain[:cut]))
        with pytest.raises(CorruptRecordError, match=r"a.tar: no readable tar \(.*\); is it cut off\? Copy it again"):
            repack_tar(path, tmp_path / "out.tar")
        assert [p.name for p in tmp_path.iterdir()] == ["a.tar"]


def test_a_broken_header_between_members_is_no_end(plain, tmp_path):
    bad = bytearray(plain)
    bad[members(plain)[COUNT].offset] ^= 1
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(bad))
    with pytest.raises(CorruptRecordError, match="bad checksum where a member or the end is expected"):
        read(path)


@pytest.mark.parametrize("tar_format", ["gnu", "pax"])
def test_a_sparse_tar_is_one_clear_error(tmp_path, tar_format):
    with (tmp_path / "a.npy").open("wb") as stream:
        stream.write(b"x")
        stream.truncate(1 << 20)
    command = ["tar", "-S", f"--format={tar_format}", "-cf", "a.tar", "a.npy"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True)
    if made.returncode or (tmp_path / "a.tar").stat().st_size > 1 << 18:
        pytest.skip("no tar here that leaves zeros out")
    for reads in (list_tar, read):
        with pytest.raises(CorruptRecordError, match=r"a.tar: 'a.npy' is a sparse file; .* without -S"):
            reads(tmp_path / "a.tar")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_label_that_does_not_follow_its_clip_is_never_lost(tmp_path, compressed):
    clip = io.BytesIO()
    np.save(clip, np.ones((2, 5, 4), np.float32 if compressed else np.float64))
    content, tar = {f"{n}.cls": b"1" for n in "ab"} | {f"{n}.npy": clip.getvalue() for n in "ab"}, io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        for name, of in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(of)
            archive.addfile(info, io.BytesIO(of))
    (tmp_path / "a.tar").write_bytes(gzip.compress(tar.getvalue()) if compressed else tar.getvalue())
    with pytest.raises(CorruptRecordError, match=r"a.tar: sample 'a' comes twice; its members must follow"):
        repack_tar(tmp_path / "a.tar", tmp_path / "out.tar")


def test_an_unsupported_compression_is_named(tmp_path):
    path = tmp_path / "a.tar.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(100))
    with pytest.raises(CorruptRecordError, match="zstandard is not supported"):
        read(path)


def flipped(content: bytes, first: int, size: int) -> Iterator[bytes]:
    """The content with three bits of each of some bytes flipped, one at a time."""
    for byte in range(first, first + size):
        for bit in (0, 3, 6):
            bad = bytearray(content)
            bad[byte] ^= 1 << bit
            yield bytes(bad)


def test_a_flipped_bit_in_the_header_of_an_array_is_one_clear_error_or_none(tmp_path):
    path, errors = tmp_path / "a.tar", []
    with tarfile.open(path, "w") as archive:
        add_sample(archive, "c", np.ones((3, 5, 4), np.float32), {"label": 0})
    for bad in flipped(path.read_bytes(), members(path.read_bytes())[0].offset_data, 128):
        path.write_bytes(bad)
        try:
            index_tar(path)
        except CorruptRecordError as error:
            errors.append(str(error))
    assert len(errors) > 200
    assert all(text.startswith(f"{path}: member 'c.npy' at byte 512") for text in errors)


def test_a_flipped_bit_in_an_array_that_is_unpacked_is_one_clear_error_or_none():
    plain, archive, errors = io.BytesIO(), io.BytesIO(), []
    np.save(plain, np.ones((3, 5, 4), np.float32))
    np.savez(archive, np.ones((3, 5, 4), np.float32))
    for extension, content in (("npy", plain.getvalue()), ("npz", archive.getvalue())):
        for bad in flipped(content, 0, 200):
            try:
                read_array(bad, extension, "x.tar: sample 'c'")
            except CorruptRecordError as error:
                errors.append(str(error))
    assert len(errors) > 600
    assert all(text.startswith("x.tar: sample 'c': no readable array (") for text in errors)


@pytest.mark.parametrize("shape", ["(3037000500, 3037000500, 4)", "(-1, 5, 4)"])
def test_an_impossible_shape_is_rejected(tmp_path, shape):
    path, stream = tmp_path / "a.tar", io.BytesIO()
    np.save(stream, np.ones((3, 5, 4), np.float32))
    content = stream.getvalue().replace(b"(3, 5, 4), }" + b" " * (len(shape) - 9), shape.encode() + b", }")
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("c.npy")
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    with pytest.raises(CorruptRecordError, match="an impossible array of float32"):
        index_tar(path)


def gzipped_header(path, type_, size):
    """A compressed archive of one header that says that it has `size` bytes, and 10 KiB of zeros."""
    header = bytearray(tarfile.TarInfo("a.npy").tobuf())
    header[124:136], header[156:157], header[148:156] = b"\x80" + size.to_bytes(11, "big"), type_, b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path.write_bytes(gzip.compress(bytes(header) + bytes(10240)))
    return path


@pytest.mark.parametrize(
    ("type_", "size", "text"),
    [
        (b"Z", 1 << 62, "it ends inside a member"),
        (tarfile.REGTYPE, 1 << 40, "unpacks to 1099511627776 bytes, more than 1073741824; set KARSL_MAX_UNPACKED_BYTES"),
        (tarfile.XHDTYPE, 1 << 30, "names of 1073741824 bytes, more than 1048576"),
        (tarfile.GNUTYPE_LONGNAME, 1 << 30, "names of 1073741824 bytes, more than 1048576"),
    ],
)
def test_a_header_that_promises_more_than_there_is_ends_at_once(tmp_path, type_, size, text):
    with pytest.raises(CorruptRecordError, match=text):
        list(iter_tar(gzipped_header(tmp_path / "a.tar.gz", type_, size)))


def test_an_npz_in_a_tar_is_unpacked_up_to_the_bound(monkeypatch):
    stream = io.BytesIO()
    np.savez_compressed(stream, a=np.zeros(1000))
    monkeypatch.setenv("KARSL_MAX_UNPACKED_BYTES", "8127")
    with pytest.raises(CorruptRecordError, match="unpacks to 8128 bytes, more than 8127"):
        read_array(stream.getvalue(), "npz", "a.tar: a")
