"""The network that marks ink."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import lenet5
from lenet5.photo import ink
from lenet5.photo.ink import InkNetwork, ink_probability, standardise

FOLDER = Path(lenet5.__file__).parent / "photo" / ink.FOLDER


@settings(max_examples=15)
@given(st.integers(1, 140), st.integers(1, 140), st.integers(0, 2**31))
def test_every_pixel_gets_a_probability(height: int, width: int, seed: int) -> None:
    grey = np.random.default_rng(seed).uniform(0, 255, (height, width)).astype(np.float32)
    probability = ink_probability(grey)
    assert probability.shape == (height, width)
    assert probability.dtype == np.float32
    assert 0 <= probability.min() <= probability.max() <= 1


@settings(max_examples=15)
@given(st.floats(0.5, 1), st.floats(0, 60))
def test_brightness_and_contrast_do_not_matter(contrast: float, brightness: float) -> None:
    grey = np.full((96, 128), 180, np.float32)
    grey[20:70, 60:64] = 30
    changed = contrast * grey + brightness
    assert np.abs(ink_probability(changed) - ink_probability(grey)).max() < 0.01


def test_image_without_contrast_is_not_enhanced() -> None:
    images = 100 + torch.rand(1, 1, 16, 16)
    assert standardise(images).abs().max() < 0.2
    assert standardise(50 * images).std(correction=0) == pytest.approx(1)


def test_bundled_network_is_small_and_described() -> None:
    config = json.loads((FOLDER / "config.json").read_text(encoding="utf-8"))
    size = sum(parameter.numel() for parameter in InkNetwork().parameters())
    assert config["parameters"] == size
    assert 10_000 <= size <= 50_000
    assert (FOLDER / "model.safetensors").stat().st_size < 200_000


def test_changed_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "photo" / ink.FOLDER
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes((FOLDER / "config.json").read_bytes())
    content = bytearray((FOLDER / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)
    monkeypatch.setattr("importlib.resources.files", lambda _: tmp_path)
    with pytest.raises(ValueError, match="is damaged or was edited"):
        ink._network.__wrapped__()
