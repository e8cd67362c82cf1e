"""Saliency: which pixels a prediction depends on."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..arguments import as_integer, suggestion
from .maps import find_layer
from .observed import Source, as_batch, as_network, check_floating_point, undisturbed

Method: TypeAlias = Literal["gradient", "integrated_gradients", "grad_cam"]


def saliency(
    source: Source, images: Any, target: Any = None, *, method: Method = "gradient", layer: str | None = None
) -> Tensor:
    """Compute how much the logit of a class depends on each pixel.

    The network computes in evaluation mode. Its mode, its hooks and gradients, and the random generators are afterwards
    as before.

    Parameters
    ----------
    source, images
        As in `feature_maps`.
    target
        The class: an integer, or one for each image (N,). None for the class that the network predicts.
    method
        One of:

        - "gradient": the absolute value of the gradient (Simonyan et al., arXiv:1312.6034), which is that of
          `captum.attr.Saliency`;
        - "integrated_gradients": Captum's `IntegratedGradients` (Sundararajan et al., arXiv:1703.01365) from an image
          of zeros, which is the mean grey of normalised pixels. It is signed, and sums to the difference of the logits;
        - "grad_cam": Captum's `LayerGradCam` (Selvaraju et al., arXiv:1610.02391), enlarged to the size of the images.

        The last two need the extra `captum`.
    layer
        Name of the convolution for "grad_cam"; None for "c3". The other methods need none.

    Returns
    -------
    Tensor
        (N, C, H, W), and (N, 1, H, W) for "grad_cam", on the network's device.

    Raises
    ------
    ImportError
        The method needs Captum, which is not installed.
    TypeError
        The images or the network are of an unsupported type.
    ValueError
        The images do not fit the network, or the target is no class of it, or there is no such method or layer, or the
        method takes no layer.

    Examples
    --------
    >>> weights = lenet5.load("mnist_v2")
    >>> lenet5.saliency(weights, "pencil.jpg").shape  # for the predicted class
    torch.Size([1, 1, 28, 28])
    >>> why_not_one = lenet5.saliency(weights, "pencil.jpg", target=1)
    """
    if method not in _METHODS:
        hint = suggestion(str(method), _METHODS)
        raise ValueError(f"method is {method!r}{hint}; expected one of: {', '.join(get_args(Method))}")
    if layer is not None and method != "grad_cam":
        raise ValueError(f"layer is {layer!r}, but the method {method!r} has none; expected None, or method='grad_cam'")
    network, batch = as_network(source), as_batch(source, images)
    check_floating_point(batch)
    with undisturbed(network, gradients=True):
        batch = batch.detach().clone().requires_grad_()  # a clone also of a tensor that was made in inference mode
        logits = network(batch)
        targets = _targets(target, logits)
        return _METHODS[method](network, batch, targets, "c3" if layer is None else layer).detach()


def _gradient(network: nn.Module, images: Tensor, targets: Tensor, _: str) -> Tensor:
    selected = network(images).gather(1, targets[:, None])
    (gradients,) = torch.autograd.grad(selected.sum(), images)  # of each image alone: images share no logit
    return gradients.abs()


def _integrated_gradients(network: nn.Module, images: Tensor, targets: Tensor, _: str) -> Tensor:
    attributions: Tensor = _captum().IntegratedGradients(network).attribute(images, target=targets)
    return attributions.to(images.dtype)


def _grad_cam(network: nn.Module, images: Tensor, targets: Tensor, layer: str) -> Tensor:
    method = _captum().LayerGradCam(network, find_layer(network, layer))
    maps: Tensor = method.attribute(images, target=targets, relu_attributions=True)
    if maps.ndim != 4 or images.ndim != 4:
        raise ValueError(f"the layer {layer} has an output of {maps.ndim} dimensions; expected maps (N, C, H, W)")
    return functional.interpolate(maps, images.shape[2:], mode="bilinear")


_METHODS: dict[str, Callable[[nn.Module, Tensor, Tensor, str], Tensor]] = {
    "gradient": _gradient,
    "integrated_gradients": _integrated_gradients,
    "grad_cam": _grad_cam,
}


def _captum() -> Any:
    try:
        import captum.attr
    except ImportError as error:
        raise ImportError(
            'only the method "gradient" works without the package captum: pip install ".[captum]"'
        ) from error
    return captum.attr


def _targets(target: Any, logits: object) -> Tensor:
    """Return the class (N,) whose logit is explained, for each image."""
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        found = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise ValueError(f"the network returned {found}; expected logits (N, num_classes)")
    if target is None:
        return logits.argmax(1)
    number, (count, num_classes) = as_integer(target), logits.shape
    given = [number] * count if number is not None else [as_integer(each) for each in _sequence(target)]
    for each in given:
        if each is None or not 0 <= each < num_classes:
            raise ValueError(f"target is {target!r}; expected classes from 0 to {num_classes - 1}, as integers")
    if len(given) != count:
        raise ValueError(
            f"there are {len(given)} targets for {count} images; expected one class, or one for each image"
        )
    return torch.tensor(given, device=logits.device)


def _sequence(target: Any) -> list[Any]:
    values = target.tolist() if hasattr(target, "tolist") else target
    return list(values) if isinstance(values, Iterable) else [values]
