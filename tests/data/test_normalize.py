"""`Preprocess` with a mean and a standard deviation for each channel."""

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lenet5 import Preprocess


@given(pixels=hnp.arrays("uint8", (2, 3, 8, 8)), mean=st.tuples(*[st.floats(0, 1)] * 3))
def test_each_channel_is_normalised_by_its_own_mean_and_deviation(
    pixels: npt.NDArray[np.uint8], mean: tuple[float, float, float]
) -> None:
    std = (0.25, 0.5, 1.0)
    preprocess = Preprocess(image_size=8, channels=3, mean=mean, std=std)
    expected = (pixels / 255 - np.array(mean)[:, None, None]) / np.array(std)[:, None, None]
    batch = preprocess(pixels)
    torch.testing.assert_close(batch, torch.from_numpy(expected).float())
    torch.testing.assert_close(preprocess(pixels[0]), batch[0])
    torch.testing.assert_close(preprocess.denormalize(batch), torch.from_numpy(pixels / 255).float())


@pytest.mark.parametrize("form", [list, tuple, np.array, torch.tensor, pd.Series])
def test_means_of_channels_are_saved_as_json(form: Callable[[Any], Any]) -> None:
    preprocess = Preprocess(channels=3, mean=form([0.25, 0.5, 0.75]), std=form([0.5, 0.5, 0.5]))
    assert (preprocess.mean, preprocess.std) == ((0.25, 0.5, 0.75), 0.5)
    assert Preprocess(**json.loads(json.dumps(dataclasses.asdict(preprocess)))) == preprocess
    assert hash(preprocess) == hash(Preprocess(channels=3, mean=[0.25, 0.5, 0.75], std=0.5))
