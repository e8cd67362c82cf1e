"""`export_c`: a network as a C file and its header."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from ... import storage
from ...quantization import IntegerNetwork
from ...storage import StrPath
from ...weights.bundle import Pretrained
from ..exported import Exported, write_exports
from ..layers import layers_of
from ..program import Source, as_program
from .floats import float_parts
from .integers import integer_parts
from .source import Parts, c_source
from .text import check_prefix


def export_c(source: Source | IntegerNetwork, path: StrPath, *, prefix: str = "lenet5") -> Exported:
    """Write a network as a file of C99 and its header.

    The file needs no other: no library except the C compiler's own, and no allocation. Weights are constants, which
    linkers place in flash. Every layer is a function of its name. The header declares:

    - `int lenet5_classify(const uint8_t pixels[])`, which returns the index of the class, if the source has its
      preprocessing.
    - `void lenet5_logits(const float image[], float logits[])`, for normalised images. Of an integer network, it is
      `void lenet5_logits(const uint8_t pixels[], int32_t logits[])`.
    - `lenet5_classes`, the class names in UTF-8.

    With `-DLENET5_MAIN`, the file is a program that classifies PGM files.

    Parameters
    ----------
    source
        The network: the result of `lenet5.load`, any network of this package, or the result of
        `lenet5.quantization.quantize`. The C of an integer network has no floating point, and computes the integers of
        `IntegerNetwork.run`.
    path
        The C file, such as "lenet5.c". The header is written beside it. Existing files are replaced.
    prefix
        Prefix of all names that other files see, so that several networks can be in one program.

    Returns
    -------
    Exported
        The files, and the memory that the network needs.

    Raises
    ------
    TypeError
        The source is no network of this package.
    ValueError
        A weight is not finite, a layer cannot be written in C, the prefix is no name of C, or the path does not end
        in ".c".

    Examples
    --------
    >>> exported = lenet5.export.export_c(lenet5.load("mnist_v2"), "lenet5.c")
    >>> "int lenet5_classify(" in exported.files[1].read_text()
    True
    """
    prefix, target = check_prefix(prefix), _target(path)
    parts = integer_parts(source) if isinstance(source, IntegerNetwork) else _float_parts(source)
    code = c_source(parts, prefix=prefix, header_name=target.with_suffix(".h").name)
    texts = {target: code.source, target.with_suffix(".h"): code.header}
    files = write_exports({file: text.encode("utf-8", "surrogateescape") for file, text in texts.items()})
    memory = f"{code.flash:,} bytes of constants (flash), {code.ram:,} bytes of buffers (RAM), without machine code"
    return Exported(files, (memory, *code.functions))


def _float_parts(source: Source) -> Parts:
    program = as_program(source, preprocess=False)
    pretrained = source if isinstance(source, Pretrained) else None
    return float_parts(
        layers_of(program.module, program.images),
        pretrained.preprocess if pretrained else None,
        title=_title(program.metadata),
        classes=pretrained.classes if pretrained else [str(index) for index in range(program.results.shape[1])],
    )


def _title(metadata: Mapping[str, str]) -> str:
    name = f", the weights {metadata['weights']}" if "weights" in metadata else ""
    return f"{metadata['architecture']}{name} (SHA-256 of the tensors: {metadata['sha256']})"


def _target(path: StrPath) -> Path:
    target = storage.as_path(path)
    if target.suffix != ".c" or not re.fullmatch(r'[^"\\?\x00-\x1f\x7f]+', target.name):
        raise ValueError(
            f"the path is {storage.shown(target)}; expected the name of a file that ends in .c, without quotes,"
            " question marks and backslashes"
        )
    return target
