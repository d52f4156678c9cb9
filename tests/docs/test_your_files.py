"""Each row of the table in the page on own files runs on a generated folder and packs the clips in it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from karsl.cli.main import main
from karsl.formats import open_clips
from tests.formats.array_forms import FORMS, make_clips

PAGE = Path(__file__).parents[2] / "docs" / "howto-your-files.md"
ROW = re.compile(r"^\| (?P<content>.+?) \| `(?P<command>karsl pack .+)` \|$", re.MULTILINE)
COMMANDS = {match["content"]: match["command"] for match in ROW.finditer(PAGE.read_text(encoding="utf-8"))}
ROWS = {
    "`<word>/<clip>.npy` or `.pt`, each (T, V, C)": "npy per clip",
    "`<word>.npz`, one array per clip": "npz per word",
    "`<word>.pt`, a list of tensors": "pt list per word",
    "`<word>.npy`, a stack (N, T, V, C)": "npy stack per word",
    "`<word>.h5`, a stack (N, T, V, C)": "h5 stack per word",
    "`X.npy` and `y.npy`": "X and y",
    "`shard_9.npy`, `shard_10.npy`, ... and `labels.npy`": "shards and labels",
    "`<word>.npz` with `data` and `lengths`": "joined clips with lengths",
    "`data.npy` and `data_offsets.npy`": "joined clips with offsets in a file",
    "`<word>.npz`, a padded stack and `lengths`": "padded stack with lengths",
    "files named like `hello-1.npy`": "names by a pattern",
    "files and a table `labels.csv`": "table of labels",
    "rows of columns, (T, D)": "columns",
    "`<word>/<clip>/<frame>.npy`, columns": "file per frame",
    "(C, T, V), as in ST-GCN": "coordinates first",
    "several persons, (M, T, V, C)": "persons first",
    "one array per group in an `.npz`": "array per group",
    "NaN where a keypoint is missing": "missing as NaN",
}


def test_every_row_of_the_page_is_tested():
    assert list(COMMANDS) == list(ROWS)


@pytest.mark.parametrize("content", ROWS)
def test_the_command_of_a_row_packs_the_clips(content, tmp_path, monkeypatch, capsys):
    form = FORMS[ROWS[content]]
    if "h5" in content:
        pytest.importorskip("h5py")
    clips = make_clips((4, 4, 4, 4) if form.one_length else (4, 2, 5, 3), form.skeleton)
    form.write(tmp_path / "clips", clips)
    monkeypatch.chdir(tmp_path)
    assert main([*shlex.split(COMMANDS[content])[1:], "--dtype", "float32"]) == 0
    capsys.readouterr()
    pack = open_clips(tmp_path / "packed")
    for record, clip in zip(pack.records, [clip for own in clips.values() for clip in own], strict=True):
        np.testing.assert_array_equal(pack.read(record), clip)
    assert [record["label"] for record in pack.records] == [0, 0, 1, 1]
