"""Drawn pages, and the training of the network that marks ink on them."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import ink_network
import lenet5
from ink_network import Normalised, draw_pages, loss
from lenet5 import DataSplits
from lenet5.photo.ink import InkNetwork, standardise
from pages import PAPERS, Skeletons, draw_page, enlarge


@pytest.fixture(scope="module")
def skeletons(digits: DataSplits) -> Skeletons:
    large = torch.nn.functional.interpolate(digits.train.images.float(), 28, mode="bilinear").round().to(torch.uint8)
    split = lenet5.ImageDataset(large, digits.train.targets, classes=digits.train.classes)
    return Skeletons(split, 200, np.random.default_rng(0))


@pytest.mark.parametrize("paper", PAPERS)
def test_page_shows_its_ink(skeletons: Skeletons, paper: str) -> None:
    differences = []
    for seed in range(12):
        page, mask = draw_page(skeletons, (96, 128), [paper], np.random.default_rng(seed))
        assert page.shape == mask.shape == (96, 128)
        assert 0 <= page.min() <= page.max() <= 255
        assert mask.mean() < 0.5
        if mask.any():
            differences.append(abs(float(page[mask].mean() - page[~mask].mean())))
    assert np.median(differences) > 10


def test_pages_depend_on_the_seed_alone(skeletons: Skeletons) -> None:
    first, again = (draw_pages(skeletons, list(PAPERS), 4, np.random.default_rng(3)) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one, other)


def test_enlarged_digit_fits_the_page(skeletons: Skeletons) -> None:
    for seed in range(20):
        page, mask = enlarge(skeletons.images[seed], (96, 128), np.random.default_rng(seed))
        assert page.shape == mask.shape == (96, 128)
        assert mask.any()


def test_loss_rewards_the_mask() -> None:
    mask = (torch.arange(256.0).view(1, 1, 16, 16) % 5 == 0).float()
    good, bad, blank = (float(loss(logits, mask)) for logits in (8 * mask - 4, 4 - 8 * mask, 0 * mask - 4))
    assert good < 0.1 < blank < bad


def run(folder: Path, steps: int) -> dict[str, Tensor]:
    ink_network.train(argparse.Namespace(pages=folder / "pages", run=folder / "run", steps=steps))
    return load_file(folder / "run" / "model.safetensors")


@pytest.fixture
def pages(tmp_path: Path, skeletons: Skeletons) -> Path:
    images, masks = draw_pages(skeletons, ["plain"], ink_network.PAGES, np.random.default_rng(0))
    (tmp_path / "pages").mkdir()
    save_file(
        {"images": images[..., :48, :48].contiguous(), "masks": masks[..., :48, :48].contiguous()},
        tmp_path / "pages" / "0000.safetensors",
    )
    return tmp_path


def test_network_is_written_without_normalisation(pages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ink_network, "FREEZE_AT", 2)
    tensors = run(pages, 4)
    network = ink_network.load(pages / "run")
    assert network.state_dict().keys() == tensors.keys()
    assert all(value.isfinite().all() for value in tensors.values())
    image = standardise(255 * torch.rand(1, 1, 48, 64))
    assert network(image).shape == (1, 1, 48, 64)


def test_fused_network_computes_the_same() -> None:
    torch.manual_seed(0)
    trained = InkNetwork(Normalised)
    for module in trained.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean = torch.rand(module.num_features)
            module.running_var = torch.rand(module.num_features) + 0.5
    trained.eval()
    network = ink_network.fuse(trained)
    images = torch.randn(2, 1, 32, 48)
    torch.testing.assert_close(network(images), trained(images), rtol=1e-4, atol=1e-4)


def test_interrupted_training_goes_on(pages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ink_network, "REPORT_EVERY", 4)
    whole = run(pages, 8)
    stopped = pages / "stopped"
    stopped.mkdir()
    (stopped / "pages").symlink_to(pages / "pages")
    follow = ink_network.follow
    steps: list[float] = []

    def interrupt(average: torch.nn.Module, network: torch.nn.Module, decay: float) -> None:
        if len(steps) == 5:
            raise KeyboardInterrupt
        steps.append(decay)
        follow(average, network, decay)

    monkeypatch.setattr(ink_network, "follow", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(stopped, 8)
    monkeypatch.setattr(ink_network, "follow", follow)
    resumed = run(stopped, 8)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
