"""Sphinx configuration: ``sphinx-build -W docs docs/_build``.

The package must be installed, for autodoc and for the tables that are made from it.
"""

import sys
from pathlib import Path

import aconnect

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "aconnect"
author = "The aconnect developers"
copyright = "2026, The aconnect developers"
release = aconnect.__version__

extensions = [
    "docstrings",
    "from_code",
    "links",
    "myst_parser",
    "offline",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build"]
# Docstrings mark names with single backticks, as they do in the source.
default_role = "py:obj"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_type_aliases = {name: name for name in ("Action", "Address", "AddressLike")}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
python_use_unqualified_type_names = True
# A signature that is longer than this has a line for each argument.
maximum_signature_line_length = 80

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Copied is what is typed: not the prompts, and not what is printed.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["pictures.css"]
html_title = "aconnect"
html_show_sphinx = False
html_search_scorer = str(Path(__file__).parent / "_ext" / "scorer.js")
html_copy_source = False
