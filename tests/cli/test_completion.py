"""`karsl completion`: the scripts complete commands, options, choices and paths in real shells."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from karsl.cli.main import main

pytest.importorskip("shtab")

# What bash calls when the tab key is pressed after the last of the words.
BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 ))
_shtab_karsl karsl "${@: -1}" "${@: -2:1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """A function that writes the script of a shell, or skips without that shell."""

    def write(shell: str) -> str:
        if shutil.which(shell) is None:
            pytest.skip(f"no {shell}")
        path = tmp_path_factory.mktemp(shell) / "karsl"
        with path.open("w") as file:
            subprocess.run([sys.executable, "-m", "karsl", "completion", shell], stdout=file, check=True)
        return str(path)

    return write


@pytest.fixture(scope="module")
def bash(script):
    path = script("bash")

    def complete(folder, *words: str) -> list[str]:
        command = ["bash", "-c", BASH, "bash", path, "karsl", *words]
        return sorted(subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.split())

    return complete


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["tr"], ["train"]),
        (["train", "--wo"], ["--work-dir"]),
        (["train", "--deb"], ["--debug"]),
        (["pack", "--dtype", ""], ["float16", "float32"]),
        (["train", "con"], ["config.py", "configs"]),
        (["train", "config.py", "--work-dir", "o"], ["out"]),
        (["skeletons", "--im"], ["--import"]),
    ],
)
def test_bash_completes_commands_options_choices_and_paths(bash, tmp_path, words, completed):
    (tmp_path / "config.py").touch()
    for name in ("configs", "out"):
        (tmp_path / name).mkdir()
    assert bash(tmp_path, *words) == completed


@pytest.mark.parametrize(("shell", "check"), [("zsh", "-n"), ("fish", "--no-execute")])
def test_the_script_is_valid(script, shell, check):
    subprocess.run([shell, check, script(shell)], check=True)


def test_another_shell_is_named(capsys):
    assert main(["completion", "csh"]) == 2
    assert "'csh'" in capsys.readouterr().err


def test_without_shtab_the_extra_is_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 2
    assert capsys.readouterr().err.endswith("pip install 'karsl[completion]'\n")
