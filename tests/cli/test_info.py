"""The layers that `lenet5 info --model` prints."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

import lenet5

Invoke = Callable[..., Result]

CLASSES = {"lenet5": "LeNet5", "lenet5_original": "LeNet5Original", "caffe_lenet": "CaffeLeNet", "mnist_v1": "LeNet5"}


@pytest.mark.parametrize(("name", "architecture"), CLASSES.items())
def test_json_holds_the_layer_table(run: Invoke, name: str, architecture: str) -> None:
    result = json.loads(run("info", "--model", name, "--json").stdout)
    model = getattr(lenet5, architecture)()
    table = lenet5.layer_table(model)
    assert (result["network"], tuple(result["image_shape"])) == (architecture, model.image_shape)
    assert [layer["layer"] for layer in result["layers"]] == list(table.index)
    assert [tuple(layer["output_shape"]) for layer in result["layers"]] == table["output_shape"].to_list()
    for column in ("parameters", "connections", "multiply_adds"):
        assert [layer[column] for layer in result["layers"]] == table[column].to_list()
        assert result["total"][column] == table[column].sum()


def test_table_of_the_original_network_is_that_of_the_paper(run: Invoke) -> None:
    lines = run("info", "--model", "LeNet5_Original").stdout.splitlines()
    assert lines[0] == "LeNet5Original, images 1x32x32"
    rows = {line.split()[0]: line.split()[1:] for line in lines[3:]}
    assert rows["c3"] == ["16x10x10", "1,516", "151,600", "150,000"]
    assert rows["total"] == ["60,000", "340,908", "328,096"]
    assert len({len(line) for line in lines[2:]}) == 1


def test_weights_of_ones_own_are_a_network(run: Invoke, tmp_path: Path) -> None:
    lenet5.LeNet5(3, in_channels=2, image_size=20).save_pretrained(tmp_path / "own")
    text = run("info", "--model", tmp_path / "own").stdout
    assert text.startswith("LeNet5, images 2x20x20\n")
    assert "default" not in run("info", "--model", "default").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "lenet6"], "no network at 'lenet6' (did you mean 'lenet5'?)"),
        (["--model", "resnet"], "no network at 'resnet'; expected a path, or one of: lenet5, lenet5_original"),
        (["--json"], "--json prints the layers of a network; expected --model with its name"),
    ],
)
def test_what_names_no_network_is_refused(invoke: Invoke, arguments: list[str], message: str) -> None:
    result = invoke("info", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
