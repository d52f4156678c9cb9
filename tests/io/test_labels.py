import json
import zipfile

import pytest

from karsl.errors import AnnotationError
from karsl.io import find_label_table, read_label_table


def sheet_of(tmp_path, text, name="labels.csv"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_csv_is_read_with_arabic_and_sorted_by_sign(tmp_path):
    path = sheet_of(tmp_path, "\ufeffSignID,Sign-Arabic,Sign-English\n9,باب,door\n2, أب ,father\n")
    sheet = read_label_table(path)
    assert (sheet.signs, sheet.arabic, sheet.english) == ((2, 9), ("أب", "باب"), ("father", "door"))
    assert find_label_table(tmp_path) == path


@pytest.mark.parametrize("name", ["KARSL-502_Labels.xlsx", "KARSL-502_Labels.json"])
def test_the_official_sheet_has_502_signs_whose_english_is_not_unique(shared_data, name):
    sheet = read_label_table(shared_data("karsl_labels") / name)
    assert sheet.signs == tuple(range(1, 503))
    assert (sheet.arabic[0], sheet.english[0]) == ("0", "0")
    assert (sheet.arabic[101], sheet.english[101]) == ("فحص سريري", "physical examination")
    assert sheet.english.count("thermometer") == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SignID,Sign-Arabic\n1,ا\n", r"row 2: no value under \['Sign-English'\]"),
        ("SignID,Sign-Arabic,Sign-English\none,ا,a\n", "row 2: SignID 'one' is not a number"),
        ("SignID,Sign-Arabic,Sign-English\n1,ا,a\n1,ب,b\n", "row 3: SignID 1 occurs twice"),
        ("SignID,Sign-Arabic,Sign-English\n", "has no rows"),
    ],
)
def test_a_wrong_sheet_names_the_row(tmp_path, text, words):
    with pytest.raises(AnnotationError, match=words):
        read_label_table(sheet_of(tmp_path, text))


def test_other_files_are_rejected(tmp_path):
    with pytest.raises(FileNotFoundError, match="no label table"):
        read_label_table(tmp_path / "none.csv")
    with pytest.raises(AnnotationError, match="is csv, xlsx or json, not '.txt'"):
        read_label_table(sheet_of(tmp_path, "", "labels.txt"))
    with pytest.raises(AnnotationError, match="labels.json: not readable"):
        read_label_table(sheet_of(tmp_path, "{", "labels.json"))
    pytest.importorskip("openpyxl")
    with pytest.raises(AnnotationError, match="labels.xlsx: not a readable label table .File is not a zip file.; save it"):
        read_label_table(sheet_of(tmp_path, "hello", "labels.xlsx"))
    with zipfile.ZipFile(tmp_path / "other.xlsx", "w") as archive:
        archive.writestr("a.txt", "hello")
    with pytest.raises(AnnotationError, match="other.xlsx: not a readable label table"):
        read_label_table(tmp_path / "other.xlsx")
    words = json.dumps({"AR_WORDS": ["ا"], "EN_WORDS": []})
    with pytest.raises(AnnotationError, match="1 Arabic and 0 English words"):
        read_label_table(sheet_of(tmp_path, words, "labels.json"))
    assert find_label_table(tmp_path) is None
