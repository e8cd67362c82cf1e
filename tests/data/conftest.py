import gzip
import io
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lenet5 import load_data
from lenet5.data.catalogue import IdxFiles

IDX_TYPES = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12}


class Response(io.BytesIO):
    def __init__(self, body: bytes, headers: dict[str, str], error: Exception | None) -> None:
        super().__init__(body)
        self.headers = headers
        self.error = error

    def read(self, size: int | None = -1) -> bytes:
        if self.error:
            raise self.error
        return super().read(size)


class Web:
    """Fake network that serves pages by URL and records the requests."""

    def __init__(self) -> None:
        self.pages: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.sends_length = True

    def serve(self, url: str, body: bytes = b"", **page: Any) -> None:
        """Serve a page; `length` sets the Content-Length, `open_error` and `read_error` are raised."""
        self.pages[url] = {"body": body, **page}

    def serve_archives(self, mirror: str, contents: Mapping[str, bytes]) -> None:
        for name, data in contents.items():
            self.serve(f"{mirror}{name}.gz", gzip.compress(data, mtime=0))

    def __call__(self, url: str, timeout: float) -> Response:
        assert timeout > 0
        self.requests.append(url)
        page = self.pages.get(url, {"open_error": urllib.error.URLError("Name or service not known")})
        if "open_error" in page:
            raise page["open_error"]
        length = page.get("length", len(page["body"]))
        return Response(
            page["body"], {"Content-Length": str(length)} if self.sends_length else {}, page.get("read_error")
        )


class TinyDataset:
    """Dataset of eight training and four test images of 3x3 pixels."""

    images = np.arange(8 * 3 * 3, dtype=np.uint8).reshape(8, 3, 3)
    targets = np.array([0, 1] * 4, np.uint8)
    splits = (
        ([0, 9, 18, 27, 54, 63], [0, 1, 0, 1, 0, 1]),
        ([36, 45], [0, 1]),
        ([0, 9, 18, 27], [0, 1, 0, 1]),
    )  # first pixels and targets

    @staticmethod
    def idx(array: npt.NDArray[Any]) -> bytes:
        header = bytes([0, 0, IDX_TYPES[array.dtype.name], array.ndim]) + np.array(array.shape, ">u4").tobytes()
        return header + array.astype(array.dtype.newbyteorder(">")).tobytes()

    def contents(
        self,
        names: Sequence[str],
        images: npt.NDArray[np.uint8] | None = None,
        targets: npt.NDArray[np.integer[Any]] | None = None,
    ) -> dict[str, bytes]:
        """Return the IDX files by name."""
        images = self.images if images is None else images
        labels = self.targets if targets is None else targets
        return dict(zip(names, map(self.idx, (images, labels, images[:4], labels[:4])), strict=True))

    @staticmethod
    def write(source: IdxFiles, root: Path, contents: Mapping[str, bytes]) -> Path:
        """Write files where `load_data` expects them, and return their folder."""
        folder = root / source.folder / "raw"
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in contents.items():
            (folder / name).write_bytes(data)
        return folder

    @staticmethod
    def load(name: str, root: Path, **options: Any) -> tuple[Any, ...]:
        """Load splits in the form of `splits`."""
        splits = load_data(name, root, val_size=2, **options)
        return tuple((split.images[:, 0, 0, 0].tolist(), split.targets.tolist()) for split in splits)


@pytest.fixture(autouse=True)
def web(monkeypatch: pytest.MonkeyPatch) -> Web:
    fake = Web()
    monkeypatch.setattr(urllib.request, "urlopen", fake)
    return fake


@pytest.fixture(scope="session")
def tiny() -> TinyDataset:
    return TinyDataset()
