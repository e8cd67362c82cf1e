"""Check the wheels of a release: what their libraries need, export and weigh, and that they are reproducible."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import lief

MAX_SIZE = 300_000
"""Largest size of all libraries together, in bytes, compressed as in the wheels."""

SYSTEM = {
    "manylinux": r"lib(c|m|pthread)\.so\.\d",
    "macosx": r"/usr/lib/libSystem\.B\.dylib|@rpath/liblenet5-[0-9a-f]{8}\.dylib",  # and its own name
    "win": r"KERNEL32\.dll|api-ms-win-crt-[a-z0-9-]+\.dll",
}
"""The libraries that may be needed."""

MACHO_NAMES = {"__mh_dylib_header", "___dso_handle"}
"""Names that the linker for macOS gives to the header of each library."""

INSTRUCTION_SETS = {"x86_64": ("avx512", "avx2"), "amd64": ("avx512", "avx2"), "aarch64": ("neon",), "arm64": ("neon",)}


def library_in(wheel: Path) -> tuple[str, bytes, int]:
    """Return the name, the content and the compressed size of the only library in a wheel."""
    with ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if "/liblenet5-" in name]
        return name, archive.read(name), archive.getinfo(name).compress_size


def exported_names(sources: Path, machine: str) -> set[str]:
    """Return the names of the functions that the sources mark with EXPORT."""
    text = "".join(file.read_text(encoding="utf-8") for file in sorted(sources.glob("*.c")))
    once = set(re.findall(r"^EXPORT [\w ]+?\W+(\w+)\(void\) {", text, re.MULTILINE))
    kernels = re.findall(r"^EXPORT [\w ]+ NAME\((\w+)\)\(", text, re.MULTILINE)
    return once | {f"{name}_{suffix}" for name in kernels for suffix in INSTRUCTION_SETS[machine]}


def check_library(wheel: Path, content: bytes) -> None:
    """Check what a library needs and exports, and the oldest system that it runs on."""
    tag = wheel.stem.split("-")[-1]
    system = next(name for name in SYSTEM if tag.startswith(name))
    machine = next(name for name in INSTRUCTION_SETS if tag.endswith(name))
    binary: Any = lief.parse(list(content))
    needed = [getattr(library, "name", library) for library in binary.libraries]
    strange = [name for name in needed if not re.fullmatch(SYSTEM[system], name)]
    assert not strange, f"{wheel.name} needs {strange}"
    exported = {name.removeprefix("_") for name in exports(binary)}
    expected = exported_names(Path(__file__).parents[1] / "src/lenet5/models/kernels", machine)
    assert exported == expected, f"{wheel.name} exports {exported ^ expected} wrongly"
    if system == "macosx":
        check_macos(binary, tag, wheel.name)
    if system == "manylinux":
        check_glibc(wheel)


def exports(binary: Any) -> set[str]:
    """Return the names of the exported symbols."""
    if isinstance(binary, lief.PE.Binary):
        return {entry.name for entry in binary.get_export().entries}
    symbols = binary.dynamic_symbols if isinstance(binary, lief.ELF.Binary) else binary.symbols
    if isinstance(binary, lief.MachO.Binary):
        return {symbol.name for symbol in symbols if symbol.has_export_info} - MACHO_NAMES
    return {symbol.name for symbol in symbols if symbol.exported}


def check_macos(binary: Any, tag: str, name: str) -> None:
    """Check the oldest macOS, and that a library for Apple silicon is signed, without which it is not loaded."""
    command = binary.build_version if binary.has_build_version else binary.version_min
    oldest = list(getattr(command, "minos", None) or command.version)[:2]
    assert oldest == [int(number) for number in tag.split("_")[1:3]], f"{name} needs macOS {oldest}"
    assert binary.has_code_signature or not tag.endswith("arm64"), f"{name} is not signed"


def check_glibc(wheel: Path) -> None:
    """Check with auditwheel that the wheel needs no newer glibc than its tag says."""
    command = [sys.executable, "-m", "auditwheel", "show", str(wheel)]
    report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r'platform\s+tag:\s+"manylinux_2_(\d+)_', report)
    assert found, report
    assert int(found[1]) <= 17, report


def main(folder: Path, again: Path) -> None:
    """Check all wheels in a folder, and that those in the other, built elsewhere, are the same bit for bit."""
    total = 0
    for wheel in sorted(folder.glob("*.whl")):
        library = _, content, compressed = library_in(wheel)
        check_library(wheel, content)
        assert library_in(again / wheel.name) == library, f"the library in {wheel.name} is not reproducible"
        assert wheel.read_bytes() == (again / wheel.name).read_bytes(), f"{wheel.name} is not reproducible"
        print(f"{wheel.name}: a library of {len(content):,} bytes, compressed {compressed:,}; reproducible")
        total += compressed
    print(f"all libraries: {total:,} bytes, compressed")
    assert total <= MAX_SIZE, f"the libraries have {total:,} bytes; at most {MAX_SIZE:,} are allowed"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
