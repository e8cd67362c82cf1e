"""The command `info`."""

from .group import echo, main

_HELP = "List the networks, the bundled weights and the device."


@main.command(help=_HELP)
def info() -> None:
    """Run the command `info`; see its help."""
    import torch

    import lenet5
    from lenet5.models import kernels
    from lenet5.models.classifier import KERNELS
    from lenet5.runtime.device import resolve_device

    echo(f"lenet5 {lenet5.__version__}, torch {torch.__version__}, device {resolve_device('auto')}")
    echo(f"CPU kernels: {kernels.library.description()}; {torch.get_num_threads()} threads")
    echo("\nnetworks")
    for architecture in (lenet5.LeNet5, lenet5.LeNet5Original, lenet5.CaffeLeNet):
        num_params = sum(parameter.numel() for parameter in architecture().parameters())
        echo(f"  {architecture.__name__}  {num_params:,} parameters")
        kernel = KERNELS.get(architecture.forward)
        echo(f"    kernel: {kernel.limits if kernel else 'none; runs layer by layer'}")
    echo("\nweights")
    for member in [*lenet5.LeNet5_Weights, *lenet5.LeNet5Original_Weights]:
        meta = member.meta
        default = " (default)" if member is lenet5.LeNet5_Weights.DEFAULT else ""
        echo(f"  {member.value}{default}  {meta['num_params']:,} parameters  sha256 {meta['sha256']}")
        for name, metrics in meta["metrics"].items():
            low, high = metrics["accuracy_interval"]
            echo(f"    {name}: accuracy {metrics['accuracy']:.2%} (95 % confidence: {low:.2%} to {high:.2%})")
        echo(f"    {meta['recipe']}")
