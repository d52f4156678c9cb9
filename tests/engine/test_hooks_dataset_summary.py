"""The line about each loader with which a run begins."""

from __future__ import annotations

from torch.utils.data import ConcatDataset, Subset

from karsl.datasets import KArSLDataset
from karsl.engine.hooks import describe_datasets


def of_signers(root, *signers: str, split: str = "train") -> KArSLDataset:
    return KArSLDataset(data_root=str(root), filter_cfg={"split": split, "signers": signers})


def test_clips_signs_signers_and_missing_signers_are_listed(corpus):
    assert describe_datasets(of_signers(corpus, "1", "09")) == ("20 clips, 4 signs, signers 01; no clips of signers 09")


def test_wrapped_datasets_are_listed_one_by_one(corpus):
    both = ConcatDataset([of_signers(corpus, "01"), of_signers(corpus, "02", split="test")])
    parts = "20 clips, 4 signs, signers 01 + 8 clips, 4 signs, signers 02"
    assert describe_datasets(both) == f"28 clips of {parts}"
    assert describe_datasets(Subset(both, [3, 4, 5])) == f"3 clips of {parts}"
    assert describe_datasets([1, 2]) == ""
