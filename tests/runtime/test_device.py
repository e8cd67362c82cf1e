import pytest
import torch

from lenet5.runtime.device import autocast, resolve_device


def fake_accelerator(monkeypatch: pytest.MonkeyPatch, accelerator: str | None, count: int = 2) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: accelerator is not None)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: accelerator and torch.device(accelerator))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: count)


@pytest.mark.parametrize(
    ("accelerator", "name", "local_rank", "device"),
    [
        (None, "auto", None, "cpu"),
        (None, "cpu", None, "cpu"),
        ("cuda", "auto", None, "cuda"),
        ("cuda", "cuda", None, "cuda"),
        ("cuda", "cuda:1", None, "cuda:1"),
        ("cuda", "cpu", None, "cpu"),
        ("mps", "auto", None, "mps"),
        ("cuda", "auto", 1, "cuda:1"),
        ("cuda", "cuda:0", 1, "cuda:0"),
        (None, "auto", 1, "cpu"),
    ],
)
def test_resolve_device_prefers_the_accelerator(
    monkeypatch: pytest.MonkeyPatch, accelerator: str | None, name: str, local_rank: int | None, device: str
) -> None:
    fake_accelerator(monkeypatch, accelerator)
    assert resolve_device(name, local_rank) == torch.device(device)


@pytest.mark.parametrize(
    ("accelerator", "name", "message"),
    [
        (None, "cuda", "device 'cuda' is not available: torch .* found no accelerator; use 'auto' or 'cpu'"),
        ("mps", "cuda", "device 'cuda' is not available: torch .* found mps"),
        ("cuda", "cuda:7", "device 'cuda:7' is not available: torch found 2 accelerators, numbered from 0"),
        (None, "gpu", "device 'gpu' is unknown to torch; expected 'auto', 'cpu'"),
    ],
)
def test_resolve_device_rejects_unavailable_devices(
    monkeypatch: pytest.MonkeyPatch, accelerator: str | None, name: str, message: str
) -> None:
    fake_accelerator(monkeypatch, accelerator)
    with pytest.raises(ValueError, match=message):
        resolve_device(name)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("auto", torch.float32), ("float32", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float16)],
)
def test_autocast_sets_the_dtype_of_matrix_products(precision: str, dtype: torch.dtype) -> None:
    with autocast(torch.device("cpu"), precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_autocast_rejects_an_unknown_precision() -> None:
    with pytest.raises(ValueError, match="precision is 'float8'; expected one of auto, float32, bfloat16, float16"):
        autocast(torch.device("cpu"), "float8")
