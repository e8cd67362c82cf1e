"""The command `python -m peers`, with `benchmarks` on the path."""

import itertools
from pathlib import Path

import click


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--only", multiple=True, metavar="NAME", help="Candidate to measure. Can be repeated.")
@click.option("--rounds", type=int, default=7, show_default=True, help="Measurements of each candidate.")
@click.option("--data", metavar="NAME", help="Also measure the time to 98 % and 99 % test accuracy on this data set.")
@click.option("--root", type=click.Path(file_okay=False, path_type=Path), help="Folder that contains MNIST/raw.")
@click.option("--seeds", type=int, default=10, show_default=True, help="Training runs of each length, with --data.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps, or auto.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write. Default: runs/benchmark-NUMBER.")
def main(
    only: tuple[str, ...], rounds: int, data: str | None, root: Path | None, seeds: int, device: str, out: Path | None
) -> None:
    """Measure this package beside PyTorch, Keras, JAX and ONNX Runtime.

    The quantities are training, inference, memory and, with --data, the time to an accuracy. Libraries that are not
    installed are listed as not measured. The output folder contains a table, a report and a figure.
    """
    import lenet5

    from . import measure

    try:
        folder = _new_folder(out)
        splits = None if data is None else lenet5.load_data(data, root)
        report = measure.benchmark(only, rounds=rounds, seeds=seeds, data=splits, device=device)
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    report.write(folder)
    click.echo(f"{report}\n\nwritten to {folder}")


def _new_folder(out: Path | None) -> Path:
    """Return `out`, which must be new or empty, or runs/benchmark-NUMBER with the next free number."""
    if out is None:
        folders = (Path("runs", f"benchmark-{number:03}") for number in itertools.count(1))
        return next(folder for folder in folders if not folder.exists())
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not empty; expected a new folder")
    return out


if __name__ == "__main__":
    main(prog_name="python -m peers")
