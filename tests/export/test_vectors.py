from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

import lenet5
from lenet5 import ImageDataset, LeNet5, Preprocess
from lenet5.export import export_vectors
from lenet5.quantization import WeightedLayer, quantize
from lenet5.quantization.reference import activate


def read_vectors(path: Path) -> list[dict[str, npt.NDArray[np.float32]]]:
    """Read the text as someone without NumPy's format would: a header line for each array, then its rows."""
    vectors: list[dict[str, npt.NDArray[np.float32]]] = []
    lines = iter(line for line in path.read_text(encoding="ascii").splitlines() if not line.startswith("#"))
    for line in lines:
        if line.startswith("vector "):
            vectors.append({})
            continue
        name, dtype, sizes = line.split()
        shape = [int(size) for size in sizes.split("x")]
        rows = [next(lines).split() for _ in range(int(np.prod(shape[:-1])))]
        vectors[-1][name] = np.array(rows, dtype).reshape(shape)
    return vectors


@pytest.mark.parametrize("name", ["mnist_v2", "original_mnist_v1"])
def test_vectors_hold_every_layer_of_one_digit_of_each_class(name: str, tmp_path: Path) -> None:
    pretrained = lenet5.load(name)
    exported = export_vectors(pretrained, tmp_path / "vectors.npz")
    assert exported.files == (tmp_path / "vectors.npz", tmp_path / "vectors.txt")
    arrays = np.load(tmp_path / "vectors.npz")
    assert arrays["target"].tolist() == list(range(10))
    assert arrays["pixels"].shape == (10, 1, 28, 28)
    x = pretrained.preprocess(torch.from_numpy(arrays["pixels"]))
    np.testing.assert_array_equal(arrays["image"], x.numpy())
    for layer, module in pretrained.model.named_children():
        x = module(x)
        sign = -1 if name.startswith("original") and layer == "output" else 1
        np.testing.assert_array_equal(arrays[layer], sign * x.detach().numpy())
    logits = pretrained.model(torch.from_numpy(arrays["image"])).detach().numpy()
    np.testing.assert_allclose(arrays["output"], logits, rtol=1e-5, atol=1e-5)
    conv = pretrained.model.get_submodule("c1.conv")
    first = conv(torch.from_numpy(arrays["image"]))
    np.testing.assert_array_equal(arrays["c1.conv"], first.detach().numpy())


def test_text_holds_the_same_bits(tmp_path: Path) -> None:
    export_vectors(lenet5.load("mnist_v2"), tmp_path / "vectors.npz")
    arrays = np.load(tmp_path / "vectors.npz")
    vectors = read_vectors(tmp_path / "vectors.txt")
    assert len(vectors) == 10
    for number, vector in enumerate(vectors):
        assert [*vector] == arrays.files
        for name, values in vector.items():
            np.testing.assert_array_equal(values.reshape(arrays[name][number].shape), arrays[name][number])


def test_vectors_are_of_any_data_and_of_its_first_image_of_each_class(tmp_path: Path) -> None:
    torch.manual_seed(0)
    images = torch.randint(256, (6, 3, 40, 20), dtype=torch.uint8)
    data = ImageDataset(images, torch.tensor([4, 2, 4, 2, 0, 4]), classes=("a", "b", "c", "d", "e"))
    pretrained = lenet5.Pretrained(LeNet5(5, in_channels=3).half().eval(), Preprocess(channels=3), {})
    export_vectors(pretrained, tmp_path / "vectors.npz", data=data)
    arrays = np.load(tmp_path / "vectors.npz")
    assert arrays["target"].tolist() == [0, 2, 4]
    np.testing.assert_array_equal(arrays["pixels"], pretrained.preprocess.resize(images[[4, 1, 0]]).numpy())
    assert arrays["output"].dtype == np.float32


def test_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        export_vectors(lenet5.load("mnist_v2"), tmp_path / f"{name}.npz")
    for suffix in ("npz", "txt"):
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()


def test_bad_arguments_get_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected the name of a file that ends in .npz"):
        export_vectors(lenet5.load("mnist_v2"), tmp_path / "vectors.txt")
    with pytest.raises(ValueError, match="does not know its preprocessing"):
        export_vectors(LeNet5(), tmp_path / "vectors.npz")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["mnist_v2", "original_mnist_v1"])
def test_vectors_of_integers_are_those_of_the_reference(name: str, digits: lenet5.DataSplits, tmp_path: Path) -> None:
    network = quantize(lenet5.load(name), digits.train)
    export_vectors(network, tmp_path / "vectors.npz")
    arrays = np.load(tmp_path / "vectors.npz")
    outputs = network.run(arrays["image"])
    for layer in network.layers:
        np.testing.assert_array_equal(arrays[layer.name], outputs[layer.name], strict=True)
        if isinstance(layer, WeightedLayer):
            accumulator = arrays[f"{layer.name}.accumulator"]
            np.testing.assert_array_equal(activate(layer, accumulator), outputs[layer.name])
    vectors = read_vectors(tmp_path / "vectors.txt")
    for name_, values in vectors[9].items():
        np.testing.assert_array_equal(values.reshape(arrays[name_][9].shape), arrays[name_][9])
