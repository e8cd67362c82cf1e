"""LeNet-5 as a classifier of scikit-learn."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ..data.sources import EVALUATION_BATCH_SIZE
from ..inference import predict_outputs
from ..models import LeNet5
from ..runtime.device import Device, resolve_device
from ..runtime.randomness import seeded
from ..runtime.threads import shared_processors
from ..storage import StrPath
from ..training import History, Trainer, TrainerConfig
from .base import BaseEstimator, ClassifierMixin
from .loss import WeightedLoss
from .network import build_network, from_arrays, to_arrays
from .rows import RowBatches, RowPreprocess, as_rows, image_shape_of, prediction_batches
from .validation import encode_labels, hold_out, validate_data

if TYPE_CHECKING:
    import pandas as pd

Array: TypeAlias = npt.NDArray[Any]
Table: TypeAlias = "npt.ArrayLike | Tensor | pd.DataFrame"
Labels: TypeAlias = "npt.ArrayLike | Tensor | pd.Series[Any]"

_ONE_FIT = threading.RLock()  # the random generators that `seeded` seeds and restores belong to all threads


class LeNet5Classifier(ClassifierMixin, BaseEstimator):
    """LeNet-5 as a classifier of scikit-learn.

    Works wherever scikit-learn takes a classifier, such as in a `Pipeline` or in `GridSearchCV`.

    Features become an image by one rule, which `fit` learns from the training data and `predict` repeats:

    1. All features are normalised by one mean and one standard deviation, those of all training values. So pixels from
       0 to 255, 0 to 16 and 0 to 1 give the same model, and features of different units need a `StandardScaler`.
    2. A row becomes an image. A square number of features, such as 64 or 784, is a greyscale image, row by row. Any
       other number is padded to the next square with the mean. `image_shape` describes other images.
    3. The image is padded to a square with the mean, and resized to `image_size` (bilinear, antialiased).

    `fit` has no `sample_weight`. A weight of 2 must equal an image that occurs twice. Minibatches cannot keep that
    promise: a repeated image is in several of them. `class_weight` weights the classes. Each `fit` starts anew; there
    is no warm start.

    Parameters
    ----------
    activation
        Name of the activation, a class in torch.nn.
    pooling
        "max" or "avg".
    image_shape
        Shape of the image in a row: (height, width) or (channels, height, width), channel by channel and row by row.
        None for the shape of the images that `fit` receives, or for the rule above.
    image_size
        Height and width of the input of the network, at least 12.
    weights
        Pretrained weights to start from, as in `LeNet5.from_pretrained`; None to draw new ones. With another number of
        classes, the output layer is drawn anew.
    max_epochs
        Number of passes over the training data.
    batch_size
        Images per step.
    lr
        Peak learning rate of AdamW. It follows torch's OneCycleLR.
    weight_decay
        AdamW's decoupled weight decay.
    class_weight
        Weight of each class in the loss, by its label; "balanced" for weights that are inversely proportional to the
        number of examples of the class. None for equal weights.
    patience
        Stop after this many epochs without improvement on the validation split, and keep the weights of the best epoch.
        None to train on all data for `max_epochs`, without a validation split.
    validation_fraction
        Fraction of the data to hold out as the validation split, stratified and without random numbers. Only `patience`
        uses it.
    device
        A torch device or its name, such as "cpu" or "cuda"; "auto" for the accelerator that torch finds, else the CPU.
    random_state
        An integer for the same model from the same data. A RandomState of numpy, which `fit` advances. None for a
        different model each time. The global generators keep their states, unless `random_state` is numpy's own.
    verbose
        Show the progress of `fit` on stderr.

    Attributes
    ----------
    classes_
        (num_classes,) labels, sorted; the order of the columns of `predict_proba`.
    n_features_in_
        Features per row. An image has channels * height * width of them.
    feature_names_in_
        (num_features,) names of the columns, if `fit` received a DataFrame whose column names are strings.
    image_shape_
        Shape (channels, height, width) of the image in a row.
    mean_, std_
        Mean and standard deviation of the training values. The standard deviation is 1 if all values are equal.
    model_
        The trained LeNet5, in evaluation mode.
    history_
        The History of the training run, with one row per epoch.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> classifier = lenet5.LeNet5Classifier(max_epochs=5, random_state=0)
    >>> classifier.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.9
    True
    >>> labels, probabilities = classifier.predict(X[1000:]), classifier.predict_proba(X[1000:])
    """

    classes_: Array
    n_features_in_: int
    feature_names_in_: Array
    image_shape_: tuple[int, int, int]
    mean_: float
    std_: float
    model_: LeNet5
    history_: History

    def __init__(
        self,
        *,
        activation: str = "ReLU",
        pooling: Literal["max", "avg"] = "max",
        image_shape: Sequence[int] | None = None,
        image_size: int = 28,
        weights: StrPath | None = None,
        max_epochs: int = 20,
        batch_size: int = 32,
        lr: float = 0.004,
        weight_decay: float = 0.01,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
        patience: int | None = None,
        validation_fraction: float = 0.1,
        device: Device = "cpu",
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.activation = activation
        self.pooling = pooling
        self.image_shape = image_shape
        self.image_size = image_size
        self.weights = weights
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.class_weight = class_weight
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Table, y: Labels) -> Self:
        """Train a new network.

        Parameters
        ----------
        X
            Rows (N, num_features) or images (N, H, W), (N, C, H, W) or (N, H, W, C), of any finite numbers.
        y
            (N,) labels: strings, integers or booleans, of at least two classes.

        Raises
        ------
        ValueError
            The data or a parameter is out of range, or the weights do not fit the parameters.
        FloatingPointError
            The loss or a weight became NaN or infinite.
        KeyboardInterrupt
            Ctrl-C was pressed. After any error, the classifier is as before.
        """
        before = dict(vars(self))
        try:
            config = self._config()
            with _ONE_FIT, seeded(config.seed, torch.device("cpu")):
                return self._fit(X, y, config)
        except BaseException:
            self.__dict__ = before
            raise

    def _fit(self, X: Table, y: Labels, config: TrainerConfig) -> Self:
        rows, found_shape = as_rows(X)
        rows, labels = validate_data(self, rows, y.cpu().numpy() if isinstance(y, Tensor) else y)
        classes, targets = encode_labels(labels)
        image_shape = image_shape_of(rows.shape[1], self.image_shape, found_shape)
        own = {name: getattr(self, name) for name in ("activation", "pooling", "image_size")}
        model = build_network({"num_classes": len(classes), "in_channels": image_shape[0], **own}, self.weights)
        preprocess = RowPreprocess.of(rows, image_shape, model.image_size)
        train, val = self._batches(rows, targets, preprocess, config)
        loss_fn = None if self.class_weight is None else WeightedLoss.of(self.class_weight, classes, targets)
        trainer = Trainer(model, config, loss_fn=loss_fn)
        history = trainer.fit(train, val)
        if history.interrupted:
            raise KeyboardInterrupt
        self.classes_, self.model_, self.history_ = classes, model, history
        self.image_shape_, self.mean_, self.std_ = image_shape, preprocess.mean, preprocess.std
        return self

    def predict(self, X: Table) -> Array:
        """Predict the label of each row.

        Parameters
        ----------
        X
            Rows or images as in `fit`. Images have the shape of those in `fit`.

        Returns
        -------
        ndarray
            (N,) labels, of the dtype of `classes_`.

        Raises
        ------
        ValueError
            The data does not have the features of the training data, or holds NaN or infinite values.
        sklearn.exceptions.NotFittedError
            `fit` was not called.
        """
        best = self.predict_proba(X).argmax(1)
        labels: Array = self.classes_[best]
        return labels

    def predict_proba(self, X: Table) -> npt.NDArray[np.float64]:
        """Predict the probability of each class.

        Parameters
        ----------
        X
            As in `predict`, with the same errors.

        Returns
        -------
        ndarray
            (N, num_classes) float64, in the order of `classes_`; each row sums to 1.
        """
        check_is_fitted(self)
        rows, shape = as_rows(X)
        rows = validate_data(self, rows, reset=False)
        if shape not in (None, self.image_shape_):
            raise ValueError(f"X has images of shape {shape}; expected {self.image_shape_}, as in fit")
        preprocess = RowPreprocess(self.image_shape_, self.model_.image_size, self.mean_, self.std_)
        device = resolve_device(self.device)
        with shared_processors(device):
            logits = predict_outputs(self.model_.to(device), prediction_batches(rows, preprocess), device, "auto")
        probabilities: npt.NDArray[np.float64] = logits[: len(rows)].double().softmax(1).numpy()
        return probabilities

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that images are accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with the network as arrays, which need neither torch's pickles nor its device."""
        state = dict(super().__getstate__())
        if "model_" in state:
            state["model_"] = to_arrays(state["model_"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the result of `__getstate__`."""
        if "model_" in state:
            state = {**state, "model_": from_arrays(state["model_"])}
        super().__setstate__(state)

    def _config(self) -> TrainerConfig:
        """Return the settings of the Trainer, checked, with the seed of this call of `fit`."""
        state = np.random.RandomState() if self.random_state is None else check_random_state(self.random_state)
        names = ("max_epochs", "batch_size", "lr", "weight_decay", "patience", "device")
        settings: dict[str, Any] = {name: getattr(self, name) for name in names}
        return TrainerConfig(**settings, seed=int(state.randint(2**32, dtype=np.uint32)), progress=bool(self.verbose))

    def _batches(
        self, rows: Array, targets: Array, preprocess: RowPreprocess, config: TrainerConfig
    ) -> tuple[RowBatches, RowBatches | None]:
        """Return the batches for training and, with `patience`, for validation."""
        selected, val = np.arange(len(rows)), None
        if self.patience is not None:
            held_out = hold_out(targets, self.validation_fraction)
            selected = np.delete(selected, held_out)
            val = RowBatches(rows, targets, held_out, preprocess, EVALUATION_BATCH_SIZE)
        return RowBatches(rows, targets, selected, preprocess, config.batch_size, config.seed), val
