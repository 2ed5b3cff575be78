"""The address of a page's twin in the other language, for the switch in the sidebar."""

import posixpath
from typing import Any

from sphinx.application import Sphinx

#: A page of each site to the pages that the other one has; `build.py` says which.
_OTHERS = "normwise_pages_of_other_language"


def setup(app: Sphinx) -> dict[str, Any]:
    """Give templates ``other_language``, the address of the same page there, else of the home page."""
    app.add_config_value(_OTHERS, [], "html", [list])
    app.connect("html-page-context", _add_address)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _add_address(app: Sphinx, pagename: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    up = posixpath.relpath(".", posixpath.dirname(pagename) or ".")
    site = f"{up}/.." if app.config.language.startswith("zh") else f"{up}/zh"
    twin = pagename if pagename in getattr(app.config, _OTHERS) else "index"
    context["other_language"] = f"{site}/{twin}.html"
