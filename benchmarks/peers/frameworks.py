"""The peers beside PyTorch: Keras, JAX and ONNX Runtime, each in its own idiom."""

import importlib.util
import math
import os
from typing import Any

import numpy as np

from .peer import Array, Call, Peer, Setup, initial_weights, normalise


class Keras(Peer):
    """Keras 3: `fit` and `predict`, on the first installed backend of TensorFlow, JAX and PyTorch."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        installed = [name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name)]
        os.environ.setdefault("KERAS_BACKEND", (installed or ["tensorflow"])[0])
        import keras

        self.keras, backend = keras, keras.backend.backend()
        self.packages, device = ("keras", backend), "cpu" if setup.device == "cpu" else "its choice"
        self.device = f"{backend}, {device}"

    def build(self, seed: int) -> Any:
        """Build a Sequential model with channels last."""
        layers = self.keras.layers
        model = self.keras.Sequential(
            [
                self.keras.Input((28, 28, 1)),
                layers.Conv2D(6, 5, padding="same", activation="relu"),
                layers.MaxPooling2D(),
                layers.Conv2D(16, 5, activation="relu"),
                layers.MaxPooling2D(),
                layers.Flatten(),
                layers.Dense(120, activation="relu"),
                layers.Dense(84, activation="relu"),
                layers.Dense(10),
            ]
        )
        model.set_weights(channels_last_weights(seed))
        return model

    def prepare_training(
        self, model: Any, images: Array, targets: Array, *, epochs: int, batch_size: int, seed: int
    ) -> Call:
        """Prepare `fit`, compiled in advance for full batches and for the smaller last one."""
        self.keras.utils.set_random_seed(seed)
        weights, pixels = model.get_weights(), channels_last(images)
        recipe, steps = self.setup, epochs * math.ceil(len(images) / batch_size)
        rates = self.keras.ops.convert_to_tensor(one_cycle(recipe, steps))
        optimizer: Any = self.keras.optimizers.AdamW(
            lambda: self.keras.ops.take(rates, optimizer.iterations), weight_decay=recipe.weight_decay, epsilon=1e-8
        )
        loss = self.keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing)
        model.compile(optimizer, loss)
        one_hot = np.eye(10, dtype=np.float32)[targets]
        count = min(batch_size + len(images) % batch_size, len(images))
        model.fit(pixels[:count], one_hot[:count], batch_size, verbose=0)
        model.set_weights(weights)
        for variable in optimizer.variables:  # moments, and the number of steps
            variable.assign(self.keras.ops.zeros_like(variable))
        return lambda: model.fit(pixels, one_hot, batch_size, epochs, verbose=0)

    def prepare_prediction(self, model: Any, images: Array, batch_size: int) -> Call:
        """Prepare `predict`."""
        pixels = channels_last(images)
        return lambda: model.predict(pixels, batch_size, verbose=0).argmax(1)

    def prepare_latency(self, model: Any, images: Array) -> Call:
        """Prepare `predict_on_batch`, several times faster than `predict` on one image."""
        pixels = channels_last(images)
        return lambda: model.predict_on_batch(pixels).argmax(1)


class Jax(Peer):
    """JAX and optax: jitted functions of a list of arrays, with channels last, the fastest layout for XLA."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        import jax
        import optax

        self.jax, self.optax = jax, optax
        self.packages, self.device = ("jax", "optax"), jax.default_backend()
        self.forward = jax.jit(lambda parameters, images: self.logits(parameters, images).argmax(1))

    def build(self, seed: int) -> Any:
        """Build the list of parameters."""
        return [self.jax.numpy.asarray(values) for values in channels_last_weights(seed)]

    def logits(self, parameters: Any, images: Any) -> Any:
        """Compute the logits (N, 10)."""
        relu = self.jax.nn.relu

        def convolve(x: Any, weight: Any, bias: Any, padding: str) -> Any:
            layout = ("NHWC", "HWIO", "NHWC")
            return relu(self.jax.lax.conv_general_dilated(x, weight, (1, 1), padding, dimension_numbers=layout) + bias)

        def pool(x: Any) -> Any:  # faster on a CPU than the gradient of reduce_window
            num, height, width, channels = x.shape
            return x.reshape(num, height // 2, 2, width // 2, 2, channels).max((2, 4))

        c1, b1, c3, b3, c5, b5, f6, b6, output, bias = parameters
        x = pool(convolve(images, c1, b1, "SAME"))
        x = pool(convolve(x, c3, b3, "VALID")).reshape(len(x), -1)
        return relu(relu(x @ c5 + b5) @ f6 + b6) @ output + bias

    def prepare_training(
        self, model: Any, images: Array, targets: Array, *, epochs: int, batch_size: int, seed: int
    ) -> Call:
        """Prepare a loop of jitted steps over arrays on the device, compiled in advance for both batch sizes."""
        jax, optax, recipe = self.jax, self.optax, self.setup
        rates = jax.numpy.asarray(one_cycle(recipe, epochs * math.ceil(len(images) / batch_size)))
        optimizer = optax.adamw(lambda count: rates[count], weight_decay=recipe.weight_decay)
        pixels = jax.numpy.asarray(channels_last(images))
        one_hot = optax.smooth_labels(jax.nn.one_hot(targets, 10), recipe.label_smoothing)

        def step(parameters: Any, state: Any, pixels: Any, one_hot: Any, index: Any) -> Any:
            def loss(parameters: Any) -> Any:
                logits = self.logits(parameters, pixels[index])
                return optax.softmax_cross_entropy(logits, one_hot[index]).mean()

            changes, state = optimizer.update(jax.grad(loss)(parameters), state, parameters)
            return optax.apply_updates(parameters, changes), state

        update, generator = jax.jit(step), np.random.default_rng(seed)

        def batches() -> list[Array]:
            order = generator.permutation(len(images)).astype(np.int32)
            return np.split(order, range(batch_size, len(images), batch_size))

        def train() -> None:
            parameters, state = list(model), optimizer.init(model)
            for _ in range(epochs):
                for index in batches():
                    parameters, state = update(parameters, state, pixels, one_hot, index)
            model[:] = jax.block_until_ready(parameters)

        for index in batches()[-2:]:
            update(list(model), optimizer.init(model), pixels, one_hot, index)
        return train

    def prepare_prediction(self, model: Any, images: Array, batch_size: int) -> Call:
        """Prepare a loop over slices of an array on the device."""
        pixels = self.jax.numpy.asarray(channels_last(images))
        batches = [pixels[begin : begin + batch_size] for begin in range(0, len(images), batch_size)]
        return lambda: np.concatenate(self.jax.device_get([self.forward(model, batch) for batch in batches]))


class OnnxRuntime(Peer):
    """ONNX Runtime, for inference only."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        import onnx
        import onnxruntime

        self.onnx, self.onnxruntime = onnx, onnxruntime
        self.packages = ("onnxruntime", "onnx")

    def build(self, seed: int) -> Any:
        """Build an inference session."""
        options = self.onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.setup.threads
        preferred = "CPUExecutionProvider" if self.setup.device == "cpu" else "CUDAExecutionProvider"
        provider = preferred if preferred in self.onnxruntime.get_available_providers() else "CPUExecutionProvider"
        self.device = provider.removesuffix("ExecutionProvider").lower()
        return self.onnxruntime.InferenceSession(self._graph(seed).SerializeToString(), options, providers=[provider])

    def prepare_prediction(self, model: Any, images: Array, batch_size: int) -> Call:
        """Prepare a loop over slices of an array."""
        pixels = normalise(images)
        batches = [pixels[begin : begin + batch_size] for begin in range(0, len(images), batch_size)]
        return lambda: np.concatenate([model.run(None, {"images": batch})[0].argmax(1) for batch in batches])

    def _graph(self, seed: int) -> Any:
        """Build the network as an ONNX model."""
        helper, number_type = self.onnx.helper, self.onnx.TensorProto.FLOAT
        window = {"kernel_shape": [2, 2], "strides": [2, 2]}
        layers: list[tuple[str, dict[str, Any]]] = [
            ("Conv", {"pads": [2] * 4}), ("Relu", {}), ("MaxPool", window), ("Conv", {}), ("Relu", {}),
            ("MaxPool", window), ("Flatten", {}), ("Gemm", {"transB": 1}), ("Relu", {}), ("Gemm", {"transB": 1}),
            ("Relu", {}), ("Gemm", {"transB": 1}),
        ]  # fmt: skip
        weights = {f"w{number}": values for number, values in enumerate(initial_weights(seed))}
        names, nodes, previous = iter(weights), [], "images"
        for number, (kind, attributes) in enumerate(layers):
            parameters = [next(names), next(names)] if kind in ("Conv", "Gemm") else []
            nodes.append(helper.make_node(kind, [previous, *parameters], [f"x{number}"], **attributes))
            previous = f"x{number}"
        images = helper.make_tensor_value_info("images", number_type, ["n", 1, 28, 28])
        logits = helper.make_tensor_value_info(previous, number_type, ["n", 10])
        tensors = [self.onnx.numpy_helper.from_array(values, name) for name, values in weights.items()]
        graph = helper.make_graph(nodes, "lenet5", [images], [logits], tensors)
        return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])


def one_cycle(setup: Setup, num_steps: int) -> Array:
    """Compute the learning rate of each step, float32, like torch.optim.lr_scheduler.OneCycleLR with its defaults.

    The rate rises from lr/25 to lr and falls to lr/250,000, each time along half a cosine. Torch also cycles the first
    beta of AdamW, which stays at 0.9 in optax and Keras.
    """
    last = num_steps - 1
    peak = min(max(setup.warmup * num_steps - 1, 1e-9), last)
    phase = np.interp(np.arange(num_steps), [0, peak, max(last, peak + 1e-9)], [0, 1, 2])
    fraction = (1 - np.cos(np.pi * phase)) / 2  # 0 at either end, 1 at the peak
    lowest = np.where(phase < 1, setup.lr / 25, setup.lr / 250_000)
    rates: Array = (lowest + (setup.lr - lowest) * fraction).astype(np.float32)
    return rates


def channels_last(images: Array) -> Array:
    """Normalise images and move the channels to the last axis: float32 (N, 28, 28, 1)."""
    return normalise(images).reshape(len(images), 28, 28, 1)


def channels_last_weights(seed: int) -> list[Array]:
    """Draw the initial weights of a seed in the axis order of TensorFlow and JAX.

    Flattening orders the inputs of C5 differently. That has no effect, since all its weights have one distribution.
    """
    return [np.transpose(values, (2, 3, 1, 0) if values.ndim == 4 else None) for values in initial_weights(seed)]
