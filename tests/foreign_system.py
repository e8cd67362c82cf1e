"""Run the command line and the Trainer under the rules of Windows, which Linux imitates: `foreign_system.py FOLDER`.

What only POSIX has is missing. The system refuses to open folders, to use names that Windows forbids, and to rename or
remove a file that is open or a folder that contains one. Text files without a stated encoding are errors.
"""

import os
import re
import shutil
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import click
import matplotlib.figure
import pandas as pd
import safetensors.torch
import sklearn.datasets
import torchvision.datasets
from torch.utils.data import DataLoader

IMPORTED = (click, matplotlib.figure, pd, safetensors.torch, sklearn.datasets, torchvision.datasets)
POSIX = {
    os: "fork forkpty getuid geteuid getgid getpgid killpg sched_getaffinity O_DIRECTORY O_CLOEXEC O_NOFOLLOW statvfs",
    signal: "SIGKILL SIGHUP SIGALRM SIGUSR1 SIGUSR2 SIGQUIT setitimer alarm pthread_sigmask",
}
MODULES = ("fcntl", "resource", "pwd", "grp", "termios", "pty", "tty")
FORBIDDEN = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)


def open_files() -> list[str]:
    """Return the paths of the files that this process has open."""
    handles = Path("/proc/self/fd")
    return [str(handle.readlink()) for handle in handles.iterdir() if handle.exists()]


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """Raise PermissionError as Windows does; an audit hook, which sees every call of the system."""
    if event == "os.mkdir" or (event == "open" and isinstance(arguments[0], str) and arguments[2] & os.O_CREAT):
        check_name(arguments[0])
    elif event in {"os.rename", "os.remove", "os.rmdir"}:
        paths = [os.path.realpath(path) for path in arguments if isinstance(path, str | os.PathLike)]
        for path in paths:
            check_name(path)
            if any(name == path or name.startswith(f"{path}/") for name in open_files()):
                raise PermissionError(13, "the process cannot access the file because it is being used", path)
        if event == "os.rename" and Path(paths[0]).is_dir() and Path(paths[1]).exists():
            raise PermissionError(13, "access is denied", paths[1])


def check_name(path: str | os.PathLike[str]) -> None:
    """Raise OSError for a name that Windows forbids."""
    for part in Path(path).parts[1:]:
        if FORBIDDEN.search(part):
            raise OSError(22, "the filename, directory name, or volume label syntax is incorrect", str(path))


def imitate() -> None:
    """Start the imitation."""
    for module, names in POSIX.items():
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)
    for name in MODULES:
        sys.modules[name] = cast("Any", None)  # cannot be imported
    opened, shutil._use_fd_functions = os.open, False  # type: ignore[attr-defined]  # Windows opens no folders

    def open_no_folder(path: Any, *arguments: Any, **options: Any) -> int:
        if isinstance(path, str | os.PathLike) and Path(path).is_dir():
            raise PermissionError(13, "permission denied", path)
        return opened(path, *arguments, **options)

    os.open = open_no_folder
    warnings.filterwarnings("ignore", category=EncodingWarning)  # other packages
    warnings.filterwarnings("error", category=EncodingWarning, module=r"lenet5|__main__")
    sys.addaudithook(refuse)


def rehearse(folder: Path) -> None:
    """Check that the imitation refuses what Windows refuses."""
    folder.mkdir()
    file = folder / "open"
    deeds: list[Callable[[], object]] = [
        lambda: os.open(folder, os.O_RDONLY),
        (folder / "a:b").mkdir,
        lambda: (folder / "nul.txt").write_bytes(b""),
        lambda: (folder / "ends.").write_bytes(b""),
        lambda: file.replace(folder / "closed"),
        lambda: (folder / "closed").replace(file),
        file.unlink,
        lambda: folder.replace(folder.with_name("moved")),
        (folder / "closed").read_text,
        lambda: getattr(os, "fork"),  # noqa: B009 (mypy knows that Linux has it)
    ]
    (folder / "closed").write_bytes(b"")
    with file.open("xb"):
        for number, deed in enumerate(deeds):
            try:
                deed()
            except (OSError, EncodingWarning, AttributeError):
                continue
            raise AssertionError(f"deed {number} is not refused")
    file.replace(folder / "closed")


def main(folder: Path) -> None:
    """Train, resume, save over what exists, and predict."""
    import PIL.Image

    import lenet5
    from lenet5.cli import main as command

    splits = lenet5.load_data("digits")
    small = splits.train.select(slice(0, 200))
    config = lenet5.TrainerConfig(
        max_epochs=2, batch_size=50, device="cpu", checkpoint_dir=folder / "checkpoints", keep_checkpoints=1
    )
    model = lenet5.LeNet5()
    trainer = lenet5.Trainer(model, config, callbacks=[lenet5.CSVLogger(folder / "history.csv")])
    trainer.fit(small, splits.val)
    lenet5.Trainer(lenet5.LeNet5(), config).fit(small, splits.val, resume="auto")
    for _ in range(2):
        trainer.save(folder / "saved")
        model.save_pretrained(folder / "weights")
    lenet5.Trainer.load(folder / "saved").evaluate(DataLoader(splits.val, batch_size=50))
    images = splits.test.images[:1]
    PIL.Image.fromarray(images[0, 0].numpy()).save(folder / "Zürich.png")
    run = str(folder / "run")
    for arguments in (
        ["train", "--epochs", "1", "--device", "cpu", "--out", run],
        ["evaluate", "--data", "digits", "--weights", run],
        ["predict", "--raw", str(folder / "Zürich.png"), "--weights", run, "--show", str(folder / "shown.png")],
        ["info"],
    ):
        command(arguments, standalone_mode=False)  # raises what it would print


if __name__ == "__main__":
    if sys.platform == "linux":
        imitate()
        rehearse(Path(sys.argv[1], "rehearsal"))
    main(Path(sys.argv[1]))
    print("done")
