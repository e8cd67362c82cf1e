"""The networks, and weights folders to save and load them."""

from . import kernels as kernels  # registers the kernels with the networks
from .activations import Square as Square
from .caffe import CaffeLeNet as CaffeLeNet
from .kernels.compiled import compiled as compiled
from .lenet5 import LeNet5 as LeNet5
from .original.losses import MAPLoss as MAPLoss
from .original.losses import MLELoss as MLELoss
from .original.network import LeNet5Original as LeNet5Original
from .original.sdlm import SDLM as SDLM
from .pretrained import PretrainedModel as PretrainedModel
from .pretrained import WeightsFolder as WeightsFolder
from .pretrained import load_model as load_model
from .pretrained import save_model as save_model
