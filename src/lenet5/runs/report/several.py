"""The report of several runs, side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from ... import plots
from ...data.catalogue import short_name
from ...metrics.selective import coverage_curve
from ..difference import Difference, compare_groups
from ..markup import formatted, to_latex, to_markdown
from ..saved import SavedRun
from ..tables import differences, grouped, run_table, summarise
from .blocks import Block, Code, Paragraph, Section, Table
from .pictures import gallery, panels, picture
from .single import confusions, environment, fields, percent

Groups = Mapping[str, Sequence[SavedRun]]
_MOST_IMAGES = 40


def title(runs: Sequence[SavedRun]) -> str:
    """Return the title of the report."""
    names = sorted({short_name(run.settings["data"]) for run in runs})
    return f"{len(runs)} runs on {', '.join(names)}"


def sections(runs: Sequence[SavedRun]) -> Iterator[Section]:
    """Return the sections of the report of several runs."""
    table = run_table(runs)
    by_name = {run.name: run for run in runs}
    groups = {label: [by_name[name] for name in rows.index] for label, rows in grouped(table).items()}
    yield Section("Result", list(_result(groups, table)))
    if len(groups) == 2:
        yield Section("Difference", list(_difference(*groups.items())))
    yield Section("Training", list(_training(groups)))
    yield Section("Runs", [Table("Settings that differ, and results of each run", formatted(differences(table)))])
    if len({run.classes for run in runs}) == 1:
        yield Section("Classes", list(_classes(groups)))
        yield Section("Mistakes", list(_mistakes(runs)))
    if all(run.evaluation is not None for run in runs):
        yield Section("Confidence", [_coverage(groups)])
    yield Section("Tables to copy", list(_tables(table)))
    yield Section("Settings", list(_settings(runs)))


def _result(groups: Groups, table: pd.DataFrame) -> Iterator[Block]:
    yield Paragraph(
        f"Test accuracy: {'; '.join(f'{label}: {_spread(runs)}' for label, runs in groups.items())}.", is_lead=True
    )
    yield Paragraph(
        "A group consists of runs that differ in nothing but the seed. Its standard deviation is that of the sample of"
        " runs: it says how much a run with another seed would differ, and nothing about other test images."
    )
    yield Table("Mean ± standard deviation over the seeds", _named(groups, formatted(summarise(table))))


def _named(groups: Groups, frame: pd.DataFrame) -> pd.DataFrame:
    """Return a summary with the names of the groups in its first column, unless its settings are the names."""
    if len(groups) > 1 and len(frame.columns) and frame.iloc[:, 0].is_unique:
        return frame
    frame.insert(0, "group", list(groups))
    return frame


def _spread(runs: Sequence[SavedRun]) -> str:
    accuracies = [100 * run.accuracy for run in runs]
    if len(runs) == 1:
        return f"{accuracies[0]:.2f} % (one run)"
    return f"{np.mean(accuracies):.2f} ± {np.std(accuracies, ddof=1):.2f} % (mean ± sd, {len(runs)} seeds)"


def _difference(first: tuple[str, Sequence[SavedRun]], second: tuple[str, Sequence[SavedRun]]) -> Iterator[Block]:
    try:
        result = compare_groups(first[1], second[1])
    except ValueError as error:
        yield Paragraph(f"The two groups cannot be compared: {error}.")
        return
    yield Paragraph(
        f"{second[0]} minus {first[0]}: {_points(result.difference)} percentage points"
        f" (95 % confidence interval: {_points(result.low)} to {_points(result.high)}; p = {result.p_value:.2g}).",
        is_lead=True,
    )
    yield Paragraph(_verdict(result))
    yield Paragraph(_SEEDS if result.method == "seeds" else _IMAGES)


def _points(fraction: float) -> str:
    return f"{100 * fraction:+.2f}"


def _verdict(result: Difference) -> str:
    if result.low <= 0 <= result.high:
        return "The interval contains zero: the data do not show which of the two is better. They may still differ."
    return "The interval does not contain zero: a difference of this sign is what the data show."


_SEEDS = (
    "Interval and p-value are those of Welch's t-test, which takes the accuracies of the runs as a sample of those of"
    " all seeds. They hold for this test set: other images can favour the other group. With few seeds, the interval is"
    " wide. If several recipes were tried, and the best is shown here, the p-value is too low."
)
_IMAGES = (
    "Interval (Agresti and Min 2005) and p-value (McNemar's exact test) compare the two networks image by image. They"
    " hold for these two networks: other seeds can turn the result around. To compare recipes, train several seeds"
    " of each."
)


def _training(groups: Groups) -> Iterator[Block]:
    histories = {label: [run.history.to_frame() for run in runs] for label, runs in groups.items()}
    validated = any("val_accuracy" in frame for frames in histories.values() for frame in frames)
    band = " Bands are one standard deviation over the seeds." if any(len(runs) > 1 for runs in groups.values()) else ""
    losses = ("Line plot of the training loss of each group by epoch", f"Training loss by epoch.{band}")
    accuracies = ("Line plot of the validation accuracy of each group by epoch", f"Validation accuracy by epoch.{band}")
    yield panels(
        lambda axes: plots.plot_comparison(histories, ax=axes), [losses, accuracies] if validated else [losses]
    )


def _classes(groups: Groups) -> Iterator[Block]:
    recalls = {
        label: [np.mean([run.per_class[name].recall for run in runs]) for name in runs[0].classes]
        for label, runs in groups.items()
    }
    names = next(iter(groups.values()))[0].classes
    columns = {label: [percent(float(value)) for value in values] for label, values in recalls.items()}
    yield Table("Recall by class, mean over the seeds", pd.DataFrame({"class": list(names), **columns}))
    for label, runs in groups.items():
        heading = f"{label}: all {len(runs)} runs together." if len(runs) > 1 else f"{label}."
        yield Paragraph(heading)
        yield from confusions(sum(run.confusion_matrix for run in runs), names)


def _mistakes(runs: Sequence[SavedRun]) -> Iterator[Block]:
    """Return the test images that most runs misclassify, if all runs stored theirs and had the same test set."""
    images: dict[int, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = {}
    counts: Counter[int] = Counter()
    first = runs[0].evaluation
    for run in runs:
        if first is None or run.evaluation is None or run.mistakes is None:
            yield Paragraph("Not all runs store their predictions. Those of older versions did not.")
            return
        if not np.array_equal(run.evaluation.targets, first.targets):
            yield Paragraph("The runs were not evaluated on the same test images.")
            return
        counts.update(np.flatnonzero(run.evaluation.predictions != run.evaluation.targets).tolist())
        images.update(zip(run.mistakes.indices.tolist(), run.mistakes.images, strict=True))
    assert first is not None
    hardest = [index for index, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])) if index in images]
    hardest = hardest[:_MOST_IMAGES]
    if not hardest:
        yield Paragraph("No run misclassifies a test image.")
        return
    captions = [
        (f"true: {runs[0].classes[first.targets[i]]}", f"wrong in {counts[i]} of {len(runs)} runs", f"test image {i}")
        for i in hardest
    ]
    yield Paragraph(
        f"{len(counts):,} test images are misclassified by at least one run. The ones that most runs misclassify:"
    )
    yield gallery("Test images that most runs misclassify", np.stack([images[i] for i in hardest]), captions)


def _coverage(groups: Groups) -> Block:
    curves = {}
    for label, runs in groups.items():
        evaluations = [run.evaluation for run in runs if run.evaluation is not None]
        targets = np.concatenate([each.targets for each in evaluations])
        curves[label] = coverage_curve(targets, np.concatenate([each.probabilities for each in evaluations]))
    return picture(
        plots.plot_coverage(curves),
        "Line plot of accuracy against coverage, one line per group",
        "Accuracy when only the most confident predictions count, against their fraction, the coverage. The predictions"
        " of all runs of a group count together.",
    )


def _tables(table: pd.DataFrame) -> Iterator[Block]:
    summary = summarise(table)
    yield Paragraph("LaTeX needs the package booktabs. The columns can be deleted as needed.")
    yield Code("Groups, for LaTeX", to_latex(summary))
    yield Code("Groups, for Markdown", to_markdown(summary))
    yield Code("Runs, for LaTeX", to_latex(differences(table)))
    yield Code("Runs, for Markdown", to_markdown(differences(table)))


def _settings(runs: Sequence[SavedRun]) -> Iterator[Block]:
    common = {
        name: value
        for name, value in runs[0].settings.items()
        if all(run.settings.get(name, run) == value for run in runs)
    }
    yield Code("Commands that train the runs again", "".join(f"{run.meta.get('recipe', '-')}\n" for run in runs))
    yield fields("Settings that all runs share", common)
    environments = [environment(run) for run in runs]
    names = dict.fromkeys(name for each in environments for name in each)
    listed = {name: ", ".join(dict.fromkeys(str(each.get(name, "unknown")) for each in environments)) for name in names}
    yield fields("Software and device", listed)
