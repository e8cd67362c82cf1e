"""The command `lenet5`: what its subcommands have in common."""

from __future__ import annotations

import signal
import warnings
from pathlib import Path
from typing import Any

import click

_EXPECTED_ERRORS = (ValueError, OSError, FloatingPointError)
DATA = click.Choice(["digits", "mnist", "fashion_mnist", "kmnist", "emnist", "qmnist"])
root_option = click.option(
    "--root", type=click.Path(file_okay=False, path_type=Path), help="Folder that holds MNIST/raw and the like."
)
device_option = click.option(
    "--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps; auto finds one."
)


class Failure(click.ClickException):
    """What went wrong, in a sentence for stderr."""

    exit_code = 2


class Group(click.Group):
    """Commands whose foreseeable errors are one sentence on stderr and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        warnings.showwarning = _show_warning  # a sentence, without the line of code that gave it
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # before a training's first step, or a second time
            click.echo("interrupted", err=True)
            ctx.exit(128 + signal.SIGINT)
        except BrokenPipeError:  # nobody reads on, as after `| head`: click ends quietly
            raise
        except _EXPECTED_ERRORS as error:
            raise Failure(str(error)) from error


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="lenet5")
def main() -> None:
    """LeNet-5: train it, evaluate it, use it."""


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"warning: {message}", err=True)
