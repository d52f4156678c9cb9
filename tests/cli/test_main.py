"""The CLI's frame: quick help, suggestions, one-line errors, exit statuses."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from karsl.cli import COMMANDS
from karsl.cli import main as cli
from karsl.errors import DatasetNotFoundError

HEAVY = "{'torch', 'numpy', 'mmengine', 'cv2', 'matplotlib'}"


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.fixture
def command(monkeypatch):
    """Put a command of the test's own making behind the name 'train'."""

    def put(run):
        module = SimpleNamespace(SUMMARY="train a model", add_arguments=add_arguments, run=run)
        monkeypatch.setitem(sys.modules, "karsl.cli.train", module)
        monkeypatch.setattr(cli, "_module", lambda name: module)

    def add_arguments(parser):
        parser.add_argument("config")
        parser.add_argument("--work-dir")

    return put


def test_help_lists_every_command_and_imports_nothing_heavy():
    done = run_python(
        "import sys; from karsl.cli.main import main; status = main(['--help']);"
        f"print('heavy:', sorted({HEAVY} & set(sys.modules))); sys.exit(status)"
    )
    assert done.returncode == 0, done.stderr
    assert "heavy: []" in done.stdout
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_imports_no_torch(name):
    done = run_python(
        f"import sys; from karsl.cli.main import main; status = main(['{name}', '--help']);"
        "print('torch:', 'torch' in sys.modules); sys.exit(status)"
    )
    assert done.returncode == 0, done.stderr
    assert "torch: False" in done.stdout


def test_mistyped_command_gets_a_suggestion(capsys):
    assert cli.main(["trian", "config.py"]) == 2
    assert capsys.readouterr().err == "karsl: unknown command 'trian'; did you mean 'train'?\n"


def test_word_that_resembles_no_command_gets_the_list(capsys):
    assert cli.main(["xyzzy"]) == 2
    assert capsys.readouterr().err == f"karsl: unknown command 'xyzzy'; commands are {', '.join(COMMANDS)}\n"


def test_mistyped_option_gets_a_suggestion(command, capsys):
    command(lambda args: 0)
    assert cli.main(["train", "config.py", "--wrok-dir", "out"]) == 2
    expected = "karsl train: unknown argument '--wrok-dir'; did you mean '--work-dir'? see"
    assert capsys.readouterr().err.startswith(expected)


def test_missing_argument_is_named(command, capsys):
    command(lambda args: 0)
    assert cli.main(["train"]) == 2
    expected = "karsl train: the following arguments are required: config; see 'karsl train --help'\n"
    assert capsys.readouterr().err == expected


def test_status_of_the_command_is_returned(command):
    command(lambda args: 7)
    assert cli.main(["train", "config.py"]) == 7


def test_wrong_input_is_one_line_and_status_2(command, capsys):
    def run(args):
        raise DatasetNotFoundError("no folder 'data/karsl'; see 'karsl prepare --help'")

    command(run)
    assert cli.main(["train", "config.py"]) == 2
    assert capsys.readouterr().err == "karsl train: no folder 'data/karsl'; see 'karsl prepare --help'\n"


def test_missing_file_is_named(command, capsys, tmp_path):
    command(lambda args: (tmp_path / args.config).read_text())
    assert cli.main(["train", "config.py"]) == 2
    assert capsys.readouterr().err == f"karsl train: no such file or directory: '{tmp_path / 'config.py'}'\n"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_debug_anywhere_shows_the_traceback(command, place):
    def run(args):
        raise DatasetNotFoundError("no folder")

    command(run)
    words = ["train", "config.py"]
    words.insert(place, "--debug")
    with pytest.raises(DatasetNotFoundError):
        cli.main(words)


def test_absent_engine_names_the_extra(command, capsys):
    def run(args):
        raise ModuleNotFoundError("No module named 'mmengine.config'", name="mmengine.config")

    command(run)
    assert cli.main(["train", "config.py"]) == 2
    expected = "mmengine is not installed; pip install 'karsl[mmengine]' or 'karsl[onedl]' brings it"
    assert capsys.readouterr().err == f"karsl train: {expected}\n"


def test_fault_of_the_program_is_not_hidden(command):
    command(lambda args: {}["absent"])
    with pytest.raises(KeyError):
        cli.main(["train", "config.py"])


def test_interrupt_from_the_keyboard_is_status_130(command, capsys):
    def run(args):
        raise KeyboardInterrupt

    command(run)
    assert cli.main(["train", "config.py"]) == 130
    assert capsys.readouterr().err == "karsl train: interrupted\n"


def test_closed_reader_ends_quietly_with_status_141():
    code = (
        "import os, sys, types; from karsl.cli import main as cli;"
        "read, write = os.pipe(); os.dup2(write, 1); os.close(write); os.close(read);"
        "run = lambda args: print('x' * 100000) or 0;"
        "cli._module = lambda n: types.SimpleNamespace(SUMMARY='s', add_arguments=lambda p: None, run=run);"
        "sys.exit(cli.main(['train']))"
    )
    done = run_python(code)
    assert (done.returncode, done.stderr) == (141, "")


def test_no_command_prints_help_and_is_status_2(capsys):
    assert cli.main([]) == 2
    assert "commands:" in capsys.readouterr().err


def test_version_is_printed(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("karsl ")
