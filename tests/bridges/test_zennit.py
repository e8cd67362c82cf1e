"""zennit: relevance propagation, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

if TYPE_CHECKING:
    from tests.bridges.conftest import Example

attribution = pytest.importorskip("zennit.attribution", reason="nox -s tests_bridges installs it")
composites = pytest.importorskip("zennit.composites", reason="nox -s tests_bridges installs it")


def test_relevance_of_lenet5_is_conserved(modern: Example) -> None:
    model, images, targets = modern
    one_hot = torch.eye(10)[targets]
    composite = composites.EpsilonPlus(zero_params="bias")
    with attribution.Gradient(model=model, composite=composite) as attributor:
        logits, relevance = attributor(images, lambda output: output * one_hot)
    torch.testing.assert_close(relevance.sum((1, 2, 3)), (logits * one_hot).sum(1), rtol=0.05, atol=0.05)
