"""Labels of array files: where they are taken from, and which do not fit."""

from __future__ import annotations

import json

import numpy as np
import pytest

from karsl.errors import KarslError
from karsl.formats.arrays import scan_arrays
from karsl.io.array_layout import ArrayLayout

LAYOUT = ArrayLayout.parse("rh:21x3")


@pytest.fixture
def save(tmp_path):
    """Write arrays of zeros by their paths without suffix, and return the folder."""

    def write(**shapes):
        for name, shape in shapes.items():
            path = tmp_path / f"{name.replace('__', '/')}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, np.zeros((*shape, 63), np.float32))
        return tmp_path

    return write


def labels_of(root, **options) -> tuple[list, tuple]:
    scan = scan_arrays(root, layout=LAYOUT, **options)
    assert not scan.problems
    return [record.get("label") for record in scan.records], scan.metainfo.get("classes")


def error_of(root, **options) -> str:
    with pytest.raises(KarslError) as caught:
        scan_arrays(root, layout=LAYOUT, **options)
    return str(caught.value)


def test_the_nearest_folder_that_is_no_split_is_the_class(save):
    root = save(hello__1=(2,), yes__train__1=(2,), test__no__anna__2=(2,))
    assert labels_of(root) == ([1, 0, 2], ("anna", "hello", "yes"))
    assert [record.get("split") for record in scan_arrays(root, layout=LAYOUT).records] == [None, "test", "train"]


def test_files_with_many_clips_are_classes_unless_they_are_numbered(save):
    assert labels_of(save(hello=(3, 2), yes=(1, 2))) == ([0, 0, 0, 1], ("hello", "yes"))


def test_numbered_shards_have_no_labels_which_is_noted(save):
    root = save(shard_0=(3, 2), shard_1=(1, 2))
    assert labels_of(root) == ([None] * 4, None)
    assert scan_arrays(root, layout=LAYOUT).notes[0].startswith("the clips have no labels")
    assert labels_of(root, labels="file") == ([0, 0, 0, 1], ("shard_0", "shard_1"))


@pytest.mark.parametrize(
    ("labels", "expected", "classes"),
    [
        (np.array([2, 0, 1]), [2, 0, 1], ("0000", "0001", "0002")),
        (np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]]), [2, 0, 1], ("0000", "0001", "0002")),
        (np.array([[2.0], [0], [1]]), [2, 0, 1], ("0000", "0001", "0002")),
        (np.array(["yes", "no", "yes"]), [1, 0, 1], ("no", "yes")),
    ],
)
def test_a_parallel_array_has_numbers_names_or_one_hot_rows(save, labels, expected, classes):
    root = save(X_train=(3, 2), X_test=(3, 2))
    np.save(root / "y_train.npy", labels)
    np.save(root / "y_test.npy", labels)
    assert labels_of(root) == (expected * 2, classes)
    assert {record["split"] for record in scan_arrays(root, layout=LAYOUT).records} == {"train", "test"}


def test_an_array_of_the_same_archive_has_the_labels(tmp_path):
    np.savez(tmp_path / "data.npz", X=np.zeros((3, 2, 63)), y=[1, 0, 1])
    assert labels_of(tmp_path) == ([1, 0, 1], ("0000", "0001"))


def test_one_array_labels_all_files_of_its_folder_in_the_order_of_numbers(save):
    root = save(part_2=(2, 2), part_10=(1, 2))
    np.save(root / "labels.npy", [5, 6, 7])
    assert labels_of(root)[0] == [5, 6, 7]


def test_labels_of_another_number_are_rejected(save):
    root = save(X=(3, 2))
    np.save(root / "y.npy", [0, 1])
    assert error_of(root).endswith("y.npy is int64 (2,); expected 3 labels from 0, names, or one-hot rows")
    np.save(root / "y.npy", [0, 1, -1])
    assert "expected 3 labels from 0" in error_of(root)


TABLES = {
    "csv": "file,label,signer\na.npy,no,1\nsub/b.npy,yes,2\n",
    "semicolons of Excel": "\ufefffilename;gloss;signer\r\na;no;1\r\nsub\\b.npy;yes;2\r\n",
    "json": json.dumps({"a": {"label": "no", "signer": "1"}, "b.npy": {"label": "yes", "signer": "2"}}),
    "rows": json.dumps([{"path": "./a.npy", "word": "no", "signer": "1"}, {"path": "b", "word": "yes", "signer": "2"}]),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_names_files_with_or_without_folder_and_suffix(save, name):
    root = save(a=(2,), sub__b=(2,))
    table = "labels.json" if TABLES[name].startswith(("{", "[")) else "labels.csv"
    (root / table).write_text(TABLES[name], encoding="utf-8")
    assert labels_of(root) == labels_of(root, labels=table) == ([0, 1], ("no", "yes"))
    assert [record["signer"] for record in scan_arrays(root, layout=LAYOUT).records] == ["1", "2"]


def test_a_table_labels_clips_of_a_stack_by_their_index(save):
    root = save(a=(2, 3))
    (root / "labels.csv").write_text("file,index,label\na,1,0\na,0,4\n")
    assert labels_of(root)[0] == [4, 0]


def test_a_list_labels_all_clips_in_order(save):
    root = save(a=(2, 3), b=(1, 3))
    (root / "list.json").write_text("[1, 0, 2]")
    assert labels_of(root, labels="list.json")[0] == [1, 0, 2]
    (root / "list.json").write_text("[1, 0]")
    assert "list.json: 2 labels for 3 clips" in error_of(root, labels="list.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na,1\n", "no row for the clips of 1 file, e.g. 'b.npy' (0 rows without a clip)"),
        ("file,label\na,1\nb,\n", "row 3: no value under 'file' or 'label'"),
        ("file,label\na,1\nb,2\na,3\n", "row 4: 'a' has another label in an earlier row"),
        ("x,y\n1,2\n", "no columns 'file' and 'label'; it has ['x', 'y']"),
        ("\xff", "not a readable table of labels"),
    ],
)
def test_a_table_that_does_not_fit_is_rejected_with_its_row(save, text, message):
    root = save(a=(2,), b=(2,))
    (root / "own.csv").write_bytes(text.encode("latin-1"))
    assert message in error_of(root, labels="own.csv")


def test_labels_that_do_not_exist_are_rejected(save):
    root = save(a=(2,), sub__b=(2,))
    assert "labels='own.csv': no such file" in error_of(root, labels="own.csv")
    assert "1 file in no folder of a class, e.g. 'a.npy'; move it to one, or pass labels" in error_of(root)
    assert labels_of(root, labels="none") == ([None, None], None)
