"""Every file operation of a write fails once; either the old files or the new ones can be read at any time."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lenet5 import storage

if TYPE_CHECKING:
    from tests.conftest import Faults

KINDS = ("EIO", "ENOSPC", "kill")


def files(folder: Path, content: str) -> dict[Path, bytes]:
    """Return a record, a member that is itself a record, and a member of both."""
    last = content.encode()
    middle = hashlib.sha256(last).hexdigest().encode()
    first = hashlib.sha256(middle).hexdigest().encode()
    return {folder / "record": first, folder / "middle": middle, folder / "last": last}


def read(folder: Path) -> str:
    middle = storage.read_member(folder / "middle", storage.read_file(folder / "record").decode())
    return storage.read_member(folder / "last", middle.decode()).decode()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_files_that_belong_together_can_be_read_after_any_fault(tmp_path: Path, faults: Faults, kind: str) -> None:
    def write(content: str) -> Callable[[], None]:
        return lambda: storage.write_files(files(folder, content))

    found, number = set(), 1
    while True:
        folder = tmp_path / str(number)
        folder.mkdir()
        write("old")()
        failed = faults.survive(write("new"), kind, number)
        found.add(read(folder))
        if not failed:
            break
        second = faults.survive(write("newer"), kind, 1 + number // 2)  # a second fault, before the first is settled
        assert second
        assert read(folder) in {"old", "new", "newer"}
        write("last")()
        assert read(folder) == (folder / "last").read_text(encoding="utf-8") == "last"
        assert names_in(folder) == ["last", "middle", "record"]
        number += 1
    assert found == {"old", "new"}
    assert faults.injected > 20


@pytest.mark.parametrize("kind", KINDS)
def test_single_file_is_old_or_new_after_any_fault(tmp_path: Path, faults: Faults, kind: str) -> None:
    path, number = tmp_path / "file", 1
    storage.write_file(path, b"old")
    while faults.survive(lambda: storage.write_file(path, b"new"), kind, number):
        assert path.read_bytes() in {b"old", b"new"}
        storage.write_file(path, b"old")
        assert names_in(tmp_path) == ["file"]
        number += 1
    assert faults.injected > 4


@pytest.mark.parametrize("kind", KINDS)
def test_folder_is_complete_or_absent_after_any_fault(tmp_path: Path, faults: Faults, kind: str) -> None:
    number = 1
    while True:
        folder = tmp_path / str(number)
        folder.mkdir()
        failed = faults.survive(lambda: storage.write_folder(folder / "new", {"1": b"1", "2": b"2"}), kind, number)  # noqa: B023
        if (folder / "new").exists():
            assert names_in(folder / "new") == ["1", "2"]
        else:
            storage.write_folder(folder / "new", {})
        if not failed:
            break
        storage.clear_leftovers(folder, "new")
        assert names_in(folder) == ["new"]
        number += 1
    assert faults.injected > 8


@pytest.mark.parametrize("number", range(6))
def test_killed_process_leaves_the_old_files_or_the_new_ones(tmp_path: Path, number: int) -> None:
    program = """
import os, sys
from pathlib import Path
from lenet5 import storage
folder, number = Path(sys.argv[1]), int(sys.argv[2])
def kill_at(operation):
    def run(*arguments, **options):
        global number
        if number == 0:
            os._exit(9)
        number -= 1
        return operation(*arguments, **options)
    return run
os.replace, os.fsync = kill_at(os.replace), kill_at(os.fsync)
contents = sys.argv[3:]
storage.write_files({folder / name: text.encode() for name, text in zip(["record", "middle", "last"], contents)})
"""
    storage.write_files(files(tmp_path, "old"))
    contents = [data.decode() for data in files(tmp_path, "new").values()]
    result = subprocess.run([sys.executable, "-c", program, str(tmp_path), str(number), *contents], check=False)
    assert result.returncode == 9
    assert read(tmp_path) == ("old" if number < 5 else "new")  # three files and their folder are flushed first
    storage.write_files(files(tmp_path, "last"))
    assert names_in(tmp_path) == ["last", "middle", "record"]
