"""Clips in notebooks: one self-contained image."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from io import BytesIO
from types import SimpleNamespace

import pytest

from karsl.datasets import KArSLDataset
from karsl.errors import ConfigError
from karsl.testing import make_corpus
from karsl.visualization import load_ipython_extension, show
from karsl.visualization.draw.canvas import Image

PIPELINE = [{"type": "LoadKeypoints"}, {"type": "TSNSampleFrames", "clip_len": 8}, {"type": "PackKeypointInputs"}]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> str:
    return str(make_corpus(tmp_path_factory.mktemp("show"), signs=2, signers=("01",), train_clips=2, test_clips=1))


@pytest.fixture
def dataset(root) -> KArSLDataset:
    return KArSLDataset(data_root=root, pipeline=PIPELINE, seed=0, index_cache=None)


def picture(html: str):
    (found,) = re.findall(r'src="data:(image/\w+);base64,([^"]+)"', html)
    return found[0], Image.open(BytesIO(base64.b64decode(found[1])))


def test_results_are_a_self_contained_animation(results, metainfo):
    html = show(results, metainfo=metainfo)._repr_html_()
    kind, image = picture(html)
    assert (kind, image.n_frames) == ("image/webp", len(results["keypoint"]))
    assert "شكرا" in re.search(r'alt="([^"]*)"', html)[1]
    assert not re.search(r"<script|https?://|\bon\w+=", html)


def test_a_dataset_is_a_sheet_and_a_clip_of_it_plays(dataset):
    kind, image = picture(show(dataset)._repr_html_())
    assert kind == "image/png"
    assert image.size[0] == 6 * 196 + 1
    both = picture(show(dataset, 1, mode="concat")._repr_html_())[1]
    assert both.size[0] > picture(show(dataset, 1)._repr_html_())[1].size[0] - 100
    assert repr(show(dataset, [0, 3])) == "<2 of 6 clips>"
    with pytest.raises(ConfigError, match="index 99"):
        show(dataset, 99)


def test_a_folder_is_shown_by_its_path(root):
    assert repr(show(root)) == "<6 of 6 clips>"


def test_text_of_a_clip_cannot_leave_its_attribute(results):
    html = show({**results, "clip_id": '"><script>x', "sign": 0, "label": None}, metainfo={})._repr_html_()
    assert "<script" not in html


def test_the_extension_makes_datasets_show_themselves(dataset):
    printers = {}
    formatter = SimpleNamespace(for_type=lambda kind, call: printers.__setitem__(kind, call))
    load_ipython_extension(SimpleNamespace(display_formatter=SimpleNamespace(formatters={"text/html": formatter})))
    (printer,) = (call for kind, call in printers.items() if isinstance(dataset, kind))
    assert picture(printer(dataset))[0] == "image/png"


def test_a_real_notebook_shell_shows_a_dataset(root):
    pytest.importorskip("IPython")
    code = (
        "from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance(); s.run_line_magic('load_ext', "
        "'karsl.visualization'); from karsl.datasets import KArSLDataset; import json;"
        f"data, _ = s.display_formatter.format(KArSLDataset(data_root={root!r}, pipeline=[dict(type='LoadKeypoints')]));"
        "print(json.dumps(sorted(data)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "text/html" in json.loads(done.stdout.splitlines()[-1]), done.stderr
