"""Load the library in a wheel for this platform, without the package and PyTorch, and print what it says of itself."""

import ctypes
import sys
import tempfile
from pathlib import Path
from zipfile import ZipFile


def main(wheel: Path) -> None:
    """Load the library, and print its compiler and the instruction sets of this processor."""
    with ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if "/liblenet5-" in name]
        path = archive.extract(name, tempfile.mkdtemp())
    library = ctypes.CDLL(path)
    for function in (library.lenet5_compiler, library.lenet5_instruction_sets):
        function.restype = ctypes.c_char_p
        print(function().decode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
