"""The names whose docstrings the reference shows."""

import re
from pathlib import Path

FOLDER = Path(__file__).parents[3] / "docs/reference"


def documented_names() -> list[str]:
    """Return them all, in the order of the pages."""
    return [
        name
        for page in sorted(FOLDER.glob("*.md"))
        for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.M)
    ]
