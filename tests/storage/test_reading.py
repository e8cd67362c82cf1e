import hashlib
import os
import threading
from pathlib import Path

import pytest

from lenet5 import storage


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "absent.json", tmp_path / "file" / "absent.json"):
        with pytest.raises(FileNotFoundError, match=r"absent\.json does not exist"):
            storage.read_json(path)
        with pytest.raises(FileNotFoundError, match=r"absent\.json does not exist"):
            storage.read_tensors(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), Path("/dev/tty")):
        if path.exists():
            with pytest.raises(
                (ValueError, OSError), match=f"{path}.* is a pipe or a device; expected a file|No such dev"
            ):
                storage.read_file(path)


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises((ValueError, PermissionError), match="is a folder; expected a file|Permission denied"):
        storage.read_file(tmp_path)


def test_size_and_hash_are_checked_before_the_file_is_read(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 30)  # a sparse file, which takes no disk
    with pytest.raises(ValueError, match="large has 1073741824 bytes; expected at most 1000"):
        storage.read_file(tmp_path / "large", limit=1000)
    (tmp_path / "small").write_bytes(b"content")
    with pytest.raises(ValueError, match="small is damaged or was edited: expected sha256 0, found ed7002b439e9ac84"):
        storage.read_file(tmp_path / "small", sha256="0")


def test_control_characters_of_a_name_are_escaped_in_messages(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        storage.read_file(tmp_path / "a\n\x1b[31mb")
    assert str(raised.value).endswith(r"a\n\x1b[31mb does not exist")


def test_files_that_are_replaced_meanwhile_are_read_again(tmp_path: Path) -> None:
    record, member = tmp_path / "record", tmp_path / "member"
    storage.write_files({record: b"1", member: b"1"})
    attempts: list[bytes] = []

    def read() -> tuple[bytes, bytes]:
        first = storage.read_file(record)
        if not attempts:
            storage.write_files({record: b"2", member: b"2"})
        attempts.append(first)
        second = storage.read_file(member)
        if first != second:
            raise ValueError("mixed")
        return first, second

    assert storage.consistently(record, read) == (b"2", b"2")
    assert attempts == [b"1", b"2"]


def test_error_is_raised_if_nothing_was_replaced(tmp_path: Path) -> None:
    def read() -> bytes:
        return storage.read_file(tmp_path / "absent")

    with pytest.raises(FileNotFoundError):
        storage.consistently(tmp_path / "record", read)


def test_reading_while_a_thread_writes_gives_pairs(tmp_path: Path) -> None:
    record, member = tmp_path / "record", tmp_path / "member"

    def write() -> None:
        for number in range(30):
            content = str(number).encode()
            storage.write_files({record: sha256(content).encode(), member: content})

    def read() -> bytes:
        return storage.read_member(member, storage.read_file(record).decode())

    storage.write_files({record: sha256(b"0").encode(), member: b"0"})
    writer = threading.Thread(target=write)
    writer.start()
    contents = [0]
    while writer.is_alive():
        contents.append(int(storage.consistently(record, read)))
    writer.join()
    assert contents == sorted(contents)
    assert storage.read_file(member) == b"29"
