"""Distil a larger network into LeNet-5 (Hinton, Vinyals and Dean, arXiv:1503.02531).

    python benchmarks/distillation.py render --root DIR --bank BANK [--copies gentle=12,wild=8,retraced=4,drawn=2]
    python benchmarks/distillation.py teach --root DIR --teacher TEACHER
    python benchmarks/distillation.py label --bank BANK --teacher TEACHER [--classes KIND,KIND]
    python benchmarks/distillation.py distil --root DIR --bank BANK --runs RUNS [--shares gentle=1] [--seeds 5]
    python benchmarks/distillation.py tabulate --root DIR --runs RUNS --results RESULTS.csv

The bank holds distorted copies of the 55,000 training images: `gentle` as MNIST's own writers differ, `wild` as other
writers, pens and cameras do, `retraced` as data sets and `load_digit` draw them, `drawn` as different countries teach
them, and `none`, which are no digits. With `--data fashion_mnist`, the kinds are `gentle` and `shifted`.

The student learns the probabilities that the teacher gives for these very images, softened by --temperature. With
--classes KIND,KIND it learns the classes of some kinds instead, where the teacher is not good enough, or to show what
the teacher is worth. Of what is no digit it learns that every class is equally likely (Hendrycks, Mazeika and
Dietterich, arXiv:1812.04606), unless the teacher is sure that it is a digit by chance. Files and runs that exist are
kept, so an interrupted command goes on. Only `tabulate` looks at the test set.
"""

import argparse
import copy
import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

import lenet5
from drawings import draw_digits
from garments import distort_garments, erase_parts, shift_garments
from no_digits import draw_no_digits
from writers import Distort, distort_gently, distort_strokes, distort_wildly, redraw, retrace

Labelled: TypeAlias = tuple[Tensor, Tensor]
DISTORTIONS: dict[str, dict[str, Distort]] = {
    "mnist": {
        "gentle": distort_gently,
        "wild": distort_wildly,
        "retraced": retrace,
        "drawn": lambda _images, targets, generator: draw_digits(targets, generator),
    },
    "fashion_mnist": {"gentle": distort_garments, "shifted": shift_garments},
}
LESSONS: dict[str, dict[Distort, float]] = {  # shares of what the teacher sees
    "mnist": {distort_gently: 0.5, distort_strokes: 0.15, distort_wildly: 0.35},
    "fashion_mnist": {erase_parts: 1.0},
}
KINDS = (*DISTORTIONS["mnist"], "none", "shifted")
COPIES = {"gentle": 12.0, "wild": 8.0, "retraced": 4.0, "drawn": 2.0, "none": 4.0}
BATCH_SIZE = 128
CHUNK = 5000  # images that are distorted at once
SURE = 0.95  # a drawing of which the teacher is as sure as this may be a digit


class Teacher(nn.Sequential):
    """Six convolutions in three stages, as in VGG (Simonyan and Zisserman, arXiv:1409.1556), with batch normalisation.

    Inputs are images (N, 1, 28, 28), normalised; the outputs are logits (N, 10).
    """

    def __init__(self, width: int = 32) -> None:
        layers: list[nn.Module] = []
        channels = 1
        for stage in (1, 2, 3):
            for _ in range(2):
                layers += [nn.Conv2d(channels, stage * width, 3, padding=1, bias=False)]
                layers += [nn.BatchNorm2d(stage * width), nn.ReLU(inplace=True)]
                channels = stage * width
            layers += [nn.MaxPool2d(2), nn.Dropout2d(0.05)] if stage < 3 else [nn.AdaptiveMaxPool2d(1)]
        super().__init__(*layers, nn.Flatten(), nn.Dropout(0.2), nn.Linear(channels, 10))
        self.to(memory_format=torch.channels_last)


class Lesson:
    """Batches for the teacher, of which shares are distorted in different ways, anew in each epoch."""

    def __init__(self, train: lenet5.ImageDataset, shares: Mapping[Distort, float], seed: int) -> None:
        self.train, self.shares, self.generator = train, shares, Generator().manual_seed(seed)
        self.preprocess = lenet5.Preprocess()

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return len(self.train) // BATCH_SIZE

    def __iter__(self) -> Iterator[Labelled]:
        """Yield batches of images, normalised, and classes (N,)."""
        sizes = [round(BATCH_SIZE * share) for share in self.shares.values()]
        for rows in torch.randperm(len(self.train), generator=self.generator)[: BATCH_SIZE * len(self)].view(
            -1, BATCH_SIZE
        ):
            parts = zip(self.shares, torch.split(rows, sizes), strict=True)
            images, targets = self.train.images, self.train.targets
            distorted = [distort(images[part], targets[part], self.generator) for distort, part in parts]
            batch = self.preprocess(torch.cat(distorted))
            yield batch.contiguous(memory_format=torch.channels_last), targets[rows]


class Bank:
    """Batches for the student from files by kind and number, each of `images`, `targets` and perhaps `logits`.

    Parameters
    ----------
    folder
        Where the files are.
    shares
        Share of each kind in a batch.
    classes
        Kinds whose labels are the classes instead of the teacher's probabilities.
    temperature
        Divisor of the teacher's logits.
    seed
        Of the order.
    """

    def __init__(
        self, folder: Path, shares: Mapping[str, float], *, classes: Collection[str], temperature: float, seed: int
    ) -> None:
        self.files = {kind: sorted(folder.glob(f"{kind}-*.safetensors")) for kind in shares}
        self.sizes = {kind: round(BATCH_SIZE * share / sum(shares.values())) for kind, share in shares.items()}
        self.classes, self.temperature, self.random = classes, temperature, np.random.default_rng(seed)
        self.preprocess = lenet5.Preprocess()
        self.streams = [self._stream(kind) for kind in shares]

    def __len__(self) -> int:
        """Return the number of batches in an epoch, which has as many images as MNIST's training split."""
        return 55_000 // sum(self.sizes.values())

    def __iter__(self) -> Iterator[Labelled]:
        """Yield batches of images, normalised, and probabilities (N, 10)."""
        for _ in range(len(self)):
            parts = [next(stream) for stream in self.streams]
            yield self.preprocess(torch.cat([images for images, _ in parts])), torch.cat([label for _, label in parts])

    def _stream(self, kind: str) -> Iterator[Labelled]:
        """Yield shares of batches for ever, from one file after the other in random order."""
        while True:
            for number in self.random.permutation(len(self.files[kind])):
                content = load_file(self.files[kind][number])
                images, labels = content["images"], self._probabilities(content, kind)
                order = torch.from_numpy(self.random.permutation(len(images)))
                for rows in torch.split(order, self.sizes[kind])[:-1]:
                    yield images[rows], labels[rows]

    def _probabilities(self, content: Mapping[str, Tensor], kind: str) -> Tensor:
        if kind not in self.classes:
            return (content["logits"].float() / self.temperature).softmax(1)
        targets = content["targets"]
        return torch.where((targets >= 0)[:, None], nn.functional.one_hot(targets.clamp_min(0), 10).float(), 0.1)


def render(arguments: argparse.Namespace) -> None:
    """Fill the bank."""
    train = lenet5.load_data(arguments.data, arguments.root, download=False).train
    arguments.bank.mkdir(parents=True, exist_ok=True)
    for kind, copies in arguments.copies.items():
        for number in range(int(copies)):
            file = arguments.bank / f"{kind}-{number:03}.safetensors"
            if not file.exists():
                generator = Generator().manual_seed(1000 * KINDS.index(kind) + number)
                save(render_kind(arguments.data, kind, train, generator), file)


def render_kind(data: str, kind: str, train: lenet5.ImageDataset, generator: Generator) -> dict[str, Tensor]:
    """Distort all images, or draw a fifth as many that are no digits; their targets are -1."""
    if kind == "none":
        images, doubtful = draw_no_digits(train.images, train.targets, len(train) // 5, generator)
        return {"images": images, "targets": torch.full((len(images),), -1), "doubtful": doubtful}
    return {"images": redraw(train, DISTORTIONS[data][kind], generator, chunk=CHUNK), "targets": train.targets}


def save(content: dict[str, Tensor], file: Path) -> None:
    """Write a file at once, so that an interrupted command leaves none half written."""
    unfinished = file.with_suffix(".unfinished")
    save_file({name: values.contiguous() for name, values in content.items()}, unfinished)
    unfinished.replace(file)
    print(file, flush=True)


def preprocessed(split: lenet5.ImageDataset, preprocess: lenet5.Preprocess) -> lenet5.ImageDataset:
    """Return the split with other preprocessing; the images are not copied."""
    split = copy.copy(split)
    split.transform = preprocess
    return split


def teach(arguments: argparse.Namespace) -> None:
    """Train the teacher."""
    splits = lenet5.load_data(arguments.data, arguments.root, download=False)
    torch.manual_seed(0)
    teacher, lesson = Teacher(arguments.width), Lesson(splits.train, LESSONS[arguments.data], seed=0)
    val = preprocessed(splits.val, lesson.preprocess)
    config = lenet5.TrainerConfig(
        max_epochs=arguments.epochs or 24,
        lr=0.003,
        weight_decay=0.05,
        max_grad_norm=1,
        ema_decay=0.999,
        restore_best=False,
        precision="bfloat16",
    )
    lenet5.Trainer(teacher, config, lr_scheduler=teacher_schedule).fit(lesson, val)
    save(teacher.state_dict(), arguments.teacher)


def teacher_schedule(optimizer: Optimizer, num_updates: int) -> LambdaLR:
    """Warm up for two of 24 epochs, decay by a quarter until the 14th, as a cosine does, and then linearly to zero.

    Other numbers of epochs are divided in the same way.
    """

    def factor(update: int) -> float:
        epoch = 24 * update / num_updates
        if epoch < 14:
            return min(epoch / 2, 1) * (1 + math.cos(math.pi * epoch / 40)) / 2
        return 0.73 * (24 - epoch) / 10

    return LambdaLR(optimizer, factor)


def label(arguments: argparse.Namespace) -> None:
    """Add the teacher's logits to the files of the bank that lack them."""
    teacher = load_teacher(arguments.teacher)
    for file in sorted(arguments.bank.glob("*.safetensors"), key=lambda file: file.stem[-3:]):
        content = load_file(file)
        if "logits" not in content and file.stem.partition("-")[0] not in arguments.classes:
            content["logits"] = compute_logits(teacher, content["images"]).half()
            save(content if "doubtful" not in content else without_digits(content), file)


def load_teacher(file: Path) -> Teacher:
    """Load the teacher for use."""
    content = load_file(file)
    teacher = Teacher(len(content["0.weight"]))
    teacher.load_state_dict(content)
    return teacher.eval()


def compute_logits(teacher: nn.Module, images: Tensor) -> Tensor:
    """Return the logits (N, 10) for images (N, 1, 28, 28) uint8."""
    preprocess = lenet5.Preprocess()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        batches = [
            preprocess(chunk).contiguous(memory_format=torch.channels_last) for chunk in torch.split(images, 500)
        ]
        return torch.cat([teacher(batch).float() for batch in batches])


def without_digits(content: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out drawings that the teacher takes for digits; of the others, all classes are equally likely."""
    sure = content["logits"].float().softmax(1).amax(1) > SURE
    kept = {name: values[~(sure & content["doubtful"])] for name, values in content.items() if name != "doubtful"}
    return {**kept, "logits": torch.zeros_like(kept["logits"])}


def distil(arguments: argparse.Namespace) -> None:
    """Train a student for each seed, unless its run is complete, and print its accuracy on the validation split."""
    val, epochs = lenet5.load_data(arguments.data, arguments.root, download=False).val, arguments.epochs or 140
    for seed in range(arguments.seeds):
        run = arguments.runs / f"seed-{seed}"
        if (run / "config.json").exists():
            continue
        bank = Bank(
            arguments.bank, arguments.shares, classes=arguments.classes, temperature=arguments.temperature, seed=seed
        )
        model = train_student(bank, epochs, seed)
        report = lenet5.evaluate(model, preprocessed(val, bank.preprocess))
        if arguments.calibrate:
            scale_logits(model, 1 / lenet5.temperature(report.targets, report.probabilities))
        shares = ",".join(f"{kind}={share:g}" for kind, share in arguments.shares.items())
        options = f"--shares {shares} --epochs {epochs}"
        if arguments.data != "mnist":
            options = f"--data {arguments.data} {options}"
        if arguments.temperature != 1:
            options += f" --temperature {arguments.temperature:g}"
        if arguments.classes:
            options += f" --classes {','.join(arguments.classes)}"
        if arguments.calibrate:
            options += " --calibrate"
        meta = {
            "recipe": f"python benchmarks/distillation.py distil --root DIR --bank BANK --runs RUNS {options}",
            "categories": list(val.classes),
            "seed": seed,
            "epoch": epochs,
            "val_accuracy": report.accuracy,
            "versions": {"lenet5": lenet5.__version__, "torch": torch.__version__.partition("+")[0]},
        }
        model.save_pretrained(run, preprocess=bank.preprocess, meta=meta)
        print(run, f"{report.accuracy:.2%}", flush=True)


def train_student(bank: Bank, epochs: int, seed: int) -> lenet5.LeNet5:
    """Train LeNet-5 with AdamW, with a learning rate that rises for a fifth of the steps, and then falls to zero.

    Its logits are scaled to those of the teacher.
    """
    torch.manual_seed(seed)
    model = lenet5.LeNet5()
    config = lenet5.TrainerConfig(max_epochs=epochs, lr=0.004, weight_decay=0.1, seed=seed)

    def schedule(optimizer: Optimizer, num_updates: int) -> LambdaLR:
        return LambdaLR(optimizer, lambda update: min(5 * update, 1.25 * (num_updates - update)) / num_updates)

    lenet5.Trainer(model, config, lr_scheduler=schedule).fit(bank)
    scale_logits(model, bank.temperature)
    return model


def scale_logits(model: lenet5.LeNet5, factor: float) -> None:
    """Multiply the output layer, and thus the logits, by a factor."""
    with torch.no_grad():
        for parameter in model.output.parameters():
            parameter.mul_(factor)


def tabulate(arguments: argparse.Namespace) -> None:
    """Write a table of the runs with their accuracy on the test set, and print mean and standard deviation."""
    test = lenet5.load_data(arguments.data, arguments.root, download=False).test
    rows = []
    for seed, run in enumerate(sorted(arguments.runs.glob("seed-*"))):
        weights = lenet5.load(run)
        report = lenet5.evaluate(weights.model, preprocessed(test, weights.preprocess))
        meta = weights.meta
        rows.append(
            {
                "seed": seed,
                "epoch": meta["epoch"],
                "val_accuracy": meta["val_accuracy"],
                "test_accuracy": report.accuracy,
                "test_loss": report.loss,
                "test_ece": report.expected_calibration_error,
                "sha256": meta["sha256"],
                "torch": meta["versions"]["torch"],
                "command": meta["recipe"],
            }
        )
    table = pd.DataFrame(rows)
    table.to_csv(arguments.results, index=False, lineterminator="\n")
    for name in ("val_accuracy", "test_accuracy"):
        percent = 100 * table[name]
        print(f"{name}: {percent.mean():.3f} ± {percent.std():.3f} % over {len(table)} seeds")


def parse_names(text: str) -> list[str]:
    """Parse KIND,KIND."""
    names = text.split(",")
    if unknown := set(names) - set(KINDS):
        raise argparse.ArgumentTypeError(f"there are no kinds {unknown}; expected some of {KINDS}")
    return names


def parse_kinds(text: str) -> dict[str, float]:
    """Parse KIND=NUMBER,KIND=NUMBER."""
    parts = [part.partition("=") for part in text.split(",")]
    names = parse_names(",".join(name for name, _, _ in parts))
    return {name: float(number) for name, (_, _, number) in zip(names, parts, strict=True)}


def main() -> None:
    """Run one command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    for command in (render, teach, label, distil, tabulate):
        options = commands.add_parser(command.__name__, help=command.__doc__)
        options.set_defaults(run_command=command)
        options.add_argument("--data", choices=[*DISTORTIONS], default="mnist")
        options.add_argument("--root", help="the folder of MNIST or Fashion-MNIST")
        options.add_argument("--bank", type=Path, help="folder of the distorted images")
        options.add_argument("--teacher", type=Path, help="safetensors file")
        options.add_argument("--width", type=int, default=32, help="of the teacher")
        options.add_argument("--copies", type=parse_kinds, default=COPIES)
        options.add_argument("--shares", type=parse_kinds, default={"gentle": 1.0})
        options.add_argument("--seeds", type=int, default=5)
        options.add_argument("--epochs", type=int, help="default: 24 for the teacher, 140 for a student")
        options.add_argument("--temperature", type=float, default=1.0, help="of the teacher's probabilities")
        options.add_argument("--classes", type=parse_names, default=[], help="kinds of which it learns the classes")
        options.add_argument("--calibrate", action="store_true", help="scale the logits on the validation split")
        options.add_argument("--runs", type=Path, help="folder of the students")
        options.add_argument("--results", type=Path, help="CSV file")
    arguments = parser.parse_args()
    arguments.run_command(arguments)


if __name__ == "__main__":
    main()
