"""Many tars in one name."""

from __future__ import annotations

from pathlib import Path

import pytest

from karsl.errors import ConfigError, DatasetNotFoundError
from karsl.webdataset.shards import expand_braces, shard_names


def test_patterns_are_written_out(tmp_path):
    assert expand_braces("{a,b}/x-{9..11}.tar")[:2] == ["a/x-9.tar", "a/x-10.tar"]
    for name in ("c-1.tar", "c-0.tar", "d.tar.gz", "c-0.tar.index", "c-0.tar.md5", "e.tgz", "tar", "note.txt"):
        (tmp_path / name).touch()
    inside = [Path(name).name for name in shard_names(tmp_path)]
    assert inside == ["c-0.tar", "c-1.tar", "d.tar.gz", "e.tgz"]
    assert shard_names([f"{tmp_path}/c-{{0..1}}.tar", "http://x/{0..1}.tar"])[2:] == ["http://x/0.tar", "http://x/1.tar"]
    with pytest.raises(DatasetNotFoundError, match=r"no shard .*c-2.tar"):
        shard_names(f"{tmp_path}/c-{{0..2}}.tar")
    for wrong, error in ((f"{tmp_path}/c-{{0..1.tar", "not closed"), (f"{tmp_path}/c-{{1..0}}.tar", "backwards")):
        with pytest.raises(ConfigError, match=error):
            shard_names(wrong)
    with pytest.raises(ConfigError, match="named twice"):
        shard_names([f"{tmp_path}/c-0.tar"] * 2)
