from typing import Any

import numpy as np
import pytest
import torch
from tests.plots.legibility import faults, texts
from torch import nn

import lenet5
from lenet5.plots import plot_architecture, plot_feature_maps

NETWORKS = {
    "lenet5": lenet5.LeNet5(),
    "original": lenet5.LeNet5Original(),
    "caffe": lenet5.CaffeLeNet(),
    "colour": lenet5.LeNet5(47, in_channels=3, image_size=64),
    "smallest": lenet5.LeNet5(2, image_size=12),
}


def draw(name: str, **options: Any) -> Any:
    network = NETWORKS[name]
    images = torch.rand(2, *network.image_shape)
    return plot_feature_maps(lenet5.feature_maps(network, images), images, **options)


def captions(figure: Any) -> list[str]:
    return [text.get_text() for text in texts(figure) if "\n" in text.get_text()]


def images_by_place(figure: Any) -> list[tuple[float, float, float]]:
    """Return left edge, width and height of all maps and columns."""
    boxes = [image.get_extent() for image in figure.axes[0].images]
    return [(left, right - left, lower - upper) for left, right, lower, upper in boxes]


def test_layers_stand_from_left_to_right_with_the_names_of_the_paper() -> None:
    figure = draw("original")
    assert captions(figure) == [
        "INPUT\n32x32",
        "C1: feature maps\n6@28x28",
        "S2: f. maps\n6@14x14",
        "C3: f. maps\n16@10x10",
        "S4: f. maps\n16@5x5",
        "C5: layer\n120",
        "F6: layer\n84",
        "OUTPUT\n10",
    ]
    places = images_by_place(figure)
    assert len(places) == 1 + 6 + 6 + 16 + 16 + 3
    firsts = [places[i] for i in (0, 1, 7, 13, 29, 45, 46, 47)]
    assert [left for left, *_ in firsts] == sorted(left for left, *_ in firsts)
    np.testing.assert_allclose([width for _, width, _ in firsts[:5]], [32, 28, 14, 10, 5])  # to scale


@pytest.mark.parametrize("name", NETWORKS)
def test_maps_and_architecture_of_any_network_are_legible(name: str) -> None:
    network = NETWORKS[name]
    assert faults(draw(name, index=1, predicted=0)) == []
    assert faults(plot_architecture(lenet5.layer_table(network), network.image_shape)) == []


def test_units_of_the_last_layer_have_names_and_values() -> None:
    maps = {"f": np.zeros((1, 3)), "output": np.array([[0.25, -1, np.nan]])}
    figure = plot_feature_maps(maps, classes=["$a$", "b", "c"], predicted=1)
    units = [text for text in figure.axes[0].texts if ": " in text.get_text()]
    assert [text.get_text() for text in units if text.get_text()[0] in r"\bc"] == [r"\$a\$: 0.2", "b: -1.0", "c: nan"]
    assert [text.get_fontweight() for text in units if text.get_text().startswith("b")] == ["bold"]


def test_long_names_of_units_are_legible() -> None:
    names = [f"$a$ very long class name, number {number}" for number in range(10)]
    assert faults(draw("lenet5", classes=names, predicted=9)) == []


def test_of_many_units_the_answer_alone_is_named() -> None:
    named = [text.get_text() for text in draw("colour", predicted=46).axes[0].texts]
    assert any(text.startswith("46: ") for text in named)
    assert not any(text.startswith("45: ") for text in named)


def test_colour_images_are_drawn_in_colour_and_maps_in_their_own_greys() -> None:
    images = draw("colour").axes[0].images
    assert images[0].get_array().shape == (64, 64, 3)
    c1 = np.array([image.get_array() for image in images[1:7]])
    assert (c1.min(), c1.max()) == (0, 1)


def test_maps_of_any_shape_dtype_and_value_are_drawn() -> None:
    for output in (
        torch.zeros(1, 2, 3, 3, dtype=torch.bfloat16),
        torch.full((1, 2, 3, 3), torch.nan),
        torch.ones(1, 7),
    ):
        assert faults(plot_feature_maps({"layer": output})) == []
    scores = nn.Linear(2, 3)(torch.ones(1, 5, 2))  # (1, 5, 3): neither maps nor units
    assert faults(plot_feature_maps({"$sequence$": scores})) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"index": 2}, "index is 2; expected that of one of the 2 maps of c1"),
        ({"index": 0.5}, "index is 0.5"),
        ({"predicted": 10}, "predicted is 10; expected the index of one of 10 units"),
        ({"classes": ["a"]}, "1 class names; expected 10"),
    ],
)
def test_maps_refuse_what_is_not_there(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw("lenet5", **options)


def test_maps_refuse_nothing_and_names_without_units() -> None:
    with pytest.raises(ValueError, match="no maps to plot"):
        plot_feature_maps({})
    with pytest.raises(ValueError, match="expected \\(num_classes,\\)"):
        plot_feature_maps({"c1": np.zeros((1, 6, 4, 4))}, predicted=0)
