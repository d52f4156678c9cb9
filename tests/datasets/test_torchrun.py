"""Two ranks of torchrun with two workers each: one parse, one copy of the pages for all six processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

from karsl.cli.main import main

SCRIPT = Path(__file__).with_name("torchrun_ranks.py")


def test_one_parse_and_one_copy_of_the_pages_for_two_ranks_with_two_workers_each(corpus, tmp_path):
    root = tmp_path / "root"
    root.symlink_to(corpus)
    assert main(["prepare", str(root), "--out", str(tmp_path / "annotations.json")]) == 0
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone"]
    done = subprocess.run(
        [*command, str(SCRIPT), str(tmp_path), str(tmp_path)],
        env={**os.environ, "PARSES": str(tmp_path / "parses"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert len((tmp_path / "parses").read_text().split()) == 1
    looks = [look for rank in (0, 1) for look in json.loads((tmp_path / f"rank{rank}.json").read_text())]
    assert len({look["pid"] for look in looks}) == 6
    assert len({look["inode"] for look in looks}) == 1
    assert {look["private"] for look in looks} <= {0, None}, "pages of the index that a process copied"
    for rank in (0, 1):
        samples = [i for look in json.loads((tmp_path / f"rank{rank}.json").read_text()) for i in look["samples"]]
        assert samples == list(range(84))
