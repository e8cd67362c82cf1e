"""The networks, and the folders that they are saved in."""

from .caffe import CaffeLeNet
from .lenet5 import LeNet5
from .losses import MAPLoss, MLELoss
from .original import LeNet5Original
from .pretrained import PretrainedModel, load_model, read_config, save_model

__all__ = [
    "CaffeLeNet",
    "LeNet5",
    "LeNet5Original",
    "MAPLoss",
    "MLELoss",
    "PretrainedModel",
    "load_model",
    "read_config",
    "save_model",
]
