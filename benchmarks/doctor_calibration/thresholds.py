"""Thresholds in force: the named numbers in the files of the rules, and of the facts that they share."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

from normwise import judgement
from normwise.doctor import facts, rules

_NUMBER = re.compile(
    r"(?P<comment>(?:^#: .*\n)*)^(?P<name>_?[A-Z][A-Z_0-9]*) = (?P<value>[-\d.e_*/ ]+)$", re.MULTILINE
)


@dataclass(frozen=True)
class Threshold:
    """One threshold.

    Attributes:
        file: File of the rule, or of what rules of a family share.
        name: Name in the file.
        value: Value as it is written.
        meaning: The comment above it.
    """

    file: str
    name: str
    value: str
    meaning: str


def thresholds() -> list[Threshold]:
    """Return all thresholds, in the order of the files."""
    found = []
    for info in (*_files(rules), *_files(facts), *_files(judgement)):
        source = inspect.getsource(importlib.import_module(info.name))
        title = (re.match(r'"""(BN\d+):', source) or [None, ""])[1]
        name = info.name.rpartition(".")[2].replace("_", "-")
        for match in _NUMBER.finditer(source):
            meaning = " ".join(line.removeprefix("#:").strip() for line in match["comment"].splitlines())
            found.append(
                Threshold(
                    f"{title} {name}".strip(), match["name"].strip("_"), match["value"].strip(), meaning
                )
            )
    return found


def _files(package: ModuleType) -> Iterator[pkgutil.ModuleInfo]:
    return pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
