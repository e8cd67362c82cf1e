"""The model card of a weights folder: a README.md with the metadata that the Hugging Face Hub reads."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .. import __version__, storage
from ..arguments import as_number

CARD = "README.md"

_DATASETS = {"mnist": "ylecun/mnist", "fashion_mnist": "zalando-datasets/fashion_mnist"}  # their names on the hub
_MARK = "<!-- Written by lenet5, which replaces the card if it was not edited. sha256: {} -->\n"
_WORDS = ("lenet5", "image-classification", "unknown", "mit", "apache-2.0")  # need no quotation marks
_ITEMS = {"data": "Training data", "licence": "Data licence", "limits": "Limitations"}


def model_card(config: Mapping[str, Any], source: str, metadata: Mapping[str, Any] | None = None) -> str:
    """Return the model card for a `config.json`.

    Parameters
    ----------
    config
        The content of `config.json`.
    source
        What loads the weights: a repository, whose name is the title, or "." for the folder that holds the card. The
        folder's own name is left out, so that equal weights have equal cards.
    metadata
        Entries of the card's metadata that replace or extend those that follow from the config, such as `license`.
    """
    if not isinstance(metadata, Mapping | None):
        raise ValueError(f"card is {metadata!r}; expected a dict, such as {{'license': 'mit'}}")
    title = str(config["architecture"]) if source == "." else source.rpartition("/")[2]
    entries = {**_metadata(config, title), **(metadata or {})}
    lines = [f"{name}: {_yaml(value)}" for name, value in entries.items()]
    text = "\n".join(["---", *lines, "---", "", *_body(config, title, source), "", ""])
    return text + _MARK.format(_hash(text))


def is_generated(card: str) -> bool:
    """Return True for a card that `model_card` returned and nobody edited."""
    text = card[: card.rfind("<!--")]
    return card == text + _MARK.format(_hash(text))


def write_card(path: Path, card: str) -> None:
    """Write a card, unless the file holds one of somebody's own."""
    try:
        present = storage.read_file(path, limit=storage.LARGEST).decode()
    except FileNotFoundError:
        present = None
    except (OSError, ValueError):  # whatever it is, it is no card of this package
        return
    if present is None or is_generated(present):
        storage.write_file(path, card.encode())


def _yaml(value: Any) -> str:
    """Return a value as YAML on one line: JSON, which is YAML if what cannot be printed is escaped."""
    if value in _WORDS:
        return str(value)
    return storage.shown(json.dumps(value, ensure_ascii=False))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _metadata(config: Mapping[str, Any], title: str) -> dict[str, Any]:
    """Return the metadata that follows from a config; the licence of the weights does so only if `meta` names it."""
    measured = dict(_measured(config))
    datasets = [_DATASETS[name] for name in measured if name in _DATASETS]
    entries: dict[str, Any] = {
        "library_name": "lenet5",
        "pipeline_tag": "image-classification",
        "license": str((config.get("meta") or {}).get("license", "unknown")),
        "tags": ["lenet5", "image-classification", "pytorch", "safetensors"],
    }
    if datasets:
        entries["datasets"] = datasets
    if measured:
        entries["metrics"] = ["accuracy"]
        entries["model-index"] = [{"name": title, "results": [_result(*item) for item in measured.items()]}]
    return entries


def _measured(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the datasets on which an accuracy was measured, with their metrics; others are left out."""
    datasets = (config.get("meta") or {}).get("metrics")
    for name, metrics in datasets.items() if isinstance(datasets, Mapping) else ():
        accuracy = as_number(metrics.get("accuracy")) if isinstance(metrics, Mapping) else None
        if accuracy is not None and 0 <= accuracy <= 1:
            yield str(name), metrics


def _result(name: str, metrics: Mapping[str, Any]) -> dict[str, Any]:
    accuracy = {"type": "accuracy", "name": "Accuracy", "value": round(float(metrics["accuracy"]), 6)}
    return {
        "task": {"type": "image-classification", "name": "Image classification"},
        "dataset": {"type": _DATASETS.get(name, name), "name": name, "split": "test"},
        "metrics": [accuracy],
    }


def _body(config: Mapping[str, Any], title: str, source: str) -> Iterator[str]:
    meta = config.get("meta") or {}
    yield f"# {storage.shown(title)}\n"
    yield f"Weights of the network {_code(config['architecture'])}, saved by lenet5 {__version__}.\n"
    yield f"```python\n{_example(config, source)}\n```\n"
    for name, metrics in _measured(config):
        yield f"- Accuracy on the test set of {_code(name)}: {metrics['accuracy']:.2%}"
    if categories := meta.get("categories"):
        yield f"- Classes: {', '.join(map(_code, categories))}"
    if arguments := config.get("arguments"):
        yield f"- Arguments of the network: {', '.join(_code(f'{name}={arguments[name]!r}') for name in arguments)}"
    if recipe := meta.get("recipe"):
        yield f"- Training command: {_code(recipe)}"
    yield from (f"- {label}: {storage.shown(meta[name])}" for name, label in _ITEMS.items() if name in meta)


def _example(config: Mapping[str, Any], source: str) -> str:
    """Return the code that loads the weights."""
    name = json.dumps(source)
    if config["arguments"] is None:
        return f"from safetensors.torch import load_file\n\ntensors = load_file({name} + '/model.safetensors')"
    if config.get("preprocess") is None:
        return f"from lenet5.models import load_model\n\nmodel = load_model({name})"
    return f'import lenet5\n\npretrained = lenet5.load({name})\npretrained.predict("image.png").labels'


def _code(value: object) -> str:
    return f"`{storage.shown(value).replace('`', chr(39))}`"
