"""An extension of Sphinx for pages that run: their order, the gallery's figures, and the notebooks' download links."""

import json
from pathlib import PurePosixPath
from typing import Any

from matplotlib.figure import Figure
from sphinx.application import Sphinx
from sphinx_gallery.scrapers import figure_rst

_DPI = 100
_STRIDE = 5  # about the number of parts that Sphinx divides the pages into
_LESSONS = (  # the gallery, from the first lesson on
    "learning_curves",
    "confusion_matrix",
    "misclassified_digits",
    "feature_maps",
    "filters_and_prototypes",
    "architecture",
    "saliency",
    "own_images",
    "fine_tuning",
    "learning_rate",
    "own_callback",
    "compare_settings",
    "calibration",
    "abstention",
    "corruptions",
    "quantization",
    "export",
    "scikit_learn",
)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("env-before-read-docs", mix_pages)
    app.connect("source-read", offer_download)
    return {"parallel_read_safe": True}


def mix_pages(_app: Sphinx, _environment: Any, pages: list[str]) -> None:
    """Mix pages that compute for long with others.

    A process reads a part of the pages, in their order. Otherwise the last part would hold most of the computation, and
    the other processes would wait for it.
    """
    pages[:] = [page for start in range(_STRIDE) for page in pages[start::_STRIDE]]


class LessonOrder:
    """The order of the examples in the gallery."""

    def __init__(self, _folder: str) -> None:
        pass

    def __call__(self, file: str) -> int:
        """Return the place of an example."""
        return _LESSONS.index(PurePosixPath(file).stem)


def offer_download(_app: Sphinx, page: str, source: list[str]) -> None:
    """Add a link to the file below the title of a notebook."""
    path = PurePosixPath(page)
    if path.parent.name == "notebooks":
        notebook = json.loads(source[0])
        notebook["cells"][0]["source"].append(f"\n\n{{download}}`Download this notebook <{path.name}.ipynb>`")
        source[0] = json.dumps(notebook)


def save_figures(_block: Any, variables: dict[str, Any], config: dict[str, Any]) -> str:
    """Save the figure that ends a block of an example, in two resolutions, and return its reStructuredText.

    sphinx-gallery itself finds the figures of pyplot alone, and the library draws without pyplot.
    """
    value = variables["example_globals"].get(
        "___"
    )  # the value of the last expression of this block, or of an older one
    if not isinstance(value, Figure) or value is variables.get("saved_figure"):
        return ""
    variables["saved_figure"] = value
    path = PurePosixPath(next(variables["image_path_iterator"]))
    sharp = path.with_stem(f"{path.stem}_2_00x")
    value.savefig(path, dpi=_DPI)
    value.savefig(sharp, dpi=2 * _DPI)
    return str(figure_rst([path], config["src_dir"], srcsetpaths=[{0: path, 2.0: sharp}]))
