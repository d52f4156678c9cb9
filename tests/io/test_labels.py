import json
import zipfile

import pytest

from karsl.errors import AnnotationError
from karsl.io import find_label_table, labels, read_label_table


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


HEADER = "SignID,Sign-Arabic,Sign-English\n"


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "1,ا,a\n2,ب,b\n,,\n , ,\n",
        (HEADER + "1,ا,a\n2,ب,b\n").replace(",", ", "),
        HEADER + "1.0,ا,a\n2.0,ب,b\n",
    ],
    ids=["empty last rows", "blanks after commas", "whole numbers as floats"],
)
def test_a_table_is_read_as_spreadsheets_save_it(tmp_path, text):
    table = read_label_table(sheet_of(tmp_path, text))
    assert (table.signs, table.arabic, table.english) == ((1, 2), ("ا", "ب"), ("a", "b"))


def test_another_separator_is_named(tmp_path):
    with pytest.raises(
        AnnotationError, match="row 2: no value under .*';' does not separate them; save the table with commas"
    ):
        read_label_table(sheet_of(tmp_path, (HEADER + "1,ا,a\n").replace(",", ";")))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", HEADER.encode() + "1,ا,a".encode("cp1256")),
        ("a.json", b'{"AR_WORDS": 5, "EN_WORDS": 5}'),
        ("a.json", b'{"AR_WORDS": [[1]], "EN_WORDS": ["a"]}'),
        ("a.json", b"[" * 100_000),
        ("a.xlsx", b""),
    ],
)
def test_a_damaged_table_is_one_sentence(tmp_path, name, content):
    pytest.importorskip("openpyxl")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AnnotationError, match=rf"{name}.*; save it again, text as UTF-8$"):
        read_label_table(tmp_path / name)


@pytest.mark.parametrize("part", ["xl/workbook.xml", "xl/worksheets/sheet1.xml"])
def test_a_damaged_part_of_a_workbook_is_one_sentence(tmp_path, part):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["SignID", "Sign-Arabic", "Sign-English"])
    book.active.append([1, "ا", "a"])
    book.save(tmp_path / "a.xlsx")
    assert read_label_table(tmp_path / "a.xlsx").signs == (1,)
    with zipfile.ZipFile(tmp_path / "a.xlsx") as old, zipfile.ZipFile(tmp_path / "b.xlsx", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) if name != part else b"<broken")
    with pytest.raises(AnnotationError, match="b.xlsx: not a readable label table"):
        read_label_table(tmp_path / "b.xlsx")


def test_a_workbook_that_unpacks_to_too_much_is_not_unpacked(tmp_path, monkeypatch):
    pytest.importorskip("openpyxl")
    monkeypatch.setattr(labels, "_MAX_XLSX_BYTES", 1000)
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b" " * 1001)
    with pytest.raises(AnnotationError, match="declares 1,001 bytes, more than 1,000"):
        read_label_table(tmp_path / "a.xlsx")


def test_a_spreadsheet_that_declares_four_gigabytes_is_not_read(tmp_path):
    pytest.importorskip("openpyxl")
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
    content = bytearray(path.read_bytes())
    stored_size = content.index(b"PK\x01\x02") + 20  # in the central directory
    content[stored_size : stored_size + 4] = (2**32 - 16).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(AnnotationError, match="declares 4,294,967,280 bytes, more than"):
        read_label_table(path)
