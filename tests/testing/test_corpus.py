"""The synthetic corpus: KArSL's layout to the letter, bodies that hold together, and signs that can be learnt."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from karsl.datasets import KArSLDataset
from karsl.io import read_label_table
from karsl.skeletons import get_skeleton
from karsl.testing import make_corpus
from karsl.testing.body import iris_rows
from karsl.testing.corpus import clip_key
from karsl.testing.signs import make_signs

SKELETON = get_skeleton("karsl_184")
RH, LH, FACE = (SKELETON.groups[g] for g in ("rh", "lh", "face"))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus") / "karsl", signs=6, train_clips=8, test_clips=3)


@pytest.fixture(scope="module")
def clips(corpus) -> dict[tuple[str, str], np.ndarray]:
    found = {}
    for path in sorted(corpus.glob("*/*.npz")):
        with np.load(path, allow_pickle=False) as file:
            found |= {(f"{path.parent.name}/{path.stem}", key): file[key] for key in file.files}
    return found


def files_of(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_the_same_arguments_write_the_same_bytes_and_another_seed_writes_others(tmp_path):
    small = {"signs": 2, "signers": ("01", "02"), "train_clips": 2, "test_clips": 1}
    first, again, other = (files_of(make_corpus(tmp_path / n, **small, seed=s)) for n, s in (("a", 7), ("b", 7), ("c", 8)))
    assert first == again
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first if name != "labels.csv")


def test_a_signer_is_the_same_body_in_every_corpus(tmp_path):
    alone = files_of(make_corpus(tmp_path / "a", signs=1, signers=["02"], train_clips=2, test_clips=0))
    among = files_of(make_corpus(tmp_path / "b", signs=1, signers=["01", "02"], train_clips=2, test_clips=0))
    assert alone["02-train/0001.npz"] == among["02-train/0001.npz"]


def test_folders_files_and_keys_are_those_of_karsl(corpus, clips):
    assert sorted(p.name for p in corpus.iterdir()) == [
        f"{s}-{k}" for s in ("01", "02", "03") for k in ("test", "train")
    ] + ["labels.csv"]
    assert len(clips) == 6 * 3 * 11
    assert len({key for _, key in clips}) == len(clips)
    for (path, key), clip in clips.items():
        assert re.fullmatch(rf"01_{path[:2]}_{path[-4:]}_\(\d\d(_\d\d){{5}}\)_c", key)
        assert clip.dtype == np.float32
        assert clip.shape[1:] == (184, 4)


def test_a_key_carries_the_chapter_of_its_sign():
    assert clip_key(31, "02", 0).startswith("01_02_0031_(")
    assert clip_key(32, "02", 0).startswith("02_02_0032_(")


def test_missing_points_are_zeros_with_visibility_0_and_all_others_are_finite(clips):
    for clip in clips.values():
        missing = clip[..., 3] == 0
        assert np.isfinite(clip).all()
        assert not clip[missing].any()
        assert (clip[~missing][:, :2] != 0).all()
        assert ((clip[..., 3] >= 0) & (clip[..., 3] <= 1)).all()


def test_lengths_are_in_the_range_of_karsl(clips):
    lengths = [len(clip) for clip in clips.values()]
    assert 15 <= min(lengths) < 25
    assert 60 < max(lengths) <= 116
    assert 33 < np.mean(lengths) < 47


def test_hands_are_missing_as_a_detector_loses_them(clips):
    right, left = (np.array([(c[:, part.start, 3] == 0).mean() for c in clips.values()]) for part in (RH, LH))
    assert (right < 0.67).mean() > 0.75
    assert left.max() == 1.0
    ends = np.array([c[[0, -1], RH.start, 3] for c in clips.values()])
    assert (ends == 0).mean() > 0.6


def test_irises_are_missing_throughout_in_some_clips_and_seen_in_others(clips):
    seen = [(c[:, FACE][:, iris_rows(), 3] > 0).mean() for c in clips.values()]
    assert 0.3 < np.mean([share == 0 for share in seen]) < 0.7
    assert max(seen) == 1.0


def test_hands_sit_on_their_own_wrists_and_heads_above_shoulders(clips):
    for clip in clips.values():
        xy = clip[..., :2]
        width = np.linalg.norm(xy[:, 0] - xy[:, 1], axis=-1)
        for side, part in (("right", RH), ("left", LH)):
            seen = clip[:, part.start, 3] > 0
            gap = np.linalg.norm(xy[seen, part.start] - xy[seen, SKELETON.index(f"{side}_wrist")], axis=-1)
            assert (gap < 0.05 * width[seen]).all()
        face = clip[:, SKELETON.index("oval_bottom")]
        seen = face[:, 3] > 0
        assert (face[seen, 1] < xy[seen, :2, 1].max(-1)).all()
        assert (xy[:, SKELETON.index("right_shoulder"), 0] < xy[:, SKELETON.index("left_shoulder"), 0]).all()


def test_paths_are_smooth(clips):
    for clip in clips.values():
        wrist = clip[:, SKELETON.index("right_wrist"), :2]
        width = np.linalg.norm(clip[:, 0, :2] - clip[:, 1, :2], axis=-1).mean()
        jumps = np.linalg.norm(np.diff(wrist, 2, axis=0), axis=-1)
        assert jumps.max() < 0.7 * width  # a change of pace; a jump of the arm would be 1.5


def test_signers_differ_in_body_and_position(clips):
    bodies = {}
    for (path, _), clip in clips.items():
        middle, width = clip[:, :2, :2].mean((0, 1)), np.linalg.norm(clip[:, 0, :2] - clip[:, 1, :2], axis=-1).mean()
        bodies.setdefault(path[:2], []).append([*middle, width])
    means = np.array([np.mean(rows, axis=0) for rows in bodies.values()])
    spread = np.abs(means[:, None] - means[None]).max(-1)[np.triu_indices(3, 1)]
    assert (spread > 0.01).all()


def test_glosses_are_arabic_and_english(corpus):
    text = (corpus / "labels.csv").read_text(encoding="utf-8").splitlines()
    assert text[:2] == ["SignID,Sign-Arabic,Sign-English", "1,مرحبا,hello"]
    sheet = read_label_table(corpus / "labels.csv")
    assert sheet.signs == (1, 2, 3, 4, 5, 6)
    assert sheet.english[1] == "thanks"


def test_the_dataset_reads_the_corpus_with_its_glosses(corpus):
    dataset = KArSLDataset(data_root=str(corpus), filter_cfg={"split": "test"}, pipeline=[{"type": "LoadKeypoints"}])
    assert len(dataset) == 6 * 3 * 3
    assert dataset.metainfo["classes"][:2] == ("hello", "thanks")
    assert dataset.metainfo["classes_ar"][0] == "مرحبا"
    assert dataset[0]["keypoint"].shape[1:] == (184, 3)


def test_signs_are_distinguished_on_an_unseen_signer_by_the_nearest_mean(clips):
    """Far from a network, yet well above chance (1 in 6): the mean position and the mean shape of the right arm and hand."""
    rows = np.array([_features(clip) for clip in clips.values()])
    sign = np.array([int(path[-4:]) for path, _ in clips])
    signer = np.array([path[:2] for path, _ in clips])
    right = 0
    for name in ("01", "02", "03"):
        train = signer != name
        means = np.array([rows[train & (sign == s)].mean(0) for s in range(1, 7)])
        nearest = np.linalg.norm(rows[~train][:, None] - means, axis=-1).argmin(-1) + 1
        right += (nearest == sign[~train]).sum()
    assert right / len(rows) > 0.45


def _features(clip: np.ndarray) -> np.ndarray:
    width = np.linalg.norm(clip[:, 0, :2] - clip[:, 1, :2], axis=-1).mean()
    body = (clip[..., :2] - clip[:, :2, :2].mean((0, 1))) / width
    hand, seen = body[:, RH], clip[:, RH.start, 3] > 0
    shape = (hand - hand[:, :1])[seen].mean(0) if seen.any() else np.zeros((21, 2))
    third = np.array_split(body[:, 2:6], 3)
    return np.concatenate([np.concatenate([part.mean(0).ravel() for part in third]), 2 * shape.ravel()])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"signs": 0}, "signs=0 is out of range; the synthetic corpus has 1 to 42 signs"),
        ({"signs": 43}, "signs=43 is out of range"),
        ({"signers": ()}, "must contain at least one signer"),
        ({"signers": ("01", "01")}, "without duplicates"),
        ({"train_clips": -1}, "must be at least 0"),
        ({"train_clips": 0, "test_clips": 0}, "one more than 0"),
    ],
)
def test_counts_out_of_range_are_rejected_before_anything_is_written(tmp_path, arguments, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        make_corpus(tmp_path / "corpus", **arguments)
    assert not (tmp_path / "corpus").exists()


def test_progress_counts_every_clip(tmp_path):
    steps = []
    make_corpus(tmp_path, signs=2, signers=["01"], train_clips=2, test_clips=1, progress=lambda *at: steps.append(at))
    assert steps == [(3, 6), (6, 6)]


def test_signs_of_a_hard_corpus_are_pairs_that_differ_in_one_part():
    signs = make_signs(0, hard=True)
    assert len({replace(sign, number=0) for sign in signs}) == len(signs)
    for first, second in zip(signs[::2], signs[1::2], strict=True):
        parts = [name for name in vars(first) if getattr(first, name) != getattr(second, name)]
        assert parts in (["number", "shape"], ["number", "movement"])
    assert signs[::2] == make_signs(0)[::2]


def test_a_hard_corpus_has_more_missing_hands_and_the_same_files(tmp_path):
    arguments = dict(signs=2, signers=["01"], train_clips=8, test_clips=0)
    easy, hard = make_corpus(tmp_path / "easy", **arguments), make_corpus(tmp_path / "hard", hard=True, **arguments)
    files = ["01-train/0001.npz", "01-train/0002.npz"]
    loaded = [[clip for file in files for clip in np.load(root / file).values()] for root in (easy, hard)]
    missing = [np.mean([(clip[:, 142:163, 3] == 0).mean() for clip in clips]) for clips in loaded]
    jitter = [np.mean([np.abs(np.diff(clip[:, :2, :2], n=2, axis=0)).mean() for clip in clips]) for clips in loaded]
    assert missing[1] > missing[0]
    assert jitter[1] > 2 * jitter[0]
