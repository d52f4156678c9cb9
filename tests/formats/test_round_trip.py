"""Every form, written and read again: the same clips to the precision of the form, missing kept missing, facts kept."""

from __future__ import annotations

import pickle
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from karsl.storage.convert import FORMS, convert_clips, open_source
from karsl.storage.convert.columns import HOLISTIC
from karsl.testing.strategies import MISSING
from tests.storage.convert.drawn_clips import WRITTEN, make_source, needs

SAME_LENGTH = ("holistic-block",)
every_form = pytest.mark.parametrize("form", WRITTEN)


def kept_of(clip: np.ndarray, form: str) -> np.ndarray:
    """What a form is to give back of a clip, by what its table says it loses."""
    kept, keeps = clip.copy(), FORMS[form].keeps
    if form.startswith("holistic"):
        bare = [part for group, part in HOLISTIC.points.groups.items() if group != "pose"]
        for part in bare:
            kept[:, part, 3] = kept[:, part, 3] > 0
    if "score" not in keeps:
        kept[..., 3] = kept[..., 3] > 0
    if "z" not in keeps:
        kept[..., 2] = 0
    if "mask" not in keeps:
        lost = (kept[..., : 3 if "z" in keeps else 2] == 0).all(-1)
        kept[lost] = 0
    return kept


def by_id(source) -> dict:
    """Clips by the end of their ids, which every form keeps in some spelling."""
    return {r["clip_id"].rpartition("/")[2].replace("_", " "): (r, source.read(r)) for r in source.records}


def written(source, form, folder):
    out = folder / ("clips" + {"pyskl": ".pkl", "pyskl2d": ".pkl", "spoter": ".csv"}.get(form, ""))
    return convert_clips(source, out, form).path


def opened(path, form):
    asked = {"skeleton": "karsl_184"} if form == "karsl" else {}
    return open_source(path, form=form, trusted=True, **asked)


@every_form
@settings(max_examples=6)
@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from(MISSING), st.integers(0, 2**16)), min_size=1, max_size=5))
def test_clips_come_back_to_the_precision_of_the_form(form, clips):
    needs(form)
    if form in SAME_LENGTH:
        clips = [(clips[0][0], missing, seed) for _, missing, seed in clips]
    source = make_source(FORMS[form].skeleton or "karsl_184", clips)
    with tempfile.TemporaryDirectory() as folder:
        again = opened(written(source, form, Path(folder)), form)
        found = by_id(again)
        assert len(again.records) == len(source.records)
        for name, (record, clip) in by_id(source).items():
            record_again, clip_again = found[name]
            assert record_again["num_frames"] == record["num_frames"]
            assert clip_again.dtype == np.float32
            np.testing.assert_allclose(clip_again, kept_of(clip, form), atol=1e-6, rtol=0)
            np.testing.assert_array_equal(clip_again[..., 3] > 0, kept_of(clip, form)[..., 3] > 0)


@every_form
def test_labels_signs_signers_splits_and_both_glosses_come_back(form, tmp_path):
    needs(form)
    lengths = [(4, "none", seed) for seed in range(4)]
    source = make_source(FORMS[form].skeleton or "karsl_184", lengths)
    again = opened(written(source, form, tmp_path), form)
    found = by_id(again)
    for name, (record, _) in by_id(source).items():
        assert {k: found[name][0][k] for k in ("label", "sign", "signer", "split")} == {
            k: record[k] for k in ("label", "sign", "signer", "split")
        }
    for key in ("classes", "classes_ar", "signs"):
        assert tuple(again.metainfo[key]) == source.metainfo[key]


@every_form
def test_the_form_of_what_was_written_is_found_from_its_path(form, tmp_path):
    needs(form)
    if form == "pyskl2d":
        pytest.skip("the same file as pyskl, which is found")
    path = written(make_source(FORMS[form].skeleton or "karsl_184", [(4, "none", 1)] * 2), form, tmp_path)
    assert len(open_source(path, trusted=True).records) == 2


@every_form
def test_a_source_of_every_form_reads_the_same_after_a_pickle(form, tmp_path):
    needs(form)
    source = opened(written(make_source(FORMS[form].skeleton or "karsl_184", [(3, "none", 1)] * 2), form, tmp_path), form)
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again.read(again.records[1]), source.read(source.records[1]))


@every_form
def test_what_is_written_does_not_depend_on_where_or_when(form, tmp_path, monkeypatch):
    needs(form)
    files, clock = [], time.time
    for days, folder in enumerate(("a", "b")):
        monkeypatch.setattr(time, "time", lambda days=days: clock() + 86_400 * days)
        path = written(make_source(FORMS[form].skeleton or "karsl_184", [(3, "scattered", 1)] * 2), form, tmp_path / folder)
        paths = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix != ".index") if path.is_dir() else [path]
        files.append([(p.relative_to(tmp_path / folder).as_posix(), p.read_bytes()) for p in paths])
    assert files[0] == files[1]
