"""Configuration of Sphinx for both languages of the site; `make docs` builds them.

Sphinx with MyST and Furo: docstrings have Sphinx's roles and formulas, and all three are maintained, while Material for
MkDocs reaches its end of life in May 2027. Nothing is fetched when a page is read: fonts are the reader's, formulas are
MathML, and the search needs no server. Pages of docs/reference have directives of autodoc, such as ``automodule``, in a
block ``{eval-rst}``.
"""

import os
import sys
from importlib.metadata import version as installed
from pathlib import Path

_HERE = Path(__file__).parent
sys.path.insert(0, str(_HERE / "extensions"))
# The page of normwise.keras imports it.
os.environ.setdefault("KERAS_BACKEND", "torch")

project = "normwise"
author = "the normwise authors"
release = installed("normwise")
language = os.environ.get("NORMWISE_DOCS_LANGUAGE", "en")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "language_switch",
    "mathml",
]

html_math_renderer = "mathml"
myst_enable_extensions = ["attrs_inline", "deflist", "dollarmath"]
myst_heading_anchors = 4
# A page's language, such as ONNX's or a terminal's, that Pygments does not know is shown as it is.
suppress_warnings = ["misc.highlighting_failure"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
# A layer that is called with more than its input says so; shapes are a section of their own.
napoleon_custom_sections = [("Call arguments", "params_style"), "Shape"]

copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

html_theme = "furo"
html_title = "normwise"
html_static_path = [str(_HERE / "static")]
html_css_files = ["site.css"]
templates_path = [str(_HERE / "templates")]
html_show_sphinx = False
html_copy_source = False
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "language.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
html_theme_options = {
    "navigation_with_keys": True,
    "light_css_variables": {"color-brand-primary": "#00695c", "color-brand-content": "#00796b"},
    "dark_css_variables": {"color-brand-primary": "#4db6ac", "color-brand-content": "#80cbc4"},
}
