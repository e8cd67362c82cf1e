"""What is measured beside PyTorch: Keras, JAX and ONNX Runtime, each in its own idiom."""

from __future__ import annotations

import importlib.util
import math
import os
from typing import Any

import numpy as np

from .peers import Array, Call, Peer, Settings, initial_weights, normalised


class Keras(Peer):
    """Keras 3 on the backend that is installed: `fit` and `predict`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        installed = [name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name)]
        os.environ.setdefault("KERAS_BACKEND", (installed or ["tensorflow"])[0])
        import keras

        self.keras, backend = keras, keras.backend.backend()
        self.packages, where = ("keras", backend), "cpu" if settings.device == "cpu" else "its choice"
        self.device = f"{backend}, {where}"

    def start(self, seed: int) -> Any:
        """Return a Sequential, channels last."""
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

    def training(self, model: Any, images: Array, targets: Array, *, epochs: int, batch_size: int, seed: int) -> Call:
        """Return `fit`, already compiled for both sizes of batch."""
        self.keras.utils.set_random_seed(seed)
        weights, pixels = model.get_weights(), channels_last(images)
        recipe, steps = self.settings, epochs * math.ceil(len(images) / batch_size)
        rates = self.keras.ops.convert_to_tensor(one_cycle(recipe, steps))
        optimizer: Any = self.keras.optimizers.AdamW(
            lambda: self.keras.ops.take(rates, optimizer.iterations), weight_decay=recipe.weight_decay, epsilon=1e-8
        )
        loss = self.keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing)
        model.compile(optimizer, loss)
        wanted = np.eye(10, dtype=np.float32)[targets]
        few = min(batch_size + len(images) % batch_size, len(images))
        model.fit(pixels[:few], wanted[:few], batch_size, verbose=0)
        model.set_weights(weights)
        for variable in optimizer.variables:  # moments, and the number of steps
            variable.assign(self.keras.ops.zeros_like(variable))
        return lambda: model.fit(pixels, wanted, batch_size, epochs, verbose=0)

    def labelling(self, model: Any, images: Array, batch_size: int) -> Call:
        """Return `predict`."""
        pixels = channels_last(images)
        return lambda: model.predict(pixels, batch_size, verbose=0).argmax(1)

    def answering(self, model: Any, images: Array) -> Call:
        """Return `predict_on_batch`, which is several times as fast as `predict` on one image."""
        pixels = channels_last(images)
        return lambda: model.predict_on_batch(pixels).argmax(1)


class Jax(Peer):
    """JAX and optax: jitted functions of a list of arrays, channels last, which XLA likes best."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        import jax
        import optax

        self.jax, self.optax = jax, optax
        self.packages, self.device = ("jax", "optax"), jax.default_backend()
        self.forward = jax.jit(lambda parameters, images: self.logits(parameters, images).argmax(1))

    def start(self, seed: int) -> Any:
        """Return the parameters."""
        return [self.jax.numpy.asarray(values) for values in channels_last_weights(seed)]

    def logits(self, parameters: Any, images: Any) -> Any:
        """Return the network's output."""
        relu = self.jax.nn.relu

        def convolve(x: Any, weight: Any, bias: Any, padding: str) -> Any:
            layout = ("NHWC", "HWIO", "NHWC")
            return relu(self.jax.lax.conv_general_dilated(x, weight, (1, 1), padding, dimension_numbers=layout) + bias)

        def pool(x: Any) -> Any:  # the gradient of reduce_window is slower on a CPU
            num, height, width, channels = x.shape
            return x.reshape(num, height // 2, 2, width // 2, 2, channels).max((2, 4))

        c1, b1, c3, b3, c5, b5, f6, b6, output, bias = parameters
        x = pool(convolve(images, c1, b1, "SAME"))
        x = pool(convolve(x, c3, b3, "VALID")).reshape(len(x), -1)
        return relu(relu(x @ c5 + b5) @ f6 + b6) @ output + bias

    def training(self, model: Any, images: Array, targets: Array, *, epochs: int, batch_size: int, seed: int) -> Call:
        """Return a loop of jitted steps, already compiled for both sizes of batch, over arrays on the device."""
        jax, optax, recipe = self.jax, self.optax, self.settings
        rates = jax.numpy.asarray(one_cycle(recipe, epochs * math.ceil(len(images) / batch_size)))
        optimizer = optax.adamw(lambda count: rates[count], weight_decay=recipe.weight_decay)
        pixels = jax.numpy.asarray(channels_last(images))
        wanted = optax.smooth_labels(jax.nn.one_hot(targets, 10), recipe.label_smoothing)

        def step(parameters: Any, state: Any, pixels: Any, wanted: Any, index: Any) -> Any:
            def loss(parameters: Any) -> Any:
                logits = self.logits(parameters, pixels[index])
                return optax.softmax_cross_entropy(logits, wanted[index]).mean()

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
                    parameters, state = update(parameters, state, pixels, wanted, index)
            model[:] = jax.block_until_ready(parameters)

        for index in batches()[-2:]:
            update(list(model), optimizer.init(model), pixels, wanted, index)
        return train

    def labelling(self, model: Any, images: Array, batch_size: int) -> Call:
        """Return a loop over slices of an array on the device."""
        pixels = self.jax.numpy.asarray(channels_last(images))
        batches = [pixels[begin : begin + batch_size] for begin in range(0, len(images), batch_size)]
        return lambda: np.concatenate(self.jax.device_get([self.forward(model, batch) for batch in batches]))


class OnnxRuntime(Peer):
    """ONNX Runtime, which labels but does not train."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        import onnx
        import onnxruntime

        self.onnx, self.onnxruntime = onnx, onnxruntime
        self.packages = ("onnxruntime", "onnx")

    def start(self, seed: int) -> Any:
        """Return a session with the network."""
        options = self.onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.settings.threads
        wanted = ["CPUExecutionProvider"] if self.settings.device == "cpu" else ["CUDAExecutionProvider"]
        available = self.onnxruntime.get_available_providers()
        providers = [name for name in wanted if name in available] or ["CPUExecutionProvider"]
        self.device = providers[0].removesuffix("ExecutionProvider").lower()
        return self.onnxruntime.InferenceSession(self._graph(seed).SerializeToString(), options, providers=providers)

    def labelling(self, model: Any, images: Array, batch_size: int) -> Call:
        """Return a loop over slices of an array."""
        pixels = normalised(images)
        batches = [pixels[begin : begin + batch_size] for begin in range(0, len(images), batch_size)]
        return lambda: np.concatenate([model.run(None, {"images": batch})[0].argmax(1) for batch in batches])

    def _graph(self, seed: int) -> Any:
        """Return the network as ONNX."""
        helper, number_type = self.onnx.helper, self.onnx.TensorProto.FLOAT
        window = {"kernel_shape": [2, 2], "strides": [2, 2]}
        layers: list[tuple[str, dict[str, Any]]] = [
            ("Conv", {"pads": [2] * 4}), ("Relu", {}), ("MaxPool", window), ("Conv", {}), ("Relu", {}),
            ("MaxPool", window), ("Flatten", {}), ("Gemm", {"transB": 1}), ("Relu", {}), ("Gemm", {"transB": 1}),
            ("Relu", {}), ("Gemm", {"transB": 1}),
        ]  # fmt: skip
        weights = {f"w{number}": values for number, values in enumerate(initial_weights(seed))}
        names, nodes, last = iter(weights), [], "images"
        for number, (kind, attributes) in enumerate(layers):
            parameters = [next(names), next(names)] if kind in ("Conv", "Gemm") else []
            nodes.append(helper.make_node(kind, [last, *parameters], [f"x{number}"], **attributes))
            last = f"x{number}"
        images = helper.make_tensor_value_info("images", number_type, ["n", 1, 28, 28])
        logits = helper.make_tensor_value_info(last, number_type, ["n", 10])
        tensors = [self.onnx.numpy_helper.from_array(values, name) for name, values in weights.items()]
        graph = helper.make_graph(nodes, "lenet5", [images], [logits], tensors)
        return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])


def one_cycle(settings: Settings, num_steps: int) -> Array:
    """Return the learning rate of each step, float32, as torch.optim.lr_scheduler.OneCycleLR has it by default.

    It rises from lr/25 to lr and falls to lr/250,000, both along half a cosine. Torch's also lets AdamW's first beta
    swing, which optax and Keras keep at 0.9.
    """
    last = num_steps - 1
    peak = min(max(settings.warmup * num_steps - 1, 1e-9), last)
    phase = np.interp(np.arange(num_steps), [0, peak, max(last, peak + 1e-9)], [0, 1, 2])
    share = (1 - np.cos(np.pi * phase)) / 2  # 0 at either end, 1 at the peak
    lowest = np.where(phase < 1, settings.lr / 25, settings.lr / 250_000)
    rates: Array = (lowest + (settings.lr - lowest) * share).astype(np.float32)
    return rates


def channels_last(images: Array) -> Array:
    """Return float32 images (N, 28, 28, 1), normalised."""
    return normalised(images).reshape(len(images), 28, 28, 1)


def channels_last_weights(seed: int) -> list[Array]:
    """Return the initial weights with their axes as TensorFlow and JAX have them.

    The inputs of C5 come in another order; its initial weights are drawn alike, so that makes no difference.
    """
    return [np.transpose(values, (2, 3, 1, 0) if values.ndim == 4 else None) for values in initial_weights(seed)]
