"""`Recognizer`: the scores of `karsl test`, for arrays, batches, files and folders, also of other skeletons."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from karsl.datasets import KArSLDataset
from karsl.engine import read_checkpoint
from karsl.errors import ConfigError, CorruptRecordError, DatasetNotFoundError, SkeletonError
from karsl.formats import convert, open_clips
from karsl.inference import Prediction, Recognizer
from karsl.pack.write import pack_clips
from karsl.skeletons import get_skeleton


@pytest.fixture(scope="module")
def recognizer(trained) -> Recognizer:
    return Recognizer.from_checkpoint(trained[0])


def stacked(predictions: list[Prediction]) -> np.ndarray:
    return np.stack([prediction.scores for prediction in predictions])


@pytest.mark.parametrize("batch_size", [1, 16])
def test_scores_of_a_folder_are_those_of_the_test_loop_bit_for_bit(trained, corpus, batch_size):
    path, scores = trained
    assert np.array_equal(stacked(Recognizer.from_checkpoint(path, batch_size=batch_size)(corpus)), scores)


def test_an_array_and_a_batch_of_arrays_have_the_scores_of_their_files(trained, recognizer, corpus):
    source = open_clips(corpus)
    clips = [source.read(record) for record in source.records[:3]]
    alone = recognizer(clips[1])
    assert isinstance(alone, Prediction)
    assert np.array_equal(alone.scores, trained[1][1])
    assert np.array_equal(stacked(recognizer(clips)), trained[1][:3])
    same_length = np.stack([clip[:10] for clip in clips])
    assert np.array_equal(stacked(recognizer(torch.from_numpy(same_length))), stacked(recognizer(list(same_length))))


def test_a_pack_has_the_scores_of_its_dataset(trained, recognizer, corpus, tmp_path):
    pack_clips(open_clips(corpus), tmp_path / "pack", dtype="float32")
    assert np.array_equal(stacked(recognizer(tmp_path / "pack")), trained[1])


def test_sixty_real_clips_have_the_scores_of_the_test_loop(train, shared_data, tmp_path):
    source = open_clips(shared_data("asl_signs_app"))
    root = convert(source, tmp_path / "clips", "annotation").path
    dataset = {"type": "KeypointDataset", "data_root": str(root), "ann_file": "annotations.json", "indices": 60}
    pipeline = [{"type": "LoadKeypoints"}, {"type": "TSNSampleFrames", "clip_len": 8}, {"type": "PackKeypointInputs"}]
    path, scores = train(dataset, pipeline=pipeline)
    predictions = Recognizer.from_checkpoint(path)(root)[:60]
    assert scores.shape[0] == 60
    assert np.array_equal(stacked(predictions), scores)
    assert [p.true_label for p in predictions] == [record["label"] for record in source.records[:60]]


def test_clips_of_any_length_have_the_scores_of_the_test_loop(train, corpus):
    pipeline = [{"type": "LoadKeypoints"}, {"type": "CenterScale"}, {"type": "PackKeypointInputs"}]
    dataset = {"type": "KArSLDataset", "data_root": str(corpus), "filter_cfg": {"signers": ("01",)}, "pipeline": pipeline}
    loader = {"batch_size": 5, "num_workers": 0, "sampler": {"type": "DefaultSampler", "shuffle": False}}
    loader |= {"dataset": dataset, "collate_fn": {"type": "keypoint_collate", "pad": True}}
    test_loader = {**loader, "dataset": {**dataset, "test_mode": True}}
    path, scores = train(dataset, train_dataloader=loader, test_dataloader=test_loader)
    predictions = [p for p in Recognizer.from_checkpoint(path)(corpus) if p.record["signer"] == "01"]
    assert np.array_equal(stacked(predictions), scores)


def test_candidates_have_glosses_in_both_languages_and_the_sign(recognizer, corpus):
    prediction = recognizer(corpus)[0]
    best, *others = prediction.top(4)
    assert [best.label, best.score] == [prediction.label, prediction.scores.max()]
    assert sorted(c.score for c in (best, *others)) == sorted(prediction.scores.tolist())
    assert {(c.sign, c.name, c.name_ar) for c in (best, *others)} == {
        *((1, "hello", "مرحبا"), (2, "thanks", "شكرا"), (3, "yes", "نعم"), (4, "no", "لا"))
    }
    assert len(prediction.top(99)) == 4
    assert prediction.record["signer"] == "01"
    assert prediction.true_label == KArSLDataset(data_root=str(corpus)).get_data_info(0)["label"]


def test_a_clip_of_another_skeleton_is_mapped_by_names_on_request(trained, recognizer, corpus):
    own = get_skeleton("karsl_184")
    reverse = {"name": "reverse", "parts": [[group, list(names)[::-1]] for group, names in reversed(own.parts)]}
    clip = open_clips(corpus).read(open_clips(corpus).records[0])
    moved = clip[:, get_skeleton(reverse).mapping_from(own)]
    with pytest.raises(
        SkeletonError, match="has skeleton 'reverse', the model 'karsl_184'; it has all 184 keypoints by name"
    ):
        recognizer(moved, skeleton=reverse)
    mapping = Recognizer.from_checkpoint(trained[0], map_skeleton=True)
    assert np.array_equal(mapping(moved, skeleton=reverse).scores, trained[1][0])


def test_a_skeleton_that_lacks_keypoints_is_refused_with_their_names(recognizer):
    with pytest.raises(SkeletonError, match=r"lacks 142 keypoints \(6 of pose, 136 of face, e.g. .*\); --map-skeleton"):
        recognizer(np.ones((9, 42, 3)), skeleton="hand_42")
    with pytest.raises(SkeletonError, match="share no keypoint"):
        recognizer(np.ones((9, 1, 3)), skeleton={"name": "tail", "parts": [["tail", ["tip"]]]})


@pytest.mark.parametrize(
    ("clip", "error", "text"),
    [
        (np.ones((9, 543, 3)), SkeletonError, "clip 0 has 543 keypoints; expected .frames, 184, 3 or 4."),
        (np.ones((0, 184, 3)), CorruptRecordError, r"clip 0 is an array of float64 \(0, 184, 3\)"),
        (np.full((9, 184, 3), np.nan), CorruptRecordError, "clip 0 has 4968 values that are NaN or infinite"),
        (np.array(["a"]), CorruptRecordError, "clip 0 is an array"),
    ],
)
def test_an_array_that_is_no_clip_is_one_sentence(recognizer, clip, error, text):
    with pytest.raises(error, match=text):
        recognizer([clip])


def test_weights_that_are_not_finite_are_reported(trained, corpus, tmp_path):
    content = torch.load(trained[0], weights_only=True)
    content["state_dict"]["cls_head.fc.bias"].fill_(float("nan"))
    torch.save(content, tmp_path / "diverged.pth")
    with pytest.raises(CorruptRecordError, match="scores of clip 'clip 0' are not finite"):
        Recognizer.from_checkpoint(tmp_path / "diverged.pth")(np.ones((9, 184, 3)))


def test_a_checkpoint_stores_the_version_and_the_skeleton(trained):
    stored = read_checkpoint(trained[0])["meta"]["karsl"]
    assert stored == {"version": "0.1.0", "skeleton": "karsl_184"}


def test_a_model_of_another_version_is_named(trained, tmp_path):
    content = torch.load(trained[0], weights_only=True)
    content["meta"]["cfg"] = content["meta"]["cfg"].replace("num_heads=2", "num_tails=2")
    content["meta"]["karsl"]["version"] = "9.1"
    torch.save(content, tmp_path / "later.pth")
    with pytest.raises(ConfigError, match="STTransformer has no argument 'num_tails'.*written by karsl 9.1, this is 0.1.0"):
        Recognizer.from_checkpoint(tmp_path / "later.pth")


def test_an_absent_file_and_an_absent_device_are_one_sentence(trained, tmp_path):
    with pytest.raises(DatasetNotFoundError, match="checkpoint '.*nowhere.pth' does not exist"):
        Recognizer.from_checkpoint(tmp_path / "nowhere.pth")
    with pytest.raises(ConfigError, match="device 'abacus' cannot be used"):
        Recognizer.from_checkpoint(trained[0], device="abacus")


def test_a_new_process_predicts_the_same(trained, corpus):
    code = (
        "import sys; from karsl.inference import Recognizer; "
        "print(Recognizer.from_checkpoint(sys.argv[1])(sys.argv[2])[0].scores.tobytes().hex())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(trained[0]), str(corpus)], capture_output=True, text=True)
    assert done.stdout.strip().splitlines()[-1] == trained[1][0].tobytes().hex(), done.stderr
