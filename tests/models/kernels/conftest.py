from collections.abc import Callable, Iterator

import pytest
from torch import Tensor, nn

from lenet5.models.classifier import KERNELS, ImageClassifier, Kernel
from lenet5.models.kernels import lenet5, library, original


@pytest.fixture
def remove_kernels(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function that removes all kernels until the end of the test."""

    def remove() -> None:
        for forward in list(KERNELS):
            monkeypatch.delitem(KERNELS, forward)

    return remove


@pytest.fixture
def runs_kernel(monkeypatch: pytest.MonkeyPatch) -> Callable[[nn.Module, Tensor], bool]:
    """Return a function that calls a model, and returns True if a kernel computed the logits."""
    results: list[Tensor | None] = []

    def record(kernel: Kernel, model: ImageClassifier, images: Tensor) -> Tensor | None:
        assert kernel.logits
        results.append(kernel.logits(model, images))
        return results[-1]

    for forward, kernel in list(KERNELS.items()):
        if kernel.logits:
            monkeypatch.setitem(KERNELS, forward, Kernel(logits=lambda *args, kernel=kernel: record(kernel, *args)))

    def runs(model: nn.Module, images: Tensor) -> bool:
        results.clear()
        model(images)
        return any(result is not None for result in results)

    return runs


@pytest.fixture
def reload_libraries() -> Iterator[Callable[[], None]]:
    """Return a function that makes the next call load the libraries again; they are loaded anew after the test."""

    def reload() -> None:
        for loader in (library.load, lenet5.library, original.library):
            loader.cache_clear()

    yield reload
    reload()
