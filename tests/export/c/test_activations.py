from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from lenet5 import LeNet5
from lenet5.export import export_c
from lenet5.export.c.activations import activation_of
from lenet5.models.activations import Square
from lenet5.models.original.layers import ScaledTanh

if TYPE_CHECKING:
    from .conftest import Compiler

NOT_ELEMENTWISE = {"GLU", "MultiheadAttention", "Softmin", "Softmax", "Softmax2d", "LogSoftmax"}
ACTIVATIONS: list[nn.Module] = [
    *(getattr(nn, name)() for name in nn.modules.activation.__all__ if name not in {*NOT_ELEMENTWISE, "Threshold"}),
    *(
        nn.Threshold(0.3, -2.0),
        nn.Hardtanh(-0.25, 3.0),
        nn.LeakyReLU(0.3),
        nn.ELU(0.7),
        nn.CELU(0.4),
        nn.PReLU(init=0.6),
    ),
    *(nn.Softplus(3.0, 5.0), nn.Softshrink(1.5), nn.Hardshrink(2.0), nn.GELU("tanh"), nn.Identity()),
    *(Square(), ScaledTanh()),
]


def test_every_elementwise_activation_of_torch_gives_the_same_values(
    compiler: "Compiler", strict: list[str], tmp_path: Path
) -> None:
    values = torch.linspace(-30, 30, 6001)
    written = [activation_of(module) for module in ACTIVATIONS if not isinstance(module, nn.Identity)]
    source = tmp_path / "activations.c"
    lines = [
        f"float f{number}(float x);\nfloat f{number}(float x)\n{{\n    return {each.expression};\n}}\n"
        for number, each in enumerate(written)
    ]
    loop = "void all(const float *x, int count, float *y);\nvoid all(const float *x, int count, float *y)\n{\n"
    loop += "    for (int i = 0; i < count; i++) {\n"
    loop += "".join(f"        y[{number} * count + i] = f{number}(x[i]);\n" for number in range(len(written)))
    source.write_text("#include <math.h>\n\n" + "\n".join(lines) + "\n" + loop + "    }\n}\n", encoding="utf-8")
    library = compiler.library(*strict, "-O1", source)
    found = torch.empty(len(written), len(values))
    library.all(*(compiler.address(values), len(values), compiler.address(found)))
    modules = [module.eval() for module in ACTIVATIONS if not isinstance(module, nn.Identity)]
    for module, row in zip(modules, found, strict=True):
        with torch.no_grad():
            np.testing.assert_allclose(row, module(values), rtol=1e-5, atol=1e-6, err_msg=str(module))


def test_libm_is_needed_only_by_activations_that_call_it() -> None:
    assert activation_of(nn.ReLU()).libm == []
    assert activation_of(nn.Tanh()).libm == ["tanhf"]
    assert activation_of(nn.Mish()).libm == ["tanhf", "log1pf", "expf"]


def test_identity_is_no_function(tmp_path: Path) -> None:
    export_c(LeNet5(activation=nn.Identity), tmp_path / "lenet5.c")
    text = (tmp_path / "lenet5.c").read_text(encoding="ascii")
    assert "return sum;" in text
    assert "math.h" not in text


@pytest.mark.parametrize("name", ["Softmax2d", "LogSoftmax"])
def test_unknown_activation_is_named(name: str, tmp_path: Path) -> None:
    model = LeNet5().eval()
    model.c3[1] = getattr(nn, name)() if name == "Softmax2d" else nn.LogSoftmax(1)
    with pytest.raises(ValueError, match=f"the activation {name}.* cannot be written in C; expected one of: CELU, ELU"):
        export_c(model, tmp_path / "lenet5.c")
    assert not list(tmp_path.iterdir())
