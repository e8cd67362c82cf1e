"""Pretrained weights: the catalogue, the builders, and beside them the folders that hold the weights."""

from .catalogue import (
    LeNet5_Weights,
    LeNet5Original_Weights,
    PretrainedWeights,
    lenet5,
    lenet5_original,
    load_preprocess,
)

__all__ = [
    "LeNet5Original_Weights",
    "LeNet5_Weights",
    "PretrainedWeights",
    "lenet5",
    "lenet5_original",
    "load_preprocess",
]
