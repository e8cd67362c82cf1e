import gzip
import hashlib
import http.client
import io
import re
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torchvision.datasets
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lenet5 import load_data
from lenet5.data import download
from lenet5.data.download import SOURCES, IdxFiles, read_idx

NAMES = SOURCES["mnist"].names
MIRRORS = ("https://first.example/", "https://second.example/")
IDX_TYPES = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12}


def idx(array: npt.NDArray[Any]) -> bytes:
    head = bytes([0, 0, IDX_TYPES[array.dtype.name], array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


IMAGES = np.arange(8 * 3 * 3, dtype=np.uint8).reshape(8, 3, 3)
TARGETS = np.array([0, 1] * 4, np.uint8)
CONTENTS = dict(zip(NAMES, map(idx, (IMAGES, TARGETS, IMAGES[:4], TARGETS[:4])), strict=True))
TINY = IdxFiles("Tiny", ("even", "odd"), MIRRORS, sha256=tuple(map(sha256, CONTENTS.values())))


class Response(io.BytesIO):
    def __init__(self, body: bytes, length: int | None = None) -> None:
        super().__init__(body)
        self.headers = {} if length is None else {"Content-Length": str(length)}


class BrokenResponse(Response):
    def read(self, size: int | None = -1) -> bytes:
        raise http.client.IncompleteRead(super().read(size))


Page: TypeAlias = "bytes | Callable[[], Response] | Exception"


class FakeWeb:
    """Serve pages by their addresses; what is not there cannot be reached."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[str] = []

    def __call__(self, url: str, timeout: float) -> Response:
        assert timeout > 0
        self.asked.append(url)
        page = self.pages.get(url, urllib.error.URLError("Name or service not known"))
        if isinstance(page, Exception):
            raise page
        return Response(page, len(page)) if isinstance(page, bytes) else page()

    def serve(self, mirror: str, contents: dict[str, bytes]) -> None:
        self.pages |= {f"{mirror}{name}.gz": packed(data) for name, data in contents.items()}


@pytest.fixture(autouse=True)
def web(monkeypatch: pytest.MonkeyPatch) -> FakeWeb:
    fake = FakeWeb()
    monkeypatch.setattr(urllib.request, "urlopen", fake)
    monkeypatch.setitem(SOURCES, "mnist", TINY)
    return fake


def lay(source: IdxFiles, root: Path, contents: dict[str, bytes], suffix: str = "") -> Path:
    raw = source.raw(root)
    raw.mkdir(parents=True, exist_ok=True)
    for name, data in contents.items():
        (raw / (name + suffix)).write_bytes(data)
    return raw


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def load_tiny(root: Path, name: str = "mnist", *, download: bool = True) -> list[Any]:
    splits = load_data(name, root, download=download, val_size=2)
    return [(split.images[:, 0, 0, 0].tolist(), split.targets.tolist()) for split in splits]


LOADED = [
    ([0, 9, 18, 27, 54, 63], [0, 1, 0, 1, 0, 1]),
    ([36, 45], [0, 1]),
    ([0, 9, 18, 27], [0, 1, 0, 1]),
]


def test_files_that_are_there_are_read_without_the_network(tmp_path: Path, web: FakeWeb) -> None:
    lay(TINY, tmp_path, CONTENTS)
    assert load_tiny(tmp_path) == load_tiny(tmp_path, download=False) == LOADED
    assert web.asked == []


def test_missing_files_come_from_the_first_mirror_and_stay(
    tmp_path: Path, web: FakeWeb, capfd: pytest.CaptureFixture[str]
) -> None:
    web.serve(MIRRORS[0], CONTENTS)
    assert load_tiny(tmp_path) == load_tiny(tmp_path) == LOADED
    assert web.asked == [f"{MIRRORS[0]}{name}.gz" for name in NAMES]
    assert names_in(TINY.raw(tmp_path)) == sorted(NAMES)
    assert capfd.readouterr() == ("", "")


def test_only_what_is_missing_is_fetched(tmp_path: Path, web: FakeWeb) -> None:
    web.serve(MIRRORS[0], CONTENTS)
    lay(TINY, tmp_path, {name: CONTENTS[name] for name in NAMES[:3]})
    assert load_tiny(tmp_path) == LOADED
    assert web.asked == [f"{MIRRORS[0]}{NAMES[3]}.gz"]


def test_a_server_that_tells_no_length_is_no_failure(tmp_path: Path, web: FakeWeb) -> None:
    web.pages = {f"{MIRRORS[0]}{name}.gz": partial(Response, packed(data)) for name, data in CONTENTS.items()}
    assert load_tiny(tmp_path) == LOADED


@pytest.mark.parametrize(
    "page",
    [
        urllib.error.HTTPError("https://first.example/", 404, "Not Found", http.client.HTTPMessage(), None),
        TimeoutError("timed out"),
        ConnectionResetError(104, "Connection reset by peer"),
        http.client.BadStatusLine("nonsense"),
        partial(BrokenResponse, b"part"),
        b"",
        b"<html>a captive portal</html>",
        packed(b"other contents"),
        packed(CONTENTS[NAMES[0]])[:-9],
        packed(CONTENTS[NAMES[0]])[:20] + b"\xff" * 50,
        partial(Response, packed(CONTENTS[NAMES[0]])[:-9], len(packed(CONTENTS[NAMES[0]]))),
    ],
    ids=[
        "HTTP 404",
        "time-out",
        "reset",
        "no HTTP",
        "broken off",
        "empty",
        "no gzip",
        "other contents",
        "truncated gzip",
        "damaged gzip",
        "truncated body",
    ],
)
def test_the_next_mirror_is_tried_when_one_fails(tmp_path: Path, web: FakeWeb, page: Page) -> None:
    web.serve(MIRRORS[0], CONTENTS)
    web.serve(MIRRORS[1], CONTENTS)
    web.pages[f"{MIRRORS[0]}{NAMES[0]}.gz"] = page
    assert load_tiny(tmp_path) == LOADED
    assert web.asked[:3] == [f"{MIRRORS[0]}{NAMES[0]}.gz", f"{MIRRORS[1]}{NAMES[0]}.gz", f"{MIRRORS[0]}{NAMES[1]}.gz"]
    assert names_in(TINY.raw(tmp_path)) == sorted(NAMES)


def test_without_a_network_the_message_tells_what_to_do_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        load_data("mnist", tmp_path)
    message = str(raised.value)
    assert message.startswith(f"{NAMES[0]} could not be downloaded (")
    for mirror in MIRRORS:
        assert f"{mirror}{NAMES[0]}.gz: <urlopen error Name or service not known>" in message
    assert f"put {', '.join(NAMES)}, or the same as .gz, into {TINY.raw(tmp_path)}" in message
    assert 'load_data("digits")' in message
    assert "--data digits" in message
    assert names_in(TINY.raw(tmp_path)) == []


def test_without_download_a_missing_file_is_named_and_nothing_is_made(tmp_path: Path, web: FakeWeb) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"does not exist, and downloads are off; put .* into .*digits"
    ) as raised:
        load_data("mnist", tmp_path, download=False)
    assert str(TINY.raw(tmp_path) / NAMES[0]) in str(raised.value)
    assert web.asked == []
    assert names_in(tmp_path) == []


def test_mirrors_that_all_serve_other_contents_are_a_value_error_with_the_hashes(tmp_path: Path, web: FakeWeb) -> None:
    for mirror in MIRRORS:
        web.serve(mirror, CONTENTS | {NAMES[1]: b"other contents"})
    with pytest.raises(ValueError, match=f"^{NAMES[1]} could not be downloaded") as raised:
        load_data("mnist", tmp_path)
    wrong = f"{NAMES[1]}.gz unpacks to sha256 {sha256(b'other contents')}; expected {TINY.sha256[1]}"
    for mirror in MIRRORS:
        assert f"{mirror}{NAMES[1]}.gz: {wrong}" in str(raised.value)
    assert names_in(TINY.raw(tmp_path)) == [NAMES[0]]


def test_a_truncated_body_is_told_with_its_length(tmp_path: Path, web: FakeWeb) -> None:
    web.pages = {f"{mirror}{NAMES[0]}.gz": partial(Response, b"12345", 99) for mirror in MIRRORS}
    with pytest.raises(ValueError, match=r"first.*the download has 5 bytes; expected 99.*second.*5 bytes; expected 99"):
        load_data("mnist", tmp_path)
    assert names_in(TINY.raw(tmp_path)) == []


def test_a_wrong_mirror_weighs_more_than_an_unreachable_one(tmp_path: Path, web: FakeWeb) -> None:
    web.serve(MIRRORS[1], {NAMES[0]: b"other contents"})
    with pytest.raises(ValueError, match=r"first.*Name or service not known.*second.*unpacks to sha256"):
        load_data("mnist", tmp_path)


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, web: FakeWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_is_full(_: object) -> None:
        raise OSError(28, "No space left on device")

    web.serve(MIRRORS[0], CONTENTS)
    monkeypatch.setattr("os.fsync", disk_is_full)
    with pytest.raises(OSError, match="No space left on device"):
        load_data("mnist", tmp_path)
    assert names_in(TINY.raw(tmp_path)) == []


@pytest.mark.parametrize("place", range(4))
def test_a_file_with_another_hash_is_refused_and_left_as_it_was(tmp_path: Path, web: FakeWeb, place: int) -> None:
    name, data = NAMES[place], CONTENTS[NAMES[place]][:-1] + b"\x01\x02"
    path = lay(TINY, tmp_path, CONTENTS | {name: data}) / name
    message = f"{path} (delete it, and it is downloaded again) has sha256 {sha256(data)}; expected {TINY.sha256[place]}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        load_data("mnist", tmp_path)
    assert path.read_bytes() == data
    assert web.asked == []


def test_an_archive_laid_beside_is_unpacked_without_the_network(tmp_path: Path, web: FakeWeb) -> None:
    raw = lay(TINY, tmp_path, {name: packed(data) for name, data in CONTENTS.items()}, ".gz")
    assert load_tiny(tmp_path, download=False) == LOADED
    assert web.asked == []
    assert (raw / NAMES[0]).read_bytes() == CONTENTS[NAMES[0]]


@pytest.mark.parametrize(
    ("data", "message"), [(packed(b"other"), "unpacks to sha256 .*; expected "), (b"other", "is no whole gzip file: ")]
)
def test_an_archive_laid_beside_that_is_another_is_refused_and_left(tmp_path: Path, data: bytes, message: str) -> None:
    raw = lay(TINY, tmp_path, {NAMES[0]: data}, ".gz")
    with pytest.raises(ValueError, match=rf"{NAMES[0]}\.gz {message}"):
        load_data("mnist", tmp_path)
    assert names_in(raw) == [f"{NAMES[0]}.gz"]


def test_a_validation_size_beyond_the_training_images_is_refused(tmp_path: Path) -> None:
    lay(TINY, tmp_path, CONTENTS)
    with pytest.raises(ValueError, match="5000 of 8 examples cannot be held out; expected 0 to 7"):
        load_data("mnist", tmp_path)


def test_the_known_sets_have_safe_mirrors_and_hashes() -> None:
    for name, source in SOURCES.items():
        assert len(source.names) == len(set(source.names)) == 4
        assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in source.mirrors)
        assert len(source.sha256) == 4 or hasattr(torchvision.datasets, source.folder)
        if name != "mnist":
            assert len(source.classes) == 10


@pytest.fixture
def kmnist(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    resources = [(f"http://elsewhere.example/{name}.gz", md5(packed(data))) for name, data in CONTENTS.items()]
    monkeypatch.setattr(torchvision.datasets.KMNIST, "resources", resources)
    return CONTENTS


def test_kmnist_is_checked_by_the_md5_that_torchvision_knows(
    tmp_path: Path, web: FakeWeb, kmnist: dict[str, bytes]
) -> None:
    mirror = SOURCES["kmnist"].mirrors[0]
    web.serve(mirror, kmnist)
    assert load_tiny(tmp_path, "kmnist") == LOADED
    (SOURCES["kmnist"].raw(tmp_path) / NAMES[2]).unlink()
    web.serve(mirror, {NAMES[2]: b"other"})
    found, expected = md5(packed(b"other")), md5(packed(kmnist[NAMES[2]]))
    with pytest.raises(ValueError, match=rf"{NAMES[2]}\.gz has md5 {found}; expected {expected}"):
        load_data("kmnist", tmp_path)


@pytest.mark.parametrize(
    ("name", "file", "known"),
    [
        ("kmnist", "train-images-idx3-ubyte", "bdb82020997e1d708af4cf47b453dcf7"),
        ("qmnist", "qmnist-train-images-idx3-ubyte", "ed72d4157d28c017586c42bc6afe6370"),
    ],
)
def test_the_real_md5_is_asked_of_an_archive_laid_beside(tmp_path: Path, name: str, file: str, known: str) -> None:
    lay(SOURCES[name], tmp_path, {file: packed(b"other")}, ".gz")
    with pytest.raises(ValueError, match=rf"{file}\.gz has md5 {md5(packed(b'other'))}; expected {known}"):
        load_data(name, tmp_path)


def test_qmnist_takes_the_class_from_the_first_column_of_its_labels(
    tmp_path: Path, web: FakeWeb, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SOURCES["qmnist"]
    columns = np.arange(8, dtype=np.int32) * 70_000
    labels = np.stack([TARGETS.astype(np.int32), columns], axis=1)
    contents = dict(zip(source.names, map(idx, (IMAGES, labels, IMAGES[:4], labels[:4])), strict=True))
    pairs = [(f"{source.mirrors[0]}{name}.gz", md5(packed(data))) for name, data in contents.items()]
    monkeypatch.setattr(torchvision.datasets.QMNIST, "resources", {"train": pairs[:2], "test": pairs[2:]})
    web.serve(source.mirrors[0], contents)
    assert load_tiny(tmp_path, "qmnist") == LOADED


@pytest.fixture
def emnist(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Return a zip file as EMNIST's is: its images lie on their side."""
    names = SOURCES["emnist"].names
    sideways = map(idx, (IMAGES.swapaxes(1, 2), TARGETS, IMAGES[:4].swapaxes(1, 2), TARGETS[:4]))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in zip(names, sideways, strict=True):
            archive.writestr(f"gzip/{name}.gz", packed(data))
        archive.writestr("gzip/emnist-letters-train-images-idx3-ubyte.gz", b"what is not asked for")
    monkeypatch.setattr(torchvision.datasets.EMNIST, "md5", md5(file.getvalue()))
    return file.getvalue()


def test_emnist_comes_from_one_archive_and_stands_upright(tmp_path: Path, web: FakeWeb, emnist: bytes) -> None:
    source = SOURCES["emnist"]
    web.pages[f"{source.mirrors[0]}gzip.zip"] = emnist
    splits = load_data("emnist", tmp_path, val_size=2)
    assert splits.test.images[:, 0].tolist() == IMAGES[:4].tolist()
    assert load_tiny(tmp_path, "emnist") == LOADED
    assert web.asked == [f"{source.mirrors[0]}gzip.zip"]
    assert names_in(source.raw(tmp_path)) == sorted(source.names)


def test_another_archive_of_emnist_is_refused(tmp_path: Path, web: FakeWeb, emnist: bytes) -> None:
    web.pages[f"{SOURCES['emnist'].mirrors[0]}gzip.zip"] = b"other"
    with pytest.raises(ValueError, match=rf"gzip\.zip has md5 {md5(b'other')}; expected {md5(emnist)}"):
        load_data("emnist", tmp_path)
    assert names_in(SOURCES["emnist"].raw(tmp_path)) == []


def test_emnist_is_read_from_archives_laid_beside_as_its_message_advises(tmp_path: Path, emnist: bytes) -> None:
    source = SOURCES["emnist"]
    with zipfile.ZipFile(io.BytesIO(emnist)) as archive:
        lay(source, tmp_path, {name: archive.read(f"gzip/{name}.gz") for name in source.names}, ".gz")
    assert load_tiny(tmp_path, "emnist", download=False) == LOADED


@given(data=st.data(), dtype=st.sampled_from(["uint8", "int16", "int32"]))
def test_idx_files_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, dtype: str
) -> None:
    array = data.draw(hnp.arrays(dtype, hnp.array_shapes(max_dims=3, max_side=4)))
    path = tmp_path_factory.getbasetemp() / "file-idx"
    path.write_bytes(idx(array))
    tensor = read_idx(path)
    assert tensor.dtype == (torch.uint8 if dtype == "uint8" else torch.int64)
    assert tensor.tolist() == array.tolist()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "begins with 0x; expected an IDX file's 0x0000, type and 1 to 3 axes"),
        (b"\0\0\x08", "begins with 0x000008; expected an IDX file's"),
        (b"\x1f\x8b\x08\x01" + bytes(8), "begins with 0x1f8b0801; expected an IDX file's"),
        (b"\0\0\x0a\x01" + bytes(8), "begins with 0x00000a01; expected"),
        (b"\0\0\x08\0" + bytes(8), "begins with 0x00000800; expected"),
        (b"\0\0\x08\x04" + bytes(99), "begins with 0x00000804; expected"),
        (idx(IMAGES)[:-1], "has 87 bytes; expected 88, as its header says"),
        (idx(IMAGES) + b"\0", "has 89 bytes; expected 88, as its header says"),
        (idx(IMAGES)[:6], "has 6 bytes; expected "),
        (idx(TARGETS.astype(np.int32))[:-2], "has 38 bytes; expected 40"),
        (idx(TARGETS[:0]), "holds|has|expected"),
    ],
    ids=["empty", "short", "gzip", "type", "no axes", "4 axes", "truncated", "longer", "head", "int32", "no items"],
)
def test_what_is_no_whole_idx_file_is_refused_by_name(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "file-idx").write_bytes(data)
    with pytest.raises(ValueError, match=f"{re.escape(str(tmp_path / 'file-idx'))} ({message})"):
        read_idx(tmp_path / "file-idx")


def test_a_damaged_file_without_a_known_hash_is_refused_by_its_length(tmp_path: Path) -> None:
    lay(SOURCES["kmnist"], tmp_path, CONTENTS | {NAMES[2]: CONTENTS[NAMES[2]][:-5]})
    with pytest.raises(ValueError, match=rf"{NAMES[2]} has 47 bytes; expected 52, as its header says"):
        load_data("kmnist", tmp_path)
    assert download.ensure(SOURCES["kmnist"], tmp_path, download=False)
