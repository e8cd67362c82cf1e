"""Pretrained weights: the catalogue, the builders, and beside them the folders that hold the weights."""

from .catalogue import LeNet5_Weights, PretrainedWeights, lenet5, load_preprocess

__all__ = ["LeNet5_Weights", "PretrainedWeights", "lenet5", "load_preprocess"]
