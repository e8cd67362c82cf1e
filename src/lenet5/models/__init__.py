"""The networks, and the folders that they are saved in."""

from .lenet5 import LeNet5
from .pretrained import PretrainedModel, load_model, read_config, save_model

__all__ = ["LeNet5", "PretrainedModel", "load_model", "read_config", "save_model"]
