"""The named trainings agree with themselves."""

from dataclasses import replace

import pytest
import torch

from lenet5 import LeNet5Original
from lenet5.recipes import LRS_OF_1998, RECIPES


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_recipe_builds_a_network_for_ten_classes(name: str) -> None:
    recipe = RECIPES[name]
    model = recipe.model(10)
    size = recipe.preprocess.image_size if recipe.preprocess else 28
    assert model(torch.zeros(1, 1, size, size)).shape == (1, 10)


def test_the_learning_rates_of_1998_are_those_published() -> None:
    lrs = [LRS_OF_1998[min(epoch, len(LRS_OF_1998) - 1)] for epoch in range(20)]
    assert lrs == [5e-4] * 2 + [2e-4] * 3 + [1e-4] * 3 + [5e-5] * 4 + [1e-5] * 8


def test_the_network_of_1998_is_for_ten_classes() -> None:
    assert isinstance(RECIPES["1998"].model(10), LeNet5Original)
    with pytest.raises(ValueError, match="there are 5 classes; expected 10"):
        RECIPES["1998"].model(5)


def test_a_recipe_cannot_calibrate_with_images_that_it_trained_on() -> None:
    with pytest.raises(ValueError, match="expected that some are left to calibrate with"):
        replace(RECIPES["record"], calibrate=True)
