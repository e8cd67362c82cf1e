"""The kernels are built wherever a C compiler is present, loaded unless LENET5_KERNELS=none, and described."""

import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from lenet5 import LeNet5, LeNet5Original, MAPLoss
from lenet5.models.kernels import lenet5, library, original

HAS_COMPILER = (
    sys.platform == "linux" and platform.machine() == "x86_64" and (shutil.which("cc") or shutil.which("gcc"))
)

needs_compiler = pytest.mark.skipif(not HAS_COMPILER, reason="this test needs Linux with x86-64 and a C compiler")


@pytest.fixture(autouse=True)
def _enable_kernels(monkeypatch: pytest.MonkeyPatch, reload_libraries: Callable[[], None]) -> None:
    """Test the default, whatever the environment of the test run."""
    monkeypatch.delenv("LENET5_KERNELS", raising=False)
    reload_libraries()


@needs_compiler
def test_library_is_built_where_a_compiler_is_present() -> None:
    assert library.load() is not None, "liblenet5 is missing: reinstall lenet5, and read the compiler's output"


@needs_compiler
@pytest.mark.parametrize("capability", ["AVX2", "DEFAULT"])
def test_kernels_do_not_depend_on_the_instruction_set_of_torch(
    monkeypatch: pytest.MonkeyPatch, capability: str
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert lenet5.library() is not None
    assert original.library() is not None


def test_environment_variable_turns_both_kernels_off(
    monkeypatch: pytest.MonkeyPatch, runs_kernel: Callable[..., bool]
) -> None:
    monkeypatch.setenv("LENET5_KERNELS", "none")
    assert library.load() is None
    assert lenet5.library() is None
    assert original.library() is None
    assert not runs_kernel(LeNet5(), torch.rand(2, 1, 28, 28))
    assert LeNet5Original().fused_gradients(MAPLoss()) is None


@needs_compiler
def test_other_values_of_the_environment_variable_keep_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENET5_KERNELS", "")
    assert library.load() is not None


@needs_compiler
def test_library_of_different_sources_is_not_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for file in Path(library.__file__).parent.glob("*.[chs]*"):
        shutil.copy(file, tmp_path)
    monkeypatch.setattr(library, "__file__", str(tmp_path / "library.py"))
    assert library.load() is not None
    library.load.cache_clear()
    with (tmp_path / "original.c").open("a", encoding="utf-8") as source:
        source.write("/* an edit */\n")
    assert library.load() is None


def test_networks_work_without_the_libraries(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runs_kernel: Callable[..., bool]
) -> None:
    monkeypatch.setattr(library, "__file__", str(tmp_path / "library.py"))
    assert library.load() is None
    assert lenet5.library() is None
    assert original.library() is None
    assert not runs_kernel(LeNet5(), torch.rand(2, 1, 28, 28))
    assert LeNet5Original().fused_gradients(MAPLoss()) is None


class Compiled(dict[str, Callable[[], bytes]]):
    """Stand-in for a compiled library, for a processor with some instruction sets."""

    def __init__(self, instruction_sets: bytes) -> None:
        def sets() -> bytes:
            return instruction_sets

        def compiler() -> bytes:
            return b"Clang 21.1.0"

        super().__init__(lenet5_instruction_sets=sets, lenet5_compiler=compiler)


@pytest.mark.parametrize(
    ("sets", "wanted", "description"),
    [
        (b"avx512 avx2", "", "avx512, compiled by Clang 21.1.0"),
        (b"avx512 avx2", "avx2", "avx2, compiled by Clang 21.1.0"),
        (b"neon", "none", "turned off by LENET5_KERNELS=none"),
        (b"avx2", "avx512", "none, because the processor has avx2, not avx512"),
        (b"", "", "none, because the processor has no instruction set that they are written for"),
        (None, "", "none, because the package was built without a C compiler"),
    ],
)
def test_description_names_the_instruction_set_and_the_compiler_or_the_reason(
    monkeypatch: pytest.MonkeyPatch, sets: bytes | None, wanted: str, description: str
) -> None:
    monkeypatch.setattr(library, "_compiled", lambda: None if sets is None else Compiled(sets))
    monkeypatch.setenv("LENET5_KERNELS", wanted)
    assert library.description() == description


@needs_compiler
def test_library_names_its_compiler() -> None:
    assert library.description().split(", compiled by ")[1].startswith(("GCC ", "Clang ", "ziglang "))
