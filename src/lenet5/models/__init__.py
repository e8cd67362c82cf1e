"""The networks, and weights folders to save and load them."""

from . import kernels as kernels  # registers the kernels with the networks
from .activations import Square as Square
from .caffe import CaffeLeNet as CaffeLeNet
from .folder import WeightsFolder as WeightsFolder
from .hub import Download as Download
from .hub import Upload as Upload
from .kernels.compiled import compiled as compiled
from .lenet5 import LeNet5 as LeNet5
from .original.curvature import gauss_newton_diagonal as gauss_newton_diagonal
from .original.layers import EuclideanRBF as EuclideanRBF
from .original.layers import PartialConv2d as PartialConv2d
from .original.layers import ScaledTanh as ScaledTanh
from .original.layers import Subsampling as Subsampling
from .original.losses import MAPLoss as MAPLoss
from .original.losses import MLELoss as MLELoss
from .original.network import LeNet5Original as LeNet5Original
from .original.network import digit_prototypes as digit_prototypes
from .original.sdlm import SDLM as SDLM
from .pretrained import PretrainedModel as PretrainedModel
from .pretrained import load_model as load_model
from .pretrained import save_model as save_model
