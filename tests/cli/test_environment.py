"""No environment variable breaks a training run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

UNUSUAL = {
    "MPLBACKEND": "module://a_backend.of_a_notebook",
    "MATPLOTLIBRC": "settings",
    "COLUMNS": "many",
    "TERM": "dumb",
    "NO_COLOR": "1",
    "PYTHONIOENCODING": "ascii",
    "PYTHONSAFEPATH": "1",
    "TZ": "Nowhere/Land",
    "LANG": "C",
    "LC_ALL": "C",
    "OMP_NUM_THREADS": "",
    "WORLD_SIZE": "",
    "TQDM_MININTERVAL": "abc",
    "TQDM_BAR_FORMAT": "{nothing}",
    "TQDM_FILE": "file",
    "LOKY_MAX_CPU_COUNT": "abc",
    "MPLCONFIGDIR": "/dev/null",
    "XDG_CACHE_HOME": "cache-that-does-not-exist",
}


@pytest.mark.parametrize("variables", [{}, {"PYTHONOPTIMIZE": "2"}, {"PYTHONWARNINGS": "error"}])
def test_unusual_environment_breaks_no_training(tmp_path: Path, variables: dict[str, str]) -> None:
    (tmp_path / "settings").mkdir()
    settings = "text.usetex: True\nfont.family: Nonsense\nsavefig.format: pdf\nsavefig.dpi: 3\n"
    (tmp_path / "settings" / "matplotlibrc").write_text(settings, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-m", "lenet5", "train", "--epochs", "1", "--device", "cpu", "--out", "run"],
        cwd=tmp_path,
        env={**os.environ, **UNUSUAL, **variables},
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr.decode("ascii", "replace")
    for name in ("curves.png", "confusion_matrix.png"):
        assert (tmp_path / "run" / name).read_bytes()[:4] == b"\x89PNG"
    assert result.stdout.isascii()


def test_help_is_complete_without_docstrings() -> None:
    for command in ([], ["train"], ["evaluate"], ["predict"], ["compare"], ["info"], ["benchmark"]):
        usual, without = (
            subprocess.run(
                [sys.executable, *flags, "-m", "lenet5", *command, "--help"], capture_output=True, check=True
            )
            for flags in ([], ["-OO"])
        )
        assert without.stdout == usual.stdout


def test_interrupt_while_the_commands_are_imported_is_one_word() -> None:
    program = """
import sys
class Interrupt:
    def find_spec(name, *_):
        if name == "lenet5.cli.train":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt)
import lenet5.cli
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (130, "interrupted\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_full_disk_behind_the_output_is_one_sentence() -> None:
    for redirected, expected in (
        ("--help >/dev/full", "Error: the output cannot be read or written: No space left on device"),
        ("train --epochs 0 2>/dev/full", ""),
    ):
        command = f"{sys.executable} -m lenet5 {redirected}"
        result = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr.startswith(expected)) == (2, True)
        assert len(result.stderr.splitlines()) == bool(expected)


@pytest.mark.skipif(os.name == "nt", reason="Windows reports such names in other words")
def test_name_that_is_too_long_is_cut_in_the_message(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lenet5", "predict", "x.png", "--show", f"{'a' * 300}.png"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "Errno" not in result.stderr
    assert result.stderr.endswith("... cannot be read or written: File name too long; choose a shorter name\n")


def test_help_is_ascii() -> None:
    for command in ([], ["train"], ["evaluate"], ["predict"], ["compare"], ["info"], ["benchmark"]):
        arguments = [sys.executable, "-m", "lenet5", *command, "--help"]
        result = subprocess.run(arguments, capture_output=True, check=True)
        assert result.stdout.isascii()
