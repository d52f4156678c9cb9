"""Blocks of the reference project: clips at the right offset for any order and subset of signs; contradicting files."""

from __future__ import annotations

import os
from itertools import product

import numpy as np
import pytest

from karsl.errors import ConfigError, CorruptRecordError, DataErrors, DatasetNotFoundError
from karsl.formats import open_clips
from karsl.io.clip import canonical_clip


def write_block(folder, corpus, *, signs, signers, split="train"):
    """Write a block like the reference project: by sign, then signer, rounded to float16."""
    frames, ids, table = [], [], {}
    for sign, signer in product(signs, signers):
        clips = [a.astype(np.float16) for a in np.load(corpus / f"{signer}-{split}" / f"{sign:04d}.npz").values()]
        frames += clips
        ids += [sign] * len(clips)
        table.setdefault(sign, {})[int(signer)] = [len(clip) for clip in clips]
    block = np.concatenate(frames, dtype=np.float32)
    folder.mkdir(exist_ok=True)
    block.tofile(folder / f"{split}_X.mmap")
    np.save(folder / f"{split}_X_shape.npy", np.array(block.shape))
    np.savez(folder / f"{split}_y.npz", np.array(ids))
    np.save(folder / f"{split}_X_map_samples_lens.npy", table)
    return folder


@pytest.mark.parametrize(("signs", "signers"), [((1, 2, 3), ("01", "02", "03")), ((4, 2), ("03", "01"))])
def test_every_clip_is_found_for_any_order_of_the_block(signs, signers, corpus, tmp_path):
    source = open_clips(write_block(tmp_path / "block", corpus, signs=signs, signers=signers), trusted=True)
    assert len(source.records) == len(signs) * len(signers) * 5
    for record in source.records:
        folder, sign, number = record["clip_id"].split("/")
        archive = np.load(corpus / folder / f"{sign}.npz")
        expected = canonical_clip(archive[archive.files[int(number)]].astype(np.float16))
        np.testing.assert_array_equal(source.read(record), expected)
        assert (record["sign"], record["signer"]) == (int(sign), folder[:2])
        assert source.metainfo["signs"][record["label"]] == int(sign)


def test_both_splits_of_a_folder_are_one_source_with_one_set_of_labels(corpus, tmp_path):
    write_block(tmp_path / "block", corpus, signs=(1, 2), signers=("01",))
    source = open_clips(write_block(tmp_path / "block", corpus, signs=(2, 3), signers=("01",), split="test"), trusted=True)
    assert source.metainfo["signs"] == (1, 2, 3)
    assert [(r["split"], r["label"]) for r in source.records[::2]] == [("test", 1), ("test", 2)] + [("train", 0)] * 3 + [
        ("train", 1)
    ] * 2


def test_it_must_be_trusted_and_cannot_run_code(corpus, tmp_path):
    folder = write_block(tmp_path / "block", corpus, signs=(1,), signers=("01",))
    with pytest.raises(ConfigError, match="is a pickle; if you trust its origin"):
        open_clips(folder)

    class Code:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "it_ran"),)

    np.save(folder / "train_X_map_samples_lens.npy", {1: Code()})
    with pytest.raises(CorruptRecordError, match="it was not read"):
        open_clips(folder, trusted=True)
    assert not (tmp_path / "it_ran").exists()


@pytest.mark.parametrize("table", [{1: [3]}, {1: {1: [0]}}, {1: {1: ["a"]}}, [1], {1: {1: 3}}])
def test_a_table_of_another_structure_is_rejected(table, corpus, tmp_path):
    folder = write_block(tmp_path / "block", corpus, signs=(1,), signers=("01",))
    np.save(folder / "train_X_map_samples_lens.npy", np.array(table, dtype=object).reshape(()) if table != [1] else [1])
    with pytest.raises(CorruptRecordError, match="not a dict of SignID|it was not read"):
        open_clips(folder, trusted=True)


def test_contradicting_size_shape_and_signs_are_reported_together(corpus, tmp_path):
    folder = write_block(tmp_path / "block", corpus, signs=(1, 2), signers=("01",))
    content = (folder / "train_X.mmap").read_bytes()
    (folder / "train_X.mmap").write_bytes(content[:-1000])
    np.save(folder / "train_X_shape.npy", np.array([7, 184, 4]))
    np.savez(folder / "train_y.npz", np.array([2] * 5 + [1] * 5))
    with pytest.raises(DataErrors) as caught:
        open_clips(folder, trusted=True)
    texts = ("train_X_shape.npy says (7, 184, 4)", "was it truncated?", "clips would get wrong labels")
    assert [text in problem for text, problem in zip(texts, caught.value.problems, strict=True)] == [True] * 3


def test_a_block_without_its_table_is_rejected(corpus, tmp_path):
    folder = write_block(tmp_path / "block", corpus, signs=(1,), signers=("01",))
    (folder / "train_X_map_samples_lens.npy").unlink()
    with pytest.raises(DatasetNotFoundError, match="cannot be read without the lengths"):
        open_clips(folder, trusted=True)


def test_a_file_of_signs_without_numbers_is_a_problem(corpus, tmp_path):
    folder = write_block(tmp_path / "block", corpus, signs=(1, 2), signers=("01",))
    np.savez(folder / "train_y.npz", np.array([None]))
    with pytest.raises(DataErrors, match="train_y.npz has other signs than the table of lengths"):
        open_clips(folder, trusted=True)
