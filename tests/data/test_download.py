from __future__ import annotations

import gzip
import hashlib
import http.client
import re
import socket
import sys
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lenet5 import load_data
from lenet5.data.catalogue import SOURCES, IdxFiles

if TYPE_CHECKING:
    from tests.data.conftest import TinyDataset, Web

NAMES = SOURCES["mnist"].names
MIRRORS = ("https://first.example/", "https://second.example/")
URLS = [f"{mirror}{NAMES[0]}.gz" for mirror in MIRRORS]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def folder_contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def contents(tiny: TinyDataset) -> dict[str, bytes]:
    return tiny.contents(NAMES)


@pytest.fixture(autouse=True)
def source(contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> IdxFiles:
    """Replace MNIST with a tiny dataset."""
    tiny_files = IdxFiles("Tiny", ("even", "odd"), MIRRORS, sha256=tuple(map(sha256, contents.values())))
    monkeypatch.setitem(SOURCES, "mnist", tiny_files)
    return tiny_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "Tiny" / "raw"


def test_existing_files_are_read_without_network(
    tmp_path: Path, web: Web, tiny: TinyDataset, source: IdxFiles, contents: dict[str, bytes]
) -> None:
    tiny.write(source, tmp_path, contents)
    assert tiny.load("mnist", tmp_path) == tiny.load("mnist", tmp_path, download=False) == tiny.splits
    assert web.requests == []


def test_missing_files_are_downloaded_once_and_silently_from_the_first_mirror(
    tmp_path: Path,
    web: Web,
    tiny: TinyDataset,
    contents: dict[str, bytes],
    folder: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    web.serve_archives(MIRRORS[0], contents)
    assert tiny.load("mnist", tmp_path) == tiny.load("mnist", tmp_path) == tiny.splits
    assert web.requests == [f"{MIRRORS[0]}{name}.gz" for name in NAMES]
    assert folder_contents(folder) == sorted(NAMES)
    assert capfd.readouterr() == ("", "")


def test_download_shows_progress_on_a_terminal(
    tmp_path: Path,
    web: Web,
    tiny: TinyDataset,
    contents: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    web.serve_archives(MIRRORS[0], contents)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert tiny.load("mnist", tmp_path) == tiny.splits
    stderr = capsys.readouterr().err
    assert all(f"{name}.gz: " in stderr for name in NAMES)


def test_only_missing_files_are_downloaded(
    tmp_path: Path, web: Web, tiny: TinyDataset, source: IdxFiles, contents: dict[str, bytes]
) -> None:
    web.serve_archives(MIRRORS[0], contents)
    tiny.write(source, tmp_path, {name: contents[name] for name in NAMES[:3]})
    assert tiny.load("mnist", tmp_path) == tiny.splits
    assert web.requests == [f"{MIRRORS[0]}{NAMES[3]}.gz"]


def test_download_needs_no_content_length(
    tmp_path: Path, web: Web, tiny: TinyDataset, contents: dict[str, bytes]
) -> None:
    web.sends_length = False
    web.serve_archives(MIRRORS[0], contents)
    assert tiny.load("mnist", tmp_path) == tiny.splits


@pytest.mark.parametrize(
    "fail",
    [
        lambda _: {"open_error": urllib.error.HTTPError(URLS[0], 404, "Not Found", http.client.HTTPMessage(), None)},
        lambda _: {"open_error": TimeoutError("timed out")},
        lambda _: {"open_error": ConnectionResetError(104, "Connection reset by peer")},
        lambda _: {"open_error": http.client.BadStatusLine("nonsense")},
        lambda _: {"read_error": http.client.IncompleteRead(b"part")},
        lambda _: {"body": b""},
        lambda _: {"body": b"<html>a captive portal</html>"},
        lambda _: {"body": gzip.compress(b"wrong content")},
        lambda archive: {"body": archive[:-9]},
        lambda archive: {"body": archive[:20] + b"\xff" * 50},
        lambda archive: {"body": archive[:-9], "length": len(archive)},
    ],
    ids=[
        "HTTP 404",
        "time-out",
        "reset",
        "not HTTP",
        "incomplete read",
        "empty",
        "not gzip",
        "wrong content",
        "truncated gzip",
        "corrupt gzip",
        "truncated body",
    ],
)
def test_download_falls_back_to_the_next_mirror(
    tmp_path: Path,
    web: Web,
    tiny: TinyDataset,
    contents: dict[str, bytes],
    folder: Path,
    fail: Callable[[bytes], dict[str, Any]],
) -> None:
    for mirror in MIRRORS:
        web.serve_archives(mirror, contents)
    web.serve(URLS[0], **fail(gzip.compress(contents[NAMES[0]], mtime=0)))
    assert tiny.load("mnist", tmp_path) == tiny.splits
    assert web.requests[:3] == [*URLS, f"{MIRRORS[0]}{NAMES[1]}.gz"]
    assert folder_contents(folder) == sorted(NAMES)


def test_unreachable_mirrors_are_reported_with_advice(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        load_data("mnist", tmp_path)
    message = str(raised.value)
    assert message.startswith(f"{NAMES[0]} could not be downloaded (")
    for url in URLS:
        assert f"{url}: Name or service not known" in message
    assert f"put {', '.join(NAMES)} or .gz archives of them into {folder}" in message
    assert 'use the embedded "digits" (--data digits)' in message
    assert list(tmp_path.iterdir()) == []


def test_root_that_is_no_folder_is_refused_before_any_download(tmp_path: Path, web: Web) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="root is .*file, which is no folder; expected a folder"):
        load_data("mnist", tmp_path / "file")
    assert web.requests == []


def test_missing_file_is_reported_when_downloads_are_off(tmp_path: Path, web: Web, folder: Path) -> None:
    message = f"{folder / NAMES[0]} does not exist, and downloads are off; put "
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}.*digits"):
        load_data("mnist", tmp_path, download=False)
    assert web.requests == []
    assert folder_contents(tmp_path) == []


def test_wrong_hash_on_every_mirror_is_reported(
    tmp_path: Path, web: Web, source: IdxFiles, contents: dict[str, bytes], folder: Path
) -> None:
    for mirror in MIRRORS:
        web.serve_archives(mirror, contents | {NAMES[1]: b"wrong content"})
    with pytest.raises(ValueError, match=f"^{NAMES[1]} could not be downloaded") as raised:
        load_data("mnist", tmp_path)
    for mirror in MIRRORS:
        assert f"{mirror}{NAMES[1]}.gz: the content of {NAMES[1]}.gz " in str(raised.value)
    assert str(raised.value).count(sha256(b"wrong content")) == str(raised.value).count(source.sha256[1]) == 2
    assert folder_contents(folder) == [NAMES[0]]


def test_truncated_download_is_reported_with_both_lengths(tmp_path: Path, web: Web, folder: Path) -> None:
    for url in URLS:
        web.serve(url, b"12345", length=99)
    with pytest.raises(ValueError, match=r"first.*the download has 5 bytes; expected 99.*second.*5 bytes; expected 99"):
        load_data("mnist", tmp_path)
    assert not folder.exists()


def test_wrong_hash_takes_precedence_over_unreachable_mirror(tmp_path: Path, web: Web) -> None:
    web.serve_archives(MIRRORS[1], {NAMES[0]: b"wrong content"})
    with pytest.raises(ValueError, match=r"first.*Name or service not known.*second.*sha256"):
        load_data("mnist", tmp_path)


def test_full_disk_leaves_no_partial_file(
    tmp_path: Path, web: Web, contents: dict[str, bytes], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise OSError(28, "No space left on device")

    web.serve_archives(MIRRORS[0], contents)
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space left on device"):
        load_data("mnist", tmp_path)
    assert folder_contents(folder) == []


@pytest.mark.parametrize("index", range(4))
def test_file_with_wrong_hash_is_rejected_and_kept(
    tmp_path: Path, web: Web, tiny: TinyDataset, source: IdxFiles, contents: dict[str, bytes], index: int
) -> None:
    name, data = NAMES[index], contents[NAMES[index]][:-1] + b"\x01\x02"
    path = tiny.write(source, tmp_path, contents | {name: data}) / name
    with pytest.raises(ValueError, match=re.escape(f"{path} (delete it to download it again)")) as raised:
        load_data("mnist", tmp_path)
    assert sha256(data) in str(raised.value)
    assert source.sha256[index] in str(raised.value)
    assert path.read_bytes() == data
    assert web.requests == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (urllib.error.URLError(socket.gaierror(-2, "Name or service not known")), "the server was not found; is there"),
        (urllib.error.URLError(TimeoutError("timed out")), "no answer within 30 seconds"),
        (
            urllib.error.HTTPError(URLS[0], 404, "Not Found", http.client.HTTPMessage(), None),
            "answered 404 (Not Found)",
        ),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (http.client.BadStatusLine("a\x1b[31m"), "a\\x1b[31m"),
    ],
    ids=["no network", "time-out", "HTTP 404", "refused", "control characters"],
)
def test_reasons_are_clauses_of_one_sentence(tmp_path: Path, web: Web, error: Exception, reason: str) -> None:
    for url in URLS:
        web.serve(url, open_error=error)
    with pytest.raises(FileNotFoundError) as raised:
        load_data("mnist", tmp_path / "mistyped" / "root")
    message = str(raised.value)
    assert message.count(reason) == 2
    assert "urlopen" not in message
    assert message.isprintable()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gzip.compress(b"wrong content"), f"is damaged or was edited.*sha256.*{sha256(b'wrong content')}"),
        (b"wrong content", "again\\) is not a complete gzip file: "),
    ],
)
def test_corrupt_local_archive_is_rejected_and_kept(
    tmp_path: Path, web: Web, tiny: TinyDataset, source: IdxFiles, data: bytes, message: str
) -> None:
    folder = tiny.write(source, tmp_path, {f"{NAMES[0]}.gz": data})
    with pytest.raises(ValueError, match=message) as raised:
        load_data("mnist", tmp_path)
    assert f"{folder / NAMES[0]}.gz (delete it to download it again)" in str(raised.value)
    assert folder_contents(folder) == [f"{NAMES[0]}.gz"]
    assert web.requests == []


def test_val_size_beyond_the_training_set_is_rejected(
    tmp_path: Path, tiny: TinyDataset, source: IdxFiles, contents: dict[str, bytes]
) -> None:
    tiny.write(source, tmp_path, contents)
    with pytest.raises(ValueError, match="cannot hold out 5000 of 8 examples; expected 0 to 7"):
        load_data("mnist", tmp_path)
