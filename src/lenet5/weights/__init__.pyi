from .bundle import Pretrained as Pretrained
from .bundle import load as load
from .catalogue import LeNet5_Weights as LeNet5_Weights
from .catalogue import LeNet5Original_Weights as LeNet5Original_Weights
from .catalogue import PretrainedWeights as PretrainedWeights
from .catalogue import lenet5 as lenet5
from .catalogue import lenet5_original as lenet5_original
