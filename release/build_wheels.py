"""Build what a release uploads: the source archive and a wheel for each platform. Build each wheel twice, and check it.

`nox -s wheels` runs it. Arguments: the folder to fill, and the platforms (by default all of hatch_build.py).
"""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import check_wheels
import hatch_build


def build_wheel(sources: Path, output: Path, name: str, cache: Path) -> None:
    """Build the wheel of a platform from unpacked sources."""
    environment = os.environ | {"LENET5_PLATFORM": name, "ZIG_GLOBAL_CACHE_DIR": str(cache)}
    run("build", "--wheel", "--no-isolation", "--outdir", str(output), str(sources), environment=environment)


def build_archive(output: Path) -> Path:
    """Build the source archive; return its path."""
    run("build", "--sdist", "--no-isolation", "--outdir", str(output), str(Path(__file__).parents[1]))
    (archive,) = output.glob("*.tar.gz")
    return archive


def run(module: str, *arguments: str, environment: dict[str, str] | None = None) -> None:
    """Run a module of Python."""
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, env=environment)


def main(folder: Path, names: list[str]) -> None:
    """Build everything into `folder / "dist"`, and again beside it."""
    shutil.rmtree(folder, ignore_errors=True)
    archive = build_archive(folder / "dist")
    for place, output in (("first", folder / "dist"), ("another/folder", folder / "again")):
        with tarfile.open(archive) as file:
            file.extractall(folder / place, filter="data")
        (sources,) = (folder / place).iterdir()
        for name in names:
            build_wheel(sources, output, name, folder / place / "cache")
    check_wheels.main(folder / "dist", folder / "again")
    run("twine", "check", "--strict", *map(str, (folder / "dist").iterdir()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or list(hatch_build.PLATFORMS))
