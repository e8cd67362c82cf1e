"""The command group `lenet5`, with the options and the error handling of its commands."""

import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..data.catalogue import NAMES

_EXPECTED_ERRORS = (ValueError, OSError, FloatingPointError)
DATA = click.Choice(NAMES)
root_option: Callable[[Any], Any] = click.option(
    "--root", type=click.Path(file_okay=False, path_type=Path), help="Data folder; MNIST's files are in MNIST/raw."
)
device_option: Callable[[Any], Any] = click.option(
    "--device", default="auto", show_default=True, help="cpu, cuda, cuda:1 or mps; auto selects an accelerator if any."
)


class Failure(click.ClickException):
    """An expected error, reported on stderr with exit code 2."""

    exit_code = 2


class Group(click.Group):
    """A command group that reports expected errors as one sentence on stderr."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and convert expected errors to a `Failure`."""
        warnings.showwarning = _show_warning  # print only the message, without the source line
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # before the first training step, or at the second Ctrl-C
            click.echo("interrupted", err=True)
            ctx.exit(128 + signal.SIGINT)
        except BrokenPipeError:  # the reader has closed the pipe, as `head` does; click exits silently
            raise
        except _EXPECTED_ERRORS as error:
            raise Failure(str(error)) from error


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="lenet5")
def main() -> None:
    """Train, evaluate and use LeNet-5."""


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"warning: {message}", err=True)
