import errno
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lenet5 import storage


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def raise_disk_full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_write_file_replaces_the_content_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    for data in (b"old", b"", b"the new and longer bytes"):
        storage.write_file(tmp_path / "file", data)
        assert (tmp_path / "file").read_bytes() == data
        assert names_in(tmp_path) == ["file"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")
def test_files_and_folders_have_default_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    (tmp_path / "plain_folder").mkdir()
    storage.write_file(tmp_path / "written", b"")
    storage.write_folder(tmp_path / "written_folder", {})
    modes = {name: stat.S_IMODE((tmp_path / name).stat().st_mode) for name in names_in(tmp_path)}
    assert modes["written"] == modes["plain"]
    assert modes["written_folder"] == modes["plain_folder"]


def test_failed_write_keeps_the_old_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write_file(tmp_path / "file", b"old")
    monkeypatch.setattr(os, "fsync", raise_disk_full)
    for name in ("file", "new"):
        with pytest.raises(OSError, match="No space left"):
            storage.write_file(tmp_path / name, b"new")
    assert names_in(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_error_of_the_system_names_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        storage.write_file(tmp_path / "missing" / "file", b"")
    monkeypatch.setattr(os, "fsync", raise_disk_full)
    with pytest.raises(OSError, match="No space left") as full:
        storage.write_file(tmp_path / "file", b"new")
    assert missing.value.filename == str(tmp_path / "missing" / "file")
    assert full.value.filename == str(tmp_path / "file")


def test_folder_appears_with_all_its_files(tmp_path: Path) -> None:
    storage.write_folder(tmp_path / "parent" / "folder", {"one": b"1", "two": b"2"})
    assert names_in(tmp_path / "parent") == ["folder"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "parent" / "folder").iterdir()} == {
        "one": b"1",
        "two": b"2",
    }


def test_existing_folder_is_not_replaced(tmp_path: Path) -> None:
    storage.write_folder(tmp_path / "folder", {"old": b""})
    with pytest.raises(OSError, match="folder"):
        storage.write_folder(tmp_path / "folder", {"new": b""})
    assert names_in(tmp_path) == ["folder"]
    assert names_in(tmp_path / "folder") == ["old"]


def test_write_files_flushes_all_files_before_it_renames_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = {tmp_path / "first": b"1", tmp_path / "second": b"2"}
    storage.write_files(contents)
    calls = iter([None, OSError(28, "No space left on device")])

    def fsync(_: int) -> None:
        if error := next(calls):
            raise error

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space left"):
        storage.write_files(dict.fromkeys(contents, b"new"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"first": b"1", "second": b"2"}


def test_flush_folder_tolerates_systems_that_cannot_open_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def refuse(path: Path, _: int) -> int:
        opened.append(path)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    storage.flush_folder(tmp_path)
    assert opened == [tmp_path]


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_file_systems_without_fsync_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def refuse(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    storage.write_files({tmp_path / "record": b"1", tmp_path / "member": b"2"})
    storage.write_folder(tmp_path / "folder", {"file": b"3"})
    assert names_in(tmp_path) == ["folder", "member", "record"]


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127, "a b", "文件.txt", "[x]*?", "-rf", "CON.txt"])
def test_any_name_that_the_system_allows_is_written(tmp_path: Path, name: str) -> None:
    for content in (b"old", b"new"):
        storage.write_files({tmp_path / name: content, tmp_path / f"{name[:-1]}.": content})
    assert names_in(tmp_path) == sorted([name, f"{name[:-1]}."])


def write_in_a_process(path: Path, **options: str) -> subprocess.Popen[str]:
    """Start a process that writes a file or a folder; it says "ready" within fsync, and goes on after a line."""
    program = """
import os, sys
from lenet5 import storage
def wait(handle, fsync=os.fsync):
    fsync(handle)
    print("ready", flush=True)
    sys.stdin.readline()
os.fsync = wait
kind, path = sys.argv[1:]
storage.write_file(path, b"theirs") if kind == "file" else storage.write_folder(path, {"theirs": b""})
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program, options["kind"], str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.skipif(
    os.name == "nt", reason="Windows cannot tell leftovers from files in use until they are an hour old"
)
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_next_write_clears_the_leftovers_of_a_killed_process_only(tmp_path: Path, kind: str) -> None:
    alive, killed = (write_in_a_process(tmp_path / "target", kind=kind) for _ in range(2))
    killed.kill()
    killed.communicate()
    assert len(names_in(tmp_path)) == 2
    storage.write_file(tmp_path / "target", b"ours")
    assert len(names_in(tmp_path)) == 2
    (tmp_path / "target").unlink()
    alive.communicate("\n" * 9)
    assert alive.returncode == 0
    assert names_in(tmp_path) == ["target"]


def test_where_nothing_can_be_locked_leftovers_are_cleared_after_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lenet5.storage.atomic._lock", lambda _: None)
    recent, old = (tmp_path / f".file.{digit * 24}" for digit in "ab")
    for path in (recent, old, tmp_path / ".file.backup"):
        path.touch()
    os.utime(old, times=(time.time() - 4000,) * 2)
    storage.write_file(tmp_path / "file", b"")
    assert names_in(tmp_path) == [recent.name, ".file.backup", "file"]
