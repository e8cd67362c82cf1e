"""The command group `lenet5`, with the options and the error handling of its commands."""

import contextlib
import errno
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from types import FrameType
from typing import IO, Any

import click

from .. import notebook
from ..recipes.settings import SETTINGS
from ..storage import shown
from .parameters import DeviceName, Root

_UNCHECKED = ("TQDM_", "LOKY_", "JOBLIB_")  # variables that libraries read unchecked, and no command needs
_LONGEST_NAME = 200  # characters of a path in a message
_ADVICE = {
    errno.ENAMETOOLONG: "; choose a shorter name",
    errno.ENOSPC: "; free some space, or choose a different disk",
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "; choose a folder that you can write"),
}
_EXPECTED_ERRORS = (ValueError, OSError, FloatingPointError, ImportError)  # the last names a missing extra
root_option: Callable[[Any], Any] = click.option(
    "--root", type=Root(), help="Data folder; MNIST's files are in MNIST/raw."
)
device_option: Callable[[Any], Any] = click.option(
    "--device",
    type=DeviceName(),
    default="auto",
    show_default=True,
    help="cpu, cuda, cuda:1 or mps; auto selects an accelerator if any.",
)


def echo(text: object = "", *, err: bool = False) -> None:
    """Print to stdout or stderr, with escapes for characters that its encoding lacks, as in a redirected console."""
    encoding = getattr(sys.stderr if err else sys.stdout, "encoding", None) or "utf-8"
    click.echo(str(text).encode(encoding, "backslashreplace").decode(encoding), err=err)


class Failure(click.ClickException):
    """An expected error, reported on stderr with exit code 2."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the error."""
        del file
        with contextlib.suppress(OSError):  # stderr cannot be written either; the exit code remains
            echo(f"Error: {shown(self.message)}", err=True)


class Group(click.Group):
    """A command group that reports expected errors as one sentence on stderr."""

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the command line; what cannot be printed, as on a full disk, is dropped at the end."""
        try:
            return super().main(*arguments, **options)
        finally:
            for name in ("stdout", "stderr"):
                try:
                    if (stream := getattr(sys, name)) is not None:
                        stream.flush()
                except OSError:
                    setattr(sys, name, None)

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Parse the options of the group, and print the help."""
        try:
            with _one_sentence():
                return super().make_context(*arguments, **options)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Failure(_sentence(error)) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and convert expected errors to a `Failure`."""
        warnings.showwarning = _show_warning  # print only the message, without the source line
        try:
            with notebook.without_variables(*_UNCHECKED), _one_sentence():
                return super().invoke(ctx)
        except KeyboardInterrupt:  # before the first training step, or at the second Ctrl-C
            echo("interrupted", err=True)
            ctx.exit(128 + signal.SIGINT)
        except BrokenPipeError:  # the reader has closed the pipe, as `head` does; click exits silently
            raise
        except _EXPECTED_ERRORS as error:
            raise Failure(_sentence(error)) from error


@click.group(
    cls=Group,
    help="Train, evaluate and use LeNet-5.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="lenet5")
def main() -> None:
    """Run the command line. Help is no docstring, because `python -OO` removes these."""


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Let no import swallow a Ctrl-C: at the latest, KeyboardInterrupt is raised at the end of the block.

    Modules in C, and modules that try an import and go on without it, lose an exception that is raised in them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received = []

    def handle(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:  # shells ignore it for background jobs
        signal.signal(signal.SIGINT, handle)
    try:
        yield
    except Exception:
        if not received:
            raise
    finally:
        signal.signal(signal.SIGINT, before)
    if received:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _one_sentence() -> Iterator[None]:
    """Convert a usage error, which click prints with the usage of the command, to a `Failure`."""
    try:
        yield
    except click.exceptions.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        message = " ".join(error.format_message().split())  # click puts each choice of a missing option on its own line
        raise Failure(f"{message}{_setting_hint(error)}") from error


def _setting_hint(error: click.UsageError) -> str:
    """Return what to pass instead of an option that is a setting of `lenet5 train`."""
    name = error.option_name.lstrip("-").replace("-", "_") if isinstance(error, click.NoSuchOption) else ""
    takes_settings = error.ctx is not None and any(
        parameter.name == "options" for parameter in error.ctx.command.params
    )
    return f" Pass --set {name}=VALUE." if takes_settings and name in SETTINGS else ""


def _sentence(error: Exception) -> str:
    """Return the text of an error; the system's own are put as a sentence, without their numbers."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    name = "the output" if error.filename is None else str(error.filename)
    short = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."
    return f"{short} cannot be read or written: {error.strerror}{_ADVICE.get(error.errno or 0, '')}"


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    echo(f"warning: {shown(message)}", err=True)
