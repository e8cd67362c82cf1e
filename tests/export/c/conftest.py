"""Compiled C, which tests call."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest
from torch import Tensor

Array: TypeAlias = npt.NDArray[Any]

STRICT = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow", "-Wdouble-promotion"]
STRICT += ["-Wmissing-prototypes", "-Wcast-qual", "-Wundef", "-Wvla", "-Wswitch-default", "-Wstrict-prototypes"]


class Layer(NamedTuple):
    """A layer as the C file computes it: the shape and dtype of its outputs, and whether it has a buffer for them."""

    shape: tuple[int, ...]
    dtype: npt.DTypeLike
    buffer: bool


class Compiler:
    """A compiler of C."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program = program
        self.folder = folder

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run the compiler; it must succeed without a word."""
        result = subprocess.run(
            [self.program, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=self.folder
        )
        assert (result.returncode, result.stderr) == (0, "")
        return result

    def executable(self, *arguments: str | Path) -> Path:
        """Compile a program."""
        path = self.folder / "program"
        self.run(*arguments, "-o", path, "-lm")
        return path

    def library(self, *arguments: str | Path) -> ctypes.CDLL:
        """Compile a shared library, and load it."""
        path = self.folder / f"library{len(list(self.folder.glob('*.so')))}.so"
        self.run(*arguments, "-shared", "-fPIC", "-o", path, "-lm")
        return ctypes.CDLL(str(path))

    def logits(self, source: Path, images: Array, num_classes: int, dtype: npt.DTypeLike, *options: str) -> Array:
        """Compute the logits of images (N, C, H, W), one after the other."""
        scalar = {"float32": "float", "int32": "int32_t"}[np.dtype(dtype).name]
        element = {"float32": "float", "uint8": "uint8_t"}[images.dtype.name]
        size = images[0].size
        loop = self._written(
            f'#include "{source.with_suffix(".h").name}"\n'
            f"void all_logits(const {element} *images, int count, {scalar} *logits);\n"
            f"void all_logits(const {element} *images, int count, {scalar} *logits)\n"
            f"{{ for (int i = 0; i < count; i++) lenet5_logits(images + i * {size}, logits + i * {num_classes}); }}\n"
        )
        library = self.library("-O2", *options, "-I", source.parent, source, loop)
        results = np.empty((len(images), num_classes), dtype)
        library.all_logits(pointer(images), len(images), pointer(results))
        return results

    def labels(self, source: Path, pixels: Array) -> Array:
        """Classify pixels (N, C, H, W), one image after the other."""
        loop = self._written(
            f'#include "{source.with_suffix(".h").name}"\n'
            "void all_labels(const uint8_t *pixels, int count, int32_t *labels);\n"
            "void all_labels(const uint8_t *pixels, int count, int32_t *labels)\n"
            f"{{ for (int i = 0; i < count; i++) labels[i] = lenet5_classify(pixels + i * {pixels[0].size}); }}\n"
        )
        library = self.library("-O2", "-I", source.parent, source, loop)
        results = np.empty(len(pixels), np.int32)
        library.all_labels(pointer(pixels), len(pixels), pointer(results))
        return results

    def layers(self, source: Path, layers: Mapping[str, Layer], pixels: Array, *options: str) -> dict[str, Array]:
        """Compute the outputs of all layers, which are static functions of the file, for pixels (N, C, H, W)."""
        lines, places = [], iter(("second", "first") * len(layers))
        for number, (name, layer) in enumerate(layers.items()):
            element = {"float32": "float"}.get(np.dtype(layer.dtype).name, f"{np.dtype(layer.dtype).name}_t")
            if layer.buffer:
                lines.append(f"{name}(&w); memcpy(outputs[{number}], w.{next(places)}.{name}, {size_of(layer)});")
            else:
                maps, height, width = layer.shape
                loops = f"for (int m = 0; m < {maps}; m++) for (int y = 0; y < {height}; y++)"
                at = f"(m * {height} + y) * {width} + x"
                call = f"(({element} *)outputs[{number}])[{at}] = {name}(&w, m, y, x);"
                lines.append(f"{loops} for (int x = 0; x < {width}; x++) {call}")
        harness = self._written(
            f'#include "{source.name}"\n#include <string.h>\n'
            "void dump(const uint8_t *pixels, void **outputs);\n"
            "void dump(const uint8_t *pixels, void **outputs)\n{\n    static struct workspace w;\n"
            "    set_pixels(&w, pixels);\n    " + "\n    ".join(lines) + "\n}\n"
        )
        library = self.library("-O1", *options, "-I", source.parent, harness)
        outputs = {name: np.zeros((len(pixels), *layer.shape), layer.dtype) for name, layer in layers.items()}
        for number, image in enumerate(pixels):
            addresses = (output[number].ctypes.data for output in outputs.values())
            library.dump(pointer(image), (ctypes.c_void_p * len(outputs))(*addresses))
        return outputs

    @staticmethod
    def address(tensor: Tensor) -> ctypes.c_void_p:
        """Return the address of a tensor, as an argument."""
        return ctypes.c_void_p(tensor.data_ptr())

    def _written(self, text: str) -> Path:
        path = self.folder / f"harness{len(list(self.folder.glob('harness*.c')))}.c"
        path.write_text(text, encoding="utf-8")
        return path


def pointer(array: Array) -> ctypes.c_void_p:
    assert array.flags.c_contiguous
    return ctypes.c_void_p(array.ctypes.data)


def size_of(layer: Layer) -> int:
    return int(np.prod(layer.shape)) * np.dtype(layer.dtype).itemsize


@pytest.fixture(params=["gcc", "clang"])
def each_compiler(request: pytest.FixtureRequest, tmp_path: Path) -> Compiler:
    """gcc, then clang."""
    return Compiler(found(request.param), tmp_path)


@pytest.fixture
def compiler(tmp_path: Path) -> Compiler:
    return Compiler(found("gcc"), tmp_path)


@pytest.fixture
def strict() -> list[str]:
    """The options of a careful compiler."""
    return STRICT


@pytest.fixture
def as_layer() -> Callable[..., Layer]:
    return Layer


def found(name: str) -> str:
    path = shutil.which(name)
    if path is None or os.name == "nt":
        pytest.skip(f"{name} is not installed" if path is None else "Windows cannot remove a library that is in use")
    return path
