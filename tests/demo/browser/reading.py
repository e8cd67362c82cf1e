"""What the page computed, and what Python computes from the same pixels."""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

import lenet5
from lenet5.photo.normalisation import normalise

if TYPE_CHECKING:
    from playwright.sync_api import Page

NETWORKS = {"original": "original_mnist_v1", "today": "mnist_photo_v1"}
_SNAPSHOT = """() => {
    const answer = ({label, confident, probabilities, layers}) => ({label, confident,
        probabilities: Array.from(probabilities),
        layers: Object.fromEntries(Object.entries(layers).map(([name, {data}]) => [name, Array.from(data)]))});
    globalThis.seen = lenet5.latest;
    const {pixels, original, today} = lenet5.latest;
    return {mask: lenet5.mask().data.join(""), pixels: Array.from(pixels),
        answers: {original: answer(original), today: answer(today)}};
}"""


load = functools.cache(lenet5.load)


@dataclass(frozen=True)
class Reading:
    """A digit as the page read it."""

    mask: npt.NDArray[np.bool_]
    pixels: npt.NDArray[np.uint8]
    answers: dict[str, dict[str, Any]]


def next_answer(page: "Page") -> None:
    """Wait for an answer that differs from the latest one, without strings of code, which the page's policy forbids."""
    page.evaluate(
        """() => new Promise((resolve) => {
            const poll = () => (lenet5.latest && lenet5.latest !== globalThis.seen ? resolve() : setTimeout(poll, 5));
            poll();
        })"""
    )


def read(page: "Page") -> Reading:
    """Return the latest answer of the page."""
    snapshot = page.evaluate(_SNAPSHOT)
    mask = (np.frombuffer(snapshot["mask"].encode(), np.uint8) == ord("1")).reshape(280, 280)
    return Reading(mask, np.array(snapshot["pixels"], np.uint8).reshape(28, 28), snapshot["answers"])


def expected_pixels(reading: Reading) -> npt.NDArray[np.uint8]:
    """Normalise the page's canvas in Python."""
    return normalise(reading.mask)


def check(reading: Reading, pixels: npt.NDArray[np.uint8], tolerance: float = 1e-4) -> None:
    """Assert that layers, probabilities and answers are those of Python for the same pixels.

    Activations are compared relative to the largest of their layer.
    """
    for key, name in NETWORKS.items():
        pretrained, answer = load(name), reading.answers[key]
        images = pretrained.preprocess(torch.from_numpy(pixels)[None, None])
        for layer, maps in {"input": images, **lenet5.feature_maps(pretrained.model, images)}.items():
            found = torch.tensor(answer["layers"][layer])
            assert (found - maps.flatten()).abs().max() <= tolerance * maps.abs().max().clamp_min(1), (key, layer)
        predictions = lenet5.predict(pretrained.model, images)
        assert np.abs(predictions.probabilities[0].numpy() - answer["probabilities"]).max() <= tolerance
        assert answer["label"] == int(predictions.labels[0])
        threshold = pretrained.threshold
        assert threshold is not None
        assert answer["confident"] == (float(predictions.confidence[0]) >= threshold)
