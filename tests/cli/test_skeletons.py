"""`karsl skeletons`."""

from __future__ import annotations

import re

from karsl.cli.main import main
from karsl.skeletons import skeleton_names


def test_every_skeleton_is_listed_with_its_groups(capsys):
    assert main(["skeletons"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(skeleton_names())
    assert "karsl_184            184 points: pose 6, face 136, rh 21, lh 21" in lines


def test_skeletons_are_found_by_their_number_of_points(capsys):
    assert main(["skeletons", "--points", "543"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["holistic_543", "kaggle_543"]
    assert main(["skeletons", "--points", "7"]) == 2
    assert re.search("--points 7: no skeleton has that number; there are some of .*17, 25, ", capsys.readouterr().err)


def test_the_points_of_one_are_printed_with_number_group_and_mirror_image(capsys):
    assert main(["skeletons", "hand_42"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "hand_42: 42 points, 42 bones"
    assert lines[1] == "   0  lh    left_hand_wrist  mirror 21"
    assert len(lines) == 43


def test_an_unknown_name_is_an_error_with_a_suggestion(capsys):
    assert main(["skeletons", "ntu25"]) == 2
    assert "did you mean 'ntu_25'" in capsys.readouterr().err
