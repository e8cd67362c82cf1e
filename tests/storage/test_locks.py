import contextlib
import errno
import os
import subprocess
import sys
from pathlib import Path

import filelock
import pytest

from lenet5.storage import claimed


def claim_in_a_process(folder: Path) -> subprocess.Popen[str]:
    """Start a process that claims a folder until it is killed, or receives a line."""
    program = """
import sys
from pathlib import Path
from lenet5.storage import claimed
with claimed(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.readline()
"""
    arguments = [sys.executable, "-c", program, str(folder)]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("end", ["returns", "is killed"])
def test_folder_is_claimed_until_the_process_ends(tmp_path: Path, end: str) -> None:
    process = claim_in_a_process(tmp_path / "run")
    with (
        pytest.raises(ValueError, match="run is in use by a training run that has not ended"),
        claimed(tmp_path / "run"),
    ):
        pass
    if end == "is killed":
        process.kill()
    process.communicate("\n")
    with claimed(tmp_path / "run"):
        (tmp_path / "run" / "file").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["file"]


def test_folder_is_claimed_once_within_a_process(tmp_path: Path) -> None:
    with claimed(tmp_path / "run"):
        for _ in range(2):
            with pytest.raises(ValueError, match="is in use"), claimed(tmp_path / "run"):
                pass
    with claimed(tmp_path / "run"):
        pass


def test_empty_folder_is_removed_only_if_it_was_created(tmp_path: Path) -> None:
    with claimed(tmp_path / "runs" / "one"):
        assert (tmp_path / "runs" / "one").is_dir()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "runs").mkdir()
    with claimed(tmp_path / "runs" / "one"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_new_folder_must_not_exist(tmp_path: Path) -> None:
    with claimed(tmp_path / "run", new=True):
        (tmp_path / "run" / "file").touch()
    with pytest.raises(FileExistsError), claimed(tmp_path / "run", new=True):
        pass
    assert (tmp_path / "run" / "file").exists()


def test_file_cannot_be_claimed(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(ValueError, match="run is a file; expected a folder or a new path"), claimed(tmp_path / "run"):
        pass


@pytest.mark.parametrize(("code", "tolerated"), [(errno.ENOLCK, True), (errno.ENOTSUP, True), (errno.EIO, False)])
def test_file_systems_without_locks_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, tolerated: bool
) -> None:
    def refuse(_: filelock.FileLock) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    expected = contextlib.nullcontext() if tolerated else pytest.raises(OSError, match=os.strerror(code))
    with expected, claimed(tmp_path / "run"):
        (tmp_path / "run" / "file").touch()
    assert (tmp_path / "run" / "file").exists() == tolerated
