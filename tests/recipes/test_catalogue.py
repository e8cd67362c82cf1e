from dataclasses import replace

import pytest
import torch

from lenet5 import LeNet5Original
from lenet5.recipes import RECIPES
from lenet5.recipes.original import PUBLISHED_LRS


@pytest.mark.parametrize("name", list(RECIPES))
def test_every_recipe_builds_a_network_for_ten_classes(name: str) -> None:
    recipe = RECIPES[name]
    model = recipe.model(10)
    size = recipe.preprocess.image_size if recipe.preprocess else 28
    assert model(torch.zeros(1, 1, size, size)).shape == (1, 10)


def test_published_learning_rates_match_the_paper() -> None:
    lrs = [PUBLISHED_LRS[min(epoch, len(PUBLISHED_LRS) - 1)] for epoch in range(20)]
    assert lrs == [5e-4] * 2 + [2e-4] * 3 + [1e-4] * 3 + [5e-5] * 4 + [1e-5] * 8


def test_original_network_requires_ten_classes() -> None:
    assert isinstance(RECIPES["1998"].model(10), LeNet5Original)
    with pytest.raises(ValueError, match="there are 5 classes; expected 10"):
        RECIPES["1998"].model(5)


def test_recipe_cannot_calibrate_on_images_that_it_trained_on() -> None:
    with pytest.raises(ValueError, match="expected a validation split to calibrate with"):
        replace(RECIPES["record"], calibrate=True)
