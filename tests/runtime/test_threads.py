"""Threads leave the processor to other programs, and the number that a user has set stays."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import joblib
import pytest
import torch
from torch import nn

from lenet5 import Callback, LeNet5, Trainer, TrainerConfig, TrainingState, evaluate, predict
from lenet5.data import DataSplits
from lenet5.runtime import threads
from lenet5.runtime.threads import iterate_in_one_thread, one_thread, shared_processors

CPU = torch.device("cpu")
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the user state nothing."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def use(monkeypatch: pytest.MonkeyPatch, *, processors: int, usable: int, num_threads: int) -> None:
    """Imitate a machine, the processors that this process may use, and torch's number of threads."""
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    monkeypatch.setattr(joblib, "cpu_count", lambda: usable)
    torch.set_num_threads(num_threads)


@pytest.mark.parametrize(
    ("processors", "usable", "num_threads", "expected"),
    [
        (8, 8, 8, 8),
        (8, 2, 8, 2),  # a container with a quota
        (8, 2, 4, 2),  # the same with two logical processors per core
        (8, 8, 4, 4),
        (8, 2, 3, 3),  # a number of the user
        (8, 2, 16, 16),
        (8, 2, 1, 1),
    ],
)
def test_threads_fit_the_processors_that_the_process_may_use(
    monkeypatch: pytest.MonkeyPatch, processors: int, usable: int, num_threads: int, expected: int
) -> None:
    use(monkeypatch, processors=processors, usable=usable, num_threads=num_threads)
    with shared_processors(CPU):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == num_threads


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_number_of_threads_in_the_environment_stays(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    use(monkeypatch, processors=4, usable=1, num_threads=4)
    monkeypatch.setenv(name, "4")
    with shared_processors(CPU):
        assert torch.get_num_threads() == 4


def test_number_of_threads_that_the_block_sets_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, processors=4, usable=2, num_threads=4)
    with shared_processors(CPU):
        torch.set_num_threads(3)
    assert torch.get_num_threads() == 3


def test_number_of_threads_returns_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, processors=4, usable=2, num_threads=4)
    with pytest.raises(InterruptedError), shared_processors(CPU):
        raise InterruptedError
    assert torch.get_num_threads() == 4


def holders() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("lenet5-")]


@pytest.fixture
def gnu_openmp() -> None:
    if threads._gnu_openmp() is None:
        pytest.skip("torch does not use GNU's OpenMP here")


@pytest.mark.usefixtures("gnu_openmp")
def test_threads_of_openmp_outnumber_the_processors_so_that_idle_ones_sleep() -> None:
    torch.set_num_threads(2)
    values = torch.zeros(1_000_000)
    with shared_processors(CPU):
        values.add_(1)  # starts torch's own pool
        assert len(list(Path("/proc/self/task").iterdir())) > (os.cpu_count() or 1)
        with shared_processors(CPU):
            assert len(holders()) == 1
        assert len(holders()) == 1
    assert not holders()


@pytest.mark.usefixtures("gnu_openmp")
@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT"])
def test_policy_of_the_user_for_idle_threads_stays(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    torch.set_num_threads(2)
    monkeypatch.setenv(name, "1")
    with shared_processors(CPU):
        assert not holders()


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_accelerators_need_no_preparation(device: str) -> None:
    torch.set_num_threads(2)
    with shared_processors(torch.device(device)):
        assert not holders()


def test_one_thread_computes_during_the_block_only() -> None:
    torch.set_num_threads(3)
    with one_thread():
        assert torch.get_num_threads() == 1
    with one_thread(enabled=False):
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == 3


def test_iterator_computes_in_one_thread_and_its_consumer_in_all() -> None:
    torch.set_num_threads(3)

    def numbers() -> Iterator[int]:
        for _ in range(2):
            yield torch.get_num_threads()

    inside = [(number, torch.get_num_threads()) for number in iterate_in_one_thread(numbers())]
    assert inside == [(1, 3)] * 2
    assert torch.get_num_threads() == 3


class RecordThreads(Callback):
    """Record the number of threads in each step; set another number after three."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def on_step_end(self, state: TrainingState) -> None:
        self.numbers.append(torch.get_num_threads())
        if len(self.numbers) == 3:
            torch.set_num_threads(4)


def test_callbacks_see_the_users_number_of_threads_and_may_change_it(digits: DataSplits) -> None:
    torch.set_num_threads(3)
    record = RecordThreads()
    config = TrainerConfig(max_epochs=2, batch_size=32, device="cpu")
    Trainer(LeNet5(), config, callbacks=[record]).fit(digits.train.select(slice(96)))
    assert record.numbers == [3, 3, 3, 4, 4, 4]
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("build", [LeNet5, lambda: LeNet5(pooling="avg"), lambda: LeNet5(activation=nn.Tanh)])
def test_results_are_identical_for_a_stated_number_of_threads(digits: DataSplits, build: type[LeNet5]) -> None:
    torch.set_num_threads(2)

    def fit() -> list[torch.Tensor]:
        torch.manual_seed(0)
        model, config = build(), TrainerConfig(max_epochs=1, batch_size=50, device="cpu")
        Trainer(model, config).fit(digits.train.select(slice(120)))
        report = evaluate(model, digits.val)
        probabilities = predict(model, digits.val).probabilities
        return [*model.parameters(), torch.as_tensor(report.probabilities), probabilities]

    assert all(torch.equal(first, second) for first, second in zip(fit(), fit(), strict=True))
