"""The Trainer's AdamW is torch's: the same steps, the same state, the same hooks."""

import copy
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lenet5.training.adamw import AdamW

Change = Callable[[torch.optim.Optimizer, list[nn.Parameter], int], None]


def steps(make: Any, change: Change, num_steps: int = 8, **settings: Any) -> tuple[list[Tensor], dict[str, Any]]:
    """Take steps with random gradients; return the parameters, and the state of the optimizer."""
    generator = torch.Generator().manual_seed(0)
    parameters = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((4, 3), (5,), (2, 2, 3))]
    groups = [{"params": parameters[:2]}, {"params": parameters[2:], "weight_decay": 0.5}]
    optimizer = make(groups, lr=0.1, **{"fused": True, **settings})
    for number in range(num_steps):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        change(optimizer, parameters, number)
        optimizer.step()
    return [parameter.detach() for parameter in parameters], optimizer.state_dict()


def nothing(_optimizer: torch.optim.Optimizer, _parameters: list[nn.Parameter], _number: int) -> None:
    """Change nothing between the steps."""


def freeze(_optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], number: int) -> None:
    for index in ((), (0,), (0,), (1, 2), (), (0, 1, 2), (2,), ())[number]:
        parameters[index].grad = None


def reload(optimizer: torch.optim.Optimizer, _parameters: list[nn.Parameter], number: int) -> None:
    if number in (0, 3, 4):
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


def schedule(optimizer: torch.optim.Optimizer, _parameters: list[nn.Parameter], number: int) -> None:
    for group in optimizer.param_groups:
        group["lr"], group["betas"] = 0.1 / (number + 1), (0.8 + 0.01 * number, 0.99)


def grow(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], number: int) -> None:
    if number == 4:
        parameters.append(nn.Parameter(torch.ones(3)))
        parameters[-1].grad = torch.ones(3)
        optimizer.param_groups[0]["params"].append(parameters[-1])


@pytest.mark.parametrize(
    "settings", [{}, {"amsgrad": True}, {"maximize": True}, {"fused": False}, {"eps": 0.1}], ids=str
)
@pytest.mark.parametrize("change", [nothing, freeze, reload, schedule, grow])
def test_steps_and_state_are_those_of_torch(change: Change, settings: dict[str, Any]) -> None:
    results = [steps(make, change, **settings) for make in (AdamW, torch.optim.AdamW)]
    torch.testing.assert_close(*results, rtol=0, atol=0)
    assert [*results[0][1]["state"][0]] == [*results[1][1]["state"][0]]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes_and_mixtures_of_them_are_left_to_torch(dtype: torch.dtype) -> None:
    results = []
    for make in (AdamW, torch.optim.AdamW):
        parameters = [nn.Parameter(torch.ones(3, dtype=kind)) for kind in (dtype, torch.float32)]
        optimizer = make(parameters, lr=0.1, fused=True)
        for _ in range(3):
            for parameter in parameters:
                parameter.grad = torch.full_like(parameter, 0.5)
            optimizer.step()
        results.append(parameters)
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_hooks_and_closures_run_once_per_step() -> None:
    torch.optim.AdamW([nn.Parameter(torch.ones(1))])  # its class wraps its step
    calls: list[str] = []
    parameter = nn.Parameter(torch.ones(1))
    optimizer = AdamW([parameter], fused=True)
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))

    def closure() -> Tensor:
        calls.append("closure")
        loss = parameter.square().sum()
        torch.autograd.backward(loss)
        return loss

    assert optimizer.step(closure) == 1
    optimizer.step()
    assert calls == ["before", "closure", "after", "before", "after"]


def test_state_dict_holds_one_counter_per_parameter_of_its_own_number() -> None:
    _, state = steps(AdamW, freeze)
    assert {index: float(entry["step"]) for index, entry in state["state"].items()} == {0: 5, 1: 6, 2: 5}
    assert all(entry["step"].shape == () for entry in state["state"].values())


def test_counters_are_one_tensor_from_the_second_step_on() -> None:
    parameters = [nn.Parameter(torch.ones(1)) for _ in range(3)]
    optimizer = AdamW(parameters, fused=True)
    for _ in range(2):
        for parameter in parameters:
            parameter.grad = torch.ones(1)
        optimizer.step()
    assert len({optimizer.state[parameter]["step"].untyped_storage().data_ptr() for parameter in parameters}) == 1


def test_training_does_not_import_the_compiler_of_torch() -> None:
    program = (
        "import sys, torch, lenet5;"
        "data = torch.utils.data.TensorDataset(torch.zeros(4, 1, 28, 28), torch.arange(4));"
        "config = lenet5.TrainerConfig(max_epochs=2, batch_size=2, device='cpu', progress=False);"
        "lenet5.Trainer(lenet5.LeNet5(), config).fit(data, data);"
        "print('torch._dynamo' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"
