import typing

import torch

import lenet5

project = "lenet5"
author = "The lenet5 developers"
version = release = lenet5.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build"]
default_role = "literal"
myst_heading_anchors = 3

nb_execution_mode = "force"  # run the examples of the pages about bridges
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 300  # seconds
nb_merge_streams = True
nb_output_stderr = "remove"  # warnings, which name files of the machine that builds the pages

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_type_aliases = {name: name for name in ("ArrayOrTensor", "npt.ArrayLike")}
napoleon_google_docstring = False
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"lenet5 {release}"
html_show_copyright = False


def setup(app):
    app.connect("autodoc-process-docstring", keep_first_line, priority=400)  # before napoleon
    # print the types of the settings without the rules that Annotated attaches to them
    lenet5.TrainerConfig.__annotations__ = typing.get_type_hints(lenet5.TrainerConfig, localns={"torch": torch})
    # print the alias, which Python has evaluated
    lenet5.data.stratified_holdout.__annotations__["targets"] = "npt.ArrayLike"


def keep_first_line(_app, what, _name, _object, _options, lines):
    """Keep napoleon from parsing the text before a colon in an attribute's description as its type."""
    if what in ("attribute", "property"):
        lines.insert(0, "\\")  # joined with the next line
