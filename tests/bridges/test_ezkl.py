"""ezkl: a network of additions and products becomes a circuit whose results can be proved."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import lenet5
from lenet5.export import export_onnx

ezkl = pytest.importorskip("ezkl", reason="nox -s tests_bridges installs it")
pytest.importorskip("onnx", reason="nox -s tests_bridges installs it")


@pytest.fixture(scope="module")
def trained() -> tuple[lenet5.Pretrained, torch.Tensor]:
    """A network with the activation x², trained on the digits, and prepared test images."""
    splits = lenet5.load_data("digits")
    torch.manual_seed(0)
    model = lenet5.LeNet5(activation=lenet5.Square, pooling="avg")
    config = lenet5.TrainerConfig(max_epochs=6, batch_size=32, lr=0.004, max_grad_norm=1, device="cpu")
    lenet5.Trainer(model, config).fit(splits.train, splits.val)
    assert lenet5.evaluate(model, splits.test).accuracy > 0.9
    preprocess = splits.train.transform
    assert isinstance(preprocess, lenet5.Preprocess)
    return lenet5.Pretrained(model, preprocess, {}), preprocess(splits.test.images[:3])


def test_circuit_of_the_exported_file_computes_the_logits(
    trained: tuple[lenet5.Pretrained, torch.Tensor], tmp_path: Path
) -> None:
    pretrained, images = trained
    file, settings, circuit, data, witness = (
        str(tmp_path / name) for name in ("lenet5.onnx", "settings.json", "lenet5.ezkl", "input.json", "witness.json")
    )
    export_onnx(pretrained, file)
    arguments = ezkl.PyRunArgs()
    arguments.variables = [("batch", 1)]
    assert ezkl.gen_settings(file, settings, py_run_args=arguments)
    assert ezkl.compile_circuit(file, circuit, settings)
    assert json.loads(Path(settings).read_text(encoding="utf-8"))["required_lookups"] == []  # additions and products
    for image, logits in zip(images, pretrained.model(images).detach().numpy(), strict=True):
        Path(data).write_text(json.dumps({"input_data": [image.flatten().tolist()]}), encoding="utf-8")
        ezkl.gen_witness(data, circuit, witness)
        outputs = json.loads(Path(witness).read_text(encoding="utf-8"))["pretty_elements"]["rescaled_outputs"]
        found = np.array(outputs[0], float)
        assert found.argmax() == logits.argmax()
        assert np.abs(found - logits).max() < 0.2 * np.abs(logits).max()
