"""What holds for every format that is traced from the network."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

import lenet5
from lenet5 import CaffeLeNet, LeNet5, LeNet5Original, Preprocess, Pretrained
from lenet5.export import Exported, export_arrays, export_c, export_onnx, export_program, export_torchscript
from lenet5.models.classifier import ImageClassifier
from lenet5.quantization import prepare

Run = Callable[[Tensor], Tensor]
Exporter = Callable[..., Run]
NETWORKS: list[Callable[[], ImageClassifier]] = [
    LeNet5,
    LeNet5Original,
    CaffeLeNet,
    lambda: LeNet5(3, in_channels=3, image_size=33, pooling="avg", activation=nn.Tanh),
    lambda: LeNet5(image_size=12, activation=nn.Sigmoid),
    lambda: LeNet5Original(prototypes=torch.sign(torch.randn(4, 84, generator=torch.Generator().manual_seed(1)))),
]


def assert_same(run: Run, model: ImageClassifier, count: int = 3) -> None:
    """Compare a file with the network in evaluation mode."""
    images = torch.randn(count, *model.image_shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = model.eval()(images)
    torch.testing.assert_close(run(images), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("export", [export_onnx, export_program, export_torchscript, export_c, export_arrays])
def test_network_that_rounds_its_weights_is_refused_with_the_remedy(
    export: Callable[..., Exported], tmp_path: Path
) -> None:
    pretrained = lenet5.load("mnist_v2")
    prepared = prepare(pretrained, lenet5.load_data("digits").train.images[:32])
    with pytest.raises(ValueError, match=r"convert it to integers first: lenet5.quantization.convert\(network\)"):
        export(prepared, tmp_path / "lenet5.c")
    assert not list(tmp_path.iterdir())


def test_devices_are_refused_and_links_are_followed(tmp_path: Path) -> None:
    file, link = tmp_path / "file.onnx", tmp_path / "link.onnx"
    file.touch()
    try:
        link.symlink_to(file)
    except OSError:
        pytest.skip("this system lets no user make symbolic links")
    export_onnx(LeNet5(), link)
    assert link.is_symlink()
    assert file.stat().st_size > 200_000
    with pytest.raises(ValueError, match="is a device or a pipe; expected a file or a new path"):
        export_onnx(LeNet5(), os.devnull)


@pytest.mark.parametrize("network", NETWORKS)
def test_file_computes_the_logits_of_any_batch(network: Callable[[], ImageClassifier], exported: Exporter) -> None:
    model = network()
    run = exported(model)
    for count in (1, 3, 70):
        assert_same(run, model, count)


@pytest.mark.parametrize("name", ["mnist_v2", "original_mnist_v1"])
def test_preprocessing_inside_maps_pixels_to_probabilities(
    name: str, exported: Exporter, digits: lenet5.DataSplits
) -> None:
    pretrained = lenet5.load(name)
    pixels = pretrained.preprocess.without_border().resize(digits.test.images[:20])
    assert (pixels.shape, pixels.dtype) == ((20, 1, 28, 28), torch.uint8)
    probabilities = exported(pretrained, preprocess=True)(pixels)
    torch.testing.assert_close(probabilities, pretrained.predict(pixels).probabilities, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mean", [0.5, (0.25, 0.5, 0.75)])
def test_preprocessing_inside_takes_colour(mean: float | tuple[float, ...], exported: Exporter) -> None:
    preprocess = Preprocess(image_size=20, channels=3, mean=mean, std=0.25, padding=3)
    pretrained = Pretrained(LeNet5(2, in_channels=3, image_size=20).eval(), preprocess, {})
    pixels = torch.randint(256, (5, 3, 14, 14), dtype=torch.uint8)
    probabilities = exported(pretrained, preprocess=True)(pixels)
    torch.testing.assert_close(probabilities, pretrained.predict(pixels).probabilities, rtol=1e-5, atol=1e-5)


def test_network_stays_as_it_is_and_is_exported_in_evaluation_mode(exported: Exporter) -> None:
    model = LeNet5().double()
    model.f6.append(nn.Dropout(0.5))
    model.c1.eval()
    modes, tensors = [module.training for module in model.modules()], model.state_dict()
    generator = torch.get_rng_state()
    run = exported(model)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), generator)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in model.state_dict().items())
    assert_same(run, model.float())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_are_exported_in_float32(dtype: torch.dtype, exported: Exporter) -> None:
    model = LeNet5().to(dtype)
    assert_same(exported(model), model.float())


def test_replaced_layers_are_exported_as_they_are(exported: Exporter) -> None:
    model = LeNet5()
    model.c1.activation = nn.LeakyReLU(0.2)
    model.s2 = nn.AvgPool2d(2)
    model.output = nn.Linear(84, 26)
    assert_same(exported(model), model)


class Residual(LeNet5):
    """A network with another forward."""

    def forward(self, images: Tensor) -> Tensor:
        x = self.s4(self.c3(self.s2(self.c1(images))))
        x = self.c5(torch.relu(x) * 0.5 + x**2)
        logits: Tensor = self.output(self.f6(x) - 1)
        return -logits.tanh()


def test_subclass_is_exported_with_its_own_forward(exported: Exporter) -> None:
    model = Residual()
    assert_same(exported(model), model)


def test_hook_that_changes_nothing_is_no_obstacle(exported: Exporter) -> None:
    model, seen = LeNet5(), list[Tensor]()
    model.c3.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    assert_same(exported(model), model)


def test_hook_of_a_block_is_exported(exported: Exporter) -> None:
    model = LeNet5()
    model.c3.register_forward_hook(lambda _module, _inputs, output: 2 * output)
    assert_same(exported(model), model)


def test_onnx_refuses_a_hook_of_a_layer_that_changes_the_logits(tmp_path: Path) -> None:
    model = LeNet5()
    model.get_submodule("c3.conv").register_forward_hook(lambda _module, _inputs, output: 2 * output)
    with pytest.raises(ValueError, match="compute other logits than the network, by .*: a hook or a replaced method"):
        lenet5.export.export_onnx(model, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("compute", [prune.identity, parametrizations.weight_norm])
def test_computed_weights_are_refused_with_the_remedy(
    compute: Callable[..., Any], export: Callable[..., Exported], tmp_path: Path
) -> None:
    model = LeNet5()
    compute(model.c3.conv, "weight")
    with pytest.raises(ValueError, match="LeNet5 cannot be exported: c3.conv computes its weights .*; call torch.nn"):
        export(model, tmp_path / "model")


def test_compiled_network_is_exported_unwrapped(exported: Exporter) -> None:
    model = LeNet5()
    assert_same(exported(torch.compile(model, backend="eager")), model)


@pytest.mark.parametrize(
    ("source", "preprocess", "error", "message"),
    [
        (nn.Linear(2, 2), False, TypeError, "the source is a Linear; expected a network of this package"),
        ("mnist_v2", False, TypeError, "the source is a str; expected .* as lenet5.load returns"),
        (LeNet5(), True, ValueError, "a LeNet5 does not know its preprocessing; expected a lenet5.Pretrained"),
        (Pretrained(LeNet5(3), Preprocess(), {"categories": ["a"]}), False, ValueError, "3 logits, but .* 1 classes a"),
    ],
)
def test_wrong_source_is_refused(
    source: Any, preprocess: bool, error: type[Exception], message: str, export: Callable[..., Exported], tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        export(source, tmp_path / "model", preprocess=preprocess)
    assert not list(tmp_path.iterdir())


def test_network_without_finite_logits_is_refused(export: Callable[..., Exported], tmp_path: Path) -> None:
    model = LeNet5()
    nn.init.constant_(model.output.bias, torch.nan)
    with pytest.raises(ValueError, match="expected finite logits"):
        export(model, tmp_path / "model")


@pytest.mark.parametrize("preprocess", [False, True])
def test_same_bytes_are_written_again_and_name_no_folder(
    preprocess: bool, export: Callable[..., Exported], tmp_path: Path
) -> None:
    pretrained = lenet5.load("mnist_v2")
    for name in ("first", "second"):
        export(pretrained, tmp_path / name, preprocess=preprocess)
    data = (tmp_path / "first").read_bytes()
    assert data == (tmp_path / "second").read_bytes()
    for folder in (Path(torch.__file__), Path(lenet5.__file__), tmp_path, Path(__file__)):
        assert str(folder.parent).encode() not in data
