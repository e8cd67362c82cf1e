"""The C file for careful compilers, C++, several networks in one program, and other people's class names."""

import ctypes
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

import lenet5
from lenet5 import CaffeLeNet, LeNet5, Preprocess
from lenet5.export import export_c
from lenet5.quantization import quantize

if TYPE_CHECKING:
    from .conftest import Compiler

HOSTILE = ('"', "\\", "??/", "*/", "/* a", "a\nb", "é", "日本", "%s%n", "", "\x00", "\ud800", "'", "\\n")


def named(*classes: str) -> lenet5.Pretrained:
    return lenet5.Pretrained(LeNet5(len(classes)).eval(), Preprocess(), {"categories": list(classes)})


@pytest.mark.parametrize("optimisation", ["-O0", "-O3"])
def test_careful_compilers_have_nothing_to_say(
    optimisation: str, each_compiler: "Compiler", strict: list[str], tmp_path: Path
) -> None:
    networks: list[lenet5.Pretrained | nn.Module] = [
        lenet5.load("mnist_v2"),
        lenet5.load("original_mnist_v1"),
        LeNet5(activation=nn.Tanh, pooling="avg"),
    ]
    for number, network in enumerate(networks):
        export_c(network, tmp_path / f"{number}.c")
        options: list[str | Path] = [*strict, optimisation, "-c", tmp_path / f"{number}.c", "-o", tmp_path / "object.o"]
        each_compiler.run(*options, "-DLENET5_STORAGE=auto")
        each_compiler.run(*options, *(["-DLENET5_MAIN"] if number < 2 else []))


def test_every_warning_of_clang_that_matters_is_absent(tmp_path: Path, compiler: "Compiler") -> None:
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("clang is not installed")
    export_c(lenet5.load("original_mnist_v1"), tmp_path / "lenet5.c")
    compiler.program = clang
    # C99 has declarations among statements; the rest warns of pointer arithmetic, and of padding
    ignored = ["-Wno-declaration-after-statement", "-Wno-unsafe-buffer-usage", "-Wno-unknown-warning-option"]
    options: list[str | Path] = [
        "-std=c99",
        "-Weverything",
        "-Werror",
        *ignored,
        "-DLENET5_MAIN",
        "-c",
        tmp_path / "lenet5.c",
    ]
    compiler.run(*options, "-o", tmp_path / "lenet5.o")


@pytest.mark.parametrize("kind", ["float32", "int8", "original", "int8 original", "Caffe", "colour"])
def test_stated_memory_is_that_of_the_object_file(
    kind: str, compiler: "Compiler", digits: lenet5.DataSplits, tmp_path: Path
) -> None:
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("nm is not installed")
    others = {"Caffe": CaffeLeNet(), "colour": LeNet5(26, in_channels=3, image_size=45)}
    network = others.get(kind) or lenet5.load("original_mnist_v1" if "original" in kind else "mnist_v2")
    if "int8" in kind and isinstance(network, lenet5.Pretrained):
        exported = export_c(quantize(network, digits.train), tmp_path / "lenet5.c")
    else:
        exported = export_c(network, tmp_path / "lenet5.c")
    flash, ram = (int(number.replace(",", "")) for number in re.findall(r"([\d,]+) bytes", exported.description[0]))
    compiler.run("-O0", "-c", tmp_path / "lenet5.c", "-o", tmp_path / "lenet5.o")  # which removes no small constants
    table = subprocess.run([nm, "-S", tmp_path / "lenet5.o"], capture_output=True, text=True, check=True).stdout
    symbols = [line.split() for line in table.splitlines() if len(line.split()) == 4]
    assert sum(int(size, 16) for _, size, kind, _ in symbols if kind in "rR") == flash
    assert sum(int(size, 16) for _, size, kind, _ in symbols if kind in "bB") == ram
    assert not [kind for _, _, kind, _ in symbols if kind in "dDcC"]
    text = (tmp_path / "lenet5.c").read_text(encoding="ascii")
    assert f"Memory: {flash:,} bytes of constants, and {ram:,} bytes of buffers" in text


def test_class_names_of_any_characters_arrive(compiler: "Compiler", strict: list[str], tmp_path: Path) -> None:
    export_c(named(*HOSTILE), tmp_path / "lenet5.c")
    library = compiler.library(*strict, "-trigraphs", tmp_path / "lenet5.c")
    length = 1 + max(len(name.encode("utf-8", "surrogatepass")) for name in HOSTILE)
    array = (ctypes.c_char * length * len(HOSTILE)).in_dll(library, "lenet5_classes")
    names = [bytes(row).decode("utf-8", "surrogatepass")[: len(name)] for row, name in zip(array, HOSTILE, strict=True)]
    assert names == list(HOSTILE)


def test_header_is_read_by_c_plus_plus_and_two_networks_fit_in_one_program(
    compiler: "Compiler", strict: list[str], tmp_path: Path, digits: lenet5.DataSplits
) -> None:
    gxx = shutil.which("g++")
    if gxx is None:
        pytest.skip("g++ is not installed")
    export_c(lenet5.load("mnist_v2"), tmp_path / "modern.c", prefix="modern")
    export_c(lenet5.load("original_mnist_v1"), tmp_path / "original.c", prefix="original")
    for name in ("modern", "original"):
        compiler.run(*strict, "-c", tmp_path / f"{name}.c", "-o", tmp_path / f"{name}.o")
    (tmp_path / "both.cpp").write_text(
        '#include "modern.h"\n#include "original.h"\n#include <cstdio>\n'
        "int main() { uint8_t pixels[784]; std::fread(pixels, 1, 784, stdin);\n"
        'std::printf("%s ", modern_classes[modern_classify(pixels)]);\n'
        'std::printf("%s", original_classes[original_classify(pixels)]); }\n',
        encoding="utf-8",
    )
    compiler.program = gxx
    program = compiler.executable(
        "-Wall", "-Wextra", "-pedantic", *(tmp_path / f for f in ("both.cpp", "modern.o", "original.o"))
    )
    pixels = digits.test.images[5].numpy().tobytes()
    assert subprocess.run([program], input=pixels, capture_output=True, check=True).stdout == b"5 5"


def test_only_names_with_the_prefix_are_visible_and_nothing_is_called(compiler: "Compiler", tmp_path: Path) -> None:
    export_c(lenet5.load("mnist_v2"), tmp_path / "lenet5.c")
    compiler.run("-O2", "-ffreestanding", "-c", tmp_path / "lenet5.c", "-o", tmp_path / "lenet5.o")
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("nm is not installed")
    table = subprocess.run([nm, tmp_path / "lenet5.o"], capture_output=True, text=True, check=True).stdout
    visible = {line.split()[-1].lstrip("_") for line in table.splitlines() if re.search(r" [A-Z] ", line)}
    assert visible - {"GLOBAL_OFFSET_TABLE_"} == {"lenet5_classes", "lenet5_classify", "lenet5_logits"}


def test_sanitizers_find_nothing(compiler: "Compiler", tmp_path: Path, digits: lenet5.DataSplits) -> None:
    for name in ("mnist_v2", "original_mnist_v1"):
        export_c(lenet5.load(name), tmp_path / "lenet5.c")
        checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-static-libasan"]
        program = compiler.executable("-g", "-O1", *checks, "-DLENET5_MAIN", tmp_path / "lenet5.c")
        (tmp_path / "digit.pgm").write_bytes(b"P5 28 28 255\n" + digits.test.images[4].numpy().tobytes())
        result = subprocess.run([program, tmp_path / "digit.pgm"], capture_output=True, text=True, check=False)
        assert (result.returncode, result.stdout, result.stderr) == (0, f"{tmp_path / 'digit.pgm'}: 4\n", "")


def test_same_network_gives_the_same_bytes_in_any_folder(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        exported = export_c(lenet5.load("mnist_v2"), tmp_path / folder / "lenet5.c")
        export_c(lenet5.load("mnist_v2"), tmp_path / folder / "lenet5.c")
        assert exported.files == (tmp_path / folder / "lenet5.c", tmp_path / folder / "lenet5.h")
    for name in ("lenet5.c", "lenet5.h"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weight_that_is_not_finite_is_refused(value: float, tmp_path: Path) -> None:
    model = LeNet5()
    with torch.no_grad():
        model.get_parameter("c3.conv.bias")[2] = value
    with pytest.raises(ValueError, match="finite"):
        export_c(model, tmp_path / "lenet5.c")
    assert not list(tmp_path.iterdir())


def test_network_that_is_not_its_layers_in_a_row_is_refused(tmp_path: Path) -> None:
    class Doubled(LeNet5):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = LeNet5.forward(self, images)
            return 2 * logits

    with pytest.raises(ValueError, match="Doubled computes something else than its layers in a row"):
        export_c(Doubled(), tmp_path / "lenet5.c")


@pytest.mark.parametrize("name", ["lenet5", "lenet5.h", "lenet5.cpp", 'a"b.c', "a\nb.c", "a\\b.c"])
def test_path_is_that_of_a_c_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected the name of a file that ends in .c"):
        export_c(LeNet5(), tmp_path / name)


def test_preprocessing_fits_the_network(tmp_path: Path) -> None:
    pretrained = lenet5.Pretrained(LeNet5(), Preprocess(image_size=32), {})
    with pytest.raises(ValueError, match="the preprocessing returns images of 1 x 32 x 32; expected 1 x 28 x 28"):
        export_c(pretrained, tmp_path / "lenet5.c")


def test_nothing_is_written_if_the_header_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "lenet5.h").mkdir()
    with pytest.raises(ValueError, match="lenet5.h is a folder"):
        export_c(LeNet5(), tmp_path / "lenet5.c")
    assert [path.name for path in tmp_path.iterdir()] == ["lenet5.h"]


def test_file_name_may_have_spaces_and_any_letters(compiler: "Compiler", strict: list[str], tmp_path: Path) -> None:
    export_c(LeNet5(), tmp_path / "my é net.c")
    compiler.run(*strict, "-c", tmp_path / "my é net.c", "-o", tmp_path / "object.o")
