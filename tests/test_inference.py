import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lenet5 import (
    Evaluation,
    ImageDataset,
    LeNet5,
    Predictions,
    TensorLoader,
    Trainer,
    TrainerConfig,
    evaluate,
    predict,
)


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))


def make_images(count: int = 20) -> Tensor:
    return torch.randn(count, 1, 2, 3, generator=Generator().manual_seed(1))


def make_examples(count: int = 20) -> TensorDataset:
    return TensorDataset(make_images(count), torch.arange(count) % 3)


def make_image_dataset(count: int = 20) -> ImageDataset:
    pixels = torch.randint(0, 256, (count, 1, 2, 3), generator=Generator().manual_seed(0), dtype=torch.uint8)
    return ImageDataset(pixels, torch.arange(count) % 3, classes="abc", transform=lambda batch: batch.float() / 255)


BATCH = (make_images(2), torch.tensor([0, 1]))


# Data


@pytest.mark.parametrize(
    "make",
    [
        make_image_dataset,
        lambda: TensorLoader(make_image_dataset(), batch_size=7),
        make_examples,
        lambda: DataLoader(make_examples(), batch_size=7),
        lambda: [(images, targets) for images, targets in DataLoader(make_examples(), batch_size=3)],
    ],
    ids=["ImageDataset", "TensorLoader", "Dataset", "DataLoader", "list"],
)
def test_free_functions_equal_the_methods_of_a_trainer(make: Callable[[], Any]) -> None:
    model = make_model()
    trainer = Trainer(model, TrainerConfig(device="cpu"))
    report, predictions = evaluate(model, make()), predict(model, make())
    assert isinstance(report, Evaluation)
    assert report.to_dict() == trainer.evaluate(make()).to_dict()
    assert report.predictions.tolist() == predictions.labels.tolist()
    assert torch.equal(predictions.probabilities, trainer.predict(make()).probabilities)
    assert len(report) == len(predictions) == 20


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_images().numpy(),
        make_examples,
        lambda: DataLoader(make_examples(), batch_size=3),
        lambda: DataLoader(make_images(), batch_size=3),  # type: ignore[arg-type]
        lambda: [make_images()[:8], make_images()[8:]],
        lambda: [(make_images(),)],
    ],
    ids=["array", "Dataset", "DataLoader", "DataLoader without targets", "list of tensors", "list of tuples"],
)
def test_predict_takes_images_with_or_without_targets(make: Callable[[], Any]) -> None:
    model = make_model()
    expected = predict(model, make_images()).probabilities
    torch.testing.assert_close(predict(model, make()).probabilities, expected)


def test_predict_returns_the_softmax_of_the_logits() -> None:
    model, images = make_model().train(), make_images()
    predictions = predict(model, images)
    expected = model(images).softmax(1)
    assert isinstance(predictions, Predictions)
    torch.testing.assert_close(predictions.probabilities, expected)
    assert torch.equal(predictions.labels, expected.argmax(1))
    assert torch.equal(predictions.confidence, predictions.probabilities.amax(1))
    assert (predictions.labels.dtype, predictions.probabilities.dtype) == (torch.int64, torch.float32)
    assert not predictions.probabilities.requires_grad


def test_evaluation_covers_the_whole_set_and_does_not_depend_on_the_batch_size() -> None:
    model, data = make_model().double(), TensorDataset(make_images(23).double(), torch.arange(23) % 3)
    reports = [evaluate(model, DataLoader(data, batch_size=size)) for size in (1, 5, 23)]
    expected = nn.functional.cross_entropy(model(data[:][0]), data[:][1]).item()
    for report in reports:
        assert report.accuracy == reports[0].accuracy
        assert report.loss == pytest.approx(expected, rel=1e-6)


def test_evaluation_has_the_class_names_of_the_data() -> None:
    assert list(evaluate(make_model(), make_image_dataset()).per_class) == ["a", "b", "c"]


def test_evaluate_takes_a_custom_loss() -> None:
    def loss_fn(logits: Tensor, targets: Tensor) -> Tensor:
        return logits.sum() * 0 + targets.sum()

    assert evaluate(make_model(), make_examples(5), loss_fn=loss_fn).loss == 0 + 1 + 2 + 0 + 1


# The mode, the device and the precision


@pytest.mark.parametrize("use", [evaluate, predict])
def test_model_is_used_in_evaluation_mode_and_its_modes_are_restored(use: Callable[..., Any]) -> None:
    frozen = nn.BatchNorm1d(6)
    model = nn.Sequential(nn.Flatten(), frozen, nn.Dropout(0.9), nn.Linear(6, 3)).train()
    frozen.eval()
    buffers = [buffer.clone() for buffer in model.buffers()]
    use(model, make_examples())
    assert [module.training for module in model] == [True, False, True, True]
    assert model.training
    assert all(torch.equal(*pair) for pair in zip(buffers, model.buffers(), strict=True))
    first, second = predict(model, make_images()), predict(model, make_images())
    assert torch.equal(first.probabilities, second.probabilities)


def test_modes_are_restored_after_an_error() -> None:
    model = make_model().train()
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        predict(model, torch.zeros(1, 1, 3, 3))
    assert model.training


@pytest.mark.parametrize("use", [evaluate, predict])
def test_model_stays_where_it_is_without_a_device(use: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def move(*_arguments: Any, **_options: Any) -> None:
        pytest.fail("the model was moved")

    model = make_model()
    monkeypatch.setattr(model, "to", move)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)  # "auto" would choose it
    use(model, make_examples())
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


@pytest.mark.parametrize("use", [evaluate, predict])
def test_model_is_moved_to_a_named_device(use: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def move(device: torch.device) -> nn.Module:
        devices.append(device)
        return model

    devices: list[torch.device] = []
    model = make_model()
    monkeypatch.setattr(model, "to", move)
    use(model, make_examples(), device="cpu")
    use(model, make_examples(), device=torch.device("cpu"))
    assert devices == [torch.device("cpu")] * 2
    with pytest.raises(ValueError, match="device 'gpu' is unknown to torch"):
        use(model, make_examples(), device="gpu")


@pytest.mark.parametrize(("precision", "dtype"), [("auto", torch.float32), ("bfloat16", torch.bfloat16)])
def test_forward_pass_uses_the_precision(precision: str, dtype: torch.dtype) -> None:
    dtypes: list[torch.dtype] = []
    model = make_model()
    model.register_forward_hook(lambda _module, _inputs, output: dtypes.append(output.dtype))
    predictions = predict(model, make_images(), precision=precision)
    evaluate(model, make_examples(), precision=precision)
    assert dtypes == [dtype] * 2
    assert predictions.probabilities.dtype == torch.float32


@pytest.mark.parametrize("use", [evaluate, predict])
def test_unknown_precision_is_rejected(use: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="precision is 'float8'; expected one of auto, float32, bfloat16, float16"):
        use(make_model(), make_examples(), precision="float8")


def test_model_without_parameters_is_evaluated_on_the_cpu() -> None:
    assert predict(nn.Flatten(), make_images(4)).probabilities.shape == (4, 6)


# Invalid input


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.full((2, 1, 28, 28), math.inf), "images hold 1568 values that are NaN or infinite; expected finite"),
        (torch.zeros(2, 3, 28, 28), r"images have shape \(2, 3, 28, 28\); expected \(N, 1, 28, 28\)"),
        (torch.zeros(2, 1, 28, 28, dtype=torch.uint8), "images have dtype torch.uint8; expected torch.float32"),
        (torch.zeros(0, 1, 28, 28), "the data is empty"),
    ],
)
def test_predict_rejects_invalid_images(images: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        predict(LeNet5(), images)


@pytest.mark.parametrize("images", ["a.png", [1, 2]])
def test_predict_rejects_input_that_is_not_images(images: Any) -> None:
    with pytest.raises(TypeError, match="a batch of images is (str|int); expected a tensor"):
        predict(make_model(), images)


def test_evaluate_rejects_invalid_data() -> None:
    images, targets = BATCH
    with pytest.raises(ValueError, match="images hold 12 values that are NaN"):
        evaluate(make_model(), [(images * math.nan, targets)])
    with pytest.raises(ValueError, match=r"targets lie in \[0, 3\]; expected 0 to 2"):
        evaluate(make_model(), [(images, torch.tensor([0, 3]))])
    with pytest.raises(ValueError, match="the data is empty; expected at least one example"):
        evaluate(make_model(), [])


@pytest.mark.parametrize("use", [evaluate, predict])
def test_model_that_returns_no_logits_is_rejected(use: Callable[..., Any]) -> None:
    message = r"the model returned shape \(2, 1, 2, 3\); expected \(2, num_classes\) logits"
    with pytest.raises(ValueError, match=message):
        use(nn.Identity(), [BATCH])


def test_a_loader_that_yields_nothing_is_rejected() -> None:
    class Silent(list[Any]):
        def __len__(self) -> int:
            return 3

    for function in (evaluate, predict):
        with pytest.raises(ValueError, match="the data yielded no batches; expected at least one"):
            function(make_model(), Silent())
