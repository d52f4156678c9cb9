"""The CLI's frame: quick help, suggestions, one-line errors, exit statuses."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader

from karsl.cli import main as cli
from karsl.cli.main import COMMANDS
from karsl.datasets import KArSLDataset, keypoint_collate
from karsl.engine.hooks import stop_workers
from karsl.errors import DataErrors, DatasetNotFoundError, TransformError

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


def test_control_characters_of_names_are_shown_and_not_obeyed(command, capsys):
    name = "\x1b[2J\x07\u202esign\u2069 \x9b1m شكرا"
    shown = "\\x1b[2J\\x07\\u202esign\\u2069 \\u009b1m شكرا"

    def run(args):
        print(f"{name}\t5 clips")
        sys.stdout.writelines([name, "\n"])
        logging.StreamHandler(sys.stdout).handle(logging.makeLogRecord({"msg": f"{name} is skipped"}))
        raise DatasetNotFoundError(f"no sign {name}; see 'karsl prepare --help'")

    command(run)
    assert cli.main(["train", "config.py"]) == 2
    out, err = capsys.readouterr()
    assert err == f"karsl train: no sign {shown}; see 'karsl prepare --help'\n"
    assert out == f"{shown}\t5 clips\n{shown}\n{shown} is skipped\n"
    print(name)
    assert capsys.readouterr().out == f"{name}\n", "other programs in this process print as before"


def test_missing_file_is_named(command, capsys, tmp_path):
    command(lambda args: (tmp_path / args.config).read_text())
    assert cli.main(["train", "config.py"]) == 2
    assert capsys.readouterr().err == f"karsl train: no such file or directory: '{tmp_path / 'config.py'}'\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_one_line_and_status_2(command, capsys):
    command(lambda args: Path("/dev/full").write_text("x"))
    assert cli.main(["train", "config.py"]) == 2
    assert capsys.readouterr().err == "karsl train: no space left on device; free some space, or write to another location\n"


@pytest.mark.parametrize("number", [errno.EROFS, errno.EDQUOT, errno.EFBIG])
def test_a_disk_that_takes_nothing_more_is_named(command, capsys, number):
    def run(args):
        raise OSError(number, os.strerror(number), "out/x.json")

    command(run)
    assert cli.main(["train", "config.py"]) == 2
    remedy = "write to another location" if number == errno.EROFS else "free some space, or write to another location"
    assert capsys.readouterr().err == f"karsl train: {os.strerror(number).lower()}: 'out/x.json'; {remedy}\n"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_letters_that_the_output_cannot_encode_are_escaped(encoding):
    code = "from karsl.cli.main import main; main(['\\u0645']); print('\\u0645\\udcff')"
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=False)
    meem = "\u0645".encode(encoding, "backslashreplace")
    assert done.returncode == 0
    assert done.stderr.startswith(b"karsl: unknown command '" + meem + b"'")
    assert done.stdout.strip() == meem + b"\\udcff", "a file name that is not UTF-8, on every output"


def test_semaphores_without_shared_memory_are_one_line_with_a_remedy(command, capsys, monkeypatch):
    class NoSemaphore:
        SEM_VALUE_MAX = 1

        def __init__(self, *args) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr("multiprocessing.synchronize._multiprocessing.SemLock", NoSemaphore)
    command(lambda args: multiprocessing.get_context("fork").Queue())
    assert cli.main(["train", "config.py"]) == 2
    expected = "karsl train: no shared memory for workers (No space left on device); enlarge /dev/shm"
    assert capsys.readouterr().err.startswith(expected)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)", "enlarge /dev/shm"),
        ("could not determine the home directory for '~/.cache', set an absolute HOME", "set HOME or XDG_CACHE_HOME"),
    ],
)
def test_errors_of_libraries_about_the_machine_are_one_line_with_a_remedy(command, capsys, text, remedy):
    def run(args):
        raise RuntimeError(text)

    command(run)
    assert cli.main(["train", "config.py"]) == 2
    assert f"{text}; {remedy}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError("Unable to allocate 9 EiB"), "not enough memory (Unable to allocate 9 EiB); use a larger machine"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 9), "file name too long: 'xxxxxxxxx'"),
        (UnicodeEncodeError("utf-8", "a\udcff", 1, 2, ""), "'a\\udcff' cannot be written as utf-8; give it another name"),
    ],
)
def test_memory_names_and_paths_that_the_system_cannot_have_are_one_line(command, capsys, error, sentence):
    def run(args):
        raise error

    command(run)
    assert cli.main(["train", "config.py"]) == 2
    assert sentence in capsys.readouterr().err


def test_other_errors_of_the_system_are_not_hidden(command):
    command(lambda args: os.close(99_999))
    with pytest.raises(OSError, match="Bad file descriptor"):
        cli.main(["train", "config.py"])


@pytest.mark.parametrize("position", [0, 1, 2])
def test_debug_anywhere_shows_the_traceback(command, position):
    def run(args):
        raise DatasetNotFoundError("no folder")

    command(run)
    words = ["train", "config.py"]
    words.insert(position, "--debug")
    with pytest.raises(DatasetNotFoundError):
        cli.main(words)


def raise_as_in_a_worker(error: Exception) -> None:
    """What a DataLoader does with an error of a worker."""
    try:
        raise error
    except type(error):
        ExceptionWrapper(where="in DataLoader worker process 0").reraise()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (TransformError("RandomFlip failed on clip 'a': no mirror"), "RandomFlip failed on clip 'a': no mirror"),
        (DataErrors("m5", ["x.npz: empty", "y.npz: empty"]), "2 problems in m5:\n  x.npz: empty\n  y.npz: empty"),
        (FileNotFoundError(2, "No such file", "a.npz"), "[Errno 2] No such file: 'a.npz'"),
    ],
)
def test_an_error_of_a_loading_worker_is_reported_as_one_of_this_process(command, capsys, error, sentence):
    command(lambda args: raise_as_in_a_worker(error))
    assert cli.main(["train", "config.py"]) == 2
    assert capsys.readouterr().err == f"karsl train: {sentence}\n"
    with pytest.raises((type(error), RuntimeError), match="Original Traceback"):
        cli.main(["train", "config.py", "--debug"])


def test_a_fault_of_the_program_in_a_worker_is_not_hidden(command):
    command(lambda args: raise_as_in_a_worker(RuntimeError("broken")))
    with pytest.raises(RuntimeError, match="broken"):
        cli.main(["train", "config.py"])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_clip_that_cannot_be_read_names_the_ways_on(command, capsys, write_clips, num_workers):
    root = write_clips({"01-train/0001.npz": {"a": np.full((3, 184, 4), np.nan, np.float32), "b": 4}})

    def run(args):
        dataset = KArSLDataset(data_root=str(root), pipeline=[dict(type="LoadKeypoints"), dict(type="PackKeypointInputs")])
        loader = DataLoader(
            dataset, 2, num_workers=num_workers, collate_fn=keypoint_collate, persistent_workers=num_workers > 0
        )
        try:
            list(loader)
        finally:
            stop_workers(loader)

    command(run)
    assert cli.main(["train", "config.py"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("karsl train: LoadKeypoints failed on clip '01-train/0001/a' (sample 0): ")
    assert error.endswith(f"or LoadKeypoints(nonfinite='missing') drops those points; {cli.SKIP_BAD}\n")


def test_absent_engine_names_the_extra(command, capsys):
    def run(args):
        raise ModuleNotFoundError("No module named 'mmengine.config'", name="mmengine.config")

    command(run)
    assert cli.main(["train", "config.py"]) == 2
    expected = "mmengine is not installed; run pip install 'karsl[mmengine]' or 'karsl[onedl]'"
    assert capsys.readouterr().err == f"karsl train: {expected}\n"


def test_fault_of_the_program_is_not_hidden(command):
    command(lambda args: {}["absent"])
    with pytest.raises(KeyError):
        cli.main(["train", "config.py"])


def test_sigterm_is_status_143_and_leaves_no_partial_file(tmp_path):
    script = f"""if True:
        import os, sys, threading
        from karsl.cli import main, prepare
        from karsl.io.atomic import atomic_path

        def wait():
            while True:  # a signal just before a wait without end would be lost
                threading.Event().wait(0.1)

        def run(args):
            ready, started = os.pipe()
            with atomic_path({str(tmp_path / "clip.gif")!r}) as part:
                part.write_bytes(b"half")
                if os.fork() == 0:
                    os.write(started, b".")  # signals before are dropped
                    wait()
                os.read(ready, 1)
                print("writing", flush=True)
                wait()

        prepare.run = run
        sys.exit(main.main(["prepare", "data"]))"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGTERM)
    os.killpg(process.pid, signal.SIGTERM)  # as coreutils' timeout does; the forked process ends, too
    assert process.communicate(timeout=60) == ("", "karsl prepare: terminated\n")
    assert process.returncode == 143
    assert list(tmp_path.iterdir()) == []


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


@pytest.mark.parametrize(
    "words",
    [["prepare", "{corpus}", "--out", "{out}/a.json"], ["convert", "{corpus}", "{out}/clips", "--to", "annotation"]]
    + [["pack", "{corpus}", "{out}/pack"]],
)
def test_commands_on_files_need_no_engine(words, corpus, tmp_path):
    code = (
        "import sys; sys.modules['mmengine'] = None; from karsl.cli.main import main;"
        f"sys.exit(main({[word.format(corpus=corpus, out=tmp_path) for word in words]!r}))"
    )
    done = run_python(code)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(os.name != "posix", reason="closes a descriptor in the shell")
def test_a_command_without_standard_output_ends_as_usual(corpus):
    command = [sys.executable, "-m", "karsl", "skeletons"]
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
