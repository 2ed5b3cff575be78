"""Names of a package that are imported when they are first used (PEP 562)."""

import sys
from collections.abc import Callable, Iterable, Mapping
from pkgutil import resolve_name
from typing import Any


def lazy_names(
    package: str, targets: Mapping[str, str], public: Iterable[str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: Name of the package.
        targets: Target of each name, ``module`` or ``module:attribute`` within the package.
        public: Names that ``dir`` lists, used or not.
    """

    def found(name: str) -> Any:
        if name not in targets:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = resolve_name(f"{package}.{targets[name]}")
        setattr(sys.modules[package], name, value)
        return value

    return found, lambda: sorted({*vars(sys.modules[package]), *public})
