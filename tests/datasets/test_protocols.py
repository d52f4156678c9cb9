"""Protocols: which clips are in which part."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from karsl.datasets.protocols import PROTOCOLS, Protocol, make_splits
from karsl.datasets.splits import find_leaks, record_field
from karsl.errors import ConfigError, DataErrors


def record(signer, session, label, number, split=None):
    clip_id = f"{signer}/{session}/{label}/{number}"
    shipped = {} if split is None else {"split": split}
    return {"clip_id": clip_id, "signer": signer, "session": session, "label": label, **shipped}


def karsl_like(signers="123", sessions="ab", labels=range(3), train=3, test=1):
    return [
        record(signer, session, label, number, "train" if number < train else "test")
        for signer in signers
        for session in sessions
        for label in labels
        for number in range(train + test)
    ]


corpora = st.builds(
    karsl_like,
    signers=st.sampled_from(["12", "123", "12345"]),
    sessions=st.sampled_from(["ab", "abc"]),
    labels=st.integers(1, 3).map(range),
    train=st.integers(2, 4),
    test=st.integers(1, 2),
)
protocols = st.sampled_from(
    [
        Protocol("shipped"),
        Protocol("leave-one-out"),
        Protocol("leave-one-out", val_by="session"),
        Protocol("leave-one-out", by="session", val_by="clip"),
        Protocol("k-fold", by="clip", folds=3),
        Protocol("k-fold", by="signer", folds=2, val_by="session", val_share=0.2),
        Protocol("k-fold", by="session", folds=4, val_by="clip", seed=3),
        Protocol("k-shot", shots=2),
    ]
)


@given(corpora, protocols, st.randoms(use_true_random=False))
def test_parts_are_disjoint_cover_what_they_use_and_ignore_the_order_of_records(records, protocol, rng):
    splits = make_splits(records, protocol)
    again = make_splits(rng.sample(records, len(records)), protocol)
    assert [(s.name, s.parts, s.hash) for s in splits] == [(s.name, s.parts, s.hash) for s in again]
    for split in splits:
        clips = [clip for part in split.parts.values() for clip in part]
        assert len(clips) == len(set(clips))
        assert set(clips) <= {r["clip_id"] for r in records}
        assert all(split.parts.values())
        assert find_leaks(split, records) == []
    if protocol.name == "k-fold":
        assert all(sum(map(len, split.parts.values())) == len(records) for split in splits)
        assert sorted(c for split in splits for c in split.parts["test"]) == sorted(r["clip_id"] for r in records)
    if protocol.name == "shipped":
        assert sum(map(len, splits[0].parts.values())) == len(records)


@given(st.lists(st.integers(0, 10**6).map(str), unique=True, min_size=60, max_size=80), st.integers(0, 3))
def test_a_random_part_of_a_clip_does_not_depend_on_other_clips(names, seed):
    protocol = Protocol("random", by="clip", val_by="clip", val_share=0.3, test_share=0.3, seed=seed)
    records = [{"clip_id": name, "label": 0} for name in names]
    (split,), (grown,) = make_splits(records[:50], protocol), make_splits(records, protocol)
    assert sum(map(len, grown.parts.values())) == len(names)
    assert all(set(split.parts[part]) <= set(grown.parts[part]) for part in split.parts)


def test_leave_one_signer_out_trains_on_train_clips_of_the_others_and_tests_on_all_clips():
    splits = make_splits(karsl_like(), Protocol("leave-one-out"))
    assert [split.name for split in splits] == ["leave-one-out-1", "leave-one-out-2", "leave-one-out-3"]
    for split in splits:
        out = split.name[-1]
        assert all(clip[0] != out and clip[-1] in "012" for clip in split.parts["train"])
        assert len(split.parts["train"]) == 2 * 2 * 3 * 3
        assert all(clip[0] == out for clip in split.parts["test"])
        assert len(split.parts["test"]) == 2 * 3 * 4
        assert split.disjoint == (("signer", "train", "test"),)


def test_validation_by_session_moves_entire_sessions_of_training_signers():
    records = karsl_like()
    (split, *_) = make_splits(records, Protocol("leave-one-out", val_by="session"))
    by_id = {r["clip_id"]: r for r in records}
    sessions = {part: {record_field(by_id[c], "session") for c in clips} for part, clips in split.parts.items()}
    assert len(sessions["val"]) == 1
    assert sessions["val"].isdisjoint(sessions["train"] | sessions["test"])
    assert len(sessions["train"]) == 3
    assert split.disjoint == (("signer", "train", "test"), ("signer", "val", "test"), ("session", "train", "val"))


def test_validation_by_clip_has_clips_of_every_class():
    (split, *_) = make_splits(karsl_like(), Protocol("shipped", val_by="clip", val_share=0.25))
    assert sorted(clip.split("/")[2] for clip in split.parts["val"]) == sorted("000011112222")  # 4 of 18


def test_the_shipped_parts_can_have_other_names_and_be_those_of_one_signer():
    (split,) = make_splits(karsl_like(), Protocol("shipped", signers=("02",)))
    assert {clip[0] for part in split.parts.values() for clip in part} == {"2"}
    several = [
        {"clip_id": "a", "split": ["xsub_train", "xview_val"]},
        {"clip_id": "b", "split": ["xsub_val", "xview_train"]},
    ]
    (xsub,) = make_splits(several, Protocol("shipped", train=("xsub_train",), test=("xsub_val",)))
    (xview,) = make_splits(several, Protocol("shipped", train=("xview_train",), test=("xview_val",)))
    assert (xsub.parts, xview.parts) == ({"train": ("a",), "test": ("b",)}, {"train": ("b",), "test": ("a",)})


def test_k_folds_by_clip_have_the_same_number_of_clips_of_each_class():
    for split in make_splits(karsl_like(train=2, test=1), Protocol("k-fold", by="clip", folds=3)):
        assert sorted(clip.split("/")[2] for clip in split.parts["test"]) == sorted("000000111111222222")


def test_k_shot_has_k_training_clips_per_class_and_the_shipped_test_clips():
    (split,) = make_splits(karsl_like(), Protocol("k-shot", shots=2))
    assert sorted(clip.split("/")[2] for clip in split.parts["train"]) == list("001122")
    assert {clip[-1] for clip in split.parts["test"]} == {"3"}
    assert split.name == "k-shot-2"


@pytest.mark.parametrize(
    ("protocol", "hash"),
    [
        (Protocol("shipped"), "aefe6d742133d6376d98e50f2f8730a7"),
        (Protocol("leave-one-out", val_by="session"), "a74f15a9b329baa30c2e3657740d4c32"),
        (Protocol("k-fold", by="clip", folds=3), "902a1e432f1cba5760ffd1cec24c1893"),
        (Protocol("k-shot", shots=2), "c1ee8b418a2cf270648a994436c78176"),
        (Protocol("random", by="clip"), "5bb3ae5e41538e673801d079d086e599"),
    ],
)
def test_protocols_are_frozen_a_release_that_changes_one_fails_here(protocol, hash):
    assert make_splits(karsl_like(), protocol)[0].hash == hash


def test_every_protocol_has_a_frozen_example():
    parameters = test_protocols_are_frozen_a_release_that_changes_one_fails_here.pytestmark[0].args[1]
    assert {protocol.name for protocol, _ in parameters} == set(PROTOCOLS)


@pytest.mark.parametrize(
    ("records", "make", "text"),
    [
        ([{"clip_id": "a"}], lambda: Protocol("leave-one-out"), "1 clip without signer, the first 'a'; use another field"),
        ([{"clip_id": "a"}], lambda: Protocol("k-fold", by="session"), "1 clip without session, .*--session REGEX"),
        ([{"clip_id": "a"}], lambda: Protocol("shipped"), "ships no parts train and test: its records have no split"),
        (
            karsl_like("1"),
            lambda: Protocol("leave-one-out"),
            "of 24 clips: no clip is in train; the training clips are of a single signer: add others",
        ),
        (
            karsl_like("12", "a", train=1),
            lambda: Protocol("leave-one-out", val_by="clip"),
            "no clip is in val; each class has a single training clip: add clips, or make no part val",
        ),
        (
            karsl_like("1", "a", range(1)),
            lambda: Protocol("random", by="clip", test_share=0.01),
            r"no clip is in test; try another seed \(--seed\) or share, or 'k-fold'",
        ),
        (
            karsl_like("1", "a", test=0),
            lambda: Protocol("k-shot", shots=3),
            r"no clip is in test; all are training clips: add clips, or lower shots=3 \(--shots\)",
        ),
        (karsl_like(test=0), lambda: Protocol("shipped"), "ships no parts train and test: its records have train"),
        (karsl_like("1"), lambda: Protocol("k-fold", folds=2), r"of 1 signer; add clips or use .*'clip' \(--by\)"),
        (
            karsl_like(),
            lambda: Protocol("leave-one-out", train=("dev",)),
            "no clip has the split 'dev'; the corpus has test, tr",
        ),
        (karsl_like(), lambda: Protocol("k-fold", folds=4), "4 folds of 3 signers; lower folds to 3 .*or use another"),
        (karsl_like("1"), lambda: Protocol("k-fold", by="clip", folds=10**12), "folds of 24 clips; lower folds to 24"),
        (karsl_like("12"), lambda: Protocol("leave-one-out", val_by="signer"), "have a single signer, '2'; .*'clip' "),
        (karsl_like(), lambda: Protocol("shipped", signers=("9",)), "no clip of signers 9; it has 1, 2, 3"),
        ([], lambda: Protocol("leave-one-signer-out"), "no protocol 'leave-one-signer-out'; did you mean 'leave-one-out'"),
        ([], lambda: Protocol("k-fold", folds=1), "folds=1 of protocol 'k-fold'; expected at least 2"),
        ([], lambda: Protocol("random", test_share=0), "expected a share between 0 and 1"),
        ([], lambda: Protocol("random", test_share=0.9, val_share=0.2), "leave no clip to train on"),
        ([], lambda: Protocol("random", val_by="clip"), "validates by signer, too"),
        ([], lambda: Protocol("random", session="("), "not a regular expression"),
    ],
)
def test_a_protocol_that_cannot_be_made_is_an_error(records, make, text):
    with pytest.raises(ConfigError, match=text):
        make_splits(records, make())


def test_clips_without_a_name_with_the_same_name_or_too_few_are_listed():
    with pytest.raises(DataErrors, match="record 1 has no 'clip_id'"):
        make_splits([{"clip_id": "a"}, {}], Protocol("random", by="clip"))
    with pytest.raises(DataErrors, match="two clips are named 'a'"):
        make_splits([{"clip_id": "a"}, {"clip_id": "a"}], Protocol("random", by="clip"))
    with pytest.raises(DataErrors, match=r"(?s)class 0 has 1 training clip, fewer than shots=2.*lower shots \(--shots\)"):
        make_splits([{"clip_id": "a", "label": 0}], Protocol("k-shot", shots=2))
