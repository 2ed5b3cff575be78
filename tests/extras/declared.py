"""The extras that pyproject.toml declares, with the packages that each installs, by the names of their imports."""

import re
import sys
from importlib import import_module
from pathlib import Path

from normwise.extras import _PIP_NAMES

ROOT = Path(__file__).parents[2]
_IMPORTED_AS = {pip: imported for imported, pip in _PIP_NAMES.items()}
_tomllib = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
_PROJECT = _tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _imported(requirements: list[str]) -> set[str]:
    packages: set[str] = set()
    for requirement in requirements:
        found = re.match(r"([\w.-]+)(?:\[([\w,]+)\])?", requirement)
        assert found, requirement
        name, extras = found.groups()
        if name == "normwise":
            packages |= {package for extra in extras.split(",") for package in EXTRAS[extra]}
        else:
            packages.add(_IMPORTED_AS.get(name, name))
    return packages


#: In the order of the file: an extra that includes another one stands behind it. Those for development are left out.
EXTRAS: dict[str, set[str]] = {}
for _name, _requirements in _PROJECT["optional-dependencies"].items():
    if _name not in ("callbacks", "dev", "docs", "models"):
        EXTRAS[_name] = _imported(_requirements)

CORE = _imported(_PROJECT["dependencies"])
PACKAGES = set.union(*EXTRAS.values())
