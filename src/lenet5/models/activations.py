"""Activations by name, so that a weights folder can name the one of its network."""

from typing import Any

from torch import Tensor, nn

from .original.layers import ScaledTanh


class Square(nn.Module):
    """The activation x², the only one that homomorphic encryption computes with a single multiplication.

    Gilad-Bachrach et al., "CryptoNets: Applying Neural Networks to Encrypted Data with High Throughput and Accuracy",
    ICML 2016. It is unbounded, so train with gradient clipping, as the recipe `square` does.

    Examples
    --------
    >>> lenet5.Square()(torch.tensor([-2.0, 3.0]))
    tensor([4., 9.])
    >>> model = lenet5.LeNet5(activation=lenet5.Square, pooling="avg")
    """

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation elementwise to a tensor of any shape."""
        return x * x  # not x.square(), which torch exports as a power: some tools read products alone


_OWN = {activation.__name__: activation for activation in (Square, ScaledTanh)}


def activation_name(activation: object) -> str:
    """Return the name by which `find_activation` finds a class.

    Raises
    ------
    ValueError
        There is none: the class is neither of torch.nn nor of this package.
    """
    name = getattr(activation, "__name__", "")
    if _find(name) is not activation:
        raise ValueError(
            f"activation {activation!r} cannot be saved by name; expected an activation of torch.nn, such as"
            f" torch.nn.Tanh, or one of this package: {', '.join(_OWN)}"
            " (safetensors.torch.save_model saves the tensors alone)"
        )
    return str(name)


def find_activation(name: object) -> type[nn.Module]:
    """Return the class of an activation, of torch.nn or of this package, by its name.

    Raises
    ------
    ValueError
        There is none of this name.
    """
    activation: type[nn.Module] | None = _find(name)
    if activation is None:
        raise ValueError(
            f"activation is {name!r}; expected the name of an activation in torch.nn, or {', '.join(_OWN)}"
        )
    return activation


def _find(name: object) -> Any:
    if name in nn.modules.activation.__all__:
        return getattr(nn.modules.activation, str(name))
    return _OWN.get(str(name))
