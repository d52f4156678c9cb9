"""`karsl browse --serve` as a process: reports its address, serves, and stops cleanly."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from functools import partial
from pathlib import Path

import pytest

from karsl.testing import make_corpus


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("serve") / "corpus", signs=2, signers=("01",), train_clips=2, test_clips=1)


def start(*words: object, **env: str) -> tuple[subprocess.Popen, str]:
    """Return the process and the address that it reports."""
    command = [sys.executable, "-m", "karsl", "browse", *map(str, words), "--serve"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **env},
        cwd=Path(__file__).parents[2],
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # background jobs of a shell ignore it
    )
    line = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+/", line)
    if found is None:
        process.kill()
        pytest.fail(f"no address in {line!r}; {process.stderr.read()}")
    return process, found[0]


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=120) as answer:
        return answer.read()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal(root, number):
    process, url = start(root, "--not-show", "--split", "train")
    columns = json.loads(fetched(f"{url}index.json"))["columns"]
    assert len(columns["link"]) == 4
    assert b"<!doctype html>" in fetched(url)
    assert json.loads(fetched(f"{url}clips/{columns['link'][0]}.json"))["row"]["split"] == "train"
    process.send_signal(number)
    out, error = process.communicate(timeout=300)
    assert (process.returncode, out, error) == (0, "stopped\n", "")


def test_a_browser_is_opened_on_it(root, tmp_path):
    output, opener = tmp_path / "output", tmp_path / "opener"
    os.mkfifo(output)
    opener.write_text(f'#!/bin/sh\necho "$1" > {output}\n')
    opener.chmod(0o755)
    process, url = start(root, BROWSER=f"{opener} %s")
    try:
        assert output.read_text().strip() == url  # a pipe: reading waits for the opener
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=300)
