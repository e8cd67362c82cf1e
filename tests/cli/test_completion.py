"""Shells complete the values of options, as click's completion scripts ask for them."""

import pytest
from click.shell_completion import ShellComplete

from lenet5.cli import main


@pytest.mark.parametrize(
    ("line", "incomplete", "expected"),
    [
        ("", "ev", ["evaluate"]),
        ("train --recipe", "19", ["1998", "1998_distorted"]),
        ("train --data", "fa", ["fashion_mnist"]),
        ("train --device", "c", ["cpu", "cuda"]),
        ("train --set", "weight", ["weight_decay="]),
        ("train --set", "augment.d", ["augment.degrees="]),
        ("train --set", "schedule=c", ["schedule=cosine", "schedule=constant"]),
        ("train --set", "calibrate=", ["calibrate=true", "calibrate=false"]),
        ("train --set", "lr=", []),
        ("evaluate --weights", "mnist_v", ["mnist_v1", "mnist_v2", "mnist_v3"]),
        ("predict --weights", "ori", ["original_mnist_v1"]),
    ],
)
def test_values_are_completed(line: str, incomplete: str, expected: list[str]) -> None:
    completed = ShellComplete(main, {}, "lenet5", "_LENET5_COMPLETE").get_completions(line.split(), incomplete)
    assert [item.value for item in completed] == expected


def test_paths_are_left_to_the_shell() -> None:
    (item,) = ShellComplete(main, {}, "lenet5", "_LENET5_COMPLETE").get_completions(["train", "--data"], "my/fold")
    assert (item.value, item.type) == ("my/fold", "file")
