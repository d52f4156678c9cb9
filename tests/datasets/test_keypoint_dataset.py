"""KeypointDataset compared with MMEngine's BaseDataset on the same annotation: equal wherever MMEngine's works."""

from __future__ import annotations

import json
import pickle
import re

import numpy as np
import pytest
import yaml
from mmengine.dataset import BaseDataset, ClassBalancedDataset, ConcatDataset, RepeatDataset
from mmengine.logging import MMLogger

from karsl.datasets import KeypointDataset
from karsl.errors import AnnotationError, AnnotationTypeError, ConfigError, TransformError

RECORDS = [{"keypoint_path": f"{i}.npz", "label": i % 3, "weights": [0.5, i]} for i in range(7)]
ANNOTATION = {"metainfo": {"task": "signs", "classes": ["x", "y", "z"]}, "data_list": RECORDS}
PREFIX = {"keypoint_path": "clips"}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "ann.json").write_text(json.dumps(ANNOTATION))
    (tmp_path / "classes.txt").write_text("one\ntwo\n")
    return tmp_path


@pytest.fixture
def pair(root):
    """Make the same dataset twice: (MMEngine's, karsl's)."""

    def make(**kwargs):
        kwargs = {"ann_file": "ann.json", "data_root": str(root), "data_prefix": dict(PREFIX), **kwargs}
        return BaseDataset(**kwargs), KeypointDataset(**kwargs)

    return make


def contents(dataset):
    return [dataset.get_data_info(i) for i in range(len(dataset))]


@pytest.mark.parametrize("serialize_data", [True, False])
@pytest.mark.parametrize("lazy_init", [True, False])
@pytest.mark.parametrize("indices", [None, 0, 3, -2, 99, [4, 0, -1]])
def test_records_and_metainfo_are_those_of_mmengine(pair, serialize_data, lazy_init, indices):
    if indices == 0 and serialize_data:
        pytest.skip("MMEngine cannot serialize an empty data_list; karsl's is tested below")
    theirs, ours = pair(serialize_data=serialize_data, lazy_init=lazy_init, indices=indices)
    assert ours._fully_initialized is theirs._fully_initialized is not lazy_init
    assert ours.metainfo == theirs.metainfo
    assert not ours.data_list or not lazy_init
    assert contents(ours) == contents(theirs)
    assert ours.metainfo == theirs.metainfo
    assert hasattr(ours, "data_address") is hasattr(theirs, "data_address") is serialize_data
    assert ours.data_list == theirs.data_list


def test_an_empty_data_list_is_a_dataset_of_length_0(pair):
    for serialize_data in (True, False):
        _, full = pair(serialize_data=serialize_data)
        ours = full.get_subset(0)
        assert len(ours) == 0
        assert list(ours) == []
        assert len(pickle.loads(pickle.dumps(ours))) == 0
        with pytest.raises(IndexError, match="index 0 is out of range for a dataset of 0 records"):
            ours.get_data_info(0)


@pytest.mark.parametrize("serialize_data", [True, False])
@pytest.mark.parametrize(
    ("indices", "expected"),
    [
        (0, []),
        (2, [0, 1]),
        (7, [0, 1, 2, 3, 4, 5, 6]),
        (8, [0, 1, 2, 3, 4, 5, 6]),
        (-1, [6]),
        (-7, [0, 1, 2, 3, 4, 5, 6]),
        (-8, [0, 1, 2, 3, 4, 5, 6]),
        ([], []),
        ([6, -7, 2], [6, 0, 2]),
        (slice(1, None, 3), [1, 4]),
        (range(5, 2, -1), [5, 4, 3]),
        (np.array([3, -1]), [3, 6]),
        (np.int64(2), [0, 1]),
        (np.arange(7) > 4, [5, 6]),
    ],
)
def test_a_subset_follows_the_semantics_of_lists(pair, serialize_data, indices, expected):
    _, dataset = pair(serialize_data=serialize_data)
    subset = dataset.get_subset(indices)
    paths = [r["keypoint_path"].rsplit("/", 1)[1] for r in contents(subset)]
    assert paths == [f"{i}.npz" for i in expected]
    assert [r["sample_idx"] for r in contents(subset)] == list(range(len(expected)))
    assert len(dataset) == 7
    dataset.get_subset_(indices)
    assert contents(dataset) == contents(subset)


@pytest.mark.parametrize("serialize_data", [True, False])
def test_a_subset_of_a_subset_composes(pair, serialize_data):
    _, dataset = pair(serialize_data=serialize_data)
    nested = dataset.get_subset([6, 4, 2, 0]).get_subset(-3).get_subset([2, 0])
    assert [r["label"] for r in contents(nested)] == [0 % 3, 4 % 3]


@pytest.mark.parametrize("indices", [{}, "12", 1.5, [0.5], None])
def test_indices_of_another_type_are_rejected(pair, indices):
    _, dataset = pair()
    with pytest.raises(TypeError, match="indices should"):
        dataset.get_subset(indices)


def test_indices_out_of_range_are_rejected(pair):
    _, dataset = pair()
    with pytest.raises(IndexError, match="index 7 of indices is out of range for a dataset of 7 records"):
        dataset.get_subset([0, 7])


@pytest.mark.parametrize("serialize_data", [True, False])
def test_an_index_is_any_integer_in_minus_n_to_n(pair, serialize_data):
    _, dataset = pair(serialize_data=serialize_data)
    for index in (-7, -1, 0, 6, np.int64(3), np.uint8(3)):
        assert dataset.get_data_info(index)["sample_idx"] == int(index) % 7
    for index in (7, -8):
        with pytest.raises(IndexError, match=f"index {index} is out of range for a dataset of 7 records"):
            dataset.get_data_info(index)


@pytest.mark.parametrize("serialize_data", [True, False])
def test_a_record_is_a_private_copy(pair, serialize_data):
    _, dataset = pair(serialize_data=serialize_data)
    dataset.get_data_info(0)["weights"].append("changed")
    assert dataset.get_data_info(0)["weights"] == [0.5, 0]


def test_cross_validation_folds_do_not_touch_each_other(root):
    """MMEngine fails from the second fold on: a mutable default of its copy is shared by all datasets."""
    for _ in range(4):
        dataset = KeypointDataset("ann.json", data_root=str(root), data_prefix=PREFIX, pipeline=[lambda r: r])
        train, held_out = dataset.get_subset([0, 1]), dataset.get_subset([2])
        assert train[0]["label"] == 0
        assert train.pipeline is not held_out.pipeline
        train._metainfo["task"] = "changed"
        assert held_out.metainfo["task"] == dataset.metainfo["task"] == "signs"
        del dataset, train, held_out


def test_metainfo_of_the_argument_overrides_the_class_overrides_the_annotation(root):
    class Own(KeypointDataset):
        METAINFO = {"task": "of the class", "colour": "blue"}

    given = {"colour": "red", "names": str(root / "classes.txt"), "folder": str(root), "url": "what://ever"}
    dataset = Own("ann.json", metainfo=given, data_root=str(root), data_prefix=PREFIX, lazy_init=True)
    expected = {"task": "of the class", "colour": "red", "names": ["one", "two"], "folder": str(root), "url": "what://ever"}
    assert dataset.metainfo == expected
    dataset.full_init()
    assert dataset.metainfo == {**expected, "classes": ["x", "y", "z"]}
    dataset.metainfo["task"] = "not me"
    assert dataset.metainfo["task"] == "of the class"
    assert Own.METAINFO == {"task": "of the class", "colour": "blue"}


@pytest.mark.parametrize("metainfo", ["classes.txt", 5])
def test_metainfo_must_be_a_mapping(root, metainfo):
    with pytest.raises(TypeError, match="metainfo should be a Mapping or Config"):
        KeypointDataset("ann.json", metainfo=metainfo, data_root=str(root))


@pytest.mark.parametrize(
    ("data_root", "ann_file", "prefix"),
    [
        ("r", "a.json", ""),
        ("r", "/abs/a.json", "p/q"),
        ("", "a.json", "p"),
        (None, None, "p"),
        ("r", "", "/abs"),
        ("r", "s3://b/a.json", "s3://bucket/x"),
    ],
)
def test_paths_join_as_in_mmengine(data_root, ann_file, prefix):
    kwargs = dict(data_root=data_root, ann_file=ann_file, data_prefix={"keypoint_path": prefix}, lazy_init=True)
    theirs, ours = BaseDataset(**kwargs), KeypointDataset(**kwargs)
    assert (ours.ann_file, ours.data_prefix, ours.data_root) == (theirs.ann_file, theirs.data_prefix, theirs.data_root)


def test_a_prefix_that_is_no_string_is_rejected():
    with pytest.raises(TypeError, match="prefix should be a string"):
        KeypointDataset("a.json", data_prefix={"keypoint_path": ["p"]}, lazy_init=True)


def with_record(**values) -> str:
    """An annotation file of one record."""
    return json.dumps({"metainfo": {}, "data_list": [{"keypoint_path": "a.npy", **values}]})


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        ("[1]", AnnotationTypeError, "contains a dict, this one a list"),
        ("[1]", TypeError, "contains a dict, this one a list"),
        ("{", AnnotationError, "not readable"),
        ('{"data_list": []}', AnnotationError, r"no key \['metainfo'\]"),
        ('{"metainfo": {}, "data_list": [{"label": 1}]}', AnnotationError, "a record has no 'keypoint_path'"),
        ("[" * 100_000 + "]" * 100_000, AnnotationError, "not readable .it nests too deeply"),
        (with_record(label="hello"), AnnotationError, "record 0 has label='hello'; a whole number is expected"),
        (with_record(label=float("nan")), AnnotationError, "record 0 has label=nan; a whole number is expected"),
        (with_record(label=10**12), AnnotationError, "label 1000000000000; 1 clip without named classes"),
        (with_record(frame_start=0), AnnotationError, "record 0 has no 'num_frames'; add it"),
        (with_record(split=[1]), AnnotationError, r"record 0 has split=\[1\]; a string or a list of strings is expected"),
        (with_record(keypoint_path=5), AnnotationError, "a record has keypoint_path=5; a string is expected"),
        ('{"metainfo": {"skeleton": [1]}, "data_list": []}', AnnotationError, "metainfo: skeleton: expected"),
    ],
)
def test_an_invalid_annotation_file_is_named_with_its_problem(tmp_path, content, error, words):
    (tmp_path / "ann.json").write_text(content)
    with pytest.raises(error, match=words) as caught:
        KeypointDataset("ann.json", data_root=str(tmp_path))
    assert "ann.json" in str(caught.value)


def test_no_annotation_file_is_a_type_error_and_a_missing_one_is_not_found(tmp_path):
    with pytest.raises(TypeError, match="needs ann_file"):
        KeypointDataset()
    with pytest.raises(FileNotFoundError):
        KeypointDataset("absent.json", data_root=str(tmp_path))


@pytest.mark.parametrize("suffix", ["pkl", "pickle", "PKL", "py", "ndjson"])
def test_an_annotation_in_a_format_that_may_run_code_is_never_read(tmp_path, suffix):
    (tmp_path / f"ann.{suffix}").write_bytes(pickle.dumps(ANNOTATION))
    with pytest.raises(AnnotationError, match="can run code"):
        KeypointDataset(f"ann.{suffix}", data_root=str(tmp_path))


@pytest.mark.parametrize("suffix", ["yaml", "yml"])
def test_an_annotation_in_yaml_is_read_and_runs_nothing(tmp_path, suffix):
    path, touched = tmp_path / f"ann.{suffix}", tmp_path / "touched"
    path.write_text(yaml.safe_dump(ANNOTATION))
    read = KeypointDataset(path.name, data_root=str(tmp_path), index_cache=None)
    assert [r["label"] for r in contents(read)] == [r["label"] for r in RECORDS]
    path.write_text(f"metainfo: {{}}\ndata_list: !!python/object/apply:os.mkdir [{touched}]\n")
    with pytest.raises(AnnotationError, match="not readable .*python/object/apply"):
        KeypointDataset(path.name, data_root=str(tmp_path), index_cache=None)
    assert not touched.exists()


class _EveryOther:
    """Return None for label 1, and count the calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, results):
        self.calls += 1
        return None if results["label"] == 1 else results


def test_none_is_replaced_by_another_clip_in_training_and_counted(root):
    dataset = KeypointDataset("ann.json", data_root=str(root), data_prefix=PREFIX, pipeline=[_EveryOther()], seed=3)
    assert dataset[1]["label"] != 1
    assert dataset.num_skipped >= 1
    again = KeypointDataset("ann.json", data_root=str(root), data_prefix=PREFIX, pipeline=[_EveryOther()], seed=3)
    assert again[1]["sample_idx"] == dataset[1]["sample_idx"], "the replacement is a function of (seed, epoch, sample)"


def test_a_transform_that_forgets_to_return_is_named_once(root, caplog):
    def scale(results):
        results["keypoint_path"] += "x"

    dataset = KeypointDataset("ann.json", data_root=str(root), data_prefix=PREFIX, pipeline=[scale], max_refetch=9)
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    with pytest.raises(TransformError, match=r"^scale returned None for .*; does scale end with 'return results'\?$"):
        dataset[1]
    logger.removeHandler(caplog.handler)
    assert caplog.text.count("using another clip") == 1
    assert "scale returned None for sample 1; further clips that scale rejects are counted, not logged" in caplog.text
    assert dataset.num_skipped == 9


def test_a_dataset_and_its_batch_are_shown_in_one_line(root):
    dataset = KeypointDataset("ann.json", data_root=str(root), data_prefix=PREFIX, lazy_init=True)
    assert repr(dataset) == f"KeypointDataset(ann_file={str(root / 'ann.json')!r}): not initialized"
    dataset.full_init()
    assert repr(dataset).startswith(f"KeypointDataset(ann_file={str(root / 'ann.json')!r}): {len(dataset)} clips")


def test_none_is_an_error_in_test_mode(root):
    dataset = KeypointDataset("ann.json", data_root=str(root), data_prefix=PREFIX, pipeline=[_EveryOther()], test_mode=True)
    with pytest.raises(TransformError, match="returned None for sample 1, which test_mode=True forbids"):
        dataset[1]


@pytest.mark.parametrize("serialize_data", [True, False])
@pytest.mark.parametrize("label", [2, -1])
def test_a_label_outside_the_classes_is_named(tmp_path, label, serialize_data):
    records = [{"keypoint_path": "a.npz", "clip_id": f"c{n}", "label": n} for n in (0, 1, label)]
    content = {"metainfo": {"classes": ["a", "b"]}, "data_list": records}
    (tmp_path / "ann.json").write_text(json.dumps(content), encoding="utf-8")
    options = dict(data_root=str(tmp_path), serialize_data=serialize_data)
    with pytest.raises(AnnotationError, match=f"1 clip with a label outside 0 to 1, the first {label} of clip 'c{label}'"):
        KeypointDataset("ann.json", **options)
    assert len(KeypointDataset("ann.json", metainfo={"classes": []}, **options)) == 3
    assert len(KeypointDataset("ann.json", filter_cfg={"labels": [0, 1]}, **options)) == 2


def test_a_filter_by_length_needs_the_length_of_every_record(root):
    with pytest.raises(
        ConfigError, match="min_frames=1 needs 'num_frames' in every record, a clip has none; 'karsl prepare'"
    ):
        KeypointDataset("ann.json", data_root=str(root), data_prefix=PREFIX, filter_cfg={"min_frames": 1})


@pytest.mark.parametrize("options", [dict(filter_cfg=["train"]), dict(filter_cfg="train"), dict(max_refetch="x")], ids=str)
def test_an_argument_of_another_type_is_named(root, options):
    ((name, value),) = options.items()
    with pytest.raises(ConfigError, match=re.escape(f"KeypointDataset: {name}={value!r}; expected a")):
        KeypointDataset("ann.json", data_root=str(root), data_prefix=PREFIX, **options)


def test_max_refetch_limits_the_attempts(root):
    calls = []
    dataset = KeypointDataset("ann.json", data_root=str(root), data_prefix=PREFIX, pipeline=[calls.append], max_refetch=3)
    with pytest.raises(TransformError, match=r"no clip after 3 others were tried \(max_refetch\)"):
        dataset[0]
    assert len(calls) == 4


def _broken(results):
    raise OSError("disk on fire")


def test_an_error_names_step_and_clip_and_is_raised_by_default(root):
    dataset = KeypointDataset("ann.json", data_root=str(root), data_prefix=PREFIX, pipeline=[_broken])
    with pytest.raises(TransformError, match="_broken failed on sample 2: disk on fire"):
        dataset[2]
    assert dataset.num_skipped == 0


def test_on_error_skip_uses_another_clip_but_not_in_test_mode(root):
    def sometimes(results):
        return _broken(results) if results["sample_idx"] == 2 else results

    kwargs = dict(data_root=str(root), data_prefix=PREFIX, pipeline=[sometimes], on_error="skip")
    dataset = KeypointDataset("ann.json", **kwargs)
    assert dataset[2]["sample_idx"] != 2
    assert dataset.num_skipped >= 1
    with pytest.raises(TransformError, match="disk on fire"):
        KeypointDataset("ann.json", test_mode=True, **kwargs)[2]


@pytest.mark.parametrize("serialize_data", [True, False])
def test_mmengines_wrappers_accept_a_keypoint_dataset(pair, serialize_data):
    _, dataset = pair(serialize_data=serialize_data)
    both = ConcatDataset([dataset, dataset.get_subset([1])])
    assert len(both) == 8
    assert both[7]["label"] == 1
    assert both.metainfo["task"] == "signs"
    twice = RepeatDataset(dataset, times=2)
    assert (len(twice), twice[9]["label"]) == (14, 2)
    balanced = ClassBalancedDataset(dataset.get_subset([0, 1, 3, 6]), oversample_thr=0.5)
    labels = [balanced.get_data_info(i)["label"] for i in range(len(balanced))]
    assert labels == [0, 1, 1, 0, 0]
    assert dataset.get_cat_ids(4) == [1]


def test_a_lazy_dataset_initialises_itself_when_it_is_used(pair):
    for use in (len, lambda d: d[0], lambda d: d.get_data_info(0), lambda d: d.get_subset(1), lambda d: d.get_cat_ids(0)):
        _, dataset = pair(lazy_init=True)
        assert "classes" not in dataset.metainfo
        use(dataset)
        assert dataset._fully_initialized
        assert dataset.metainfo["classes"] == ["x", "y", "z"]


def test_full_init_twice_parses_once(pair):
    _, dataset = pair(lazy_init=True)
    dataset.full_init()
    dataset.get_subset_(2)
    dataset.full_init()
    assert len(dataset) == 2


def test_a_subclass_in_mmengines_style_keeps_working(root):
    """Detection and pose code overrides full_init and parse_data_info in this way."""

    class Own(KeypointDataset):
        def parse_data_info(self, raw):
            return [raw, {**raw, "copy": True}]

        def filter_data(self):
            return [r for r in self.data_list if r["label"] != 0]

        def full_init(self):
            if self._fully_initialized:
                return
            self.data_list = self.load_data_list()
            self.data_list = self.filter_data()
            if self.serialize_data:
                self.data_bytes, self.data_address = self._serialize_data()
            self._fully_initialized = True

    dataset = Own("ann.json", data_root=str(root), data_prefix=PREFIX)
    assert len(dataset) == 8
    assert [r["label"] for r in contents(dataset)] == [1, 1, 2, 2, 1, 1, 2, 2]


def test_data_bytes_and_data_address_have_mmengines_meaning(pair):
    _, dataset = pair()
    assert dataset.data_bytes.dtype == np.uint8
    assert dataset.data_address.dtype == np.int64
    assert len(dataset.data_address) == 7
    assert dataset.data_address[-1] == len(dataset.data_bytes)
    assert (np.diff(dataset.data_address) > 0).all()


def test_values_of_files_cannot_set_columns_and_whole_numbers_of_every_spelling_are_read(tmp_path):
    values = dict(num_frames=9.0, label="3", pack="/etc/passwd", keypoint_path="01-train\\1.npy")
    (tmp_path / "01-train").mkdir()
    (tmp_path / "01-train" / "1.npy").touch()
    (tmp_path / "ann.json").write_text(with_record(**values))
    record = KeypointDataset("ann.json", data_root=str(tmp_path), index_cache=None).get_data_info(0)
    path = str(tmp_path / "01-train/1.npy")  # `\\` of Windows
    assert record == {"num_frames": 9, "label": 3, "keypoint_path": path, "sample_idx": 0}


def test_a_label_that_is_needed_and_absent_is_named(tmp_path):
    (tmp_path / "ann.json").write_text(with_record(clip_id="c"))
    with pytest.raises(AnnotationError, match="clip 'c' has no 'label', which is needed here"):
        KeypointDataset("ann.json", data_root=str(tmp_path), index_cache=None).get_cat_ids(0)
