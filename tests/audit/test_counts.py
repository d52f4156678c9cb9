"""Warnings about counts: empty clips, missing signs and folders, SignIDs of no corpus, unusual numbers."""

from __future__ import annotations

from karsl.audit.counts import check_counts


def records(counts: dict[tuple[str, str, int], int]) -> list[dict]:
    """Return records with the given number per signer, split and sign."""
    return [
        {"signer": signer, "split": split, "sign": sign}
        for (signer, split, sign), count in counts.items()
        for _ in range(count)
    ]


def test_an_even_corpus_has_no_warnings():
    even = {(signer, split, sign): 5 for signer in ("01", "02") for split in ("train", "test") for sign in (1, 2)}
    assert check_counts(records(even)) == []


def test_each_kind_of_warning_is_one_sentence():
    found = check_counts(
        records(
            {
                ("01", "train", 1): 9,
                ("01", "train", 2): 9,
                ("01", "test", 1): 9,
                ("02", "train", 1): 2,
                ("02", "train", 600): 9,
            }
        ),
        ["01-train/0001/a"],
    )
    assert found == [
        "1 clip without a point in any frame: 01-train/0001/a",
        "signer 02 has no test",
        "01-test lacks 0002, 0600",
        "01-train lacks 0600",
        "02-train lacks 0002",
        "unusual numbers of clips: 02-train/0001 has 2; the median is 9 in test and 9 in train",
    ]


def test_signs_above_the_last_of_karsl_are_named():
    assert check_counts(records({("01", "train", 503): 1})) == ["SignIDs above 502, the last of KArSL: 0503"]


def test_small_differences_and_long_lists_are_cut():
    assert check_counts(records({("01", "train", 1): 1, ("01", "train", 2): 3})) == []
    found = check_counts(records({("01", "train", 1): 1}), [f"clip{n}" for n in range(7)])
    assert found == ["7 clips without a point in any frame: clip0, clip1, clip2, clip3 and 3 more"]


def test_a_clip_in_several_splits_counts_in_each_and_names_may_contain_hyphens():
    found = check_counts(
        [
            {"signer": "anna-b", "split": ["xsub_train", "xview_val"], "sign": 1},
            {"signer": 7, "split": "xsub_train", "sign": 2},
        ]
    )
    assert found == [
        "signer 7 has no xview_val",
        "7-xsub_train lacks 0001",
        "anna-b-xsub_train lacks 0002",
        "anna-b-xview_val lacks 0002",
    ]
