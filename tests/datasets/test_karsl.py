import inspect
import json

import numpy as np
import pytest
from mmengine.logging import MMLogger

from karsl.cli.main import main
from karsl.datasets import KArSLDataset, KeypointDataset
from karsl.errors import AnnotationError, ConfigError, DataErrors, DatasetNotFoundError, SkeletonError
from karsl.skeletons import Skeleton, get_skeleton


@pytest.fixture
def root(write_clips):
    """Signs 1, 3 and 80; signer 01 in both splits, signer 02 in train only and without sign 80."""
    return write_clips(
        {
            "01-train/0001.npz": {"a": 10, "b": 12},
            "01-train/0003.npz": {"a": 20},
            "01-train/0080.npz": {"a": 30},
            "01-test/0003.npz": {"t": 40},
            "02-train/0001.npz": {"a": 50},
            "02-train/0003.npz": {"a": 60},
        }
    )


@pytest.fixture
def logged(caplog):
    """Messages of MMEngine's logger, which does not propagate."""
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def labels(dataset):
    return [(r["sign"], r["label"]) for r in (dataset.get_data_info(i) for i in range(len(dataset)))]


@pytest.fixture(params=["scanned", "prepared"])
def make(request, root):
    """KArSLDataset over the folders, and over the annotation file that `karsl prepare` writes of them."""
    if request.param == "prepared":
        assert main(["prepare", str(root)]) == 0

    def make(**kwargs):
        ann_file = "annotations.json" if request.param == "prepared" else ""
        return KArSLDataset(ann_file, data_root=str(root), **kwargs)

    return make


def test_all_clips_with_contiguous_labels(make):
    dataset = make()
    assert labels(dataset) == [(3, 1), (1, 0), (1, 0), (3, 1), (80, 2), (1, 0), (3, 1)]
    assert dataset.metainfo["signs"] == (1, 3, 80) or dataset.metainfo["signs"] == [1, 3, 80]
    assert dataset.skeleton.name == "karsl_184"


def test_lazy_init_sets_only_metainfo(make):
    dataset = make(lazy_init=True)
    assert dataset.metainfo == {"dataset_name": "karsl", "skeleton": "karsl_184"}
    assert not dataset._fully_initialized
    assert len(dataset) == 7


@pytest.mark.parametrize(
    ("filter_cfg", "expected"),
    [
        ({"split": "test"}, [(3, 1)]),
        ({"split": ("train", "test"), "signers": "02"}, [(1, 0), (3, 1)]),
        ({"signers": (1,), "min_frames": 30}, [(3, 1), (80, 2)]),
        ({"signs": (3, 80)}, [(3, 0), (3, 0), (80, 1), (3, 0)]),
        ({"signs": range(2, 100), "split": "train", "signers": ["02"]}, [(3, 0)]),
        ({"subset": "karsl100"}, [(80, 0)]),
        ({"subset": "karsl190", "split": "test"}, [(3, 1)]),
        ({"labels": [2]}, [(80, 2)]),
        ({"split": None}, [(3, 1), (1, 0), (1, 0), (3, 1), (80, 2), (1, 0), (3, 1)]),
    ],
)
def test_filters_select_clips_and_only_signs_select_classes(make, filter_cfg, expected):
    assert labels(make(filter_cfg=filter_cfg)) == expected


@pytest.mark.parametrize(
    ("filter_cfg", "error", "words"),
    [
        ({"split": "val"}, DatasetNotFoundError, "no records in .* for split 'val'; it has split test, train"),
        ({"signers": "3"}, DatasetNotFoundError, "for signers '3'; it has signer 01, 02"),
        ({"min_frames": 61}, DatasetNotFoundError, "for min_frames 61; the longest has 60 frames"),
        ({"spilt": "test"}, ConfigError, "filter_cfg has no key 'spilt'; did you mean 'split'?"),
        ({"subset": "karsl300"}, ConfigError, "expected one of karsl100, karsl190, karsl502"),
        ({"subset": ["karsl100"]}, ConfigError, "expected one of karsl100, karsl190, karsl502"),
        ({"signers": 5.5}, ConfigError, "5.5 is neither a value nor a list of values"),
        ({"labels": [[1]]}, ConfigError, "neither a value nor a list of values"),
        ({"exclude": 5.5}, ConfigError, "neither a value nor a list of values"),
        ({"signs": range(10**12)}, ConfigError, "neither a value nor a list of values"),
        ({"split_file": 5, "part": "train"}, ConfigError, "split_file=5; expected a path"),
        ({"signs": (2,)}, DatasetNotFoundError, r"for signs \(2,\); it has sign 1, 3, 80"),
    ],
)
def test_a_filter_that_matches_nothing_names_the_available_values(make, filter_cfg, error, words):
    with pytest.raises(error, match=words):
        make(filter_cfg=filter_cfg)


@pytest.mark.parametrize(
    ("filter_cfg", "words"),
    [
        ({"signers": ("01", 3)}, "signers 03"),
        ({"signers": ("01", "02"), "split": "test"}, "signers 02"),
        ({"split": ("train", "val")}, "split val"),
        ({"split": ("train", 1, "val")}, "split 1, val"),
        ({"signs": (1, 2, 3, 80)}, "1 of 4 signs (2)"),
        ({"subset": "karsl100", "signers": ("1",)}, "99 of 100 signs (71, 72, 73, ...)"),
        ({"subset": "karsl100", "signers": ["01", "09"]}, "signers 09 and 99 of 100 signs (71, 72, 73, ...)"),
    ],
)
def test_values_without_a_clip_are_logged_at_every_start(make, filter_cfg, words, logged):
    for _ in range(2):  # the second maps the index of the first
        logged.clear()
        dataset = make(filter_cfg=filter_cfg)
        assert dataset.unmatched_filters == words
        assert logged.text.count(f"filter_cfg matched no clip for {words}; using the other values") == 1


def test_a_filter_that_matches_every_value_logs_nothing(make, logged):
    dataset = make(filter_cfg={"signers": ("01", "02"), "split": "train", "signs": (1, 3)}, serialize_data=False)
    assert (dataset.unmatched_filters, dataset.summary) == ("", "5 clips, 2 signs, signers 01, 02")
    assert logged.text == ""
    assert dataset.get_subset([0]).summary == ""


@pytest.mark.parametrize("signers", [1, "1", "01", (1,), ["1"]])
def test_a_signer_is_the_same_in_every_spelling(make, signers):
    assert make(filter_cfg={"signers": signers}).summary == "5 clips, 3 signs, signers 01"


def test_glosses_follow_the_selected_signs(make, root):
    (root / "labels.csv").write_text("SignID,Sign-Arabic,Sign-English\n1,أ,a\n3,ب,b\n80,ج,c\n99,د,d\n", encoding="utf-8")
    if (root / "annotations.json").exists():
        assert main(["prepare", str(root)]) == 0
    metainfo = make(filter_cfg={"signs": (3, 80)}).metainfo
    assert tuple(metainfo["classes"]) == ("b", "c")
    assert tuple(metainfo["classes_ar"]) == ("ب", "ج")


def test_class_names_for_the_selected_signs_are_accepted_and_a_wrong_number_is_rejected(make):
    selected = {"signs": (3, 80)}
    assert make(filter_cfg=selected, metainfo={"classes": ("door", "liver")}).metainfo["classes"] == ("door", "liver")
    with pytest.raises(ConfigError, match="metainfo 'classes' has 1 name for 2 signs"):
        make(filter_cfg=selected, metainfo={"classes": ("door",)})


def test_problems_of_a_scan_are_raised_together_or_skipped(root, logged):
    (root / "01-test" / "0001.npz").touch()
    (root / "01-test" / "x.npz").touch()
    with pytest.raises(DataErrors, match="2 problems in data_root=") as caught:
        KArSLDataset(data_root=str(root))
    assert len(caught.value.problems) == 2
    for _ in range(2):
        logged.clear()
        dataset = KArSLDataset(data_root=str(root), on_error="skip")
        assert (len(dataset), dataset.skipped_problems) == (7, caught.value.problems)
        assert f"clips are skipped for 2 problems, the first: {dataset.skipped_problems[0]}" in logged.text


def test_no_data_root_and_an_unknown_skeleton_are_reported(root):
    with pytest.raises(ConfigError, match="KArSLDataset needs data_root"):
        KArSLDataset()
    with pytest.raises(SkeletonError, match="no skeleton 'karsl_148'; did you mean 'karsl_184'?"):
        KArSLDataset(data_root=str(root), skeleton="karsl_148")
    with pytest.raises(DataErrors, match="has 184 keypoints, the skeleton 543"):
        KArSLDataset(data_root=str(root), skeleton="holistic_543")


def test_records_of_signs_that_metainfo_lacks_are_rejected(root):
    assert main(["prepare", str(root)]) == 0
    path = root / "annotations.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["data_list"][0]["sign"] = 81
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(AnnotationError, match=r"records of signs \[81\] but metainfo 'signs' has 3 others"):
        KArSLDataset("annotations.json", data_root=str(root))


def test_real_clips_load(shared_data):
    dataset = KArSLDataset(
        data_root=str(shared_data("karsl_layout")), filter_cfg={"split": "test"}, pipeline=[dict(type="LoadKeypoints")]
    )
    assert len(dataset) == 15
    clip = dataset[0]
    assert clip["keypoint"].shape == (30, 184, 3)
    skeleton = dataset.skeleton
    face = clip["keypoint"][:, skeleton.groups["face"], 1]
    shoulders = clip["keypoint"][:, skeleton.indices(["left_shoulder", "right_shoulder"])]
    assert (shoulders[:, 0, 0] > shoulders[:, 1, 0]).all(), "the signer's left is at the picture's right"
    assert (face[:, :128].mean(1) < shoulders[..., 1].mean(1)).all(), "the face is above the shoulders"


@pytest.mark.parametrize("lazy_init", [True, False])
def test_the_skeleton_argument_overrides_metainfo_and_its_name_is_stored_there(root, lazy_init):
    own = Skeleton("own_184", get_skeleton("karsl_184").parts)
    metainfo = {"skeleton": "holistic_543"}
    dataset = KArSLDataset(metainfo=metainfo, data_root=str(root), skeleton=own, lazy_init=lazy_init)
    assert dataset.metainfo["skeleton"] == "own_184"
    assert dataset.skeleton is own
    assert dataset.output_skeleton is own
    assert KArSLDataset(data_root=str(root), metainfo={"skeleton": own}, lazy_init=True).metainfo["skeleton"] == "own_184"


def test_the_output_skeleton_is_that_after_the_last_step(root):
    steps = [dict(type="LoadKeypoints"), dict(type="SelectKeypoints", names=["rh"]), lambda results: results]
    dataset = KArSLDataset(data_root=str(root), pipeline=steps)
    assert dataset.output_skeleton == dataset[0]["skeleton"]
    assert dataset.skeleton.name == "karsl_184"
    dataset.pipeline = lambda results: results
    assert dataset.output_skeleton is dataset.skeleton


def test_stages_show_each_step_as_it_was_though_a_later_one_edits_in_place(root):
    def spoil(results):
        results["keypoint"][:] = -1
        results["label"] = 99
        return results

    steps = [dict(type="LoadKeypoints"), lambda results: {**results, "keypoint": results["keypoint"].copy()}, spoil]
    record, loaded, copied, spoiled = (r for _, r in KArSLDataset(data_root=str(root), pipeline=steps).stages(0))
    assert (record["label"], loaded["label"], copied["label"], spoiled["label"]) == (1, 1, 1, 99)
    assert (loaded["keypoint"] >= 0).all()
    assert (copied["keypoint"] >= 0).all()
    assert (spoiled["keypoint"] == -1).all()
    assert spoiled["skeleton"] is loaded["skeleton"]


def test_names_in_metainfo_are_never_read_as_files(root, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "karsl_184").write_text("a\nb\n")
    dataset = KArSLDataset(metainfo={"skeleton": "karsl_184", "dataset_name": "karsl_184"}, data_root=str(root))
    assert (dataset.metainfo["skeleton"], dataset.metainfo["dataset_name"]) == ("karsl_184", "karsl_184")


@pytest.mark.parametrize("serialize_data", [True, False])
def test_the_skeleton_of_an_annotation_file_overrides_that_of_the_class(write_clips, serialize_data):
    rng = np.random.default_rng(0)
    root = write_clips({"01-train/0001.npz": {"a": rng.random((5, 75, 4), dtype=np.float32)}})
    assert main(["prepare", str(root), "--skeleton", "mp_75"]) == 0
    assert main(["pack", str(root / "annotations.json"), str(root / "packed")]) == 0
    options = {"pipeline": [dict(type="LoadKeypoints")], "serialize_data": serialize_data}
    for folder in (root, root / "packed"):
        for _ in range(2):  # the second maps the index of the first
            dataset = KArSLDataset("annotations.json", data_root=str(folder), **options)
            assert dataset[0]["keypoint"].shape == (5, 75, 3)
            assert (dataset.skeleton.name, dataset.metainfo["skeleton"]) == ("mp_75", "mp_75")
    mine = Skeleton("mine_75", get_skeleton("mp_75").parts)
    assert KArSLDataset("annotations.json", data_root=str(root), skeleton=mine, **options)[0]["skeleton"] is mine
    metainfo = {"skeleton": "holistic_543"}
    assert KArSLDataset("annotations.json", metainfo, str(root), **options).skeleton.name == "holistic_543"


def test_an_annotation_file_without_a_skeleton_has_that_of_the_class(root):
    assert main(["prepare", str(root)]) == 0
    path = root / "annotations.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["metainfo"]["skeleton"]
    path.write_text(json.dumps(content), encoding="utf-8")
    assert KArSLDataset("annotations.json", data_root=str(root)).skeleton.name == "karsl_184"


def test_its_arguments_are_those_of_a_keypoint_dataset_with_their_defaults_and_each_is_passed_on(monkeypatch):
    own, base = inspect.signature(KArSLDataset), inspect.signature(KeypointDataset)
    assert [p for p in own.parameters.values() if p.name != "label_table"] == list(base.parameters.values())
    values = {name: object() for name in base.parameters}
    passed = {}
    monkeypatch.setattr(
        KeypointDataset, "__init__", lambda self, *args, **kwargs: passed.update(base.bind(*args, **kwargs).arguments)
    )
    KArSLDataset(**values)
    assert passed == values
