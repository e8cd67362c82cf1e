"""Images: the sets, their fixed validation split, batches of them, and the one place where they are normalised."""

from .augment import Augment
from .datasets import DataSplits, ImageDataset, load_data
from .degrade import Compose, Degrade
from .loader import TensorLoader
from .preprocess import Preprocess
from .splits import SPLIT_VERSION, stratified_holdout

__all__ = [
    "SPLIT_VERSION",
    "Augment",
    "Compose",
    "DataSplits",
    "Degrade",
    "ImageDataset",
    "Preprocess",
    "TensorLoader",
    "load_data",
    "stratified_holdout",
]
