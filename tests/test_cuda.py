"""What has to hold on an accelerator; `nox -s tests_cuda` runs these."""

import pytest
import torch

from lenet5 import Augment, DataSplits, LeNet5, TensorLoader, Trainer, TrainerConfig

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here"),
]


def train(digits: DataSplits, **settings: object) -> Trainer:
    torch.manual_seed(0)
    trainer = Trainer(LeNet5(), TrainerConfig(max_epochs=8, batch_size=32, device="cuda", **settings))  # type: ignore[arg-type]
    loader = TensorLoader(digits.train, batch_size=32, shuffle=True, augment=Augment())
    trainer.fit(loader, digits.val)
    return trainer


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_on_cuda_learns_digits(digits: DataSplits, precision: str) -> None:
    trainer = train(digits, precision=precision)
    assert trainer.device.type == "cuda"
    assert trainer.evaluate(digits.test).accuracy >= 0.93


def test_answers_on_cuda_and_cpu_agree(digits: DataSplits) -> None:
    model = LeNet5()
    on_cpu = Trainer(model, TrainerConfig(device="cpu")).predict(digits.test).probabilities
    on_cuda = Trainer(model, TrainerConfig(device="cuda")).predict(digits.test).probabilities
    torch.testing.assert_close(on_cuda, on_cpu, rtol=1e-3, atol=1e-4)


def test_what_was_trained_on_cuda_is_loaded_on_the_cpu(
    digits: DataSplits, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("saved") / "trainer"
    trainer = train(digits)
    trainer.save(folder)
    loaded = Trainer.load(folder, device="cpu")
    assert loaded.evaluate(digits.test).accuracy == pytest.approx(trainer.evaluate(digits.test).accuracy, abs=0.01)
