import pytest
import torch

from lenet5.runtime.device import resolve_device


def pretend(monkeypatch: pytest.MonkeyPatch, accelerator: str | None, count: int = 1) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: accelerator is not None)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: accelerator and torch.device(accelerator))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: count)


@pytest.mark.parametrize(
    ("accelerator", "name", "device"),
    [
        (None, "auto", "cpu"),
        (None, "cpu", "cpu"),
        ("cuda", "auto", "cuda"),
        ("cuda", "cuda", "cuda"),
        ("cuda", "cuda:1", "cuda:1"),
        ("cuda", "cpu", "cpu"),
        ("mps", "auto", "mps"),
    ],
)
def test_auto_is_the_accelerator_else_the_cpu(
    monkeypatch: pytest.MonkeyPatch, accelerator: str | None, name: str, device: str
) -> None:
    pretend(monkeypatch, accelerator, count=2)
    assert resolve_device(name) == torch.device(device)


@pytest.mark.parametrize(
    ("accelerator", "name", "message"),
    [
        (None, "cuda", "device 'cuda' is not here: torch .* found no accelerator; use 'auto' or 'cpu'"),
        ("mps", "cuda", "device 'cuda' is not here: torch .* found mps"),
        ("cuda", "cuda:7", "device 'cuda:7' is not here: torch found 2, numbered from 0"),
        (None, "gpu", "device 'gpu' is unknown to torch; expected 'auto', 'cpu'"),
    ],
)
def test_a_device_that_is_not_here_is_refused(
    monkeypatch: pytest.MonkeyPatch, accelerator: str | None, name: str, message: str
) -> None:
    pretend(monkeypatch, accelerator, count=2)
    with pytest.raises(ValueError, match=message):
        resolve_device(name)
