import inspect
import os
import re
import sys
import typing
from pathlib import Path

import torch
from sphinx.application import Sphinx

import lenet5

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))  # the extensions beside this file
os.environ["LENET5_REPOSITORY"] = str(DOCS.parent)  # where hidden cells find photographs and measured results

os.environ["PYTHONUNBUFFERED"] = "1"  # what a command prints is shown in its order

project = "lenet5"
author = "The lenet5 developers"
version = release = lenet5.__version__

extensions = [
    "code_blocks",
    "command_help",
    "drawing_page",
    "mathml",
    "myst_nb",
    "page_context",
    "runnable",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "examples", "gallery/*.ipynb"]
smartquotes = False  # most quoted words are values, such as "mnist", which are typed with straight quotes
default_role = "py:obj"  # in docstrings, names of this package link to their entries
nitpicky = True  # a reference to a name of this package that has no entry is a warning
nitpick_ignore_regex = [
    ("py:(class|exc|obj)", r"(?!lenet5\.).*"),  # of other projects, whose pages the build does not read
    ("py:class", r"lenet5(\.\w+){3}"),  # by the module that defines it: a type without an entry of its own
]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

nb_execution_mode = "force"  # run the code of all pages
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 300  # seconds
nb_merge_streams = True
nb_render_markdown_format = "myst"  # so that links to pages are checked
nb_output_stderr = "remove"  # warnings, which name files of the machine that builds the pages
nb_ipywidgets_js: dict[str, object] = {}  # which would be loaded from another site

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "image_scrapers": ("runnable.save_figures",),
    "reset_modules": (),  # matplotlib's state, which the figures do not use
    "ignore_repr_types": r"[Ff]igure",
    "abort_on_example_error": True,
    "show_memory": False,
    "show_signature": False,
    "within_subsection_order": "runnable.LessonOrder",
    "remove_config_comments": True,
    "write_computation_times": False,
    "min_reported_time": float("inf"),  # seconds
}

autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_type_aliases = {name: name for name in ("ArrayOrTensor", "npt.ArrayLike")}
napoleon_google_docstring = False
napoleon_attr_annotations = False  # which take the type of an attribute for that of a parameter of the same name
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 60  # characters; longer ones get a line per parameter
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_static_path = ["_static"]
html_favicon = "_static/icon.svg"
html_search_scorer = str(DOCS / "search.js")
html_css_files = ["pages.css"]
html_js_files = ["pages.js"]
html_math_renderer = "mathml"
copybutton_selector = "div:not(.output):not(.highlight-text) > div.highlight > pre"  # commands and code, no output
html_title = f"lenet5 {release}"
html_show_copyright = False


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", keep_first_line, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", keep_parameters, priority=400)
    # print the types of the settings without the rules that Annotated attaches to them
    lenet5.TrainerConfig.__annotations__ = typing.get_type_hints(lenet5.TrainerConfig, localns={"torch": torch})
    # print the alias, which Python has evaluated
    lenet5.data.stratified_holdout.__annotations__["targets"] = "npt.ArrayLike"


def keep_first_line(_app: Sphinx, what: str, _name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Keep napoleon from parsing the text before a colon in an attribute's description as its type."""
    if what in ("attribute", "property"):
        lines.insert(0, "\\")  # joined with the next line


def keep_parameters(
    _app: Sphinx, _what: str, _name: str, value: typing.Any, _options: object, lines: list[str]
) -> None:
    """Keep the name of a parameter, such as `temperature`, from leading to the function of the same name."""
    try:
        names = "|".join(inspect.signature(value).parameters)
    except (TypeError, ValueError):  # an attribute, or a class of the kind of a dict
        return
    if names:
        lines[:] = [re.sub(rf"(?<!`)`({names})`(?!`)", r"``\1``", line) for line in lines]
